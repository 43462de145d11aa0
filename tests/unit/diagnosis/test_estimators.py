"""Diagnosis of fitted estimators of fastmlp: of tables, and of several nets."""

import numpy as np
import pytest

import fastmlp

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")


@pytest.fixture
def samples(rng):
    X = rng.normal(size=(120, 2)) * [100.0, 0.01]  # raw columns are far from what a net takes
    return pd.DataFrame(X, columns=["a", "b"]), np.where(X[:, 0] > 0, "yes", "no")


@pytest.mark.parametrize("n_nets", [1, 3])
def test_estimator_of_tables_is_diagnosed_on_the_encoded_table(samples, n_nets):
    X, y = samples
    model = fastmlp.TabularMLPClassifier((16,), n_nets=n_nets, max_iter=10, random_state=0).fit(X, y)
    features, targets = model.encoded_samples(X, y)
    expected = fastmlp.diagnose(model.net_, features, targets, model.history_)
    assert str(fastmlp.diagnose(model, X, y)) == str(expected)


def test_history_of_an_estimator_of_tables_is_diagnosed_as_its_net(samples):
    model = fastmlp.TabularMLPClassifier((16,), n_nets=1, max_iter=5, random_state=0).fit(*samples)
    expected = str(fastmlp.diagnose(model))
    for given in (model.net_, model.history_, model.net_.history):
        assert str(fastmlp.diagnose(given)) == expected


def test_history_without_its_net_says_what_to_pass(samples):
    model = fastmlp.TabularMLPClassifier((16,), n_nets=1, max_iter=5, random_state=0).fit(*samples)
    history = model.history_
    history.net = None
    for data in ((), samples):
        with pytest.raises(ValueError, match=r"does not know its net, .*: give diagnose the estimator or its"):
            fastmlp.diagnose(history, *data)


def test_samples_that_the_fit_held_out_are_no_evidence_of_broken_updates(samples):
    """The records are those of the training samples, which the net has memorised; here are all rows of the table."""
    X, _ = samples
    y = np.random.default_rng(0).normal(size=120) > 0
    model = fastmlp.TabularMLPClassifier(
        (64, 64), n_nets=1, max_iter=300, n_iter_no_change=300, learning_rate_init=0.01, validation_fraction=0.5
    )
    found = fastmlp.diagnose(model.set_params(random_state=0).fit(X, y), X, y)
    assert "the net was trained on 60 samples" in found.judged_on
    assert "broken_updates" not in {found.verdict, *found.others}


def test_encoded_samples_are_what_the_net_takes(samples):
    X, y = samples
    model = fastmlp.TabularMLPClassifier((16,), n_nets=1, max_iter=10, random_state=0).fit(X, y)
    features, targets = model.encoded_samples(X, y)
    np.testing.assert_array_equal(model.classes_[model.net_.predict_classes(features)], model.predict(X))
    np.testing.assert_array_equal(model.classes_[targets], y)
    numbers = fastmlp.TabularMLPRegressor((16,), n_nets=1, max_iter=10, random_state=0).fit(X, -X["a"].to_numpy())
    features, targets = numbers.encoded_samples(X, -X["a"])
    assert features.shape == (120, len(numbers.encoded_feature_names()))
    assert np.abs(targets).max() < 5.0


def test_estimator_of_several_nets_is_diagnosed_net_by_net(samples):
    X, y = samples
    model = fastmlp.TabularMLPClassifier((8,), n_nets=3, max_iter=3, random_state=0).fit(X, y)
    assert sum(fastmlp.diagnose(model, X, y).counts().values()) == 3
    model = fastmlp.MLPClassifier((8,), max_iter=30, tol=1.0, random_state=0).fit(X / [100.0, 0.01], y)
    with pytest.raises(ValueError, match="y holds the label 'maybe', which the classifier does not know"):
        fastmlp.diagnose(model, X / [100.0, 0.01], np.where(y == "no", "maybe", y))


def test_report_of_a_history_without_its_net_says_what_to_do(samples, tmp_path):
    X, y = samples
    model = fastmlp.TabularMLPClassifier((16,), n_nets=1, max_iter=5, random_state=0).fit(X, y)
    model.history_.report(tmp_path / "page.html")
    assert (tmp_path / "page.html").exists()
    model.history_.net = None
    with pytest.raises(ValueError, match=r"does not know its net.*fastmlp report FILE TABLE"):
        model.history_.report(tmp_path / "page.html")
