"""Columns that hold the target: copies and columns that predict it alone are found, and no others."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from fastmlp.tables.leaks import LEAST_ROWS_OF_COPIES, MIN_ROWS, lone_columns, target_leaks_note

N = 600


@pytest.fixture
def table(rng):
    return pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N), "kind": rng.choice(["x", "y", "z"], N)})


# ---- copies


@pytest.mark.parametrize("target", ["a", "kind"])
def test_columns_that_equal_the_target_are_found(table, target):
    y = table[target].to_numpy(copy=True)
    expected = f"The inputs should not hold the target, but {target!r} equals it in every row: leave such columns out."
    assert target_leaks_note(table, y, target == "kind") == expected
    more = table.assign(more=table[target].astype("category"))
    assert f"target 'y', but {target!r}, 'more' equal it" in target_leaks_note(
        more, y, target == "kind", called="target 'y'"
    )
    assert target_leaks_note(table, y, target == "kind", without=target) == ""
    table.loc[N // 2 + 1, target] = np.nan
    assert "equal" not in target_leaks_note(table, y, target == "kind"), "one cell is another"


def test_few_rows_and_constant_targets_and_other_cells_are_no_copies(table):
    few = table[: LEAST_ROWS_OF_COPIES - 1]
    assert target_leaks_note(few, few["a"].to_numpy(), False) == ""
    assert target_leaks_note(table.assign(same=1.0), np.ones(N), False) == ""
    odd = table.assign(lists=[[k] for k in range(N)], days=pd.Timestamp("2020-01-01"), arrays=[np.arange(2)] * N)
    odd["missing"] = pd.array([pd.NA, *range(1, N)], dtype="Int64") % 7
    assert target_leaks_note(odd, np.arange(N) % 7, False) == ""
    assert target_leaks_note(odd, np.array(["x", "y"] * (N // 2)), True) == ""


# ---- columns that predict the target alone


@pytest.mark.parametrize(
    "code",
    [
        lambda kind: kind.map({"x": 0, "y": 1, "z": 2}),
        lambda kind: kind.map({"x": 7.5, "y": -1.0, "z": 3.0}),
        lambda kind: kind.map({"x": "u", "y": "v", "z": "w"}),
        lambda kind: kind.map({"x": "u", "y": "v", "z": "w"}).astype("category"),
        lambda kind: kind.map({"x": "u", "y": "v", "z": "w"}) + pd.Series(np.arange(N) % 5).astype(str),
    ],
    ids=["numbers", "fractions", "text", "categories", "finer categories"],
)
def test_classes_under_other_names_are_found(table, code):
    others = table[["a", "b"]].assign(code=code(table.kind))
    assert lone_columns(others, table.kind.to_numpy(), True) == ["code"]
    missing = others.assign(code=others.code.where(np.arange(N) % 5 > 0))
    assert lone_columns(missing, table.kind.to_numpy(), True) == []


@pytest.mark.parametrize("change", [np.exp, lambda y: 3.0 * y + 1.0, lambda y: -(y**3), lambda y: np.round(y, 3)])
def test_numbers_in_other_units_are_found(table, change):
    y = (table.a + table.b).to_numpy()
    assert lone_columns(table.assign(other=change(y)), y, False) == ["other"]


def test_the_number_of_a_row_in_a_sorted_table_is_found(table, rng):
    y = rng.permutation(np.tanh(table.a + table.b))
    by_classes = table.sort_values("kind", ignore_index=True).assign(row=np.arange(N))
    assert lone_columns(by_classes.drop(columns="kind"), by_classes.kind.to_numpy(), True) == ["row"]
    by_numbers = table.iloc[np.argsort(y)].assign(row=np.arange(N))
    assert lone_columns(by_numbers, np.sort(y), False) == ["row"]
    assert lone_columns(table.assign(row=np.arange(N)), y, False) == []


def test_ids_and_good_predictors_are_not_found(table, rng):
    y = (table.a + table.b).to_numpy()
    others = table.assign(
        ids=[f"id {k}" for k in range(N)],
        number=rng.permutation(N),
        near=y + 0.1 * rng.normal(size=N),
        lists=[[k] for k in range(N)],
        day=pd.date_range("2020-01-01", periods=N),
    )
    assert lone_columns(others, y, False) == []
    assert lone_columns(others, np.where(y > 0, "yes", "no"), True) == []


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_diabetes])
def test_real_tables_have_none(load):
    data = load(as_frame=True)
    assert target_leaks_note(data.data, data.target.to_numpy(), load is not load_diabetes) == ""


def test_few_rows_rare_classes_and_single_columns_say_nothing(table):
    y = np.arange(N) % 3
    codes = table.assign(code=y)
    assert lone_columns(codes[: MIN_ROWS - 1], y[: MIN_ROWS - 1], True) == []
    assert lone_columns(codes.assign(code=np.arange(N) < 9), np.arange(N) < 9, True) == []
    assert lone_columns(codes[["code"]], y, True) == []
    assert lone_columns(codes, np.ones(N), False) == []
    assert lone_columns(codes, np.arange(N).astype(str), True) == []


def test_sentences(table, rng):
    y = rng.random(N)
    table = table.assign(a=y)
    expected = "The inputs should not hold the target, but 'a' equals it in every row: leave such columns out."
    assert target_leaks_note(table, y, False) == expected
    assert "but 'a', 'c' equal it" in target_leaks_note(table.assign(c=y), y, False)
    assert target_leaks_note(table, 3.0 * y + 1.0, False) == (
        "The column 'a' alone predicts the target (nearly) perfectly, also in rows that were held out: leave it out "
        "if it is the target under another name, or numbers of rows in an order that depends on the target."
    )
    found = target_leaks_note(table.assign(c=-y), 3.0 * y + 1.0, False, called="target 'y'")
    assert found.startswith("Each of the columns 'a', 'c' alone predicts target 'y'")
