"""Columns of the inputs that hold the target: copies are found, and columns of the same name for another reason not."""

import numpy as np
import pandas as pd
import pytest

from fastmlp.tables.target_copies import MIN_ROWS, target_copies, target_copies_note

N = 300


@pytest.fixture
def table(rng):
    price = rng.lognormal(12, 1, N)
    return pd.DataFrame({"price": price, "area": rng.normal(size=N), "kind": rng.choice(["a", "b", "c"], N)})


@pytest.mark.parametrize("target", ("price", "kind"))
@pytest.mark.parametrize("name", (None, "price", "something else"))
def test_columns_that_equal_the_target_are_found_whatever_their_names(table, target, name):
    y = table[target].to_numpy()
    assert target_copies(table, y, name) == ([target], [])
    copied = table.assign(more=table[target].astype("category"))
    assert target_copies(copied, y, name) == ([target, "more"], [])


def test_one_other_or_missing_cell_makes_another_column(table):
    y = table["price"].to_numpy(copy=True)
    for cell in (np.nan, 1.0):
        table.loc[N // 2 + 1, "price"] = cell
        assert target_copies(table, y) == ([], [])


@pytest.mark.parametrize(
    "derived",
    (
        np.log,
        lambda price: -price,
        lambda price: price > price.median(),
        lambda price: np.where(price > price.median(), "a dear one", "cheap"),
        lambda price: pd.cut(price, [0, 1e5, 2e5, np.inf], labels=["low", "mid", "high"]).astype(object),
    ),
)
def test_a_column_named_like_the_target_that_determines_it_is_found(table, derived):
    y = np.asarray(derived(table["price"]))
    assert target_copies(table, y, "price") == ([], ["price"])
    assert target_copies(table, y, "y") == ([], [])


def test_classes_as_numbers_beside_classes_as_text_of_the_same_name(table):
    y = table["kind"].map({"a": 2, "b": 0, "c": 1}).to_numpy()
    assert target_copies(table, y, "kind") == ([], ["kind"])


def test_a_column_of_the_same_name_may_be_of_another_day(table):
    for name in ("price", "kind"):
        y = table[name].shift(-1)[:-1].to_numpy()
        assert target_copies(table[:-1], y, name) == ([], [])


def test_rare_classes_are_told_apart_by_the_rows_that_are_looked_at_first(rng, monkeypatch):
    n = 20_000
    table = pd.DataFrame((rng.random((n, 20)) < 0.001).astype(int)).rename(columns=str)
    y = table["7"].to_numpy()
    looked_at = []
    are_equal = lambda column, y: looked_at.append(len(y)) or np.array_equal(column, y)
    monkeypatch.setattr("fastmlp.tables.target_copies._are_equal", are_equal)
    assert target_copies(table, y) == (["7"], [])
    assert looked_at.count(n) == 1


def test_few_rows_and_a_constant_target_say_nothing(table):
    few = table[: MIN_ROWS - 1]
    assert target_copies(few, few["price"].to_numpy(), "price") == ([], [])
    assert target_copies(table.assign(same=1.0), np.ones(N), "same") == ([], [])


def test_cells_that_are_neither_text_nor_numbers_are_no_copies(table):
    odd = table.assign(lists=[[k] for k in range(N)], days=pd.Timestamp("2020-01-01"), arrays=[np.arange(2)] * N)
    odd["missing"] = pd.array([pd.NA, *range(1, N)], dtype="Int64")
    assert target_copies(odd, np.arange(N), "lists") == ([], [])
    assert target_copies(odd, np.array(["x", "y"] * (N // 2)), "days") == ([], [])


def test_sentences(table):
    y = table["price"].to_numpy()
    assert target_copies_note(table, np.arange(N) % 3) == ""
    assert target_copies_note(table, y) == (
        "The inputs should not hold the target, but 'price' equals it in every row: leave such columns out."
    )
    related = table.assign(cost=np.log(y), expense=np.log(y))
    assert target_copies_note(related, np.log(y), "price") == (
        "The inputs should not hold the target, but 'cost', 'expense' equal it in every row and 'price', which has its "
        "name, determines it in every row: leave such columns out."
    )


@pytest.mark.parametrize("state", ([0] * 60, [0] * 20 + [1] * 40, [0] * 30 + [1] * 30))
def test_a_column_that_does_not_determine_the_target_is_no_copy(state):
    """Of the same name, as the state of yesterday: constant, or with rows of both targets."""
    y = np.repeat([0, 1, 2], 20) if sum(state) == 30 else np.repeat([0, 1], [40, 20])
    assert target_copies(pd.DataFrame({"state": state}), y, "state") == ([], [])


def test_a_column_that_is_left_out_is_not_looked_at(table):
    y = table["price"].to_numpy()
    assert target_copies(table, y, without="price") == ([], [])
