"""The argument `device` on a machine with a GPU: list of devices, errors, streams, and fits in several threads."""

import gc
import re
import sys
import threading
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from cuda_cases import Place, fit_seed, follow_sgd, reference_of
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.fit.hooks.of_lanes
import fastmlp.fit.hooks.tuned_calls
from fastmlp import MLP, SGD, Adam, Population

pytestmark = pytest.mark.thinned(10)

SIZES = (3, 5, 2)


def samples(rng, n=20):
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def make(**settings):
    return MLP(SIZES, **{"hidden_activation": "tanh", "device": "cuda", "random_state": 0} | settings)


# ---- what there is


def test_devices_are_listed(emulated_cuda):
    emulated_cuda.settings.n_devices = 3
    rows = fastmlp.devices()
    assert [row.name for row in rows] == ["cpu", "cuda", "cuda:1", "cuda:2"]
    assert all(row.available and not row.reason for row in rows)
    for words in ("Emulated GPU", "8 GiB", "compute capability 9.0", "driver for CUDA 13.0", "CuPy 14"):
        assert words in rows[1].description


def test_reduced_precision_on_an_old_gpu_raises(emulated_cuda, rng, monkeypatch):
    """Training in bfloat16 on an old GPU raises a ValueError before anything is compiled."""
    Place("layers", monkeypatch)
    emulated_cuda.settings.compute_capability = "75"
    net = make(precision="bfloat16")
    with pytest.raises(ValueError, match=r"needs a GPU of compute capability 8.0 or higher, but this one has 7.5"):
        net.fit(*samples(rng), epochs=1, verbose=0)


def test_missing_driver_is_reported(emulated_cuda):
    emulated_cuda.settings.available = False
    row = fastmlp.devices()[1]
    assert not row.available
    assert "finds no usable NVIDIA driver" in row.reason
    assert "cudaErrorInsufficientDriver" in row.reason
    remedy = "; install or update the driver, or install the CuPy that fits it: pip install 'fastmlp[cuda13]' (in"
    assert remedy in row.reason
    with pytest.raises(
        RuntimeError, match=r"device='cuda' is not available: CuPy .* finds no usable NVIDIA driver.*Use"
    ):
        make()
    assert "no usable NVIDIA driver" in MLP(SIZES, device="auto").device.reason


def test_missing_gpu_is_reported(emulated_cuda):
    emulated_cuda.settings.n_devices = 0
    row = fastmlp.devices()[1]
    assert not row.available
    assert re.fullmatch(
        r"CuPy .* and the driver are installed, but there is no GPU; check CUDA_VISIBLE_DEVICES", row.reason
    )
    with pytest.raises(
        RuntimeError, match=r"device='cuda' is not available: .* but there is no GPU; check CUDA_VISIBLE_DEVICES"
    ):
        make()


def test_device_number_out_of_range_raises(cuda):
    with pytest.raises(
        RuntimeError, match=r"device='cuda:99' is not available: the highest cuda number of this machine is \d+\. Use"
    ):
        make(device="cuda:99")
    with pytest.raises(RuntimeError, match=r"device='cuda:99' is not available"):
        Population(SIZES, 3, device="cuda:99")


