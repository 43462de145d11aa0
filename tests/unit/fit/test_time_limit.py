"""Fits with a time limit: kept within 5 %, on a clock that only kernel calls move."""

import numpy as np
import pytest
from kernel_clock import KernelClock
from resumed_fits import assert_same_fit, train
from toy_data import blobs

import fastmlp
from fastmlp import MLP
from fastmlp.execution import thresholds, unrolled_code
from fastmlp.fit.hooks.time_limit import CallSizes, TimeLimit
from fastmlp.kernels.structs import UNROLLED_ALWAYS, UNROLLED_IF_ON_DISK, UNROLLED_NEVER

X, Y = blobs(0, n=120)
FOREVER = 100_000


def make(**settings):
    return MLP((4, 6, 3), **{"loss": "softmax_cross_entropy", "random_state": 0} | settings)


def test_short_epochs_end_with_an_epoch(monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3)
    net = make()
    history = net.fit(X, Y, epochs=FOREVER, batch_size=40, time_limit=1.0, verbose=0)
    assert history.stopped_by == "time_limit"
    assert 0.95 <= clock.trained <= 1.05
    assert history.epochs == sum(clock.n_steps) / 3
    assert history.settings["time_limit"] == 1.0
    whole = make()
    whole.fit(X, Y, epochs=history.epochs, batch_size=40, verbose=0)
    np.testing.assert_array_equal(net.params, whole.params)


def test_a_long_epoch_is_cut_short(monkeypatch):
    clock = KernelClock(monkeypatch, step=0.01)
    net = make()
    history = net.fit(X, Y, epochs=FOREVER, batch_size=1, time_limit=3.0, verbose=0)
    assert history.epochs == 2
    assert 0.95 * 3.0 <= clock.trained <= 1.05 * 3.0
    two = make()
    two.fit(X, Y, epochs=2, batch_size=1, verbose=0)
    assert not np.array_equal(net.params, two.params), "the steps of the third epoch count"


@pytest.mark.thinned(3)
@pytest.mark.parametrize("batch_size", (1, 40, None))
def test_a_fit_that_becomes_slower_keeps_its_limit(batch_size, monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3)

    def slow_down(epoch, history):
        clock.step = 3e-3 if clock.trained > 5.0 else 1e-3

    history = make().fit(X, Y, epochs=FOREVER, batch_size=batch_size, time_limit=10.0, callbacks=slow_down, verbose=0)
    assert history.stopped_by == "time_limit"
    assert 9.5 <= clock.trained <= 10.5


@pytest.mark.parametrize("batch_size", (1, 40, None))
def test_compiling_counts(batch_size, monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3, compiling=6.0)
    history = make().fit(X, Y, epochs=FOREVER, batch_size=batch_size, time_limit=10.0, verbose=0)
    assert 9.5 <= clock.now <= 10.5
    assert history.stopped_by == "time_limit"
    assert (history.compile_seconds, history.training_seconds) == (6.0, pytest.approx(clock.trained))


@pytest.mark.parametrize("batch_size, n_epochs", ((1, 1), (40, 7), (None, 20)))
def test_an_epoch_is_trained_even_if_compiling_takes_longer_than_the_limit(batch_size, n_epochs, monkeypatch):
    """Epochs of 0.12, 0.003 and 0.001 s: the second call of a fit takes up to 2 % of the limit."""
    clock = KernelClock(monkeypatch, step=1e-3, compiling=100.0)
    history = make().fit(X, Y, epochs=FOREVER, batch_size=batch_size, time_limit=1.0, verbose=0)
    assert (history.stopped_by, 1 <= history.epochs <= n_epochs) == ("time_limit", True)
    assert clock.trained <= 0.15


def test_an_epoch_that_takes_longer_than_the_limit_is_not_finished_after_compiling(monkeypatch):
    clock = KernelClock(monkeypatch, step=0.1, compiling=100.0)
    history = make().fit(X, Y, epochs=FOREVER, batch_size=1, time_limit=1.0, verbose=0)
    assert (history.stopped_by, history.epochs) == ("time_limit", 0)
    assert 0.9 <= clock.trained <= 1.1


def test_time_is_reserved_for_the_last_validation(monkeypatch):
    clock = KernelClock(monkeypatch, step=0.01, validation=0.5)
    history = make().fit(X, Y, epochs=FOREVER, batch_size=12, validation_data=(X, Y), time_limit=10.0, verbose=0)
    assert 9.5 <= clock.trained <= 10.5
    assert history.validation_loss.shape == history.loss.shape


