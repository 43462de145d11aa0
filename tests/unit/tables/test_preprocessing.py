"""Preprocessing of tables: reading files, and encoding columns as features and targets."""

from __future__ import annotations

import builtins
import gzip
import json
import math
import re

import numpy as np
import pytest

from fastmlp.tables.column_summary import fit_column
from fastmlp.tables.features import encode_columns, fit_columns, with_numbers
from fastmlp.tables.number_columns import MANY_DISTINCT, NumericEncoding
from fastmlp.tables.preprocessing import Preprocessing
from fastmlp.tables.table_files import read_table
from fastmlp.tables.target import rows_with_target

pd = pytest.importorskip("pandas")


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


# ---- reading


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet"])
def test_every_file_format_gives_the_same_table(table, tmp_path, ending):
    path = tmp_path / f"table.{ending}"
    if ending == "parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    back = read_table(path)
    assert list(back.columns) == list(table.columns)
    np.testing.assert_allclose(back["skewed"], table["skewed"], rtol=1e-12)
    assert back["colour"].isna().equals(table["colour"].isna())


def test_separators_and_missing_markers_are_recognised(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a;b\n1; x\n?;\n3;NA\n")
    back = read_table(path)
    assert back["a"].isna().tolist() == [False, True, False]
    assert back["b"].tolist()[0] == "x"
    assert back["b"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a;b\n1,5;x\n-2;y\n1,25;z\n", [1.5, -2.0, 1.25]),
        ('"a";"b"\n"1,5";"x, y"\n"-2";"2.5"\n"1,25";""\n', [1.5, -2.0, 1.25]),
        ("a;b\n1.5;0,1\n-2.5;x\n1.25;x\n", [1.5, -2.5, 1.25]),
        ("a\tb\n1.5\t1,234\n2\t2,000\n3\t3,000\n", [1.5, 2.0, 3.0]),
    ],
)
def test_decimal_commas_are_recognised(tmp_path, text, numbers):
    """A comma is a decimal mark only in files with semicolons, never if it may separate thousands."""
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert read_table(path)["a"].tolist() == numbers


def test_columns_can_be_read_as_text(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("code,number\n007,1\n010,2\n")
    assert read_table(path)["code"].tolist() == [7, 10]
    assert read_table(path, ["code", "not there"])["code"].tolist() == ["007", "010"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "should be a CSV file"),
        ("header.csv", b"a,b\n", "no rows below its header"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("wide.csv", b"a,b\n1,2,3\n4,5,6\n", "more cells than its header has names"),
        ("wider.csv", b"a,b\n0,2,3\n1,5,6\n", "more cells than its header has names"),
        ("binary.csv", bytes(range(128, 256)), "save it as UTF-8"),
        ("fake.csv.gz", b"a,b\n1,2\n", "should be a CSV file"),
        ("short.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 999, mtime=0)[:30], "should be a CSV file"),
        ("fake.parquet", b"a,b\n1,2\n", "should be a Parquet file"),
        ("table.xlsx", b"", "should be a file ending in .csv"),
    ],
)
def test_unreadable_files_raise(tmp_path, name, content, words):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_table(path)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_missing_file_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*nothing.csv'"):
        read_table(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("module", "name", "words"), [("pandas", "t.csv", "pandas"), ("pyarrow", "t.parquet", "pyarrow")]
)
def test_missing_package_is_named(monkeypatch, tmp_path, module, name, words):
    def without(wanted, *arguments, **settings):
        if wanted.split(".")[0] == module:
            raise ImportError(wanted)
        return real(wanted, *arguments, **settings)

    real = builtins.__import__
    (tmp_path / name).write_text("a\n1\n")
    if module == "pyarrow":  # pandas imports its engine in a way of its own

        def fail(path):
            raise ImportError(path)

        monkeypatch.setattr(pd, "read_parquet", fail)
    else:
        monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError) as caught:
        read_table(tmp_path / name)
    assert words in str(caught.value)
    assert "pip install 'fastmlp[table]' (in a checkout: pip install '.[table]')" in str(caught.value)


# ---- numbers


