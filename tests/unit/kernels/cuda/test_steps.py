"""Steps of the families layerwise and batched_gemm: what is launched, and CUDA graphs, which replay it."""

import numpy as np
import pytest
from cuda_cases import Place, assert_follows, assert_same_in_two_threads

import fastmlp
from fastmlp import MLP, SGD, Adam, EarlyStopping, Population, Quickprop, Rprop
from fastmlp.fit import one_net

SIZES, NAMES = (5, 7, 6, 2), ("layers", "batched")


def make(name, n_nets=3, sizes=SIZES, **settings):
    arguments = {
        "hidden_activation": "tanh",
        "dropout": 0.3,
        "l2": 0.01,
        "device": "cuda",
        "random_state": 0,
    } | settings
    return MLP(sizes, **arguments) if name == "layers" else Population(sizes, n_nets, **arguments)


def samples(n):
    rng = np.random.default_rng(5)
    return rng.normal(size=(n, SIZES[0])), rng.normal(size=(n, SIZES[-1]))


@pytest.fixture(params=NAMES)
def name(request, cuda, monkeypatch):
    place = Place(request.param, monkeypatch)
    yield place.name
    place.check()


@pytest.fixture
def one_call(monkeypatch):
    monkeypatch.setattr(one_net, "FIRST_CALL", 1e12)


@pytest.mark.parametrize("optimizer, extra", [(Adam(0.1), 0), (Adam(0.1, clip_norm=1.0), 1), (Rprop(0.1), 1)])
def test_launches_of_a_step(emulated_cuda, one_call, name, optimizer, extra, monkeypatch):
    """5 L of a net, and one more for rules that need the whole gradient first; 5 L + 1 of any number of nets.

    Inside an epoch, there is no transfer and nothing is waited for.
    """
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")
    X, y = samples(40)

    def count(batch_size, n_nets, epochs=2, precision="exact"):
        nets = make(name, n_nets, precision=precision)
        with emulated_cuda.counting() as n:
            nets.fit(X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer, verbose=0)
        return n

    count(20, 2)  # finds the device, which launches a kernel
    for n_nets in (2, 6):
        few, many, rounded = count(20, n_nets), count(10, n_nets), count(10, n_nets, precision="bfloat16")
        launched = [n["launches"] + n["products"] for n in (few, many, rounded)]
        assert launched[1] - launched[0] == 2 * 2 * (5 * 3 + (extra if name == "layers" else 1))
        assert launched[2] <= launched[1] + 1, "weights are rounded where they are updated"
        for counted in ("synchronizations", "device_to_host", "host_to_device"):
            assert many[counted] == few[counted]


FITS = {
    "adam": {"optimizer": Adam(0.01)},
    "clipped": {"optimizer": Adam(0.01, clip_norm=0.5)},
    "rprop": {"optimizer": Rprop(0.05)},
    "layered": {"optimizer": Quickprop(0.1, by_fan_in=True)},
    "rate factors": {"optimizer": Adam(0.01, learning_rate_factors={"biases": 0.1})},
    "schedule": {"optimizer": SGD(0.1, momentum=0.9), "schedule": fastmlp.schedules.Exponential(0.1)},
    "in order": {"shuffle": False},
    "full batch": {"batch_size": None, "epochs": 24},
    "equal batches": {"batch_size": 3},
    "weighted": {"sample_weight": np.linspace(0.2, 2.0, 75)},
}


