"""Conversion of fitted estimators of scikit-learn, which keeps their predictions."""

import numpy as np
import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

import fastmlp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_sizes": (7, 5), "max_iter": 6, "random_state": 0}
X = np.random.default_rng(0).normal(size=(80, 4))
LABELS = np.array(["ant", "bee", "cow"])[np.arange(80) % 3]
TASKS = [
    ("MLPClassifier", LABELS),
    ("MLPClassifier", LABELS == "bee"),
    ("MLPClassifier", make_multilabel_classification(80, n_classes=3, random_state=0)[1]),
    ("MLPRegressor", X[:, 0]),
    ("MLPRegressor", X[:, :2] ** 2),
]


def assert_same_predictions(a, b, tolerance):
    for method in ("predict", "predict_proba"):
        if hasattr(a, method):
            found, expected = getattr(a, method)(X), getattr(b, method)(X)
            assert found.shape == expected.shape
            if found.dtype.kind == "f":
                np.testing.assert_allclose(found, expected, atol=tolerance)
            else:
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("activation", ("relu", "logistic", "tanh", "identity"))
def test_converted_estimators_have_the_predictions_and_records_of_the_original(activation):
    for name, y in TASKS:
        original = getattr(theirs, name)(**SMALL, activation=activation, alpha=0.01).fit(X, y)
        ours = fastmlp.from_sklearn(original)
        assert type(ours) is getattr(fastmlp, name)
        assert original.get_params().items() <= ours.get_params().items()
        assert_same_predictions(ours, original, 1e-12)
        for record in ("loss_", "loss_curve_", "t_", "n_iter_", "n_layers_", "n_outputs_", "out_activation_"):
            assert getattr(ours, record) == getattr(original, record)


def test_training_continues_after_conversion():
    a = fastmlp.from_sklearn(theirs.MLPRegressor(**SMALL).fit(X, X[:, 0]))
    first = a.loss_
    assert a.partial_fit(X, X[:, 0]).loss_ < first
    c = fastmlp.from_sklearn(theirs.MLPClassifier(**SMALL, solver="lbfgs", warm_start=True).fit(X, LABELS))
    assert c.fit(X, LABELS).score(X, LABELS) > 0.3


def test_a_warm_start_keeps_the_best_net_of_the_original():
    settings = SMALL | {"early_stopping": True, "warm_start": True, "learning_rate_init": 1e-9}  # no step is better
    numbers = np.arange(80) % 3  # scikit-learn before 1.8 cannot score texts here
    model = fastmlp.from_sklearn(theirs.MLPClassifier(**settings).fit(X, numbers))
    before = model.net_.params.copy()
    model.set_params(learning_rate_init=1.0, solver="sgd")
    model._rules.best_score = 1.0  # which no epoch reaches
    model.fit(X, numbers)
    np.testing.assert_array_equal(model.net_.params, before)
    assert model.best_validation_score_ == 1.0


def test_estimators_without_an_equivalent_are_refused():
    with pytest.raises(TypeError, match="but got LogisticRegression"):
        fastmlp.from_sklearn(LogisticRegression())
    with pytest.raises(NotFittedError):
        fastmlp.from_sklearn(theirs.MLPClassifier())
