"""Sentences on a training."""

import numpy as np
import pytest

from fastmlp import MLP, EarlyStopping, Population
from fastmlp.table_training.training_summary import final_figures, summary


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 2))
    return X, X[:, 0] - X[:, 1]


@pytest.mark.parametrize("has_held_out", [True, False])
def test_the_summary_has_epochs_time_and_loss(data, has_held_out):
    further = {"validation_data": data, "early_stopping": EarlyStopping(5)} if has_held_out else {}
    history = MLP((2, 4, 1), random_state=0).fit(*data, epochs=3, verbose=0, **further)
    said = summary(history)
    assert said.startswith("Trained 3 epochs in ")
    assert said.endswith(f" loss {(history.validation_loss if has_held_out else history.loss)[2]:.4g} in epoch 3.")
    assert ("the best parameters on the validation part are kept: validation loss" in said) == has_held_out


def test_of_several_nets_it_has_the_mean_loss(data):
    result = Population((2, 4, 1), 3, random_state=0).fit(*data, epochs=3, verbose=0)
    assert summary(result).startswith("Trained 3 nets in ")
    assert summary(result).endswith(f", 3 epochs: mean training loss {np.mean(result.loss):.4g} of 3 nets.")


@pytest.mark.parametrize("n_nets", [1, 2])
def test_figures_of_weighted_rows_say_so(data, n_nets):
    """Others would be compared with those of the table of metrics, which has both."""
    net = MLP((2, 4, 1), random_state=0) if n_nets == 1 else Population((2, 4, 1), n_nets, random_state=0)
    record = net.fit(*data, epochs=3, verbose=0, sample_weight=np.arange(60.0))
    assert "weighted training loss" in final_figures(record)


def test_a_fit_without_an_epoch_has_no_figures(data):
    history = MLP((2, 4, 1), random_state=0).fit(*data, epochs=3, verbose=0, time_limit=1e-12)
    assert final_figures(history) == ""
    assert summary(history).endswith(" s.")
