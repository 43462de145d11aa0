"""fastmlp.api.fit_arguments: arguments of fit that MLP and Population share."""

import numpy as np
import pytest

from fastmlp import MLP, Population
from fastmlp.api.fit_arguments import FitArguments
from fastmlp.api.fit_keywords import MLP_FIT_DEFAULTS
from fastmlp.callbacks import EarlyStopping
from fastmlp.kernels.structs import METRIC_ARGMAX, METRIC_NONE, Samples

EMPTY = np.empty(0)


def arguments(**others):
    return FitArguments.checked(MLP_FIT_DEFAULTS | {"epochs": 3, "verbose": 0} | others)


def samples(metric):
    return Samples(4, EMPTY, EMPTY, False, EMPTY, True, metric)


def test_arguments_are_converted():
    found = arguments(optimizer="rprop", early_stopping=7)
    assert (found.epochs, found.verbose, found.optimizer.rule.name) == (3, 0, "rprop")
    assert found.early_stopping == EarlyStopping(7)


@pytest.mark.parametrize(
    "name, value",
    [
        ("epochs", 0),
        ("optimizer", "adaam"),
        ("schedule", "up"),
        ("dropout_schedule", "up"),
        ("early_stopping", -1),
        ("verbose", 3),
    ],
)
def test_mistakes(name, value):
    with pytest.raises(ValueError, match=r"must be|Unknown"):
        arguments(**{name: value})


@pytest.mark.parametrize("batch_size, rows", [("auto", 100), (None, 100), (32, 32), (1000, 100)])
def test_rows_of_a_batch(batch_size, rows):
    assert arguments(batch_size=batch_size).batch_rows(100, 2) == rows


def test_rows_of_a_batch_are_checked():
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        arguments(batch_size=0).batch_rows(100, 2)
    with pytest.raises(ValueError, match="epochs must be a whole number of at most"):
        arguments(epochs=2**62).batch_rows(100, 2)


def test_schedules_of_dropout_need_dropout():
    network = MLP((2, 3, 1)).network
    arguments(dropout_schedule="constant").for_dropout(network)
    with pytest.raises(ValueError, match=r"dropout_schedule is for nets with dropout, but this net has none. Make it"):
        arguments(dropout_schedule="cosine").for_dropout(network)
    arguments(dropout_schedule="cosine").for_dropout(MLP((2, 3, 1), dropout=0.1).network)


def test_a_schedule_must_leave_dropout_rates_below_one():
    net, nets = MLP((2, 8, 1), dropout=0.6, random_state=0), Population((2, 3, 1), 3, dropout=[0.1, 0.6, 0.2])
    grows = lambda steps, n_steps: 1.0 + steps / n_steps
    for model in (net, nets):
        with pytest.raises(ValueError, match=r"multiplies the dropout rate 0\.6 by 1\.\d+, but a rate must be below 1"):
            model.fit(np.eye(2), [0, 1], epochs=10, dropout_schedule=grows, verbose=0)
    assert net.fit(np.eye(2), [0, 1], epochs=2, dropout_schedule=grows, verbose=0).epochs == 2


def test_the_monitored_record_must_exist():
    wanted = arguments(early_stopping=EarlyStopping(monitor="validation_accuracy"))
    wanted.check_monitor(samples(METRIC_ARGMAX), samples(METRIC_ARGMAX))
    for data, held_out in ((samples(METRIC_ARGMAX), None), (samples(METRIC_NONE), samples(METRIC_NONE))):
        with pytest.raises(ValueError, match="There is no validation_accuracy to monitor"):
            wanted.check_monitor(data, held_out)
