"""Populations that go on from a state: the same bits for every net, wherever each of them was."""

import signal

import numpy as np
import pytest
from cuda_cases import OPTIMIZERS
from interrupted_fits import with_sigint
from resumed_fits import assert_same_fit, killed, resumed, train

import fastmlp
from fastmlp import EarlyStopping
from fastmlp.fit.lanes import Lanes
from fastmlp.fit.state import FitState
from fastmlp.kernels.cpu import backend
from fastmlp.persistence.checkpoint_files import read

rng = np.random.default_rng(0)
X, X_held_out = rng.normal(size=(40, 5)), rng.normal(size=(30, 5))
y, y_held_out = (X[:, 0] > 0).astype(int), (X_held_out[:, 0] > 0).astype(int)
HELD_OUT = X_held_out, y_held_out


def make(n_nets=40, sizes=(5, 6, 1), **settings):
    return fastmlp.Population(sizes, n_nets, loss="binary_cross_entropy", device="cpu", random_state=3, **settings)


FITS = {
    "in lanes": {"batch_size": 16, "schedule": "cosine"},
    "scheduled decay": {"batch_size": 16, "optimizer": fastmlp.AdamW(0.01, weight_decay_schedule="flat_cosine")},
    "with a goal": {"optimizer": "rprop", "converged": 0.2},
    "stopped early": {"batch_size": 16, "validation_data": HELD_OUT, "early_stopping": 3, "optimizer": "rmsprop"},
    "stopped early by accuracy": {"batch_size": 16, "early_stopping": EarlyStopping(4, "accuracy")},
    "restarted": {"optimizer": "rprop", "converged": 0.25, "restart_after": 8},
    "own settings": {"batch_size": 16, "optimizer": fastmlp.SGD(np.linspace(0.1, 1.0, 40), momentum=0.9)},
}


