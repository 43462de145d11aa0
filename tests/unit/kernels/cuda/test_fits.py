"""Whole fits on CUDA: equal bits for any order of threads and streams, and no access outside arrays."""

import importlib
import re
import threading
from contextlib import nullcontext

import numpy as np
import pytest
from cuda_emulator import asan

pytestmark = pytest.mark.thinned(16)

FITS = ("nets_in_threads", "nets_in_blocks", "nets_in_step", "one_small_net", "one_wide_net", "one_wide_net_streamed")


def run(name, dtype="float32"):
    return np.array(getattr(importlib.import_module("cuda_emulator.fits"), name)(dtype))


@pytest.fixture(params=FITS)
def fit(request, cuda, monkeypatch):
    if request.param.endswith("streamed") and request.config.getoption("--device") == "cuda":
        memory = importlib.import_module("fastmlp.kernels.cuda.runtime.device_memory")  # a GPU has room for it
        monkeypatch.setattr(memory, "fits", lambda data: memory.is_on_device(data.X))
    return request.param


def test_every_fit_of_the_emulator_is_tested(emulated_cuda):
    assert set(FITS) == {function.__name__ for function in importlib.import_module("cuda_emulator.fits").FITS}


def test_any_order_of_threads_gives_the_same_bits(fit, emulated_cuda):
    expected = run(fit)
    assert np.isfinite(expected).all()
    for order in (1, 2, 3):
        emulated_cuda.settings.order = order
        np.testing.assert_array_equal(run(fit), expected)


@pytest.mark.parametrize("late", ["all", "null"])
def test_late_streams_give_the_same_bits(fit, late, emulated_cuda):
    """No buffer may be overwritten before its use, or read before its copy has arrived."""
    expected = run(fit)
    emulated_cuda.settings.late = late
    np.testing.assert_array_equal(run(fit), expected)


@pytest.mark.parametrize("late", ["", "all"])
@pytest.mark.parametrize("stream", ["own", "shared"])
@pytest.mark.thinned(32)
def test_concurrent_fits_give_the_same_bits(fit, stream, late, cuda, be_late):
    """Each fit has its own stream, or both use the default stream."""
    expected, found = run(fit), {}
    be_late(late)

    def work(number):
        with cuda.cuda.Stream(non_blocking=True) if stream == "own" else nullcontext():
            found[number] = run(fit)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number in range(2):
        np.testing.assert_array_equal(found[number], expected)


@pytest.mark.full
def test_restrict_parameters_do_not_overlap(cuda, monkeypatch):
    """A __restrict__ parameter must not overlap an array that its kernel writes, which might be read too early. Covers
    in-place and separate activations, masks, weights, orders and evaluations.
    """
    from fastmlp import MLP, Population
    from fastmlp.kernels.cuda.build.compiled_module import Kernel

    init, call, seen = Kernel.__init__, Kernel.__call__, set()

    def made(kernel, function, text, name):
        init(kernel, function, text, name)
        kernel.parts = re.search(rf"__global__ void\b[^;{{}}]*?\b{name}\s*\((.*?)\)\s*\{{", text, re.S)[1].split(",")

    def launched(kernel, grid, block, *arguments, shared=0):
        given = [(part, x) for part, x in zip(kernel.parts, arguments, strict=True) if isinstance(x, cuda.ndarray)]
        for part, x in given:
            for other, y in given if "__restrict__" in part else ():
                if other != part and "const " not in other:
                    apart = x.data.ptr + x.nbytes <= y.data.ptr or y.data.ptr + y.nbytes <= x.data.ptr
                    assert apart, (kernel.name, part, other)
                    seen.add((kernel.name, part.split()[-1]))
        call(kernel, grid, block, *arguments, shared=shared)

    monkeypatch.setattr(Kernel, "__init__", made)
    monkeypatch.setattr(Kernel, "__call__", launched)
    X, y, weight = np.ones((30, 4), np.float32), np.arange(30) % 3, np.linspace(0.5, 1.5, 30)
    for hidden, dropout in (("tanh", 0.0), ("tanh", 0.2), ("gelu", 0.2)):
        settings = {"hidden_activation": hidden, "dropout": dropout, "loss": "softmax_cross_entropy", "device": "cuda"}
        for net in (MLP((4, 150, 150, 3), **settings), Population((4, 150, 150, 3), 3, **settings)):
            net.fit(X, y, epochs=2, batch_size=7, sample_weight=weight, verbose=0)
            net.fit(cuda.asarray(X), cuda.asarray(y), epochs=1, shuffle=False, verbose=0)
            net.evaluate(X, y)
    passes = {(name, part) for name, part in seen if name in ("loss_and_output_delta", "backward")}
    assert passes == {("loss_and_output_delta", part) for part in ("b", "y", "weight", "z")} | {
        ("backward", "stored"),
        ("backward", "mask"),
    }