def test_cupy_without_its_libraries_is_reported(emulated_cuda, cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.cublas", None)
    monkeypatch.delattr(sys.modules["cupy_backends.cuda.libs"], "cublas")
    with pytest.raises(RuntimeError, match=r"does not compile or run there \(.*cublas.*pip install 'fastmlp"):
        make()


def test_failing_compiler_is_reported(emulated_cuda, cuda, monkeypatch):
    class Broken:
        def __init__(self, **_):
            raise cuda.cuda.compiler.CompileException("cannot open libnvrtc\nand more", "", "", ())

    monkeypatch.setattr(cuda, "RawModule", Broken)
    with pytest.raises(RuntimeError, match=r"does not compile or run there \(cannot open libnvrtc\); pip"):
        make()


def test_cupy_without_cuda_headers_is_reported(emulated_cuda):
    """If CuPy cannot compile its own kernels, device="cuda" raises an error at once, and "auto" takes the CPU."""
    emulated_cuda.settings.headers = False
    message = r"does not compile or run there \(.*cuda_fp16\.h.*\); pip install 'fastmlp\[cuda13\]'"
    with pytest.raises(RuntimeError, match=message):
        make()
    assert make(device="auto").device.name == "cpu"


def test_requested_device_is_used(cuda):
    assert str(make().device) == "cuda (as requested)"
    assert str(make(device="cuda:0").device) == "cuda:0 (as requested)"


# ---- the same nets as on the processor


def test_initial_parameters_equal_those_on_the_cpu(cuda):
    for device in ("cpu", "cuda"):
        net, pop = make(device=device), Population(SIZES, 5, device=device, random_state=3, init_scale=1.5)
        if device == "cpu":
            expected = net.params.copy(), pop.params.copy(), pop.seeds.copy()
    for found, wanted in zip((net.params, pop.params, pop.seeds), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["block", "layers"])
def test_history_and_early_stopping_match_the_reference(cuda, monkeypatch, name, rng):
    """Validation, callbacks and early stopping: records, parameters seen and final parameters match the reference."""
    place = Place(name, monkeypatch)
    X, y = samples(rng, 20)
    X_new, y_new = samples(rng, 9)
    net, seen = make(dtype="float64"), []
    reference, start = reference_of(net.network, net.params), net.params.copy()
    history = net.fit(
        X,
        y,
        epochs=40,
        batch_size=8,
        optimizer=SGD(0.3),
        validation_data=(X_new, y_new),
        early_stopping=3,
        callbacks=[lambda *_: seen.append(net.params.copy())],
        verbose=0,
    )
    assert history.stopped_by == "early_stopping"
    losses, path = [], []
    for epochs in range(1, history.epochs + 1):
        reference.params = start.copy()
        losses.append(follow_sgd(reference, X, y, 0.3, epochs=epochs, batch_size=8, seed=fit_seed(0), shuffle=True)[-1])
        path.append(reference.params.copy())
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    np.testing.assert_allclose(seen, path[:-1], rtol=1e-8, atol=1e-10)  # the last epoch stops before callbacks
    held_out = []
    for params in path:
        reference.params = params
        held_out.append(reference.loss_and_gradient(X_new, y_new)[0])
    np.testing.assert_allclose(history.validation_loss, held_out, rtol=1e-9)
    assert history.best_epoch == np.argmin(held_out) == history.epochs - 4
    np.testing.assert_allclose(net.params, path[history.best_epoch], rtol=1e-8, atol=1e-10)
    place.check()


@pytest.mark.parametrize("name", ["block", "layers"])
def test_divergence_restores_finite_parameters(cuda, monkeypatch, name, rng):
    place = Place(name, monkeypatch)
    X, y = samples(rng)
    net = make(hidden_activation="identity")
    with pytest.warns(fastmlp.DivergenceWarning, match=r"finite.*Lower the learning rate \(it is 1e\+06\)"):
        history = net.fit(X, y, epochs=200, batch_size=5, optimizer=SGD(1e6), verbose=0)
    assert history.stopped_by == "divergence"
    assert np.isfinite(history.loss).all()
    assert np.isfinite(net.params).all()
    place.check()


def test_second_fit_continues_the_first(cuda, rng):
    X, y = samples(rng)
    net = make(dtype="float64")
    reference = reference_of(net.network, net.params)
    for fit in range(2):
        net.fit(X, y, epochs=2, batch_size=8, optimizer=SGD(0.1), verbose=0)
        follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=8, seed=fit_seed(0, fit), shuffle=True)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)


# ---- no room


