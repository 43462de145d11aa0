"""Fits with a time limit: kept within 5 %, on a clock that only kernel calls move. How they go on afterwards is in
test_fits_in_two_parts.py.
"""

import numpy as np
import pytest
from executor_cases import process_pool
from fit_kinds import KINDS, WRONG, fit, make
from kernel_clock import KernelClock
from small_blocks import X, Y

import fastmlp
from fastmlp import SGD
from fastmlp.execution import dispatch, thresholds, unrolled_code
from fastmlp.kernels.structs import UNROLLED_ALWAYS, UNROLLED_IF_ON_DISK

FOREVER = 100_000
ONE_BY_ONE = [kind for kind, row in KINDS.items() if row.n_nets and not row.lanes]
pytestmark = [pytest.mark.usefixtures("small_parts"), pytest.mark.filterwarnings("ignore:The time of the fit was over")]


VALIDATED = {"validation_data": (X[:20], Y[:20]), "early_stopping": FOREVER}
HERE = [kind for kind in KINDS if "on workers" not in kind]  # where this process compiles


@pytest.mark.parametrize("given", [{}, VALIDATED], ids=["plain", "validated"])
@pytest.mark.parametrize("kind, compiling", [*((kind, 0.0) for kind in KINDS), *((kind, 0.5) for kind in HERE)])
def test_the_limit_is_kept_and_compiling_counts(kind, compiling, given, monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3, epoch_of_nets=1e-3, compiling=compiling)
    before = make(kind).params
    epochs = 35 if kind in ONE_BY_ONE else FOREVER  # 0.3 s a net
    nets, record = fit(kind, epochs=epochs, time_limit=1.0 if compiling else 0.5, **given)
    assert clock.now == pytest.approx(1.0 if compiling else 0.5, rel=0.05)
    assert np.isfinite(nets.params).all()
    reasons = np.atleast_1d(record.stopped_by)
    if kind in ONE_BY_ONE:
        assert reasons.tolist() == ["epochs", "time_limit", "time_limit"]
    else:
        assert set(reasons) == {"time_limit"}
    if KINDS[kind].n_nets:
        begun = record.epochs > 0
        assert begun.any()
        assert not begun.all()
        if kind in HERE:  # workers have done some steps of a first epoch
            np.testing.assert_array_equal(nets.params[~begun], before[~begun])
        assert record.n_finished == (reasons == "epochs").sum()
        assert not record.interrupted
    else:
        assert (record.compile_seconds, record.training_seconds) == (compiling, pytest.approx(clock.trained))


@pytest.mark.parametrize("kind", HERE)
def test_an_epoch_is_trained_even_if_compiling_takes_longer_than_the_limit(kind, monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3, epoch_of_nets=1e-3, compiling=100.0)
    _, record = fit(kind, epochs=FOREVER, time_limit=1.0)
    assert "time_limit" in record.stopped_by
    assert np.any(record.epochs)
    assert clock.trained <= 0.1


def test_short_epochs_end_with_an_epoch(monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3)
    net, history = fit("net", epochs=FOREVER, time_limit=1.0)
    assert history.epochs == sum(clock.n_steps) / 9
    assert history.settings["time_limit"] == 1.0
    np.testing.assert_array_equal(net.params, fit("net", epochs=history.epochs)[0].params)


@pytest.mark.parametrize("kind", ["net", "net, rows on disk"])
def test_a_long_epoch_is_cut_short(kind, monkeypatch):
    clock = KernelClock(monkeypatch, step=0.1)
    net, history = fit(kind, epochs=FOREVER, time_limit=2.4)
    assert history.epochs == 2
    assert clock.trained == pytest.approx(2.4, rel=0.05)
    assert not np.array_equal(net.params, fit(kind, epochs=2)[0].params), "the steps of the third epoch count"


def test_an_epoch_that_takes_longer_than_the_limit_is_not_finished_after_compiling(monkeypatch):
    clock = KernelClock(monkeypatch, step=0.1, compiling=100.0)
    history = fit("net", epochs=FOREVER, batch_size=1, time_limit=1.0)[1]
    assert (history.stopped_by, history.epochs) == ("time_limit", 0)
    assert 0.9 <= clock.trained <= 1.1


@pytest.mark.parametrize("batch_size", [1, 24, None])
def test_a_fit_that_becomes_slower_keeps_its_limit(batch_size, monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3)

    def slow_down(epoch, history):
        clock.step = 3e-3 if clock.trained > 2.5 else 1e-3

    history = fit("net", epochs=FOREVER, batch_size=batch_size, time_limit=5.0, callbacks=slow_down)[1]
    assert history.stopped_by == "time_limit"
    assert clock.trained == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("kind", ["net", "net, rows on disk"])
