"""Tabular estimators: columns with names that Python or scikit-learn treat specially, targets of extreme scale."""

import numpy as np
import pandas as pd
import pytest

from fastmlp import TabularMLPClassifier, TabularMLPRegressor

QUICK = {"hidden_layer_sizes": (4,), "n_nets": 1, "max_iter": 2, "random_state": 0, "n_folds": 1}


@pytest.mark.filterwarnings("ignore:Column 'self' holds no numbers")
def test_a_column_may_be_named_self(rng):
    """As a keyword of a method, it would be there twice."""
    y = rng.choice(["no", "yes"], 200)
    numbers = rng.normal(size=200).astype(object)
    mixed = pd.DataFrame({"self": np.where(np.arange(200) == 3, "unknown", numbers), "other": rng.normal(size=200)})
    categories = pd.DataFrame({"self": [1, 2, 3, 4] * 50, "other": mixed.other})
    assert TabularMLPClassifier(**QUICK).fit(mixed, y).predict(mixed).shape == (200,)
    model = TabularMLPClassifier(**QUICK, categorical_features=["self"]).fit(categories, y)
    assert model.encoded_feature_names()[:2] == ["self = 1", "self = 2"]
    assert categories["self"].dtype == np.int64
    pieces = [(mixed[:100], y[:100]), (mixed[100:], y[100:])]
    assert TabularMLPClassifier(**QUICK).fit(pieces).predict(mixed).shape == (200,)


@pytest.mark.parametrize("scale", (1e-320, 1e-170, 1e153, 1e300))
@pytest.mark.parametrize("shape", ((200,), (200, 2)))
def test_targets_of_extreme_scale_are_refused(scale, shape, rng):
    """Their squares are 0 or infinite in float64, so that they have no standard deviation."""
    X, y = rng.normal(size=(200, 2)), scale * rng.uniform(1, 2, size=shape)
    message = r"y should hold numbers up to 1e\+150 in size, with a standard deviation of 1e-150 or more, but .*units"
    refusal = pytest.raises(ValueError, match=rf"^(In rows 0 to 100 of .*: )?{message}")
    with refusal:
        TabularMLPRegressor(**QUICK).fit(X, y)
    with refusal:
        TabularMLPRegressor(**QUICK, validation_fraction=0.0).fit([(X[:100], y[:100]), (X[100:], y[100:])])


@pytest.mark.parametrize("scale", (1e-145, 1e149))
def test_targets_of_less_extreme_scale_are_learned(scale, rng):
    X = rng.normal(size=(200, 2))
    model = TabularMLPRegressor(**{**QUICK, "max_iter": 60, "learning_rate_init": 0.02})
    assert model.fit(X, scale * X[:, 0]).score(X, scale * X[:, 0]) > 0.5
