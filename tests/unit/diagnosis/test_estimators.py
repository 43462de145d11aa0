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
    model = fastmlp.TabularMLPClassifier(n_nets=n_nets, max_iter=10, random_state=0).fit(X, y)
    features, targets = model.encoded_samples(X, y)
    expected = fastmlp.diagnose(model.net_, features, targets, model.history_)
    assert str(fastmlp.diagnose(model, X, y)) == str(expected)


def test_encoded_samples_are_what_the_net_takes(samples):
    X, y = samples
    model = fastmlp.TabularMLPClassifier(n_nets=1, max_iter=10, random_state=0).fit(X, y)
    features, targets = model.encoded_samples(X, y)
    np.testing.assert_array_equal(model.classes_[model.net_.predict_classes(features)], model.predict(X))
    np.testing.assert_array_equal(model.classes_[targets], y)
    numbers = fastmlp.TabularMLPRegressor(n_nets=1, max_iter=10, random_state=0).fit(X, X["a"])
    features, targets = numbers.encoded_samples(X, X["a"])
    assert features.shape == (120, len(numbers.encoded_feature_names()))
    assert np.abs(targets).max() < 5.0


def test_estimator_of_several_nets_is_diagnosed_net_by_net(samples):
    X, y = samples
    model = fastmlp.MLPClassifier((8,), n_nets=3, max_iter=30, tol=1.0, random_state=0).fit(X / [100.0, 0.01], y)
    found = fastmlp.diagnose(model, X / [100.0, 0.01], y)
    assert sum(found.counts().values()) == 3
    with pytest.raises(ValueError, match="y holds 'maybe', but the classes are no, yes"):
        fastmlp.diagnose(model, X / [100.0, 0.01], np.where(y == "no", "maybe", y))


def test_plots_of_one_net_refuse_tables_and_several_nets(samples):
    X, y = samples
    plots = fastmlp.plots
    table = fastmlp.TabularMLPClassifier(n_nets=1, max_iter=5, random_state=0).fit(X, y)
    numbers = X.to_numpy() / [100.0, 0.01]
    several = fastmlp.MLPClassifier((8,), n_nets=3, max_iter=30, tol=1.0, random_state=0).fit(numbers, y)
    for plot in (plots.calibration, plots.boundary, plots.landscape):
        with pytest.raises(ValueError, match=r"takes a table. Encode it: .*encoded_samples"):
            plot(table, X, y)
        with pytest.raises(ValueError, match=r"there are 3 here. Plot one of them, such as model.net_.best\(\)"):
            plot(several, numbers, y)
        with pytest.raises(ValueError, match=r"such as pop.best\(\)"):
            plot(several.net_, numbers, y == "yes")
    with pytest.raises(ValueError, match="takes a table"):
        plots.confusion(table, X, y)
    assert plots.confusion(table.net_, *table.encoded_samples(X, y), labels=table.classes_) is not None


def test_report_of_a_history_without_its_net_says_what_to_do(samples, tmp_path):
    X, y = samples
    model = fastmlp.TabularMLPClassifier(n_nets=1, max_iter=5, random_state=0).fit(X, y)
    model.history_.report(tmp_path / "page.html")
    assert (tmp_path / "page.html").exists()
    model.history_.net = None
    with pytest.raises(ValueError, match=r"does not know its net.*fastmlp report FILE TABLE"):
        model.history_.report(tmp_path / "page.html")
