"""Tables of estimators: of other libraries, and those that are read piece by piece."""

import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from large_tables import Pieces

from fastmlp import TabularMLPClassifier, TabularMLPRegressor
from fastmlp.errors import install_command
from fastmlp.estimators.array_input import as_cells, as_frame, frame_of_array

TABLE = pd.DataFrame({"size": [1.5, None, 3.0], "colour": ["red", None, "blue"], "new": [True, False, True]})


class Stream:
    """A table that supports Arrow's stream protocol only."""

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.Table.from_pandas(TABLE).__arrow_c_stream__(requested_schema)


TABLES = {
    "pandas": TABLE,
    "polars": pl.from_pandas(TABLE),
    "arrow table": pa.Table.from_pandas(TABLE),
    "record batch": pa.RecordBatch.from_pandas(TABLE),
    "protocol": Stream(),
    "dictionaries": TABLE.to_dict("records"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_kinds_of_tables_become_the_same_frame(kind):
    frame = as_frame(TABLES[kind])
    assert list(frame.columns) == list(TABLE.columns)
    np.testing.assert_array_equal(frame["size"].to_numpy(float), TABLE["size"])
    assert frame["colour"].isna().tolist() == [False, True, False]
    assert frame["colour"].tolist()[::2] == ["red", "blue"]
    assert frame["new"].astype(bool).tolist() == [True, False, True]


def test_times_of_polars_keep_their_zone():
    times = pl.Series(["2026-07-01T12:00", None]).str.to_datetime().dt.replace_time_zone("Europe/Berlin")
    frame = as_frame(pl.DataFrame({"t": times, "naive": times.dt.replace_time_zone(None)}))
    assert frame["t"].dt.tz is not None
    assert frame["t"][0] == pd.Timestamp("2026-07-01T10:00", tz="UTC")
    assert frame["t"].isna().tolist() == [False, True]
    assert frame["naive"].dt.tz is None


def test_inputs_without_columns_are_no_frames():
    for other in ([[1, 2]], np.eye(2), TABLE["size"], pl.Series([1.0]), pa.array([1]), [], 3, None):
        assert as_frame(other) is None


def test_tables_that_cannot_be_converted_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"X is a LazyFrame, .* pass X.collect\(\)"):
        as_frame(pl.from_pandas(TABLE).lazy())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=re.escape(f"A Stream needs pyarrow: {install_command('table')}.")):
        as_frame(Stream())


def test_as_cells_keeps_the_types_of_mixed_lists():
    cells = as_cells([[1.5, "red", None], [2, "blue", True]])
    assert cells.dtype == object
    assert cells.tolist() == [[1.5, "red", None], [2, "blue", True]]
    ragged = [[1], [1, 2]]
    assert as_cells(ragged) is ragged
    assert as_cells([[1, 2.5]]).dtype == np.float64


def test_frame_of_array_infers_a_type_per_column():
    frame = frame_of_array(np.array([[1.5, "red", True], [2, "blue", False]], dtype=object))
    assert list(frame.columns) == ["0", "1", "2"]
    assert [dtype.kind for dtype in frame.dtypes[["0", "2"]]] == ["f", "b"]


# ---- tables that are read piece by piece

RNG = np.random.default_rng(7)
N = 25_000
SETTINGS = {"hidden_layer_sizes": (4,), "max_iter": 2, "n_nets": 1, "random_state": 0}


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