def test_standard_scaling_ignores_missing_cells(table):
    preprocessing = Preprocessing.fit(table, "target", scaling="standard")
    result = features(preprocessing, table)
    holes = table["holes"]
    np.testing.assert_allclose(
        result["holes"], ((holes - holes.mean()) / holes.std(ddof=0)).fillna(0.0), rtol=1e-12, atol=1e-12
    )
    assert result["holes is missing"].tolist() == holes.isna().astype(float).tolist()
    assert "few is missing" not in result


def test_auto_scaling_depends_on_distinct_values():
    values = np.arange(10 * MANY_DISTINCT)
    frame = pd.DataFrame({"few": values % MANY_DISTINCT, "many": values % (MANY_DISTINCT + 1), "y": values / 7})
    kinds = {column.name: column.kind for column in Preprocessing.fit(frame, "y").columns}
    assert kinds == {"few": "standard", "many": "quantile"}


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_outliers_and_unseen_missing_cells_give_finite_features(table, scaling):
    preprocessing = Preprocessing.fit(table, "target", scaling=scaling)
    new = table.head(3).assign(few=[None, 1e9, -1e9])
    result = features(preprocessing, new)["few"]
    assert result[0] == 0.0
    assert np.isfinite(result).all()


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e31])
def test_infinite_numbers_raise_with_the_column(table, bad):
    preprocessing = Preprocessing.fit(table, "target")
    table.loc[3, "skewed"] = bad
    for use in (lambda: preprocessing.transform(table), lambda: Preprocessing.fit(table, "target")):
        with pytest.raises(ValueError, match="'skewed' should hold finite numbers below"):
            use()


def test_overflowing_number_raises_with_the_column(table):
    preprocessing = Preprocessing.fit(table.assign(few=table["few"] * 1e-20), "target", scaling="standard")
    with pytest.raises(ValueError, match=r"Column 'few' holds 1e\+25, which is too far"):
        preprocessing.transform(table.assign(few=1e25))


def test_text_in_a_numeric_column_raises(table):
    preprocessing = Preprocessing.fit(table, "target")
    with pytest.raises(ValueError, match="'few' should hold numbers, but holds 'many'"):
        preprocessing.transform(table.assign(few=["1", "many"] * 40))
    assert preprocessing.transform(table.assign(few=table["few"].astype(str))).shape == (80, 10)


# ---- categories


def test_categories_become_one_feature_each(table):
    result = features(Preprocessing.fit(table, "target"), table)
    for colour in ("red", "green", "blue"):
        assert result[f"colour = {colour}"].tolist() == (table["colour"] == colour).astype(float).tolist()
    assert result["colour is missing"].tolist() == table["colour"].isna().astype(float).tolist()
    assert result["flag = True"].tolist() == table["flag"].astype(float).tolist()
    assert "flag is missing" not in result


def test_unknown_categories_become_zeros(table):
    preprocessing = Preprocessing.fit(table, "target")
    result = features(preprocessing, table.head(2).assign(colour=["violet", None], flag=[None, True]))
    colours = result.filter(like="colour")
    assert colours.loc[0].sum() == 0
    assert colours.loc[1].tolist() == [0, 0, 0, 1]
    assert result.loc[0, ["flag = False", "flag = True"]].sum() == 0  # no cell of "flag" was missing in training


def test_categories_are_recognised_in_other_dtypes():
    frame = pd.DataFrame({"a": pd.Categorical([1, 2, 1, 2]), "y": [0.1, 0.2, 0.3, 0.4]})
    preprocessing = Preprocessing.fit(frame, "y")
    assert preprocessing.feature_names == ["a = 1", "a = 2"]
    for cells in ([1, 2], [1.0, 2.0], ["1", "2"], pd.Categorical([1, 2])):
        assert preprocessing.transform(pd.DataFrame({"a": cells})).tolist() == [[1, 0], [0, 1]]


def test_useless_columns_are_dropped_with_a_note(table):
    n = len(table)
    extra = {
        "constant": 3,
        "empty": None,
        "same": "x",
        "key": [f"row {k}" for k in range(n)],
        "duration": pd.to_timedelta(np.arange(n), unit="h"),
        "Unnamed: 0": range(n),
    }
    preprocessing = Preprocessing.fit(table.assign(**extra), "target")
    assert preprocessing.feature_names == Preprocessing.fit(table, "target").feature_names
    for name, note in zip(extra, preprocessing.notes[:-1], strict=True):
        assert note.startswith(f"Column {name!r} is left out: ")
        assert note.endswith(".")
    assert preprocessing.notes[-1].startswith("Features of the columns: ")
    preprocessing.transform(table)  # none of them is asked for


