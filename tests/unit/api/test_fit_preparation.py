"""fastmlp.api.fit_preparation: samples, held-out samples and options of MLP.fit."""

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.api.fit_arguments import FitArguments
from fastmlp.api.fit_keywords import MLP_FIT_DEFAULTS
from fastmlp.api.fit_preparation import fit_data, fit_options
from fastmlp.diagnosis.monitor import Monitor
from fastmlp.training.epoch_metrics import FitMetrics

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20) % 4 == 0


@pytest.fixture
def net():
    return MLP((2, 3, 1), loss="binary_cross_entropy", random_state=0, device="cpu")


def arguments(batch_size=None):
    return FitArguments.checked(MLP_FIT_DEFAULTS | {"epochs": 3, "batch_size": batch_size, "verbose": 0})


def prepared(net, batch_size=None, **given):
    return fit_data(net, arguments(batch_size), X, Y, MLP_FIT_DEFAULTS | given)


@pytest.mark.parametrize("batch_size, shuffle, shuffles", [(None, True, False), (8, True, True), (8, False, False)])
def test_one_batch_is_not_shuffled(net, batch_size, shuffle, shuffles):
    data = prepared(net, batch_size, shuffle=shuffle)
    assert (data.batch_size, data.shuffle, data.seed != 0) == (batch_size or 20, shuffles, shuffles)
    assert data.parts == {"training": data.training, "validation": None}


def test_a_fraction_is_held_out(net):
    data = prepared(net, 16, validation_fraction=0.25)
    assert (data.training.n_samples, data.held_out.n_samples) == (15, 5)
    assert (data.batch_size, data.shuffle) == (15, False)


def test_class_weights_are_of_training_samples(net):
    data = prepared(net, class_weight={True: 3.0}, validation_fraction=0.25)
    weights, targets = data.training.weight, data.training.Y
    assert weights[targets == 1].min() == pytest.approx(3.0 * weights[targets == 0].max())
    assert not data.held_out.has_weights


def test_held_out_samples_are_given_once(net):
    with pytest.raises(ValueError, match="validation_data or validation_fraction, not both"):
        prepared(net, validation_data=(X, Y), validation_fraction=0.25)


def test_options(net):
    data = prepared(net, 8)
    options = fit_options(net, arguments(8), data, (), ("log_loss",), None, True)
    assert (options.epochs, options.batch_size, options.shuffle, options.seed) == (3, 8, True, data.seed)
    assert isinstance(options.metrics, FitMetrics)
    assert isinstance(options.monitor, Monitor)
