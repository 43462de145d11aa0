"""Preprocessing of tables: a table in, features, names, notes and targets out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.special import ndtri

from fastmlp.tables.features import Preprocessing, fit_column, with_numbers
from fastmlp.tables.number_columns import MANY_DISTINCT
from fastmlp.tables.target import rows_with_target

pd = pytest.importorskip("pandas")

from fitted_tables import fitted  # noqa: E402


@pytest.fixture
def table(rng):
    """80 rows with every kind of column that can be used."""
    n = 80
    return pd.DataFrame(
        {
            "skewed": np.exp(3 * rng.normal(size=n)),
            "few": rng.integers(0, 5, n),
            "holes": np.where(np.arange(n) % 9 == 0, np.nan, rng.integers(0, 9, n)),
            "colour": pd.Series(rng.choice(["red", "green", "blue"], n)).where(np.arange(n) % 11 != 0),
            "flag": rng.integers(0, 2, n).astype(bool),
            "target": rng.normal(5.0, 2.0, n),
        }
    )


def features(preprocessing, table):
    return pd.DataFrame(preprocessing.transform(table, "float64"), columns=preprocessing.feature_names)


def test_numbers_and_categories_become_features(table):
    found, holes = features(fitted(table, "target"), table), table["holes"]
    expected = ((holes - holes.mean()) / holes.std(ddof=0)).fillna(0.0)
    np.testing.assert_allclose(found["holes"], expected, rtol=1e-12, atol=1e-12)
    for name in ("holes", "colour"):
        assert found[f"{name} is missing"].tolist() == table[name].isna().astype(float).tolist()
    for colour in ("red", "green", "blue"):
        assert found[f"colour = {colour}"].tolist() == (table["colour"] == colour).astype(float).tolist()
    assert found["flag = True"].tolist() == table["flag"].astype(float).tolist()
    assert not {"few is missing", "flag is missing"} & set(found)
    values = np.arange(10 * MANY_DISTINCT)
    frame = pd.DataFrame({"few": values % MANY_DISTINCT, "many": values % (MANY_DISTINCT + 1), "y": values / 7})
    assert {column.name: column.kind for column in fitted(frame, "y").columns} == {
        "few": "standard",
        "many": "quantile",
    }


@pytest.mark.parametrize("kind", ["auto", "quantile"])
def test_outliers_and_unseen_missing_cells_give_finite_features(table, kind):
    found = features(fitted(table, "target", kind), table.head(3).assign(few=[None, 1e9, -1e9]))["few"]
    assert found[0] == 0.0
    assert np.isfinite(found).all()


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e31])
def test_numbers_that_cannot_be_used_raise_with_the_column(table, bad):
    known = fitted(table, "target")
    with pytest.raises(ValueError, match="'few' should hold numbers, but holds 'many'"):
        known.transform(table.assign(few=["1", "many"] * 40))
    assert known.transform(table.assign(few=table["few"].astype(str))).shape == (80, 10)
    tiny = fitted(table.assign(few=table["few"] * 1e-20), "target")
    with pytest.raises(ValueError, match=r"Column 'few' holds 1e\+25, which is too far"):
        tiny.transform(table.assign(few=1e25))
    table.loc[3, "skewed"] = bad
    for use in (known.transform, lambda table: fitted(table, "target")):
        with pytest.raises(ValueError, match="'skewed' should hold finite numbers below"):
            use(table)


def test_few_cells_that_are_no_numbers_count_as_missing(table):
    """400 numbers with ten "unknown" stay one feature, not 62 categories; truth values in a text are no numbers."""
    table = pd.concat([table] * 5, ignore_index=True)
    table["skewed"] = [*table["skewed"].astype(str)[:-10], *["unknown"] * 8, "false", "True"]
    known, notes = fitted(table, "target", "quantile"), []
    assert known.feature_names[:3] == ["skewed", "skewed is missing", "few"]
    X = known.transform(table, notes=notes)
    assert X[-10:, :2].tolist() == [[0, 1]] * 10
    said = "Column 'skewed' holds no numbers in 10 of 400 cells ('unknown', 'false', 'True'), which count as missing."
    assert (known.notes[:-1], [note.text for note in notes]) == ((said,), [said])


def test_the_frequent_ones_of_many_categories_are_encoded(rng):
    """An unseen category is encoded as a rare one is, and noted only if most cells are of such categories."""
    cells = ["a"] * 400 + ["b"] * 200 + ["c"] * 16 + [f"rare {k // 2}" for k in range(520)] + [None] * 4
    frame = pd.DataFrame({"text": rng.permutation(np.array(cells, object)), "y": rng.normal(size=len(cells))})
    known, notes = fitted(frame, "y"), []
    assert known.feature_names == ["text = a", "text = b", "text = c", "text is missing"]
    said = (
        "Column 'text' has 263 categories, and the 3 most frequent (in 16 rows or more) are encoded; others are zeros."
    )
    assert known.notes[:-1] == (said,)
    assert Preprocessing.from_dict(known.to_dict()) == known
    other = pd.DataFrame({"text": ["a", "rare 1", "new", "a", "c"]})
    X = known.transform(other, notes=notes)
    assert X.tolist() == [[1, 0, 0, 0], [0] * 4, [0] * 4, [1, 0, 0, 0], [0, 0, 1, 0]]
    assert notes == []
    known.transform(other[1:3], notes=notes)
    assert [note.is_serious for note in notes] == [False], "rare ones are most cells of the training, too"
    assert "has categories rare or unseen in training in all 2 cells ('rare 1', 'new')" in notes[0].text
    column, note = fit_column(frame["text"][~frame["text"].isin(["a", "b"])])
    assert column.categories == ("c",)
    assert "the 1 most frequent (in 16 rows or more) are encoded, which are in 3 %" in note
    column, note = fit_column(frame["text"][~frame["text"].isin(["a", "b", "c"])])
    assert (column, "it has 260 different texts, but at most 255 are encoded" in note) == (None, True)
    assert len(fit_column(pd.Series([f"t{k % 255}" for k in range(600)], name="text"))[0].feature_names) == 255


@pytest.mark.parametrize(
    "kind, cell_of",
    [
        ("category", lambda k: f"A {'red' if k % 2 else 'blue'} house with {k} rooms"),
        (None, lambda k: f"{1 + k % 28}.{1 + k % 12}.{1900 + k}"),
        (None, lambda k: f"${1000 + k:,}"),
    ],
    ids=["text", "dates", "numbers"],
)
def test_text_dates_and_numbers_are_more_than_their_few_frequent_cells(kind, cell_of):
    """A column of many values, of which one is frequent, is not one of categories if it is something else."""
    texts = [cell_of(k) for k in range(400)] + [cell_of(1)] * 20
    column, note = fit_column(pd.Series(texts, name="x"))
    assert getattr(column, "kind", None) == kind
    assert kind or "is left out: it h" in note


def test_useless_columns_are_dropped_with_a_note(table):
    n = len(table)
    extra = {
        "constant": 3,
        "empty": None,
        "same": "x",
        "key": [f"row {k}" for k in range(n)],
        "duration": pd.to_timedelta(np.arange(n), unit="h"),
        "lists": [[k] for k in range(n)],
        "bytes": [b"%d" % k for k in range(n)],
        "complex": np.arange(n) + 2j,
        "Unnamed: 0": range(n),
    }
    known = fitted(table.assign(**extra), "target")
    assert known.feature_names == fitted(table, "target").feature_names
    for name, note in zip(extra, known.notes[:-1], strict=True):
        assert note.startswith(f"Column {name!r} is left out: ")
        assert note.endswith(".")
    assert known.notes[-1].startswith("Features of the columns: ")
    known.transform(table)  # none of them is asked for


def test_missing_and_equal_names_raise_and_order_is_ignored(table):
    known = fitted(table, "target")
    with pytest.raises(ValueError, match=r"lacks columns .*trained on: 'few', 'flag'\. It has: 'skewed'"):
        known.transform(table.drop(columns=["few", "flag"]))
    shuffled = table.drop(columns="target").assign(more=1)[["more", "flag", "colour", "holes", "few", "skewed"]]
    np.testing.assert_array_equal(known.transform(shuffled), known.transform(table))
    with pytest.raises(ValueError, match="two columns named 'few', columns 2 and 7 of 7"):
        known.transform(pd.concat([table, table[["few"]]], axis=1))


def test_with_numbers_converts_columns_before_a_split(table):
    """A part of the table without the bad cells would make the column categorical. A column may be named self."""
    table["few"] = [*table["few"].astype(str)[:-1], "unknown"]
    whole, notes = with_numbers(table, "target")
    assert notes == ("Column 'few' holds no numbers in 1 of 80 cells ('unknown'), which count as missing.",)
    assert np.flatnonzero(np.isnan(whole["few"])).tolist() == [79]
    assert fitted(whole[:40], "target").feature_names[:2] == ["skewed", "few"]
    assert "few = 1" in fitted(table[:40], "target").feature_names
    assert with_numbers(whole)[0] is whole
    assert with_numbers(table, "few")[0] is table
    numbers = [1.5, 2.5, 3.5, 4.5] * 10
    mixed = pd.DataFrame({"self": ["unknown", *numbers[1:]], "y": numbers})
    for target in ("self", "y"):
        rows, _ = rows_with_target(mixed, target)
        assert len(fitted(with_numbers(rows, target)[0], target).transform(rows)) == len(rows)


# ---- files


@pytest.mark.parametrize("target", ["target", "colour", "flag", "few"])
def test_preprocessing_round_trips_through_json(table, target):
    preprocessing = fitted(table, target)
    text = json.dumps(preprocessing.to_dict(), allow_nan=False)
    back = Preprocessing.from_dict(json.loads(text))
    assert back == preprocessing
    np.testing.assert_array_equal(back.transform(table), preprocessing.transform(table))


WRITTEN = [  # by versions 0.2 and 0.3: each kind of column, and the features of ROW
    ({"kind": "standard", "name": "a", "mean": 1.5, "std": 2.0, "marks_missing": True}, [1.0, 0.0]),
    ({"kind": "quantile", "name": "b", "quantiles": [0.0, 1.0, 1.0, 4.0], "marks_missing": False}, [0.0]),
    (
        {"kind": "piecewise_linear", "name": "c", "quantiles": [0.0, 1.0, 4.0], "marks_missing": False}
        | {"edges": [-1.0, 0.0, 1.0]},
        [ndtri(1 - 0.5 / 3), 1.0, ndtri(1 - 0.5 / 3)],
    ),
    (
        {"kind": "date", "name": "d", "mean": 18_000.0, "std": 100.0, "cycles": [], "has_zone": False}
        | {"marks_missing": True},
        [-0.5, 0.0],
    ),
    (
        {"kind": "category", "name": "e", "categories": ["x", "y"], "has_missing": True, "is_text": True},
        [0.0, 1.0, 0.0],
    ),
]
ROW = {"a": 3.5, "b": 1.0, "c": 9.0, "d": pd.Timestamp("1970-01-01") + pd.Timedelta(days=17_950), "e": "y"}


def test_files_of_earlier_versions_are_read():
    """The first ones have neither ids nor has_rest."""
    target = {"name": "y", "task": "regression", "classes": [], "mean": 0.0, "std": 1.0}
    description = {"columns": [column for column, _ in WRITTEN], "target": target, "notes": ["A note."]}
    read = Preprocessing.from_dict(description)
    expected = [feature for _, features in WRITTEN for feature in features]
    np.testing.assert_allclose(read.transform(pd.DataFrame([ROW]), "float64")[0], expected, rtol=1e-12)
    assert (read.ids, read.notes) == ((), ("A note.",))
    assert Preprocessing.from_dict({**description, "ids": ["key"]}).ids == ("key",)


def test_damaged_descriptions_raise(table):
    def damage(change):
        description = json.loads(json.dumps(good))
        change(description)
        return description

    good = fitted(table, "target").to_dict()
    kinds = [column["kind"] for column in good["columns"]]
    standard, quantile, category = (kinds.index(kind) for kind in ("standard", "quantile", "category"))
    changes = [
        lambda d: d.pop("columns"),
        lambda d: d.pop("target"),
        lambda d: d.update(ids=None),
        lambda d: d["columns"].append(3),
        lambda d: d["columns"][standard].update(kind="eval"),
        lambda d: d["columns"][standard].update(std=0.0),
        lambda d: d["columns"][standard].update(mean=math.nan),
        lambda d: d["columns"][standard].update(mean="1"),
        lambda d: d["columns"][standard].update(name=["few"]),
        lambda d: d["columns"][standard].pop("mean"),
        lambda d: d["columns"][quantile].update(quantiles=[2.0, 1.0]),
        lambda d: d["columns"][quantile].update(quantiles="12"),
        lambda d: d["columns"][category].update(categories=["a", "a"]),
        lambda d: d["columns"][category].update(categories=[["a"]]),
        lambda d: d["target"].update(task="other"),
        lambda d: d["target"].update(std=-1.0),
        lambda d: d["target"].update(classes=["a", "b"]),
        lambda d: d["target"].update(task="classification", classes=[["a"], ["b"]]),
    ]
    for description in (*map(damage, changes), None, [], "text", {}):
        with pytest.raises(ValueError, match="preprocessing is damaged"):
            Preprocessing.from_dict(description)
