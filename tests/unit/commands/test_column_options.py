"""Selection of feature columns. Errors of the command are tested in commands/test_cli.py."""

from __future__ import annotations

import pytest

from fastmlp.commands.column_options import select_columns

pd = pytest.importorskip("pandas")
TABLE = pd.DataFrame({name: [1, 2] for name in ("id", "Size", "a,b", "age", "price")})


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, ["id", "Size", "a,b", "age", "price"]),
        ({"drop": ("age", "id")}, ["Size", "a,b", "price"]),
        ({"keep": ("age",)}, ["age", "price"]),
        ({"keep": ("a,b", "age")}, ["a,b", "age", "price"]),
        ({"ids": ("id",)}, ["Size", "a,b", "age", "price"]),
        ({"ids": ("id",), "drop": ("id", "age")}, ["Size", "a,b", "price"]),
    ],
)
def test_selected_columns_keep_their_order(options, left):
    assert list(select_columns(TABLE, "price", **options)) == left


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"drop": ("size",)}, "no --drop column 'size'. Did you mean 'Size'?"),
        ({"keep": ("Size, age",)}, "--keep takes one column at a time, but it is 'Size, age': give --keep 'Size' --ke"),
        ({"ids": ("price",)}, "'price' is the target column, which cannot be an input: leave it out of --id"),
        ({"drop": ("age",), "keep": ("Size",)}, "give one of them"),
        ({"ids": ("id",), "keep": ("id",)}, "An id column is not used as an input, but 'id'"),
        ({"drop": ("id", "Size", "a,b", "age")}, "No column is left to predict 'price' from"),
    ],
)
def test_invalid_selections_raise(options, words):
    with pytest.raises(ValueError) as caught:
        select_columns(TABLE, "price", **options)
    assert words in str(caught.value)