@pytest.mark.parametrize(
    "batch_size, message",
    [
        (
            None,
            r"no room for a batch of activations: about [\d,]+ bytes are .*, [\d,]+ of 30,000 are free\. Lower batch",
        ),
        (5, None),
    ],
)
def test_out_of_memory_names_the_setting(emulated_cuda, monkeypatch, batch_size, message, rng):
    """The MemoryError names a setting, and changing the setting helps."""
    Place("layers", monkeypatch)
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 5)
    X, y = samples(rng, 600)
    net = make()
    emulated_cuda.settings.limit = 30_000
    if message is None:
        net.fit(X, y, epochs=1, batch_size=batch_size, verbose=0)
        assert np.isfinite(net.predict(X)).all()
    else:
        with pytest.raises(MemoryError, match=message):
            net.fit(X, y, epochs=1, batch_size=batch_size, verbose=0)


def test_fits_release_device_memory(emulated_cuda, cuda, rng):
    X, y = samples(rng, 50)
    pool = cuda.get_default_memory_pool()
    gc.collect()
    used = []
    for _ in range(4):
        make().fit(X, y, epochs=1, verbose=0)
        Population(SIZES, 5, device="cuda", random_state=0).fit(X, y, epochs=1, verbose=0)
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
@pytest.mark.parametrize("name", ["block", "layers"])
def test_net_runs_on_the_current_stream(cuda, be_late, launched_on, monkeypatch, late, name, rng):
    """A net trains and predicts on the user's stream, and runs nothing on the null stream."""
    place = Place(name, monkeypatch)
    be_late(late)
    X, y = samples(rng)
    net = make(dtype="float64")
    reference = reference_of(net.network, net.params)
    fastmlp.devices()
    with launched_on(cuda.cuda.Stream(non_blocking=True)):
        net.fit(X, y, epochs=3, batch_size=8, optimizer=SGD(0.1), verbose=0)
        outputs = net.predict(X)
    follow_sgd(reference, X, y, 0.1, epochs=3, batch_size=8, seed=fit_seed(0), shuffle=True)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    np.testing.assert_allclose(outputs, reference.predict(X), rtol=1e-10)
    place.check()


@pytest.mark.full
@pytest.mark.parametrize("late", ["", "all"])
@pytest.mark.parametrize("name", ["block", "batched", "layers"])
def test_population_runs_on_the_current_stream(cuda, be_late, launched_on, monkeypatch, late, name, rng):
    """Nets of a population train on the current stream, also one by one, where the CPU would use several threads."""
    place = Place(name, monkeypatch)
    be_late(late)
    X, y = samples(rng)
    pop = Population(SIZES, 3, device="cuda", dtype="float64", random_state=0)
    references = [reference_of(pop.network, params) for params in pop.params]
    fastmlp.devices()
    with launched_on(cuda.cuda.Stream(non_blocking=True)):
        pop.fit(X, y, epochs=2, batch_size=8, optimizer=SGD(0.1), verbose=0)
    for k, reference in enumerate(references):
        follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=8, seed=fit_seed(pop.seeds[k]), shuffle=True)
        np.testing.assert_allclose(pop.params[k], reference.params, rtol=1e-10)
    place.check()


USES = {
    "predict": lambda pop, X, y: pop.predict(X),
    "some of them": lambda pop, X, y: pop.predict(X, nets=[2, 0]),
    "evaluate": lambda pop, X, y: pop.evaluate(X, y)["loss"],
    "ensemble_predict": lambda pop, X, y: pop.ensemble_predict(X, weights=[1.0, 0.0, 3.0]),
}


