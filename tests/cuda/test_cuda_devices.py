"""The argument `device` on a machine with a GPU: list of devices, errors, streams, and fits in several threads."""

import gc
from contextlib import contextmanager

import numpy as np
import pytest
from cuda_cases import Place, assert_follows, reference_of

import fastmlp
from fastmlp import MLP, SGD, Population

SIZES = (3, 5, 2)


def samples(rng, n=20):
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def make(n_nets=1, **settings):
    arguments = {"hidden_activation": "tanh", "device": "cuda", "random_state": 0} | settings
    return MLP(SIZES, **arguments) if n_nets == 1 else Population(SIZES, n_nets, **arguments)


# ---- what there is


def test_devices_are_listed(emulated_cuda):
    emulated_cuda.settings.n_devices = 3
    rows = fastmlp.devices()
    assert [row.name for row in rows] == ["cpu", "cuda", "cuda:1", "cuda:2"]
    assert all(row.available and not row.reason for row in rows)
    for words in ("Emulated GPU", "8 GiB", "compute capability 9.0", "driver for CUDA 13.0", "CuPy 14"):
        assert words in rows[1].description
    assert str(make().device) == "cuda (as requested)"
    assert str(make(device="cuda:0").device) == "cuda:0 (as requested)"


def without_compiler(emulator, cuda, patches):
    class Broken:
        def __init__(self, **_):
            raise cuda.cuda.compiler.CompileException("cannot open libnvrtc\nand more", "", "", ())

    patches.setattr(cuda, "RawModule", Broken)


def setting(name, value):
    return lambda emulator, cuda, patches: setattr(emulator.settings, name, value)


MISSING = {
    "driver": (
        setting("available", False),
        r"CuPy .* finds no usable NVIDIA driver .*cudaErrorInsufficientDriver.*; install or update the driver, "
        r"or install the CuPy that fits it: pip install 'fastmlp\[cuda13\]' \(in",
    ),
    "GPU": (
        setting("n_devices", 0),
        "CuPy .* and the driver are installed, but there is no GPU; check CUDA_VISIBLE_DEVICES",
    ),
    "libraries": (setting("cublas", False), r"does not compile or run there \(.*cublas.*pip install 'fastmlp"),
    "compiler": (without_compiler, r"does not compile or run there \(cannot open libnvrtc\); pip"),
    "headers": (
        setting("headers", False),
        r"does not compile or run there \(.*cuda_fp16\.h.*\); pip install 'fastmlp\[cuda13\]'",
    ),
}


@pytest.mark.parametrize("missing", MISSING)
def test_what_is_missing_is_said(emulated_cuda, cuda, monkeypatch, missing):
    """A device that is named raises an error at once, and "auto" takes the CPU."""
    spoil, message = MISSING[missing]
    spoil(emulated_cuda, cuda, monkeypatch)
    with pytest.raises(RuntimeError, match=f"device='cuda' is not available: .*{message}"):
        make()
    if missing in ("driver", "GPU"):
        row = fastmlp.devices()[1]
        assert not row.available
        assert row.reason in make(device="auto").device.reason
    assert make(device="auto").device.name == "cpu"


@pytest.mark.parametrize("n_nets", [1, 3])
def test_device_number_out_of_range_raises(cuda, n_nets):
    message = r"device='cuda:99' is not available: the highest cuda number of this machine is \d+\. Use"
    with pytest.raises(RuntimeError, match=message):
        make(n_nets, device="cuda:99")


# ---- the same nets as on the processor


def test_initial_parameters_equal_those_on_the_cpu(cuda):
    for n_nets in (1, 5):
        np.testing.assert_array_equal(make(n_nets).params, make(n_nets, device="cpu").params)


@pytest.mark.parametrize("name", ["block", "layers"])
def test_history_and_early_stopping_equal_those_on_the_cpu(cuda, monkeypatch, name, rng):
    """Validation, callbacks and early stopping: records, parameters seen and final parameters."""
    place, found = Place(name, monkeypatch), []
    X, y = samples(rng, 20)
    fit = {"epochs": 40, "batch_size": 8, "optimizer": SGD(0.3), "validation_data": samples(rng, 9), "verbose": 0}
    for device in ("cpu", "cuda"):
        net, seen = make(dtype="float64", device=device), []
        history = net.fit(
            X, y, early_stopping=3, callbacks=[lambda *_, net=net, seen=seen: seen.append(net.params.copy())], **fit
        )
        assert history.stopped_by == "early_stopping"
        found.append([history.best_epoch, history.loss, history.validation_loss, np.array(seen), net.params])
    for on_cpu, on_gpu in zip(*found, strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-8, atol=1e-10)
    place.check()