def samples_beyond_memory(emulated_cuda, share):
    """Samples of 40 inputs, and a device with memory for a share of them."""
    import cupy

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2000, 40)).astype(np.float32), rng.normal(size=(2000, 2))
    emulated_cuda.settings.limit = cupy.get_default_memory_pool().used_bytes() + int(share * X.nbytes)
    return X, y


@pytest.mark.full
def test_small_net_trains_on_inputs_beyond_device_memory(emulated_cuda, monkeypatch):
    """A block cannot wait for streamed batches, so that the net trains layerwise."""
    from fastmlp import MLP
    from fastmlp.execution import thresholds

    monkeypatch.setattr(thresholds, "DEVICE_EVALUATION_ROWS", 256)
    X, y = samples_beyond_memory(emulated_cuda, 1.3)
    nets = [MLP((40, 3, 2), hidden_activation="tanh", device=name, random_state=0) for name in ("cuda", "cpu")]
    for net in nets:
        net.fit(X, y, epochs=1, batch_size=512)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=1e-5, atol=1e-5)
    assert nets[0].evaluate(X, y)["loss"] == pytest.approx(nets[1].evaluate(X, y)["loss"], rel=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("own", [False, True])
def test_population_trains_on_inputs_beyond_device_memory(emulated_cuda, monkeypatch, own):
    """Blocks of many nets cannot wait for streamed batches either, so that nets train one by one."""
    from fastmlp import Population
    from fastmlp.execution import thresholds

    monkeypatch.setattr(thresholds, "DEVICE_EVALUATION_ROWS", 256)
    X, y = samples_beyond_memory(emulated_cuda, 1.3)
    if own:
        X, y = X[:1800].reshape(3, 600, 40), y[:1800].reshape(3, 600, 2)
    pops = [
        Population((40, 3, 2), 3, hidden_activation="tanh", device=name, random_state=0) for name in ("cuda", "cpu")
    ]
    results = [pop.fit(X, y, epochs=2, batch_size=128, verbose=0) for pop in pops]
    np.testing.assert_allclose(pops[0].params, pops[1].params, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(results[0].loss, results[1].loss, rtol=1e-5)
    np.testing.assert_allclose(pops[0].evaluate(X, y)["loss"], pops[1].evaluate(X, y)["loss"], rtol=1e-5)
    np.testing.assert_allclose(pops[0].predict(X), pops[1].predict(X), rtol=1e-4, atol=1e-5)


@pytest.mark.full
@pytest.mark.usefixtures("with_asan")
def test_address_sanitizer_finds_no_fault(emulated_cuda):
    """AddressSanitizer checks every access of every thread in the emulator."""
    program = (
        "from cuda_emulator.fits import FITS, MORE_FITS\n"
        "for fit in (*MORE_FITS[:-1], *FITS, MORE_FITS[-1]):\n    fit('float32')\nprint('no fault')\n"
    )
    done = asan.run(program)
    assert done.stdout.strip().endswith("no fault"), done.stderr[-4000:]