@pytest.mark.thinned(48)
@pytest.mark.parametrize("late", ["", "all"])
@pytest.mark.parametrize("where", ["host", "there"])
@pytest.mark.parametrize("name", ["block", "batched", "layers"])
@pytest.mark.parametrize("use", USES)
def test_predictions_run_on_the_current_stream(cuda, be_late, launched_on, monkeypatch, use, name, where, late, rng):
    """Nets predict on the current stream, whatever stream they were trained on."""
    place = Place(name, monkeypatch)
    be_late(late)
    X, y = samples(rng)
    pop = Population(SIZES, 3, device="cuda", dtype="float64", random_state=0)
    pop.fit(X, y, epochs=1, verbose=0)
    references = [reference_of(pop.network, params) for params in pop.params]
    with launched_on(cuda.cuda.Stream(non_blocking=True)):
        given = (X, y) if where == "host" else (cuda.asarray(X), cuda.asarray(y))
        found = USES[use](pop, *given)
        if isinstance(found, cuda.ndarray):
            found = found.get()
    outputs = np.array([reference.predict(X) for reference in references])
    expected = {
        "predict": outputs,
        "some of them": outputs[[2, 0]],
        "ensemble_predict": np.average(outputs, 0, [1, 0, 3]),
        "evaluate": [reference.loss_and_gradient(X, y)[0] for reference in references],
    }
    np.testing.assert_allclose(found, expected[use], rtol=1e-9)
    place.check()


@pytest.mark.full
@pytest.mark.parametrize("stream", ["own", "shared"])
@pytest.mark.parametrize("name", ["block", "layers"])
def test_concurrent_fits_match_the_reference(cuda, monkeypatch, name, stream, rng):
    """Two threads fit nets at the same time, on streams of their own or on the null stream.

    Each call has one step, so that the fits alternate, and both threads compile kernels.
    """
    place = Place(name, monkeypatch)
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1)
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "SHORT_CALL", 0.0)
    X, y = samples(rng, 30)
    nets = [make(dtype="float64", dropout=0.2, random_state=k) for k in range(2)]
    references = [reference_of(net.network, net.params) for net in nets]
    together, errors = threading.Barrier(2), []

    def fit(k):
        try:
            with cuda.cuda.Stream(non_blocking=True) if stream == "own" else nullcontext():
                together.wait()
                nets[k].fit(X, y, epochs=4, batch_size=7 + k, optimizer=SGD(0.1), verbose=0)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=fit, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for k, reference in enumerate(references):
        follow_sgd(reference, X, y, 0.1, epochs=4, batch_size=7 + k, seed=fit_seed(k), shuffle=True, rates=(0.2,))
        np.testing.assert_allclose(nets[k].params, reference.params, rtol=1e-9, atol=1e-11)
    place.check()


# ---- a population's statistics


def test_convergence_statistics_equal_those_on_the_cpu(cuda):
    """Nets end alike on both devices, so success rate, order and summary are equal, except for the times."""
    results = []
    for device in ("cpu", "cuda"):
        pop = Population(
            (2, 3, 1),
            200,
            hidden_activation="tanh",
            loss="binary_cross_entropy",
            device=device,
            dtype="float64",
            random_state=2,
        )
        results.append(
            pop.fit(XOR_X, XOR_Y, epochs=60, optimizer=Adam(0.2), converged=0.2, restart_after=40, verbose=0)
        )
    cpu, gpu = results
    assert 0 < cpu.n_converged < 200
    for name in ("converged", "epochs", "restarts", "status", "record_epochs"):
        np.testing.assert_array_equal(getattr(gpu, name), getattr(cpu, name))
    for name in ("loss", "accuracy", "records"):
        np.testing.assert_allclose(getattr(gpu, name), getattr(cpu, name), rtol=1e-9)
    assert gpu.success_rate == cpu.success_rate
    assert gpu.best == cpu.best
    assert gpu.summary().splitlines()[1:] == cpu.summary().splitlines()[1:]


def test_progress_counts_finished_nets(cuda, monkeypatch):
    import fastmlp.console.progress_bar

    shown = []
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL", 1)
    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", lambda self, done, *_: shown.append(done))
    Population((2, 3, 1), 50, device="cuda", random_state=0).fit(XOR_X, XOR_Y, epochs=5, verbose=0)
    assert shown[-1] == 50
    assert shown == sorted(shown)


def test_loaded_net_predicts_the_same(cuda, tmp_path, rng):
    net = make()
    net.save(tmp_path / "net.safetensors")
    same = fastmlp.load(tmp_path / "net.safetensors")
    X, _ = samples(rng)
    np.testing.assert_allclose(same.predict(X), net.predict(X), rtol=1e-5, atol=1e-7)