NUMBERS = [str(k) for k in range(50)]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([*NUMBERS, *["unknown"] * 9], "Column 'x' is used as categories, because its type is category, although 50"),
        ([*range(50), *["unknown"] * 9], r"50 of its 51 categories are numbers \(not 'unknown'\); if numbers are"),
        ([*range(50), None] * 2, None),  # numbers only: categories by intention
        ([*NUMBERS[:2], "a", "b"] * 3, None),
        (["red", "blue"] * 9, None),
    ],
)
def test_categories_that_are_mostly_numbers_give_a_note(cells, words):
    table = pd.DataFrame({"x": pd.Series(cells, dtype="category")})
    columns, notes, _ = fit_columns(table)
    assert columns[0].kind == "category"
    if words is None:
        assert notes == ()
    else:
        assert re.search(words, " ".join(notes))
        assert fit_columns(table, chosen=["x"])[:2] == (columns, ())


def test_columns_with_too_many_categories_are_dropped():
    n = 600
    frame = pd.DataFrame({"x": range(n), "text": [f"t{k % 256}" for k in range(n)], "y": np.linspace(0, 1, n)})
    assert "256 different texts" in Preprocessing.fit(frame, "y").notes[0]
    frame["text"] = [f"t{k % 255}" for k in range(n)]
    assert len(Preprocessing.fit(frame, "y", scaling="quantile").feature_names) == 256


def test_the_frequent_ones_of_many_categories_are_encoded(rng):
    """An unseen category is encoded as a rare one is, and noted only if most cells are of such categories."""
    cells = ["a"] * 400 + ["b"] * 200 + ["c"] * 16 + [f"rare {k // 2}" for k in range(520)] + [None] * 4
    frame = pd.DataFrame({"text": rng.permutation(np.array(cells, object)), "y": rng.normal(size=len(cells))})
    preprocessing = Preprocessing.fit(frame, "y")
    assert preprocessing.feature_names == ["text = a", "text = b", "text = c", "text is missing"]
    note = (
        "Column 'text' has 263 categories, and the 3 most frequent (in 16 rows or more) are encoded; others are zeros."
    )
    assert preprocessing.notes[:-1] == (note,)
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing
    notes = []
    other = pd.DataFrame({"text": ["a", "rare 1", "new", "a", "c"]})
    features = preprocessing.transform(other, notes=notes)
    assert features.tolist() == [[1, 0, 0, 0], [0] * 4, [0] * 4, [1, 0, 0, 0], [0, 0, 1, 0]]
    assert notes == []
    preprocessing.transform(other[1:3], notes=notes)
    assert [note.is_serious for note in notes] == [False], "rare ones are most cells of the training, too"
    assert "has categories rare or unseen in training in all 2 cells ('rare 1', 'new')" in notes[0].text
    rarer = Preprocessing.fit(frame[~frame["text"].isin(["a", "b"])].copy(), "y")
    assert rarer.feature_names == ["text = c", "text is missing"]
    note, _ = rarer.notes
    assert "has 261 categories, and the 1 most frequent (in 16 rows or more) are encoded, which are in 3 %" in note
    with pytest.raises(ValueError, match="it has 260 different texts, but at most 255 are encoded"):
        Preprocessing.fit(frame[~frame["text"].isin(["a", "b", "c"])].copy(), "y")


