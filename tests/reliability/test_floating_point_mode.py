"""Floating-point mode: fits, predictions, divergence, errors and interruptions leave the caller's mode unchanged.

Kernels flush denormal numbers to zero while they train. This mode must not leak into the caller's threads.
"""

import signal
import threading
import warnings

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

from fastmlp import MLP, SGD, Population
from fastmlp.kernels.cpu import backend

X, Y = XOR_X.astype(np.float32), XOR_Y
RARE = np.array([1e-30, 2.0, 1e30], np.float32), np.array([1e-10, 3.0, 1e-35], np.float32)
MODE = np.geterr()


def is_default_mode():
    """Return whether denormals are not flushed, sums round to nearest, and NumPy's error settings are unchanged."""
    small = RARE[0] * RARE[1]
    half = np.float32(2.0**-24)
    return (
        small[0] > 0.0
        and small[2] > 0.0
        and np.float32(1.0) + half == np.float32(1.0)
        and np.float32(1.0) + half * np.float32(1.01) > np.float32(1.0)
        and np.geterr() == MODE
    )


class StopHere(Exception):
    pass


def stop(*_):
    assert is_default_mode(), "in a callback"
    raise StopHere


def fit(net, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return net.fit(X, Y, **{"epochs": 3, "verbose": 0} | options)


def net(sizes=(2, 3, 1), **settings):
    return MLP(sizes, device="cpu", random_state=0, **settings)


def fit_with_failing_callback():
    with pytest.raises(StopHere):
        fit(net(), callbacks=[stop])


def fit_with_invalid_data():
    with pytest.raises(ValueError, match="samples"):
        net().fit(X, Y[:2], verbose=0)


def interrupted_fit(monkeypatch):
    def train(*arguments):
        backend_train(*arguments)
        signal.raise_signal(signal.SIGINT)

    backend_train = backend.train
    with monkeypatch.context() as patch:
        patch.setattr(backend, "train", train)
        assert fit(net()).stopped_by == "interrupt"


def fit_ended_within_errstate():
    def interrupt(*_):
        np.errstate(all="raise").__enter__()  # as if a second Ctrl-C came before it has ended
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(net(), callbacks=[interrupt])


CALLS = {
    "a tiny net": lambda _: fit(net()),
    "a net in lanes of samples": lambda _: fit(net((2, 20, 20, 1)), batch_size=2),
    "layer by layer": lambda _: fit(net((2, 300, 300, 1)), epochs=1),
    "one sample at a time": lambda _: fit(net((2, 40, 1)), batch_size=1),
    "in float64": lambda _: fit(net(dtype="float64")),
    "validation": lambda _: fit(net(), validation_fraction=0.5),
    "nets in lanes": lambda _: fit(Population((2, 3, 1), 40, device="cpu", random_state=0)),
    "nets one by one": lambda _: fit(Population((2, 80, 70, 1), 3, device="cpu", random_state=0)),
    "predictions": lambda _: net().predict(X),
    "an evaluation": lambda _: net().evaluate(X, Y),
    "a gradient": lambda _: net().loss_and_gradient(X, Y),
    "divergence": lambda _: fit(net(), optimizer=SGD(1e30), epochs=50),
    "divergence of nets in lanes": lambda _: fit(
        Population((2, 3, 1), 40, device="cpu", random_state=0), optimizer=SGD(1e30), epochs=50
    ),
    "an error in a callback": lambda _: fit_with_failing_callback(),
    "data that are refused": lambda _: fit_with_invalid_data(),
    "a second Ctrl-C": lambda _: fit_ended_within_errstate(),
    "an interruption": interrupted_fit,
}


@pytest.mark.parametrize("call", CALLS)
def test_floating_point_mode_is_unchanged_after_every_call(call, monkeypatch, count):
    """Calls from the main thread and from another thread leave the mode of the calling thread unchanged."""
    assert is_default_mode()
    CALLS[call](monkeypatch)
    assert is_default_mode()
    found = []

    def elsewhere():
        found.append(is_default_mode())
        CALLS[call](monkeypatch)
        found.append(is_default_mode())

    if call != "an interruption":  # only the main thread is interrupted
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert found == [True, True]
    count("kind of call after which the floating-point mode was looked at", 1)


def test_caller_that_flushes_denormals_still_does_after_a_fit():
    """The mode is restored, and not set to the default: a caller that flushes denormals still does after a fit."""
    numba = pytest.importorskip("numba")
    from fastmlp.kernels.cpu.threads.in_kernels import flush_denormals, restore_denormals
    from fastmlp.kernels.jit.cpu_features import IS_X86
    from fastmlp.kernels.jit.decorators import OPTIONS

    if not IS_X86:
        pytest.skip("only x86 processors have this mode")

    @numba.njit(**OPTIONS)
    def begin():
        return flush_denormals()

    @numba.njit(**OPTIONS)
    def end(before):
        restore_denormals(before)

    model = net()
    fit(model)
    before = begin()
    try:
        fit(model)
        assert (RARE[0] * RARE[1])[0] == 0.0
    finally:
        end(before)
    assert is_default_mode()
