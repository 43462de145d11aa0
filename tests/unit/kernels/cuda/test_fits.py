"""Whole fits on CUDA: equal bits for any order of threads and streams, and no access outside arrays."""

import re

import numpy as np
import pytest
from cuda_cases import assert_same_in_two_threads
from cuda_emulator import asan, fits

from fastmlp import MLP, Population


@pytest.fixture(params=fits.FITS)
def fit(request, cuda, monkeypatch):
    if request.param.endswith("streamed") and request.config.getoption("--device") == "cuda":
        from fastmlp.kernels.cuda.runtime import device_memory  # a GPU has room for the samples

        monkeypatch.setattr(device_memory, "fits", lambda data: device_memory.is_on_device(data.X))
    return lambda: np.array(fits.FITS[request.param]("float32"))


def test_any_order_of_threads_gives_the_same_bits(fit, emulated_cuda):
    expected = fit()
    assert np.isfinite(expected).all()
    for order in (1, 2, 3):
        emulated_cuda.settings.order = order
        np.testing.assert_array_equal(fit(), expected)


@pytest.mark.parametrize("late", ["all", "null"])
def test_late_streams_give_the_same_bits(fit, late, emulated_cuda):
    """No buffer may be overwritten before its use, or read before its copy has arrived."""
    expected = fit()
    emulated_cuda.settings.late = late
    np.testing.assert_array_equal(fit(), expected)


@pytest.mark.parametrize("stream, late", [("own", "all"), ("shared", "")])
def test_concurrent_fits_give_the_same_bits(fit, stream, late, cuda, be_late):
    """Each fit has its own stream, or both use the default stream."""
    expected = fit()
    be_late(late)
    assert_same_in_two_threads(cuda, fit, expected, stream == "own")


def test_restrict_parameters_do_not_overlap(cuda, monkeypatch):
    """A __restrict__ parameter must not overlap an array that its kernel writes, which might be read too early. Covers
    in-place and separate activations, masks, weights, orders and evaluations.
    """
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
                    seen.add(kernel.name)
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
    assert {"loss_and_output_delta", "backward"} <= seen


@pytest.mark.full
@pytest.mark.usefixtures("with_asan")
def test_address_sanitizer_finds_no_fault(emulated_cuda):
    """AddressSanitizer checks every access of every thread in the emulator."""
    program = (
        "from cuda_emulator.fits import FITS, MORE_FITS, STREAMED\n"
        "for fit in (*MORE_FITS.values(), *FITS.values(), STREAMED):\n    fit('float32')\nprint('no fault')\n"
    )
    done = asan.run(program)
    assert done.stdout.strip().endswith("no fault"), done.stderr[-4000:]