def test_time_is_reserved_for_the_last_validation(kind, monkeypatch):
    clock = KernelClock(monkeypatch, step=0.055, validation=0.5)
    history = fit(kind, epochs=FOREVER, validation_data=WRONG, time_limit=10.0)[1]
    assert clock.trained == pytest.approx(10.0, rel=0.05)
    assert history.validation_loss.shape == history.loss.shape


@pytest.mark.parametrize("batch_size", [1, 24, None])
@pytest.mark.parametrize("held_out", [None, WRONG], ids=["loss", "validation_loss"])
def test_the_best_epoch_is_kept(held_out, batch_size, monkeypatch):
    KernelClock(monkeypatch, step=1e-3)
    given = {"batch_size": batch_size, "optimizer": SGD(0.7), "validation_data": held_out, "early_stopping": FOREVER}
    net, history = fit("net", epochs=FOREVER, time_limit=2.0, **given)
    assert history.stopped_by == "time_limit"
    record = history.loss if held_out is None else history.validation_loss
    assert history.best_epoch == record.argmin()
    np.testing.assert_array_equal(net.params, fit("net", epochs=history.epochs, **given)[0].params)


def test_nets_in_lanes_keep_their_best_epochs(monkeypatch, tmp_path):
    """Nets that have not begun are no part of the mean; the reasons are in the summary, and in files."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    KernelClock(monkeypatch, epoch_of_nets=1e-3)
    message = "The time of the fit was over: 0 of 40 nets .*; 8 have finished no epoch, .* mean=True.* leave them out"
    with pytest.warns(UserWarning, match=message):
        pop, result = fit(
            "nets in lanes", epochs=FOREVER, early_stopping=FOREVER, validation_data=WRONG, time_limit=0.5
        )
    begun = result.epochs > 0
    assert begun.sum() == 32, "16 lanes on each of two threads"
    assert (result.best_epoch < result.epochs - 1)[begun].any()
    np.testing.assert_allclose(pop.evaluate(*WRONG)["loss"][begun], result.best_value[begun], rtol=1e-4)
    np.testing.assert_allclose(pop.ensemble_predict(X), pop.predict(X)[begun].mean(axis=0), rtol=1e-5)
    assert (result.n_finished, result.arguments["time_limit"]) == (0, 0.5)
    assert "time_limit 40" in result.summary()
    pop.save(tmp_path / "pop.safetensors")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "pop.safetensors").result.stopped_by, result.stopped_by)


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
    history = fit("net", epochs=FOREVER, time_limit=0.777, callbacks=counting)[1]
    assert counting.epochs[-1] == history.epochs - 1
    assert history.epochs % 50, "the callback was not due"


def test_no_time_at_all():
    net, history = fit("net", time_limit=1e-12)
    assert history.stopped_by == "time_limit"
    assert history.epochs in (0, 1)
    assert np.isfinite(net.params).all()


@pytest.mark.parametrize("value", [0, -1.0, "60 s", float("nan"), True, [1]])
@pytest.mark.parametrize("kind", ["net", "nets in lanes"])
def test_bad_limits_raise(kind, value):
    with pytest.raises(ValueError, match="time_limit must be a number in"):
        fit(kind, time_limit=value)


@pytest.mark.parametrize("seconds, compiles", [(1.0, False), (3600.0, True), (None, True)])
def test_no_code_is_compiled_for_a_short_time(seconds, compiles, monkeypatch):
    """Compiling the unrolled code of tiny nets takes longer than such a fit."""
    chosen, choose = [], dispatch.choose_nets_variant

    def noted(*arguments):
        chosen.append(choose(*arguments).unrolled)
        raise ZeroDivisionError  # before anything is compiled

    monkeypatch.setattr(thresholds, "UNROLLED_NETS_UP_TO_PARAMS", 40)
    monkeypatch.setattr(unrolled_code, "_nets_work", {})
    monkeypatch.setattr(dispatch, "choose_nets_variant", noted)
    with pytest.raises(ZeroDivisionError):
        fit("nets in lanes", epochs=10**9, time_limit=seconds)
    assert chosen == [UNROLLED_ALWAYS if compiles else UNROLLED_IF_ON_DISK]


def test_real_threads_and_processes_end_in_time(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    with process_pool(1) as pool:
        for executor in (None, pool):
            fit("nets one by one", epochs=1, executor=executor)  # a new process first loads the kernels
            result = fit("nets one by one", epochs=20 * FOREVER, time_limit=1.0, executor=executor)[1]
            assert (result.stopped_by == "time_limit").all()
            assert result.epochs.any()
            assert not result.interrupted
