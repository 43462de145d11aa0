"""Exported estimators: onnxruntime and C code predict what the estimators predict, from arrays and from tables."""

import numpy as np
import pytest
from exported_outputs import c_outputs, cells_for, onnx_session

import fastmlp

pytest.importorskip("sklearn", reason="pip install 'fastmlp[sklearn]' has scikit-learn")
pd = pytest.importorskip("pandas", reason="pip install 'fastmlp[table]' has pandas")

from sklearn.exceptions import NotFittedError  # noqa: E402

from fastmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor  # noqa: E402
from fastmlp.tables.bins import Gain  # noqa: E402

PROBABILITY, RELATIVE = 2e-6, 1e-5
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The column '.*' alone predicts"),  # the targets are simple
]


@pytest.fixture
def X(rng):
    return rng.normal(size=(80, 4)).astype(np.float32) * 2


TARGETS = {
    "text": lambda X: np.where(X[:, 0] > 0, "no", "yes"),
    "numbers": lambda X: np.argmax(X[:, :3], axis=1) * 3,
    "booleans": lambda X: X[:, 0] > 0,
    "several labels": lambda X: (X[:, :3] > 0).astype(int),
}
KINDS = [{}, {"dtype": "float64"}]


@pytest.mark.parametrize("settings", KINDS, ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_classifier(target, settings, X, tmp_path):
    y = TARGETS[target](X)
    model = MLPClassifier((6,), max_iter=3, random_state=0, **settings).fit(X, y)
    model.export(tmp_path / "net.onnx")
    session = onnx_session(tmp_path / "net.onnx")
    assert [item.name for item in session.get_outputs()] == ["label", "probabilities"]
    label, p = session.run(None, {"X": X.astype(model.net_.dtype)})
    expected = model.predict_proba(X.astype(np.float64))
    np.testing.assert_allclose(p, expected, rtol=0, atol=PROBABILITY)
    np.testing.assert_array_equal(label, model.predict(X))
    assert (label.dtype, label.shape) == (object if target == "text" else np.int64, model.predict(X).shape)
    model.export(tmp_path / "net.h", prefix="p")
    found = c_outputs(tmp_path / "net.h", X, expected.shape[1], "p")
    np.testing.assert_allclose(found, expected, rtol=0, atol=PROBABILITY)


@pytest.mark.parametrize("settings", [{}, {"loss": "poisson"}, {"dtype": "float64"}], ids=str)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regressor(n_outputs, settings, X, tmp_path):
    y = np.abs(X[:, 0] if n_outputs == 1 else X[:, :2])
    model = MLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0, **settings).fit(X, y)
    model.export(tmp_path / "net.onnx")
    session = onnx_session(tmp_path / "net.onnx")
    expected = model.predict(X).reshape(len(X), n_outputs)
    [found] = session.run(["variable"], {"X": X.astype(model.net_.dtype)})
    np.testing.assert_allclose(found, expected, rtol=RELATIVE, atol=2e-6)  # sums of numbers near 1
    model.export(tmp_path / "net.h")
    np.testing.assert_allclose(c_outputs(tmp_path / "net.h", X, n_outputs), expected, rtol=RELATIVE, atol=2e-6)


# ---- tables


@pytest.fixture
def table(rng):
    n = 200
    table = pd.DataFrame(
        {
            "skew": rng.normal(size=n) ** 3 * 1e5,
            "steps": rng.integers(0, 5, n).astype(float),
            "flag": rng.random(n) > 0.5,
            "part": rng.choice([0.1, 0.25, 1 / 3], n),
            "colour": rng.choice(["red", "light blue", "True", "n/a"], n),
            "zip": rng.choice(["007", "010", "1.50"], n),
        }
    )
    table.loc[::7, "skew"] = np.nan
    table.loc[::5, "colour"] = None
    table["part"] = table["part"].where(rng.random(n) > 0.1)
    return table


def awkward(table):
    """The table, with rows of cells that training has not seen."""
    rows = table.iloc[:8].copy()
    rows["skew"] = [1e25, -1e25, np.nan, 0.0, 1e-300, -0.0, 5e4, 1e9]
    rows["steps"] = [np.nan, 100.0, -100.0, 2.5, np.nan, 0.0, 4.0, 1e7]
    rows["colour"] = ["violet", "tRUE", "NULL", "None", "", "?", "Red", "red"]
    rows["zip"] = ["7", "1.5", "7.0", "none", "x", "10", "0", "007"]
    rows["part"] = [0.1000000001, 0.11, np.nan, 1 / 3, 0.25, 0.0, 1.0, 0.3333333]
    return pd.concat([table, rows], ignore_index=True)


def fitted(kind, table, y, n_nets, **settings):
    settings = {"hidden_layer_sizes": (8, 8), "max_iter": 3, "random_state": 0, "n_nets": n_nets, **settings}
    return kind(categorical_features=["part"], **settings).fit(table, y)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of cells that training has not seen
