"""Predictions and scores of estimators for data that are read piece by piece."""

import numpy as np
import pytest
from large_tables import Pieces

pd = pytest.importorskip("pandas", reason="pieces of files are data frames of pandas")
pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")
pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")

from fastmlp import TabularMLPClassifier, TabularMLPRegressor  # noqa: E402

RNG = np.random.default_rng(7)
N = 25_000
SETTINGS = {"hidden_layer_sizes": (4,), "max_iter": 2, "n_nets": 1, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    return X, np.where(X[:, 0] * X[:, 1] > 0, "yes", "no"), 3.0 * X[:, 0] + X[:, 1] + 1.0


def test_predictions_and_scores_of_sources_are_those_of_arrays(data):
    X, y, values = data
    source = Pieces(X, y)

    class Inputs:
        def __iter__(self):
            return (X for X, _ in source)

    model = TabularMLPClassifier(**SETTINGS).fit(X[:500], y[:500])
    for name in ("predict", "predict_proba", "predict_log_proba"):
        np.testing.assert_array_equal(getattr(model, name)(Inputs()), getattr(model, name)(X))
    regressor = TabularMLPRegressor(**SETTINGS).fit(X[:500], values[:500])
    np.testing.assert_array_equal(regressor.predict(Inputs()), regressor.predict(X))
    assert model.score(source, None) == model.score(X, y)
    weights = np.random.default_rng(0).random(N)
    assert model.score(source, None, weights) == pytest.approx(model.score(X, y, weights))
    with pytest.raises(ValueError, match="y is None, but the source has no targets"):
        model.score(Inputs(), None)
    for estimator in (model, regressor):
        with pytest.raises(ValueError, match="y is None, but X has no targets"):
            estimator.score(X)
    assert regressor.score(Pieces(X, values), None) == pytest.approx(regressor.score(X, values))

    class Reuses:
        """A source that uses its buffers again."""

        def __iter__(self):
            inputs, targets = np.empty((5000, 4), np.float32), np.empty(5000)
            for first in range(0, N, 5000):
                inputs[:], targets[:] = X[first : first + 5000], values[first : first + 5000]
                yield inputs, targets

    assert regressor.score(Reuses(), None) == pytest.approx(regressor.score(X, values))
    for n in (N - 1, N + 1):
        with pytest.raises(ValueError, match="inconsistent"):
            model.score(source, None, sample_weight=np.ones(n))


@pytest.mark.filterwarnings("ignore:The column 'a' alone predicts")
@pytest.mark.parametrize("estimator", [TabularMLPClassifier, TabularMLPRegressor])
def test_missing_targets_of_a_score_are_refused(estimator, tmp_path):
    X = pd.DataFrame(RNG.normal(size=(300, 2)), columns=["a", "b"])
    is_classifier = "Classifier" in estimator.__name__
    y = pd.Series(np.where(X.a > 0, "yes", "no").astype(object) if is_classifier else X.a + X.b, name="y")
    model = estimator(**SETTINGS).fit(X, y)
    y[[3, 5]] = None
    frame = X.assign(y=y)
    frame.to_parquet(file := tmp_path / "t.parquet")
    for source, target in ((file, "y"), (frame, "y"), (Pieces(X, y), None), (X, y)):
        with pytest.raises(
            ValueError, match=r"The target 'y' is missing in 2 rows. Leave such rows out.$|contains NaN"
        ):
            model.score(source, target)
    if not is_classifier:
        with pytest.raises(ValueError, match="y must hold numbers for a regression, but it holds 'red'"):
            model.score(X.assign(y="red"), "y")