@pytest.mark.parametrize(
    "kind, cell_of",
    [
        ("text", lambda k: f"A {'red' if k % 2 else 'blue'} house with {k} rooms"),
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


def test_table_without_a_usable_column_raises():
    with pytest.raises(ValueError, match=r"No column can be used to predict 'y': Column 'a' is left out: all .* equal"):
        Preprocessing.fit(pd.DataFrame({"a": [1, 1, 1], "y": [0.5, 1.5, 2.5]}), "y")
    with pytest.raises(ValueError, match="it has no other column"):
        Preprocessing.fit(pd.DataFrame({"y": [0.5, 1.5, 2.5]}), "y")


def test_missing_columns_raise_and_order_is_ignored(table):
    preprocessing = Preprocessing.fit(table, "target")
    with pytest.raises(ValueError, match=r"lacks columns .*trained on: 'few', 'flag'\. It has: 'skewed'"):
        preprocessing.transform(table.drop(columns=["few", "flag"]))
    shuffled = table.drop(columns="target").assign(more=1)[["more", "flag", "colour", "holes", "few", "skewed"]]
    np.testing.assert_array_equal(preprocessing.transform(shuffled), preprocessing.transform(table))


OTHER_TYPES = {
    "int8": lambda s: s.astype("int8"),
    "float": lambda s: s.astype(float),
    "boolean": lambda s: s.astype("boolean"),
    "Int64": lambda s: s.astype("int64").astype("Int64"),
    "object": lambda s: s.astype(object),
    "text": lambda s: s.astype(str),
    "text in small letters": lambda s: s.astype(str).str.lower(),
    "text of numbers": lambda s: s.astype(float).astype(str),
    "category": lambda s: s.astype("category"),
    "arrow": lambda s: s.astype("bool[pyarrow]"),
    "mixture": lambda s: pd.Series(
        [(bool, int, str, float, np.bool_)[k % 5](v) for k, v in enumerate(s)], dtype=object
    ),
    "array": lambda s: s.to_numpy(object),
}


@pytest.mark.parametrize("other", OTHER_TYPES)
def test_booleans_encode_alike_in_every_type(table, other):
    """Features are equal for any type of the boolean column in training and in prediction."""
    if other == "arrow":
        pytest.importorskip("pyarrow")
    table["few"] = table["flag"].astype(int)  # a column of numbers that arrives as true and false
    preprocessing = Preprocessing.fit(table, "target")
    notes = []
    changed = table.assign(flag=OTHER_TYPES[other](table["flag"]), few=OTHER_TYPES[other](table["flag"]))
    np.testing.assert_array_equal(preprocessing.transform(changed, notes=notes), preprocessing.transform(table))
    assert notes == []
    learned = Preprocessing.fit(table.assign(flag=changed["flag"]), "target")
    changed_again = learned.transform(table.assign(flag=table["flag"].astype(int)), notes=notes)
    if learned.feature_names == preprocessing.feature_names or other == "text of numbers":
        np.testing.assert_array_equal(changed_again, preprocessing.transform(table))
    assert notes == []


def test_a_target_of_lists_is_refused():
    table = pd.DataFrame({"a": [1.0, 2.0], "tags": [["x"], ["x", "y"]]})
    with pytest.raises(ValueError, match="target column 'tags' should hold numbers or classes, but it holds mixed"):
        Preprocessing.fit(table, "tags")


def test_truths_among_numbers_are_missing_as_in_training(rng):
    """In a column of numbers, the text "false" is none, before and after training."""
    cells = [f"{value:.3f}" for value in rng.normal(size=100)]
    cells[3], cells[50] = "false", "True"
    table = pd.DataFrame({"score": cells, "target": rng.normal(size=100)})
    learned, notes = Preprocessing.fit(table, "target"), []
    without = learned.transform(table.assign(score=table["score"].where(~table["score"].isin(["false", "True"]))))
    np.testing.assert_array_equal(learned.transform(table, notes=notes), without)
    assert "holds 'false', 'True'" in notes[0].text or "'false'" in notes[0].text


def test_unseen_categories_give_a_note(table):
    preprocessing = Preprocessing.fit(table, "target")
    notes = []
    preprocessing.transform(table.assign(flag="yes"), notes=notes)
    assert [note.is_serious for note in notes] == [True]
    assert "Column 'flag' has categories unseen in training in all 80 cells ('yes')" in notes[0].text


def test_few_non_numeric_cells_count_as_missing(table):
    """400 numbers with ten "unknown" stay one feature, not 62 categories."""
    table = pd.concat([table] * 5, ignore_index=True)
    table["skewed"] = [*table["skewed"].astype(str)[:-10], *["unknown"] * 10]
    preprocessing = Preprocessing.fit(table, "target", scaling="quantile")
    assert preprocessing.feature_names[:3] == ["skewed", "skewed is missing", "few"]
    note = "Column 'skewed' holds no numbers in 10 of 400 cells ('unknown'), which count as missing."
    assert preprocessing.notes[:-1] == (note,)
    notes = []
    X = preprocessing.transform(table, notes=notes)
    assert X[-10:, :2].tolist() == [[0, 1]] * 10
    assert [note.text for note in notes] == [note]


def test_with_numbers_converts_columns_before_a_split(table):
    """A part of the table without the bad cells would make the column categorical."""
    table["few"] = [*table["few"].astype(str)[:-1], "unknown"]
    whole, notes = with_numbers(table, "target")
    assert notes == ("Column 'few' holds no numbers in 1 of 80 cells ('unknown'), which count as missing.",)
    assert np.flatnonzero(np.isnan(whole["few"])).tolist() == [79]
    assert Preprocessing.fit(whole[:40], "target").feature_names[:2] == ["skewed", "few"]
    assert "few = 1" in Preprocessing.fit(table[:40], "target").feature_names
    assert with_numbers(whole)[0] is whole
    assert with_numbers(table, "few")[0] is table


# ---- target


def test_rows_with_a_non_numeric_target_are_dropped(table):
    expected = Preprocessing.fit(table.iloc[:-1], "target")
    table["target"] = [*table["target"].astype(str)[:-1], "n/a?"]
    rows, notes = rows_with_target(table, "target")
    assert notes == ("The target 'target' holds no numbers in 1 row of 80 ('n/a?'), which is left out.",)
    for part in (rows, table):
        assert Preprocessing.fit(part, "target") == expected
    table["target"] = table["few"].astype(str).replace("4", "other")
    rows, notes = rows_with_target(table, "target")
    assert len(rows) == 80
    assert "The target 'target' is taken for classes, since it holds no numbers in " in notes[0]
    table["target"] = table["skewed"].astype(str)
    _, notes = rows_with_target(table, "target")
    assert notes == ("The target 'target' holds text that is numbers, and is taken for numbers.",)


def test_duplicate_column_names_raise(table):
    twice = pd.concat([table, table[["few"]]], axis=1)
    for use in (lambda: Preprocessing.fit(twice, "target"), lambda: Preprocessing.fit(table, "few").transform(twice)):
        with pytest.raises(ValueError, match="two columns named 'few', columns 2 and 7 of 7"):
            use()


def test_regression_target_is_standardised_and_decoded(table):
    target = Preprocessing.fit(table, "target").target
    y = target.encode(table["target"])
    assert y.shape == (80, 1)
    assert abs(y.mean()) < 1e-12
    assert abs(y.std() - 1) < 1e-12
    np.testing.assert_allclose(target.decode(y)["prediction"], table["target"], rtol=1e-12)


def test_rows_without_target_are_dropped(table):
    table.loc[:9, "target"] = np.nan
    kept, notes = rows_with_target(table, "target")
    assert (len(kept), notes) == (70, ("10 rows whose target 'target' is missing are left out.",))
    assert Preprocessing.fit(table, "target") == Preprocessing.fit(table.iloc[10:], "target")


@pytest.mark.parametrize(
    ("cells", "settings", "words"),
    [
        ([None, None, None], {}, "All cells of the target column 'y' are missing"),
        (["a", "a", "a"], {}, "holds one class only, 'a'"),
        ([1.5, 1.5, 1.5], {}, "is 1.5 in every row"),
        (["a", "b", "c"], {}, "3 different values in 3 rows, too many for classes"),
        (["a", "b", "a"], {"task": "regression"}, "should hold numbers, but holds 'a'"),
        ([1, 2, 1], {"task": "regresion"}, "Unknown task 'regresion'. Did you mean 'regression'?"),
        ([1, 2, 1], {"scaling": "quantil"}, "Unknown numeric_encoding 'quantil'. Did you mean 'quantile'?"),
        (pd.date_range("2020-01-01", periods=3), {}, "should hold numbers or classes, but it holds datetime"),
    ],
)
def test_unusable_targets_raise(cells, settings, words):
    with pytest.raises(ValueError) as caught:
        Preprocessing.fit(pd.DataFrame({"x": [1, 2, 3], "y": cells}), "y", **settings)
    assert words in str(caught.value)


def test_numbers_of_which_most_are_different_are_no_classes():
    table = pd.DataFrame({"x": range(60), "y": [k % 40 for k in range(60)]})
    with pytest.raises(ValueError, match=r"40 different values in 60 rows, too many for classes; .* 'regression'"):
        Preprocessing.fit(table, "y", task="classification")
    table["y"] %= 20
    assert len(Preprocessing.fit(table, "y", task="classification").target.classes) == 20


def test_missing_target_suggests_the_nearest_column(table):
    with pytest.raises(
        ValueError, match=r"no target column 'Targt'\. Did you mean 'target'\? Its columns are: 'skewed'"
    ):
        Preprocessing.fit(table, "Targt")
    with pytest.raises(ValueError, match=r"no target column 'zzz'. Its columns are:"):
        Preprocessing.fit(table, "zzz")


# ---- storing


@pytest.mark.parametrize("target", ["target", "colour", "flag", "few"])
def test_preprocessing_round_trips_through_json(table, target):
    preprocessing = Preprocessing.fit(table, target)
    text = json.dumps(preprocessing.to_dict(), allow_nan=False)
    back = Preprocessing.from_dict(json.loads(text))
    assert back == preprocessing
    np.testing.assert_array_equal(back.transform(table), preprocessing.transform(table))


def test_damaged_descriptions_raise(table):
    def damage(change):
        description = json.loads(json.dumps(good))
        change(description)
        return description

    good = Preprocessing.fit(table, "target").to_dict()
    kinds = [column["kind"] for column in good["columns"]]
    standard, quantile, category = (kinds.index(kind) for kind in ("standard", "quantile", "category"))
    changes = [
        lambda d: d.pop("columns"),
        lambda d: d.pop("target"),
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
    for change in changes:
        with pytest.raises(ValueError, match="preprocessing is damaged"):
            Preprocessing.from_dict(damage(change))
    for foreign in (None, [], "text", {}):
        with pytest.raises(ValueError, match="preprocessing is damaged"):
            Preprocessing.from_dict(foreign)


def test_ids_are_optional_in_files():
    """Files written before ids existed have no such key; damaged ids raise a readable error."""
    table = pd.DataFrame({"x": [1.0, 2.0, 4.0], "price": [1.5, 2.5, 3.25]})
    description = Preprocessing.fit(table, "price").to_dict()
    assert description.pop("ids") == []
    assert Preprocessing.from_dict(description).ids == ()
    assert Preprocessing.from_dict({**description, "ids": ["key"]}).ids == ("key",)
    with pytest.raises(ValueError, match="damaged"):
        Preprocessing.from_dict({**description, "ids": None})


def test_few_rows_of_numbers_are_encoded_as_many_are(rng):
    """A table of few rows is read as one array if it holds finite numbers only, with the same features and errors."""
    k = np.arange(100)
    table = pd.DataFrame({"many": rng.exponential(size=100), "few": k % 7, "flag": k % 2 == 0})
    table.loc[3, "many"] = np.nan
    targets = (table["many"].to_numpy() > 1.0)[:, None].astype(float)
    columns, *_ = fit_columns(table, NumericEncoding("piecewise_linear", 8, targets))
    assert {column.kind for column in columns} == {"piecewise_linear", "standard", "category"}
    for names in (["many", "few"], ["few", "many", "flag"]):
        part = [column for column in columns if column.name in names]
        whole = encode_columns(part, table[names], "float64")
        for k in range(10):
            np.testing.assert_array_equal(encode_columns(part, table[names][k : k + 1], "float64")[0], whole[k])
    bad = table[["many", "few"]][:2].astype(float)
    for cell in (np.inf, -1e31):
        bad.loc[0, "few"] = cell
        with pytest.raises(ValueError, match=r"finite numbers below 1e\+30"):
            encode_columns(columns[:2], bad)


def test_a_column_may_be_named_self():
    """Also the target, and one in which text counts as missing."""
    numbers = [1.5, 2.5, 3.5, 4.5] * 10
    mixed = pd.DataFrame({"self": ["unknown", *numbers[1:]], "y": numbers})
    for target in ("self", "y"):
        rows, _ = rows_with_target(mixed, target)
        table, notes = with_numbers(rows, target)
        assert Preprocessing.fit(table, target).transform(table).shape[0] == len(rows)
        assert ("Column 'self' holds no numbers in 1 of 40 cells" in "".join(notes)) == (target == "y")
