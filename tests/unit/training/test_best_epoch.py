"""fastmlp.training.best_epoch: which parameters a fit ends with."""

from types import SimpleNamespace

import numpy as np
import pytest

from fastmlp.callbacks import EarlyStopping
from fastmlp.convergence import Converged
from fastmlp.training.best_epoch import BestEpoch, Checkpoint


def history_of(*losses):
    return SimpleNamespace(loss=np.array(losses), accuracy=None, record=lambda name: np.array(losses))


def memory_of(value):
    return SimpleNamespace(params=np.full(2, value), state=np.full((1, 2), value), scalars=np.full(3, value))


def search_of(n_batches=2, patience=2, converged=None):
    rule = None if patience is None else EarlyStopping(patience)
    return BestEpoch(SimpleNamespace(early_stopping=rule, converged=converged), False, n_batches)


def test_nothing_ends_a_fit_without_a_rule():
    search = search_of(patience=None)
    assert not search.may_stop_early
    assert search.score(history_of(3.0, 1.0), memory_of(2.0), np.ones(2), 0, 2, True) == ("", 2)
    assert (search.epoch, search.scored.final) == (None, None)


def test_present_parameters_are_copied():
    search, memory = search_of(), memory_of(7.0)
    assert search.score(history_of(3.0, 2.0), memory, np.ones(2), 1, 2, True) == ("", 2)
    memory.params[:] = 9.0
    search.restore(memory, pytest.fail)
    np.testing.assert_array_equal(memory.params, 7.0)
    assert search.epoch == 1


def test_an_epoch_within_a_call_is_replayed_from_the_checkpoint():
    search, memory, replayed = search_of(), memory_of(7.0), []
    search.checkpoint = Checkpoint.of(memory_of(4.0), 0)
    assert search.score(history_of(3.0, 1.0, 2.0, 2.5), memory, np.ones(2), 0, 4, True) == ("early_stopping", 4)
    search.restore(memory, lambda *steps: replayed.append(steps))
    np.testing.assert_array_equal(memory.params, 4.0)
    assert replayed == [(0, 4)], "two epochs of two batches"


def test_a_full_batch_s_loss_is_that_of_the_parameters_before_its_step():
    search, memory = search_of(n_batches=1, patience=None, converged=Converged(loss=1.5)), memory_of(7.0)
    assert search.score(history_of(1.0), memory, np.ones(2), 0, 1, True) == ("converged", 1)
    search.restore(memory, pytest.fail)
    np.testing.assert_array_equal(memory.params, 1.0)


def test_a_forgotten_epoch_is_not_said():
    search = search_of()
    search.score(history_of(3.0), memory_of(7.0), np.ones(2), 0, 1, True)
    search.forget()
    assert search.epoch is None
