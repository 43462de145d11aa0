"""Scores of epochs by their records (best epoch, end of the fit), and records written to the history."""

import numpy as np
import pytest

from fastmlp import History
from fastmlp.callbacks import Best, EarlyStopping
from fastmlp.convergence import Converged
from fastmlp.kernels.structs import METRIC_NONE, TrainState
from fastmlp.training.epoch_records import StopDecision, score_epochs, write_records

LOSSES = [5.0, 3.0, 4.0, 2.0, 6.0, 7.0, 8.0]


@pytest.fixture
def history():
    made = History()
    made.loss = np.array(LOSSES)
    return made


def best(patience):
    return Best(EarlyStopping(patience), "loss")


def test_score_epochs_finds_the_best_epoch_and_the_end(history):
    rule = best(3)
    assert score_epochs(rule, None, history, 0, 3) == StopDecision(1, "", 3)
    assert score_epochs(rule, None, history, 3, 5) == StopDecision(3, "", 5)
    assert score_epochs(rule, None, history, 5, 7) == StopDecision(None, "early_stopping", 7)
    assert score_epochs(best(2), None, history, 0, 7) == StopDecision(3, "early_stopping", 6), (
        "the end may lie within the epochs that are scored"
    )


def test_convergence_ends_a_fit_before_early_stopping(history):
    assert score_epochs(None, Converged(loss=3.5), history, 0, 7) == StopDecision(1, "converged", 2)
    assert score_epochs(best(9), Converged(loss=2.0), history, 0, 7) == StopDecision(3, "converged", 4)
    assert score_epochs(best(1), Converged(loss=2.0), history, 0, 7) == StopDecision(1, "early_stopping", 3)
    assert score_epochs(None, Converged(loss=0.1), history, 0, 7) == StopDecision(None, "", 7)


def test_written_records_have_equal_length():
    history, zeros = History(), np.zeros(1)
    state = TrainState(zeros, zeros, zeros, np.arange(9.0), np.arange(9.0), zeros)
    validated = np.arange(18.0).reshape(9, 2)
    write_records(history, 4, state, METRIC_NONE, validated, None, None, {})
    assert (history.epochs, history.accuracy, history.validation_loss, history.best_epoch) == (4, None, None, None)
    write_records(history, 3, state, METRIC_NONE + 1, validated, METRIC_NONE + 1, 2, {"metrics": {"r2": np.ones(3)}})
    assert history.epochs == len(history.accuracy) == len(history.validation_loss) == 3
    assert history.validation_accuracy.tolist() == [1, 3, 5]
    assert history.best_epoch == 2
    assert history.metrics["r2"].tolist() == [1, 1, 1]
