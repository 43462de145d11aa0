"""Populations with a time limit: which nets it cuts short, what they keep, and how a fit goes on afterwards."""

import numpy as np
import pytest
from executor_cases import InPlace, process_pool
from kernel_clock import KernelClock
from resumed_fits import assert_same_fit, train

import fastmlp
from fastmlp.execution import unrolled_code
from fastmlp.fit import lanes, nets_per_task
from fastmlp.kernels.structs import UNROLLED_ALWAYS, UNROLLED_IF_ON_DISK

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 5))
y = (X[:, 0] > 0).astype(int)
FOREVER = 100_000
pytestmark = pytest.mark.filterwarnings("ignore:The time of the fit was over")


def make(n_nets=40, **settings):
    return fastmlp.Population((5, 6, 1), n_nets, loss="binary_cross_entropy", device="cpu", random_state=3, **settings)


def test_nets_in_lanes_keep_the_limit(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    clock = KernelClock(monkeypatch, epoch_of_nets=1e-3)
    pop = make()
    before = pop.params.copy()
    message = "The time of the fit was over: 0 of 40 nets .*; 8 have finished no epoch, .* mean=True.* leave them out"
    with pytest.warns(UserWarning, match=message):
        result = pop.fit(X, y, epochs=FOREVER, batch_size=16, time_limit=1.0, verbose=0)
    assert 0.95 <= clock.trained <= 1.05
    assert (result.stopped_by == "time_limit").all()
    assert not result.interrupted
    begun = result.epochs > 0
    assert begun.sum() == 32, "16 lanes on each of two threads"
    np.testing.assert_allclose(pop.ensemble_predict(X), pop.predict(X)[begun].mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(pop.params[~begun], before[~begun])
    assert np.isfinite(pop.params).all()
    assert result.n_finished == 0
    assert result.arguments["time_limit"] == 1.0
    assert "time_limit 40" in result.summary()


@pytest.mark.parametrize("n_nets", (40, 5), ids=("in lanes", "one by one"))
@pytest.mark.parametrize("compiling", (0.6, 100.0))
def test_compiling_counts_but_some_nets_train_an_epoch(n_nets, compiling, monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    clock = KernelClock(monkeypatch, step=1e-3, epoch_of_nets=1e-3, compiling=compiling)
    result = make(n_nets).fit(X, y, epochs=FOREVER, batch_size=16, time_limit=1.0, verbose=0)
    assert (result.stopped_by == "time_limit").all()
    assert result.epochs.any()
    if compiling < 1.0:
        assert 0.95 <= clock.now <= 1.05
    else:
        assert clock.trained <= 0.05


def test_finished_nets_are_no_ones_cut_short(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    KernelClock(monkeypatch, epoch_of_nets=1e-2)
    result = make().fit(X, y, epochs=60, time_limit=1.0, converged=1e-9, verbose=0)
    assert (result.epochs[result.stopped_by == "epochs"] == 60).all()
    assert 0 < result.n_finished < 40
    assert result.n_finished == (result.stopped_by == "epochs").sum()
    assert result.success_rate == 0.0


def test_early_stopping_keeps_each_nets_best_epoch(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "3")  # all nets have begun
    KernelClock(monkeypatch, epoch_of_nets=1e-3)
    pop = make(40, init_scale=3.0)
    held_out = X[:20], 1 - y[:20]
    result = pop.fit(
        X[20:], y[20:], epochs=FOREVER, early_stopping=FOREVER, validation_data=held_out, time_limit=0.5, verbose=0
    )
    assert (result.stopped_by == "time_limit").all()
    assert (result.best_epoch < result.epochs - 1).any()
    np.testing.assert_allclose(pop.evaluate(*held_out)["loss"], result.best_value, rtol=1e-4)


@pytest.mark.parametrize("executor", (None, InPlace), ids=("here", "on workers"))
def test_nets_one_by_one_keep_the_limit(executor, monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    monkeypatch.setattr(nets_per_task, "FIRST_SECONDS", 1e-9)  # a net each
    clock = KernelClock(monkeypatch, step=1e-3)
    on_workers = {"executor": executor and executor()}
    result = make(5).fit(X, y, epochs=200, batch_size=16, time_limit=1.0, verbose=0, **on_workers)
    assert 0.95 <= clock.trained <= 1.05
    assert result.stopped_by.tolist() == ["epochs", "time_limit", "time_limit", "time_limit", "time_limit"]
    assert (result.epochs[2:] == 0).all()


def test_two_threads_one_by_one_end_together(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    result = make(4).fit(X, y, epochs=20 * FOREVER, batch_size=16, time_limit=0.05, verbose=0)
    assert (result.stopped_by == "time_limit").all()


@pytest.mark.parametrize("executor", (None, InPlace), ids=("here", "on workers"))
@pytest.mark.parametrize("n_nets", (40, 5), ids=("in lanes", "one by one"))
@pytest.mark.parametrize(
    "more",
    ({}, {"early_stopping": 30, "batch_size": 16}, {"converged": 0.25, "restart_after": 8, "optimizer": "rprop"}),
    ids=("plain", "early stopping", "restarts"),
)
def test_the_same_call_goes_on_from_the_checkpoint(n_nets, more, executor, monkeypatch, tmp_path):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    arguments = {"epochs": 24, **more}
    whole = train(make(n_nets), (X, y), **arguments)
    KernelClock(monkeypatch, step=0.02, epoch_of_nets=0.02)
    n_calls, found = 0, None
    while found is None or "time_limit" in found[1].stopped_by:
        given = {"resume": True, "time_limit": 0.5, "executor": executor and executor(), **arguments}
        found = train(make(n_nets), (X, y), tmp_path / "run.ckpt", **given)
        n_calls += 1
        assert n_calls < 30
    assert n_calls > 1
    assert_same_fit(found, whole)


def test_results_with_a_limit_are_saved(monkeypatch, tmp_path):
    KernelClock(monkeypatch, epoch_of_nets=1e-3)
    pop = make()
    pop.fit(X, y, epochs=FOREVER, time_limit=0.5, verbose=0)
    pop.save(tmp_path / "pop.safetensors")
    loaded = fastmlp.load(tmp_path / "pop.safetensors").result
    np.testing.assert_array_equal(loaded.stopped_by, pop.result.stopped_by)


@pytest.mark.parametrize("seconds, compiles", [(1.0, False), (3600.0, True), (None, True)])
def test_no_code_is_compiled_for_a_short_time(seconds, compiles, monkeypatch):
    """Compiling the unrolled code of tiny nets takes longer than such a fit."""
    chosen, choose = [], lanes.choose_nets_variant

    def noted(*arguments):
        chosen.append(choose(*arguments).unrolled)
        raise ZeroDivisionError  # before anything is compiled

    monkeypatch.setattr(unrolled_code, "_nets_work", {})
    monkeypatch.setattr(lanes, "choose_nets_variant", noted)
    pop = fastmlp.Population((5, 4, 1), 40, loss="binary_cross_entropy", device="cpu", random_state=3)
    with pytest.raises(ZeroDivisionError):
        pop.fit(X, y, epochs=10**9, batch_size=16, time_limit=seconds, verbose=0)
    assert chosen == [UNROLLED_ALWAYS if compiles else UNROLLED_IF_ON_DISK]


def test_tasks_of_processes_end_in_time():
    with process_pool(1) as pool:
        result = make(5).fit(X, y, epochs=20 * FOREVER, batch_size=16, time_limit=0.5, verbose=0, executor=pool)
    assert (result.stopped_by == "time_limit").all()
    assert result.epochs.any()
    assert not result.interrupted
