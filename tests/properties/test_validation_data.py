"""Validation data: evaluated in the same way as training data, and named in the error if invalid."""

import numpy as np
import pytest

from fastmlp import MLP, EarlyStopping, Population


@pytest.mark.parametrize("n_nets", (None, 3, 20))
def test_monitoring_accuracy_of_numeric_validation_targets_raises(n_nets, rng):
    settings = {"output_activation": "sigmoid", "random_state": 0}
    net = MLP((3, 4, 1), **settings) if n_nets is None else Population((3, 4, 1), n_nets, **settings)
    x = rng.normal(size=(30, 3))
    y = (x[:, 0] > 0) * 1.0
    stopping = EarlyStopping(2, "validation_accuracy")
    with pytest.raises(ValueError, match="no validation_accuracy to monitor: the validation targets are numbers"):
        net.fit(x, y, epochs=2, validation_data=(x, y / 2), early_stopping=stopping, verbose=0)


def test_validation_accuracy_is_multilabel_as_in_training(rng):
    """Multilabel validation data with one label per sample: accuracy is still a fraction of labels, as in training."""
    x = rng.normal(size=(60, 3))
    y = (x[:, :2] > 0) * 1
    one = y.sum(axis=1) == 1
    net = MLP((3, 8, 2), loss="binary_cross_entropy", random_state=0)
    history = net.fit(x, y, epochs=3, validation_data=(x[one], y[one]), verbose=0)
    expected = ((net.predict(x[one]) > 0.5) == y[one]).mean()
    assert history.validation_accuracy[-1] == pytest.approx(expected)


@pytest.mark.parametrize("given", ((np.zeros((3, 2)), np.zeros(2)), (np.full((3, 2), np.nan), np.zeros(3))))
def test_errors_in_validation_data_name_the_argument(given):
    with pytest.raises(ValueError, match=r"^validation_data: "):
        MLP((2, 1)).fit(np.zeros((4, 2)), np.zeros(4), epochs=2, validation_data=given, verbose=0)