@pytest.mark.parametrize("name", ["block", "layers"])
def test_divergence_restores_finite_parameters(cuda, monkeypatch, name, rng):
    place = Place(name, monkeypatch)
    net = make(hidden_activation="identity")
    with pytest.warns(fastmlp.DivergenceWarning, match=r"finite.*Lower the learning rate \(it is 1e\+06\)"):
        history = net.fit(*samples(rng), epochs=200, batch_size=5, optimizer=SGD(1e6), verbose=0)
    assert history.stopped_by == "divergence"
    assert np.isfinite(history.loss).all()
    assert np.isfinite(net.params).all()
    place.check()


# ---- no room


def test_out_of_memory_names_the_setting(emulated_cuda, monkeypatch, rng):
    """And changing the setting helps."""
    gc.collect()  # nets of earlier tests, which are in cycles with their histories
    Place("layers", monkeypatch)
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 5)
    (X, y), net = samples(rng, 600), make()
    emulated_cuda.settings.limit = 30_000
    message = r"no room for a batch of activations: about [\d,]+ bytes are .*, [\d,]+ of 30,000 are free\. Lower batch"
    with pytest.raises(MemoryError, match=message):
        net.fit(X, y, epochs=1, batch_size=None, verbose=0)
    net.fit(X, y, epochs=1, batch_size=5, verbose=0)
    assert np.isfinite(net.predict(X)).all()


def test_fits_release_device_memory(emulated_cuda, cuda, rng):
    (X, y), pool, used = samples(rng, 50), cuda.get_default_memory_pool(), []
    gc.collect()
    for _ in range(4):
        for n_nets in (1, 5):
            make(n_nets).fit(X, y, epochs=1, verbose=0)
        make().predict(X)
        used.append(pool.used_bytes())
    assert len(set(used[1:])) == 1, "after the first round, which may free what tests before have left"


# ---- streams and threads


@pytest.fixture
def launched_on(cuda, request):
    """Return a context manager: launched_on(stream) makes the stream the current one.

    In the emulator, it checks that operations run on this stream and none on the null stream. A GPU cannot tell.
    """

    @contextmanager
    def current(stream):
        counts = request.config.getoption("--device") != "cuda"
        before = cuda.cuda.Stream.null._asked if counts else None
        with stream:
            yield
        if counts:
            assert stream._asked > 0
            assert cuda.cuda.Stream.null._asked == before

    return current


@pytest.mark.parametrize("late", ["", "all"])
@pytest.mark.parametrize("name, n_nets", [("block", 1), ("layers", 1), ("block", 3), ("batched", 3), ("layers", 3)])
def test_fits_and_predictions_run_on_the_current_stream(
    cuda, be_late, launched_on, monkeypatch, late, name, n_nets, rng
):
    """Nothing runs on the null stream; nets predict on another stream than that of their training."""
    place, (X, y) = Place(name, monkeypatch), samples(rng)
    be_late(late)
    nets = make(n_nets, dtype="float64")
    fastmlp.devices()
    with launched_on(cuda.cuda.Stream(non_blocking=True)):
        assert_follows(nets, X, y, epochs=3, batch_size=8, optimizer=SGD(0.1))
    references = [reference_of(nets.network, params) for params in np.atleast_2d(nets.params)]
    outputs = np.array([reference.predict(X) for reference in references])
    for given in ((X, y), (cuda.asarray(X), cuda.asarray(y))):
        with launched_on(cuda.cuda.Stream(non_blocking=True)):
            found = [nets.predict(given[0]), nets.evaluate(*given)["loss"]]
            if n_nets > 1:
                found += [nets.predict(given[0], nets=[2, 0]), nets.ensemble_predict(given[0])]
            found = [each.get() if isinstance(each, cuda.ndarray) else each for each in found]
        np.testing.assert_allclose(found[0].reshape(outputs.shape), outputs, rtol=1e-9)
        losses = [reference.loss_and_gradient(X, y)[0] for reference in references]
        np.testing.assert_allclose(np.atleast_1d(found[1]), losses, rtol=1e-9)
        if n_nets > 1:
            np.testing.assert_allclose(found[2], outputs[[2, 0]], rtol=1e-9)
            np.testing.assert_allclose(found[3], outputs.mean(axis=0), rtol=1e-9)
    place.check()
