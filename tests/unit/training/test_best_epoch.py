"""`BestEpoch`: the search for the best epoch, whose parameters a fit ends with."""

from types import SimpleNamespace

import numpy as np
import pytest

from fastmlp.callbacks import EarlyStopping
from fastmlp.convergence import Converged
from fastmlp.training.best_epoch import BestEpoch, Checkpoint


def history_of(*losses):
    return SimpleNamespace(loss=np.array(losses), accuracy=None, record=lambda name: np.array(losses))


def state_of(value):
    return SimpleNamespace(params=np.full(2, value), state=np.full((1, 2), value), scalars=np.full(3, value))


def search_of(n_batches=2, patience=2, converged=None):
    rule = None if patience is None else EarlyStopping(patience)
    return BestEpoch(SimpleNamespace(early_stopping=rule, converged=converged), False, n_batches)


def test_fit_without_a_rule_is_never_stopped():
    search = search_of(patience=None)
    assert not search.may_stop_early
    assert search.score(history_of(3.0, 1.0), state_of(2.0), np.ones(2), 0, 2, True) == ("", 2)
    assert (search.epoch, search.scored.final) == (None, None)


def test_best_epoch_at_the_end_of_a_call_copies_its_parameters():
    search, state = search_of(), state_of(7.0)
    assert search.score(history_of(3.0, 2.0), state, np.ones(2), 1, 2, True) == ("", 2)
    state.params[:] = 9.0
    search.restore(state, pytest.fail)
    np.testing.assert_array_equal(state.params, 7.0)
    assert search.epoch == 1


def test_best_epoch_within_a_call_is_replayed_from_the_checkpoint():
    search, state, replayed = search_of(), state_of(7.0), []
    search.checkpoint = Checkpoint.copy_of(state_of(4.0), 0)
    assert search.score(history_of(3.0, 1.0, 2.0, 2.5), state, np.ones(2), 0, 4, True) == ("early_stopping", 4)
    search.restore(state, lambda *steps: replayed.append(steps))
    np.testing.assert_array_equal(state.params, 4.0)
    assert replayed == [(0, 4)], "two epochs of two batches"


def test_full_batch_loss_belongs_to_the_parameters_before_the_step():
    search, state = search_of(n_batches=1, patience=None, converged=Converged(loss=1.5)), state_of(7.0)
    assert search.score(history_of(1.0), state, np.ones(2), 0, 1, True) == ("converged", 1)
    search.restore(state, pytest.fail)
    np.testing.assert_array_equal(state.params, 1.0)


def test_forget_clears_the_best_epoch():
    search = search_of()
    search.score(history_of(3.0), state_of(7.0), np.ones(2), 0, 1, True)
    search.forget()
    assert search.epoch is None