@pytest.mark.parametrize("settings", [{"n_nets": 1}, {"n_nets": 3}], ids=str)
def test_classifier_of_tables(settings, table, tmp_path):
    y = np.where((table["steps"] > 2) ^ (table["colour"] == "red"), "a", "b")
    model = fitted(TabularMLPClassifier, table, y, **settings)
    model.temperature_ = 1.7
    model.save(tmp_path / "net.safetensors")
    model = fastmlp.load(tmp_path / "net.safetensors")
    model.export(tmp_path / "net.onnx")
    session, rows = onnx_session(tmp_path / "net.onnx"), awkward(table)
    types = {item.name: item.type for item in session.get_inputs()}
    numbers = dict.fromkeys(("skew", "steps", "flag", "part"), "tensor(double)")
    assert types == numbers | dict.fromkeys(("colour", "zip"), "tensor(string)")
    feed = cells_for(session, rows)
    label, p = session.run(None, feed)
    np.testing.assert_allclose(p, model.predict_proba(rows), rtol=0, atol=PROBABILITY)
    np.testing.assert_array_equal(label, model.predict(rows))
    one, none = ({name: cells[:k] for name, cells in feed.items()} for k in (1, 0))
    np.testing.assert_allclose(session.run(None, one)[1], p[:1], atol=PROBABILITY)
    assert session.run(None, none)[1].shape == (0, 2)
    with pytest.raises(
        ValueError, match=r"numbers only, but these columns hold text: 'colour', 'zip'\. Export to \.onnx"
    ):
        model.export(tmp_path / "net.h")
    assert not (tmp_path / "net.h").exists()


@pytest.mark.parametrize("n_nets", [1, 3])
def test_temperatures_are_in_c_files_of_tables_of_numbers(n_nets, table, tmp_path):
    X = table[["skew", "steps", "part"]].astype({"skew": "float32"})
    model = fitted(TabularMLPClassifier, X, (table["steps"] > 2).to_numpy(), n_nets)
    for model.temperature_ in (1.0, 0.3):
        header = tmp_path / f"net{model.temperature_:g}.h"  # a library is loaded once
        model.export(header)
        found = c_outputs(header, X.to_numpy(float), 2)
        np.testing.assert_allclose(found, model.predict_proba(X), rtol=0, atol=PROBABILITY)


@pytest.mark.parametrize(("n_nets", "encoding"), [(1, "auto"), (3, "auto"), (2, "quantile")])
def test_regressor_of_tables_of_numbers(n_nets, encoding, table, tmp_path, monkeypatch):
    monkeypatch.setattr(Gain, "is_worth_it", True)
    table = table.drop(columns=["colour", "zip"]).astype({"skew": "float32"})
    y = (table["skew"] > table["skew"].median()).to_numpy() * 1e4 + 3
    y = y if n_nets == 1 else np.c_[y, 10 * y]
    model = fitted(TabularMLPRegressor, table, y, n_nets, numeric_encoding=encoding)
    assert model.columns_[0].kind == {"auto": "piecewise_linear"}.get(encoding, encoding)
    rows = awkward(table.assign(colour="", zip=""))[list(table)].astype({"skew": "float32"})
    expected = model.predict(rows).reshape(len(rows), -1)
    model.export(tmp_path / "net.onnx")
    session = onnx_session(tmp_path / "net.onnx")
    [found] = session.run(None, cells_for(session, rows))
    np.testing.assert_allclose(found, expected, rtol=RELATIVE)
    model.export(tmp_path / "net.h", prefix="spam")
    found = c_outputs(tmp_path / "net.h", rows.to_numpy(float), expected.shape[1], "spam")
    np.testing.assert_allclose(found, expected, rtol=RELATIVE)


def test_dates_are_days_since_1970(table, tmp_path):
    days = pd.Series(17_000 + 5.0 * np.arange(len(table))).where(table.index % 9 > 0)
    frame = table[["steps"]].assign(when=pd.to_datetime(days, unit="D"))
    model = fitted(TabularMLPRegressor, frame.assign(part=table["part"]), np.sin(days.fillna(0)), 1)
    assert model.columns_[1].cycles == ("week", "year")
    rows = table[["steps"]].assign(when=days, part=table["part"])
    expected = model.predict(frame.assign(part=table["part"]))
    model.export(tmp_path / "net.onnx")
    session = onnx_session(tmp_path / "net.onnx")
    [found] = session.run(None, cells_for(session, rows))
    np.testing.assert_allclose(found[:, 0], expected, rtol=0, atol=RELATIVE)
    model.export(tmp_path / "net.h")
    found = c_outputs(tmp_path / "net.h", rows.to_numpy(float), 1)
    np.testing.assert_allclose(found[:, 0], expected, rtol=0, atol=RELATIVE)


def test_columns_with_the_names_of_outputs(rng, tmp_path):
    table = pd.DataFrame({"label": rng.choice(["a", "b"], 50), "probabilities */ ?": rng.normal(size=50)})
    model = TabularMLPClassifier((4,), max_iter=2, n_nets=1, random_state=0).fit(table, rng.integers(0, 2, 50))
    model.export(tmp_path / "net.onnx")
    session = onnx_session(tmp_path / "net.onnx")
    assert [item.name for item in session.get_outputs()] == ["label1", "probabilities"]
    _, p = session.run(None, cells_for(session, table))
    np.testing.assert_allclose(p, model.predict_proba(table), atol=PROBABILITY)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor])
def test_not_fitted(kind, tmp_path):
    with pytest.raises(NotFittedError, match="is not fitted yet: call fit first"):
        kind().export(tmp_path / "net.h")
    assert list(tmp_path.iterdir()) == []