@pytest.mark.thinned(4)
@pytest.mark.parametrize("batch_size", (1, 40, None))
@pytest.mark.parametrize("held_out", (None, (X[:30], Y[:30])))
def test_the_best_epoch_is_kept(batch_size, held_out, monkeypatch):
    KernelClock(monkeypatch, step=1e-3)
    settings = {"batch_size": batch_size, "optimizer": fastmlp.SGD(0.7), "validation_data": held_out, "verbose": 0}
    net = make()
    history = net.fit(X, Y, epochs=FOREVER, early_stopping=FOREVER, time_limit=2.0, **settings)
    assert history.stopped_by == "time_limit"
    record = history.loss if held_out is None else history.validation_loss
    assert history.best_epoch == record.argmin()
    whole = make()
    whole.fit(X, Y, epochs=history.epochs, early_stopping=FOREVER, **settings)
    np.testing.assert_array_equal(net.params, whole.params)


class Counting:
    def __init__(self):
        self.epochs = []

    def epochs_ahead(self):
        return 50

    def __call__(self, epoch, history):
        self.epochs.append(epoch)


def test_callbacks_see_the_last_epoch(monkeypatch):
    KernelClock(monkeypatch, step=1e-3)
    counting = Counting()
    history = make().fit(X, Y, epochs=FOREVER, batch_size=40, time_limit=0.777, callbacks=counting, verbose=0)
    assert counting.epochs[-1] == history.epochs - 1
    assert history.epochs % 50, "the callback was not due"


def test_no_time_at_all(monkeypatch):
    KernelClock(monkeypatch, step=1e-3)
    monkeypatch.setattr("fastmlp.fit.net_fit.fit_seed", lambda *_: 0)
    net = make()
    before = net.params.copy()
    history = net.fit(X, Y, epochs=5, batch_size=40, time_limit=1e-12, verbose=0)
    assert history.stopped_by == "time_limit"
    assert history.epochs in (0, 1)
    assert np.isfinite(net.params).all()
    assert before.shape == net.params.shape


@pytest.mark.parametrize("value", (0, -1.0, "60 s", float("nan"), True, [1]))
def test_bad_limits_raise(value):
    with pytest.raises(ValueError, match="time_limit must be a number in"):
        make().fit(X, Y, time_limit=value)


@pytest.mark.parametrize("batch_size", (1, 40, None))
@pytest.mark.parametrize("more", ({}, {"early_stopping": 500}, {"early_stopping": 500, "validation_data": (X, Y)}))
def test_the_same_call_goes_on_from_the_checkpoint(batch_size, more, monkeypatch, tmp_path):
    """The limit is the time of one call, and three calls train what one without a limit does."""
    arguments = {"epochs": 12, "batch_size": batch_size, **more}
    whole = train(make(), (X, Y), **arguments)
    clock = KernelClock(monkeypatch, step=1.0 / (5 * len(X) // (batch_size or len(X))))
    for n in range(1, 4):
        fit = train(make(), (X, Y), tmp_path / "run.ckpt", resume=True, time_limit=1.0, **arguments)
        if n < 3:
            assert fit[1].stopped_by == "time_limit"
            assert 0.95 * n <= clock.trained <= 1.06 * n
    assert_same_fit(fit, whole)


def test_sizes_of_calls_follow_the_time_left(monkeypatch):
    clock = KernelClock(monkeypatch)
    sizes = CallSizes(TimeLimit(10.0), n_batches=1000)
    assert sizes.next(0) == 1
    clock.now = 0.1
    sizes.record(1)
    assert sizes.next(1) == 2, "a call takes up to 2 %"
    clock.now = 9.85
    assert sizes.next(90) == 1
    clock.now = 9.95
    assert sizes.next(91) == 0


def test_short_epochs_are_finished(monkeypatch):
    clock = KernelClock(monkeypatch)
    sizes = CallSizes(TimeLimit(10.0), n_batches=4)
    sizes.next(0)
    clock.now = 0.01
    sizes.record(1)
    assert sizes.next(3) == 17, "up to the end of the fifth epoch"
    clock.now = 10.5
    assert sizes.next(3) == 1
    assert sizes.next(4) == 0


@pytest.mark.parametrize("seconds, compiles", [(1.0, False), (3600.0, True), (None, True)])
def test_no_code_is_compiled_for_a_short_time(seconds, compiles, monkeypatch):
    """Compiling the unrolled code of a tiny net takes longer than such a fit."""
    asked, choose = [], unrolled_code.choose_unrolled

    def noted(*arguments):
        asked.append(choose(*arguments))
        return UNROLLED_NEVER  # so that nothing is compiled

    monkeypatch.setattr(unrolled_code, "choose_unrolled", noted)
    monkeypatch.setattr(unrolled_code, "_steps_done", {})
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 5)
    monkeypatch.setattr(thresholds, "LOAD_UNROLLED_AFTER", 2)
    net = MLP((4, 2, 3), loss="softmax_cross_entropy", random_state=0, device="cpu")
    net.fit(X[:4], Y[:4], epochs=20, batch_size=4, time_limit=seconds, callbacks=lambda epoch, history: None, verbose=0)
    assert asked[0] == UNROLLED_NEVER
    assert asked[-1] == (UNROLLED_ALWAYS if compiles else UNROLLED_IF_ON_DISK)
