"""Samples that do not fit into device memory: each batch is copied when its step begins."""

import numpy as np
import pytest
from cuda_cases import Place, assert_follows, reference_of

from fastmlp import MLP, SGD, Population
from fastmlp.fit import one_net

SIZES = (5, 7, 2)


def make(n_nets=1, **settings):
    arguments = {"hidden_activation": "tanh", "dtype": "float64", "device": "cuda", "random_state": 3} | settings
    return MLP(SIZES, **arguments) if n_nets == 1 else Population(SIZES, n_nets, **arguments)


@pytest.fixture
def streaming(cuda, monkeypatch):
    """Pretend that no samples fit into device memory."""
    from fastmlp.kernels.cuda.runtime import device_memory

    monkeypatch.setattr(device_memory, "fits", lambda data: device_memory.is_on_device(data.X))


@pytest.fixture
def layers(cuda, monkeypatch):
    place = Place("layers", monkeypatch)
    yield
    place.check()


def samples(rng, n):
    return rng.normal(size=(n, 5)), rng.normal(size=(n, 2))


@pytest.mark.parametrize("late", ["", "all"])
@pytest.mark.parametrize("first_call", [1, 1e12], ids=["many calls", "one call"])
@pytest.mark.parametrize("n_batches, shuffle", [(1, False), (3, False), (3, True)])
def test_streamed_batches_match_the_reference(
    layers, be_late, streaming, monkeypatch, late, first_call, n_batches, shuffle, rng
):
    """Streams that run as late as allowed reveal buffers, on host or device, that are overwritten too early."""
    monkeypatch.setattr(one_net, "FIRST_CALL", first_call)
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 10)
    be_late(late)
    (X, y), net = samples(rng, 10 * n_batches - 3), make()
    weight = np.linspace(0.5, 1.5, len(X))
    assert_follows(net, X, y, epochs=4, batch_size=10, shuffle=shuffle, optimizer=SGD(0.1), sample_weight=weight)
    reference = reference_of(net.network, net.params)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-10, atol=1e-12)
    assert net.evaluate(X, y)["loss"] == pytest.approx(reference.loss_and_gradient(X, y)[0])


@pytest.mark.parametrize("precision", ["exact", "bfloat16"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_streamed_samples_give_the_same_bits(layers, cuda, monkeypatch, precision, shuffle, rng):
    from fastmlp.kernels.cuda.runtime import device_memory

    (X, y), found, fits = samples(rng, 137), [], device_memory.fits
    for fits_there in (fits, lambda data: device_memory.is_on_device(data.X)):
        monkeypatch.setattr(device_memory, "fits", fits_there)
        net = make(dtype="float32", precision=precision)
        net.fit(X, y, epochs=2, batch_size=32, shuffle=shuffle, optimizer=SGD(0.1), verbose=0)
        found.append([net.params.tobytes(), net.predict(X).tobytes()])
    assert found[0] == found[1]


@pytest.mark.parametrize("n_nets, per_net", [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("name", ["block", "batched"])
def test_small_nets_train_layer_by_layer_on_samples_beyond_device_memory(
    emulated_cuda, name, n_nets, per_net, monkeypatch, rng
):
    """A block cannot wait for streamed batches; nets of a population train one after another."""
    Place(name, monkeypatch)
    shape = (n_nets, 1500) if per_net else (3000,)
    X, y = rng.normal(size=(*shape, 5)), rng.normal(size=(*shape, 2))
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 100)
    nets = make(n_nets, dtype="float32")
    emulated_cuda.settings.limit = 70_000
    fit = {"shuffle": False} if per_net else {"sample_weight": rng.uniform(0.5, 1.5, 3000)}
    assert_follows(nets, X, y, epochs=1, batch_size=100, optimizer=SGD(0.1), **fit)
    outputs, figures = nets.predict(X), np.atleast_1d(nets.evaluate(X, y)["loss"])
    reference = reference_of(nets.network, np.atleast_2d(nets.params)[-1])
    of_net = X[-1] if per_net else X, y[-1] if per_net else y
    np.testing.assert_allclose(outputs.reshape(n_nets, -1, 2)[-1], reference.predict(of_net[0]), rtol=1e-4, atol=1e-5)
    assert figures[-1] == pytest.approx(reference.loss_and_gradient(*of_net)[0], rel=1e-5)


def test_too_little_memory_for_a_batch_raises(emulated_cuda, streaming, monkeypatch, rng):
    Place("layers", monkeypatch)
    (X, y), net = samples(rng, 1000), make(dtype="float32")
    emulated_cuda.settings.limit = 110_000
    with pytest.raises(MemoryError, match=r"no room for a batch: [\d,]+ bytes are wanted.*Lower batch_size"):
        net.fit(X, y, epochs=1, batch_size=None, verbose=0)
