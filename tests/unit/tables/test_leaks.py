"""Columns that hold the target are found, and no others."""

import numpy as np
import pandas as pd
import pytest

from fastmlp.tables.leaks import LEAST_ROWS_OF_COPIES, target_leaks_note

N = 600


@pytest.fixture
def table(rng):
    return pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N), "kind": rng.choice(["x", "y", "z"], N)})


@pytest.mark.parametrize("target", ["a", "kind"])
def test_columns_that_equal_the_target_are_found(table, target):
    y = table[target].to_numpy(copy=True)
    expected = f"The inputs should not hold the target, but {target!r} equals it in every row: leave such columns out."
    assert target_leaks_note(table, y) == expected
    more = table.assign(more=table[target].astype("category"))
    assert f"target 'y', but {target!r}, 'more' equal it" in target_leaks_note(more, y, called="target 'y'")
    assert target_leaks_note(table, y, without=target) == ""
    table.loc[N // 2 + 1, target] = np.nan
    assert target_leaks_note(table, y) == "", "one cell is another"


def test_few_rows_and_constant_targets_and_other_cells_are_no_copies(table):
    few = table[: LEAST_ROWS_OF_COPIES - 1]
    assert target_leaks_note(few, few["a"].to_numpy()) == ""
    assert target_leaks_note(table.assign(same=1.0), np.ones(N)) == ""
    odd = table.assign(lists=[[k] for k in range(N)], days=pd.Timestamp("2020-01-01"), arrays=[np.arange(2)] * N)
    odd["missing"] = pd.array([pd.NA, *range(1, N)], dtype="Int64")
    assert target_leaks_note(odd, np.arange(N)) == ""
    assert target_leaks_note(odd, np.array(["x", "y"] * (N // 2))) == ""
