"""Tabular estimators and `fastmlp train` with columns of text: what they learn from words, in memory and in pieces."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="tables are data frames of pandas")
pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")

import fastmlp  # noqa: E402
from fastmlp import TabularMLPClassifier, TabularMLPRegressor  # noqa: E402

SMALL = {"hidden_layer_sizes": (32,), "n_nets": 1, "max_iter": 30, "dropout": 0.0, "random_state": 0, "device": "cpu"}
COLOURS, THINGS = np.array(["red", "blue", "green"]), np.array(["car", "house", "bicycle", "tree"])


def make_table(n=600, seed=0):
    """Return (X, y): titles of which each occurs once, a number, and classes that both decide."""
    rng = np.random.default_rng(seed)
    colour, thing, x = rng.integers(0, 3, n), rng.integers(0, 4, n), rng.normal(size=n)
    titles = [f"The {c} {t} of owner {k}" for k, (c, t) in enumerate(zip(COLOURS[colour], THINGS[thing], strict=True))]
    return pd.DataFrame({"title": titles, "x": x}), np.where((colour == 0) | (x > 1.5), "dear", "cheap")


@pytest.fixture(scope="module")
def table():
    return make_table()


def test_words_are_learned_from_and_kept_in_the_file(table, tmp_path):
    X, y = table
    model = TabularMLPClassifier(**SMALL).fit(X, y)
    assert model.columns_[0].kind == "text"
    assert any("'title' (" in note for note in model.notes_)
    new, truth = make_table(200, seed=1)
    assert model.score(new, truth) > 0.9
    assert "title has 'red'" in model.encoded_feature_names()
    model.save(tmp_path / "model.st")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "model.st").predict_proba(new), model.predict_proba(new))
    np.testing.assert_allclose(model.predict_proba(new[:1]), model.predict_proba(new)[:1], atol=1e-5)
    assert model.notes_on(new) == ()


@pytest.mark.slow
def test_text_may_be_forbidden_or_named(table):
    X, y = table
    with pytest.warns(UserWarning, match="Column 'title' is left out: it has 480 different texts"):
        model = TabularMLPClassifier(**SMALL | {"max_iter": 1}, text_features=()).fit(X, y)
    assert [column.name for column in model.columns_] == ["x"]
    few = X.assign(title=X["title"].str.split(" of").str[0])
    assert TabularMLPClassifier(**SMALL | {"max_iter": 1}).fit(few, y).columns_[0].kind == "category"
    for named in (["title"], "title", [0]):
        model = TabularMLPClassifier(**SMALL | {"max_iter": 1}, text_features=named).fit(few, y)
        assert model.columns_[0].kind == "text"
    with pytest.raises(ValueError, match="text_features names 'headline', which is no column of X"):
        TabularMLPClassifier(**SMALL, text_features=["headline"]).fit(X, y)
    with pytest.raises(ValueError, match=r"text_features must be names of columns, \(\) for none, or 'auto'"):
        TabularMLPClassifier(**SMALL, text_features=None).fit(X, y)
    with pytest.raises(ValueError, match="text_features and categorical_features both name 'title'"):
        TabularMLPClassifier(**SMALL, text_features=["title"], categorical_features=["title"]).fit(X, y)


@pytest.mark.slow
def test_versions_without_columns_of_text_refuse_such_files(table, tmp_path, monkeypatch):
    X, y = table
    dear, path = (y == "dear").astype(float), tmp_path / "model.st"
    monkeypatch.setattr("fastmlp.loading.FORMAT", 1)
    settings = SMALL | {"max_iter": 1}
    TabularMLPClassifier(**settings).fit(X[["x"]], y).save(path)
    fastmlp.load(path)
    for targets in (dear, np.stack([dear, dear], axis=1)):
        TabularMLPRegressor(**settings).fit(X, targets).save(path)
        with pytest.raises(ValueError, match=r"a newer fastmlp .* wrote it in format 2, .* reads formats up to 1"):
            fastmlp.load(path)


@pytest.mark.parametrize("ending", ["onnx", "h"])
def test_exports_say_that_they_cannot_find_words(ending, table, tmp_path):
    if ending == "onnx":
        pytest.importorskip("onnx")
    X, y = table
    model = TabularMLPRegressor(**SMALL | {"max_iter": 1}).fit(X, (y == "dear").astype(float))
    with pytest.raises(ValueError, match=r"words .*are features of 'title'"):
        model.export(tmp_path / f"net.{ending}")
    assert not (tmp_path / f"net.{ending}").exists()
