"""Fits that go on from a state: the same bits as without the interruption, on every kernel family."""

import signal

import numpy as np
import pytest
from cuda_cases import OPTIMIZERS
from kernel_families import FAMILIES, use
from resumed_fits import assert_same_fit, killed, resumed, train

import fastmlp
from fastmlp import EarlyStopping, OptimizerState
from fastmlp.execution import thresholds
from fastmlp.execution.buffer_cache import buffers
from fastmlp.fit.hooks import early_stopping
from fastmlp.fit.one_net import OneNet

rng = np.random.default_rng(0)
X, X_held_out = rng.normal(size=(70, 5)), rng.normal(size=(30, 5))
y, y_held_out = (X[:, 0] > 0).astype(int), (X_held_out[:, 0] > 0).astype(int)
WEIGHTS, HELD_OUT = rng.uniform(0.5, 1.5, 70), (X_held_out, y_held_out)


def make(sizes=(5, 6, 1), **settings):
    return fastmlp.MLP(sizes, loss="binary_cross_entropy", device="cpu", random_state=3, **settings)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_to_the_same_bits(tmp_path, monkeypatch, optimizer):
    fit = {"epochs": 12, "batch_size": 16, "optimizer": OPTIMIZERS[optimizer], "sample_weight": WEIGHTS}
    expected = train(make(), (X, y), **fit)
    assert_same_fit(resumed(make, (X, y), tmp_path / "run.ckpt", 3, monkeypatch, **fit), expected)


FITS = {
    "full batch": {},
    "shuffled batches": {"batch_size": 16, "schedule": "cosine"},
    "in order": {"batch_size": 16, "shuffle": False, "schedule": "one_cycle"},
    "scheduled decay": {"batch_size": 16, "optimizer": fastmlp.AdamW(weight_decay_schedule="flat_cosine")},
    "early stopping by held-out loss": {"batch_size": 16, "validation_data": HELD_OUT, "early_stopping": 3},
    "early stopping by loss": {"early_stopping": EarlyStopping(2, "loss", 0.02), "optimizer": "rprop"},
    "early stopping by accuracy of batches": {"batch_size": 16, "early_stopping": EarlyStopping(4, "accuracy")},
    "split": {"batch_size": 16, "validation_fraction": 0.3, "metrics": ["r2", "roc_auc"]},
}


@pytest.mark.thinned(2)
@pytest.mark.parametrize("n_writes", [1, 4])
@pytest.mark.parametrize("fit", FITS)
def test_every_kind_of_fit_goes_on_to_the_same_bits(tmp_path, monkeypatch, fit, n_writes):
    arguments = {"epochs": 30, **FITS[fit]}
    expected = train(make(), (X, y), **arguments)
    assert_same_fit(resumed(make, (X, y), tmp_path / "run.ckpt", n_writes, monkeypatch, **arguments), expected)


@pytest.mark.parametrize("family", [*FAMILIES, "layerwise_batch1"])
def test_every_family_goes_on_to_the_same_bits(tmp_path, monkeypatch, family):
    use(family.replace("_batch1", ""), monkeypatch)
    rows = 1 if family == "layerwise_batch1" else 4 if family == "batch_simd_4" else 32
    dropped = {"dropout": 0.2} if family.startswith("layerwise") else {}
    fit = {"epochs": 8, "batch_size": rows, "validation_data": HELD_OUT, "early_stopping": 5, "sample_weight": WEIGHTS}
    fresh = lambda: make((5, 6, 4, 1), **dropped)
    expected = train(fresh(), (X, y), **fit)
    assert_same_fit(resumed(fresh, (X, y), tmp_path / "run.ckpt", 2, monkeypatch, **fit), expected)


@pytest.mark.full
def test_unrolled_code_and_loops_go_on_with_each_others_states(tmp_path, monkeypatch):
    fit = {"epochs": 20, "batch_size": 4, "optimizer": "adam"}
    expected = train(make((5, 3, 1)), (X, y), **fit)
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 0)
    found = resumed(lambda: make((5, 3, 1)), (X, y), tmp_path / "run.ckpt", 3, monkeypatch, **fit)
    assert_same_fit(found, expected)
    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 10**12)
    half = tmp_path / "half.ckpt"
    train(make((5, 3, 1)), (X, y), half, callbacks=lambda epoch, history: epoch == 9, **fit)
    assert_same_fit(train(make((5, 3, 1)), (X, y), half, resume=True, **fit), expected)


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
@pytest.mark.parametrize("family", ["layerwise", "layerwise_data_parallel", "batch_simd_data_parallel"])
def test_another_number_of_threads_goes_on_to_the_same_bits(tmp_path, monkeypatch, family, before, after):
    use(family, monkeypatch)
    fit = {"epochs": 8, "batch_size": 32}
    expected = train(make(), (X, y), **fit)
    for n_threads, part in ((before, {"callbacks": lambda epoch, history: epoch == 3}), (after, {"resume": True})):
        monkeypatch.setattr(fastmlp.execution.dispatch, "choose_threads", lambda *_, n=n_threads: n)
        found = train(make(), (X, y), tmp_path / "run.ckpt", **part, **fit)
    assert_same_fit(found, expected)


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
def test_an_epoch_is_replayed_on_another_number_of_threads(tmp_path, monkeypatch, before, after):
    """The best epoch, the first, lies within a kernel call; the file has the state before it, with a row per thread."""
    use("layerwise", monkeypatch)
    monkeypatch.setattr(fastmlp.fit.one_net, "FIRST_CALL", 1e12)
    monkeypatch.setattr(early_stopping, "CHECK_COST", 1e12)
    threads = lambda n: monkeypatch.setattr(fastmlp.execution.dispatch, "choose_threads", lambda *_: n)
    path, fit = (
        tmp_path / "run.ckpt",
        {"epochs": 60, "batch_size": 32, "early_stopping": EarlyStopping(8, "loss", 10.0)},
    )
    buffers.forget()
    expected = train(make(), (X, y), **fit)
    threads(before)
    buffers.forget()
    killed(1, monkeypatch, make(), (X, y), path, every=7, **fit)
    assert len(fastmlp.persistence.checkpoint_files.read(path, "net").state.arrays["net.0.stretch.scalars"]) == before
    threads(after)
    buffers.forget()
    assert_same_fit(train(make(), (X, y), path, resume=True, **fit), expected)
    buffers.forget()