def fitted(name, monkeypatch, graphs="1", dtype="float32", precision="exact", **fit):
    """(params, losses) after a fit of 75 samples."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", graphs)
    nets = make(name, dtype=dtype, precision=precision)
    result = nets.fit(*samples(75), **{"epochs": 3, "batch_size": 4, "verbose": 0} | fit)
    return nets.params, result.loss


def assert_replayed_as_launched(emulator, name, monkeypatch, **fit):
    expected = fitted(name, monkeypatch, "0", **fit)
    with emulator.counting() as n:
        found = fitted(name, monkeypatch, **fit)
    assert n["launches from graphs"] > n["launches"], "most steps are replayed"
    for replayed, launched in zip(found, expected, strict=True):
        np.testing.assert_array_equal(replayed, launched)


@pytest.mark.parametrize("case", FITS)
def test_replayed_steps_change_no_bit(emulated_cuda, one_call, name, case, monkeypatch):
    """A graph holds what is equal in every step; what differs is read from device memory."""
    assert_replayed_as_launched(emulated_cuda, name, monkeypatch, **FITS[case])


@pytest.mark.parametrize("dtype, precision", [("float64", "exact"), ("float32", "tf32"), ("float32", "bfloat16")])
def test_replayed_steps_of_every_precision_change_no_bit(emulated_cuda, one_call, name, dtype, precision, monkeypatch):
    assert_replayed_as_launched(emulated_cuda, name, monkeypatch, dtype=dtype, precision=precision)


@pytest.mark.parametrize("case", ["adam", "rprop"])
def test_replayed_steps_of_many_calls_change_no_bit(name, case, monkeypatch):
    monkeypatch.setattr(one_net, "FIRST_CALL", 1)
    expected, found = fitted(name, monkeypatch, "0", **FITS[case]), fitted(name, monkeypatch, **FITS[case])
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("stream, late", [("own", "all"), ("own", "null"), ("shared", "")])
def test_replayed_steps_of_concurrent_fits_change_no_bit(cuda, be_late, name, stream, late, monkeypatch):
    """Work of one thread while the other records a graph must neither enter nor invalidate the graph."""
    fit = lambda: fitted(name, monkeypatch)[0]
    expected = fit()
    be_late(late)
    assert_same_in_two_threads(cuda, fit, expected, stream == "own")


@pytest.mark.parametrize("why", ["no workspace", "no capture"])
def test_steps_are_launched_one_by_one_without_graphs(emulated_cuda, cuda, name, monkeypatch, why):
    """No warning is given, since warnings are errors in tests."""
    expected = fitted(name, monkeypatch)[0]
    if why == "no workspace":
        emulated_cuda.settings.limit = cuda.get_default_memory_pool().used_bytes() + 2**20
    else:
        monkeypatch.delattr(cuda.cuda.Stream, "begin_capture")
    with emulated_cuda.counting() as n:
        np.testing.assert_array_equal(fitted(name, monkeypatch)[0], expected)
    assert n["graph_launches"] == 0


def test_modules_of_recorded_steps_stay_loaded(name, monkeypatch):
    """A recorded module must stay loaded even if the module cache has dropped it."""
    from fastmlp.kernels.cuda.build import compiled_module

    made, compiled = [], compiled_module.compiled

    def forgetting(text):
        made.append(text)
        compiled_module._compiled.cache_clear()
        return compiled(text)

    monkeypatch.setattr("fastmlp.kernels.cuda.layers.passes.compiled", forgetting)
    monkeypatch.setattr(one_net, "FIRST_CALL", 1)
    fitted(name, monkeypatch)
    assert len(made) == len(set(made)) > 0


# ---- nets that end at different times


@pytest.fixture
def batched(cuda, monkeypatch):
    place = Place("batched", monkeypatch)
    yield
    place.check()


@pytest.mark.parametrize("precision", ["exact", "bfloat16"])
def test_finished_nets_are_removed_from_the_batch(batched, emulated_cuda, precision, monkeypatch):
    """Running nets get the slots of finished ones, products become smaller, and graphs are few and change no bit."""
    from fastmlp.kernels.cuda.runtime import cuda_graphs
    from fastmlp.kernels.cuda.runtime.gemm import Products

    (X, y), found, recorded, sizes = samples(32), [], [], []
    record, multiply = cuda_graphs.record, Products._multiply
    monkeypatch.setattr(cuda_graphs, "record", lambda *given: (recorded.append(1), record(*given))[1])
    monkeypatch.setattr(
        Products, "_multiply", lambda self, *given: (sizes.append(self.n_nets), multiply(self, *given))[1]
    )
    for graphs in ("0", "1"):
        monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", graphs)
        nets = make("batched", 24, precision=precision)
        fit = {"epochs": 25, "batch_size": 8, "optimizer": Adam(np.linspace(0.01, 0.6, 24)), "early_stopping": 2}
        result = nets.fit(X, y, verbose=0, **fit)
        found.append((nets.params, result.loss, result.epochs))
        if graphs == "0":
            assert min(sizes) < 12
            running = {int((result.epochs > epoch).sum()) for epoch in range(25)}
    assert 0 < len(recorded) < len(running) > 8
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["exact", "tf32"])
def test_precision_reaches_the_products(name, precision, monkeypatch):
    """The emulator does not round to TF32, so that only the type of the products can be checked."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    asked, init = [], Products.__init__
    monkeypatch.setattr(Products, "__init__", lambda self, *given: (init(self, *given), asked.append(self._compute))[0])
    X, y = samples(20)
    assert_follows(make(name, precision=precision, dropout=0.0), X, y, epochs=2, optimizer=SGD(0.2))
    assert set(asked) == {68 if precision == "exact" else 77}  # CUBLAS_COMPUTE_32F_FAST_TF32


def test_early_stopping_between_replayed_steps(emulated_cuda, batched, monkeypatch):
    X, y = samples(75)
    fit = {"early_stopping": EarlyStopping(1), "validation_data": (X[:9], y[:9]), "batch_size": 2, "epochs": 4}
    assert_replayed_as_launched(emulated_cuda, "batched", monkeypatch, **fit)