@pytest.mark.thinned(4)
@pytest.mark.parametrize("n_writes", [1, 4])
@pytest.mark.parametrize("fit", FITS)
def test_nets_in_lanes_go_on_to_the_same_bits(tmp_path, monkeypatch, fit, n_writes):
    arguments = {"epochs": 40, **FITS[fit]}
    expected = train(make(), (X, y), **arguments)
    assert_same_fit(resumed(make, (X, y), tmp_path / "run.ckpt", n_writes, monkeypatch, **arguments), expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_to_the_same_bits(tmp_path, monkeypatch, optimizer):
    fit = {"epochs": 8, "batch_size": 16, "optimizer": OPTIMIZERS[optimizer]}
    expected = train(make(20), (X, y), **fit)
    assert_same_fit(resumed(lambda: make(20), (X, y), tmp_path / "run.ckpt", 2, monkeypatch, **fit), expected)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("sizes, settings", [((5, 2, 1), {}), ((5, 6, 1), {"dropout": 0.2, "l2": 0.01})])
@pytest.mark.slow
def test_unrolled_nets_and_nets_with_dropout_go_on_to_the_same_bits(tmp_path, monkeypatch, sizes, settings):
    fresh = lambda: make(70, sizes, **settings)
    expected = train(fresh(), (X, y), epochs=40)
    assert_same_fit(resumed(fresh, (X, y), tmp_path / "run.ckpt", 3, monkeypatch, epochs=40), expected)


@pytest.mark.thinned(2)
@pytest.mark.slow
@pytest.mark.parametrize("fit", ["in lanes", "stopped early", "restarted"])
def test_nets_one_by_one_go_on_to_the_same_bits(tmp_path, monkeypatch, fit):
    arguments, fresh = {"epochs": 24, **FITS[fit]}, lambda: make(5)
    expected = train(fresh(), (X, y), **arguments)
    assert_same_fit(resumed(fresh, (X, y), tmp_path / "run.ckpt", 4, monkeypatch, **arguments), expected)


def state_of(path):
    return FitState.from_file(read(path, "population").state)


@pytest.mark.parametrize("n_threads", ["1", "2"])
def test_nets_of_two_threads_go_on_in_the_lanes_of_others(tmp_path, monkeypatch, n_threads):
    """A state with finished nets, nets in two blocks of lanes, and nets that have not begun."""
    monkeypatch.setattr(fastmlp.fit.lanes, "lane_threads", lambda *_: 2)
    path, fit = tmp_path / "run.ckpt", {"epochs": 40, "optimizer": "rprop", "converged": 0.3, "every": 2}
    expected = train(make(90), (X, y), **{**fit, "every": "5 min"})
    killed(6, monkeypatch, make(90), (X, y), path, **fit)
    state = state_of(path)
    assert 16 < len(state.suspended.net_index) <= 32
    assert 0 < state.n_ended < 90 - len(state.suspended.net_index)
    assert len(set(state.suspended.epochs.tolist())) > 1
    monkeypatch.setattr(fastmlp.fit.lanes, "lane_threads", lambda *_: int(n_threads))
    assert_same_fit(train(make(90), (X, y), path, resume=True, **fit), expected)


def test_several_kills_in_a_row_change_no_bit(tmp_path, monkeypatch):
    path, fit = (
        tmp_path / "run.ckpt",
        {"epochs": 30, "batch_size": 16, "validation_data": HELD_OUT, "early_stopping": 5},
    )
    expected = train(make(), (X, y), **fit)
    for k in range(4):
        killed(2, monkeypatch, make(), (X, y), path, every=3, resume=k > 0, **fit)
    assert_same_fit(train(make(), (X, y), path, resume=True, **fit), expected)


@pytest.mark.parametrize("n_nets", [5, 40])
def test_an_interrupted_population_goes_on(tmp_path, monkeypatch, n_nets):
    """Ctrl-C writes a state, with nets one by one (5) and in lanes (40)."""
    path, fit = tmp_path / "run.ckpt", {"epochs": 30, "batch_size": 16, "early_stopping": 20}
    expected = train(make(n_nets), (X, y), **fit)
    name, calls = "train" if n_nets == 5 else "train_nets", [0]
    kernel = getattr(backend, name)

    def interrupted(*arguments):
        calls[0] += 1
        if calls[0] == 4:
            signal.raise_signal(signal.SIGINT)
        kernel(*arguments[:-1], *((1,) if n_nets == 40 else arguments[-1:]))

    with monkeypatch.context() as patches:
        patches.setattr(backend, name, interrupted)
        patches.setattr(fastmlp.fit.nets, "one_by_one_threads", lambda *_: 1)
        _, result = train(make(n_nets), (X, y), path, **fit)
    assert result.interrupted
    state = state_of(path)
    assert len(state.suspended.net_index) or state.nets
    assert_same_fit(train(make(n_nets), (X, y), path, resume=True, **fit), expected)


def test_a_finished_population_ends_at_once_with_the_same_result(tmp_path, monkeypatch):
    path, fit = tmp_path / "run.ckpt", {"epochs": 20, "batch_size": 16}
    expected = train(make(), (X, y), path, **fit)
    monkeypatch.setattr(Lanes, "run", None)  # would raise
    assert_same_fit(train(make(), (X, y), path, resume=True, **fit), expected)


def test_a_state_is_written_after_the_call_that_ends_an_attempt(tmp_path, monkeypatch):
    """Each attempt takes one kernel call; without a state after it, a kill would cost all of them."""
    path, fit = tmp_path / "run.ckpt", {"epochs": 40, "optimizer": "rprop", "converged": 1e-9, "restart_after": 8}
    expected = train(make(), (X, y), **fit)
    killed(2, monkeypatch, make(), (X, y), path, every="0.000001 s", **fit)
    state = state_of(path)
    assert (state.attempt, state.n_ended) == (1, 40)
    assert_same_fit(train(make(), (X, y), path, every="0.000001 s", resume=True, **fit), expected)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_nets_are_redrawn_leaves_a_state_of_the_next_attempt(tmp_path, monkeypatch):
    sizes, path = (5, 90, 70, 1), tmp_path / "run.ckpt"  # trained one by one
    fit = {"epochs": 9, "batch_size": 16, "converged": 1e-9, "restart_after": 3}
    expected = train(make(2, sizes), (X, y), **fit)
    pop = make(2, sizes)
    monkeypatch.setattr(pop, "_draw", with_sigint(pop._draw))
    _, result = train(pop, (X, y), path, **fit)
    assert result.interrupted
    assert state_of(path).attempt == 1
    assert_same_fit(train(make(2, sizes), (X, y), path, resume=True, **fit), expected)