@pytest.mark.parametrize("stopping", [{}, {"early_stopping": 5}, {"validation_data": HELD_OUT, "early_stopping": 5}])
def test_a_fit_interrupted_within_an_epoch_goes_on_there(tmp_path, monkeypatch, stopping):
    fit = {"epochs": 6, "batch_size": 8, **stopping}
    expected = train(make(), (X, y), **fit)
    calls, path = [0], tmp_path / "run.ckpt"
    plan_train = fastmlp.execution.plan.Plan.train

    def few_steps(self, team, n_threads, data, config, state, first, n, compiles):
        calls[0] += 1
        plan_train(self, team, n_threads, data, config, state, first, min(n, 5), compiles)
        if calls[0] == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patches:
        patches.setattr(fastmlp.execution.plan.Plan, "train", few_steps)
        _, history = train(make(), (X, y), path, **fit)
    assert history.stopped_by == "interrupt"
    assert (
        fastmlp.persistence.checkpoint_files.read(path, "net").state.arrays["net.0.scalars"][5] % 9
    )  # steps done: within an epoch
    assert_same_fit(train(make(), (X, y), path, resume=True, **fit), expected)


@pytest.mark.parametrize("fit", ["full batch", "shuffled batches", "early stopping by held-out loss"])
def test_more_epochs_extend_a_finished_fit(tmp_path, monkeypatch, fit):
    arguments = {name: value for name, value in FITS[fit].items() if name != "schedule"}
    path = tmp_path / "run.ckpt"
    train(make(), (X, y), path, epochs=4, **arguments)
    expected = train(make(), (X, y), epochs=10, **arguments)
    assert_same_fit(train(make(), (X, y), path, resume=True, epochs=10, **arguments), expected)


def test_a_finished_fit_ends_at_once_with_the_same_result(tmp_path, monkeypatch):
    path, fit = tmp_path / "run.ckpt", {"epochs": 500, "early_stopping": EarlyStopping(2, "loss"), "optimizer": "rprop"}
    expected = train(make(), (X, y), path, **fit)
    assert expected[1].stopped_by == "early_stopping"
    before = path.read_bytes()
    monkeypatch.setattr(OneNet, "run", None)  # would raise
    assert_same_fit(train(make(), (X, y), path, resume=True, **fit), expected)
    assert path.read_bytes() == before


def test_optimizer_state_of_the_user_goes_on(tmp_path):
    path, states = tmp_path / "run.ckpt", [OptimizerState(), OptimizerState()]
    train(make(), (X, y), path, epochs=4, optimizer_state=OptimizerState())
    train(make(), (X, y), path, epochs=8, resume=True, optimizer_state=states[0])
    train(make(), (X, y), epochs=8, optimizer_state=states[1])
    np.testing.assert_array_equal(states[0].array, states[1].array)
    np.testing.assert_array_equal(states[0].scalars, states[1].scalars)


def test_a_diverged_fit_leaves_the_last_finite_state(tmp_path):
    """Three steps are good ones, and the next one overflows."""
    path, fit = tmp_path / "run.ckpt", {"optimizer": fastmlp.SGD(0.1), "batch_size": None}
    with pytest.warns(fastmlp.DivergenceWarning):
        _, history = train(
            make(), (X, y), path, every=1, epochs=50, schedule=lambda step, n: np.where(step < 3, 1.0, 1e60), **fit
        )
    assert history.stopped_by == "divergence"
    found = fastmlp.persistence.checkpoint_files.read(path, "net")
    net, _ = train(make(), (X, y), epochs=3, **fit)
    assert len(found.state.arrays["net.0.loss"]) == 3
    np.testing.assert_array_equal(found.state.arrays["net.0.params"][: net.params.size], net.params)


def test_checkpoints_change_no_bit(tmp_path):
    fit = {"epochs": 10, "batch_size": 16, "early_stopping": 5}
    assert_same_fit(train(make(), (X, y), tmp_path / "a", every=1, **fit), train(make(), (X, y), **fit))
