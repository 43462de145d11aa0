"""The input embedding of nets, as the columns of a table ask for it."""

from dataclasses import replace

import pytest

from fastmlp import CategoryEmbedding, PiecewiseLinearEmbedding
from fastmlp.tables.embedded_columns import PERIODIC_EMBEDDING, embedding_notes, input_embedding_of
from fastmlp.tables.encoder_choice import (
    CategoryColumn,
    DateColumn,
    PeriodicColumn,
    PiecewiseLinearColumn,
    StandardColumn,
)

NUMBER = PeriodicColumn("size", (0.0, 1.0), True)
PLAIN = StandardColumn("age", 0.0, 1.0, False)
DATE = DateColumn("day", 0.0, 1.0, ("week",), False, True)  # time, six waves and a mark
COLOUR = CategoryColumn("colour", ("blue", "red"), True, True, vector_size=8)
ONE_HOT = CategoryColumn("garden", ("no", "yes"), False, True)
PLAIN_BINS = PiecewiseLinearColumn("area", (0.0, 1.0), True, (-1.0, 0.0, 0.5, 1.0))  # a score, three bins and a mark
BINS = replace(PLAIN_BINS, vector_size=16)


def periodic(n_inputs):
    return replace(PERIODIC_EMBEDDING, n_inputs=n_inputs)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([NUMBER], [periodic(2)]),
        ([NUMBER, DATE, PLAIN], [periodic(11)]),
        (
            [COLOUR, COLOUR, DATE, NUMBER, COLOUR],
            [*[CategoryEmbedding(3, 8)] * 2, periodic(10), CategoryEmbedding(3, 8)],
        ),
        ([NUMBER, ONE_HOT], [periodic(4)]),
        ([PLAIN, DATE, COLOUR, ONE_HOT], [9, CategoryEmbedding(3, 8), 2]),
        ([PLAIN, DATE, ONE_HOT], None),
        ([PLAIN, PLAIN_BINS], None),
        (
            [PLAIN, BINS, BINS, COLOUR, PLAIN_BINS],
            [1, *[PiecewiseLinearEmbedding(5, 16)] * 2, CategoryEmbedding(3, 8), 5],
        ),
        ([], None),
    ],
)
def test_embedding_of_columns(columns, expected):
    assert input_embedding_of(columns) == expected
    if expected:
        inputs = [entry if isinstance(entry, int) else entry.n_inputs for entry in expected]
        assert sum(inputs) == sum(len(column.feature_names) for column in columns)


def test_notes_say_what_became_of_each_column():
    periodic, vectors = embedding_notes([NUMBER, DATE, COLOUR])
    assert "each feature as 4 numbers by 16 cosines: 'size' (2 features), 'day' (8 features)." in periodic
    assert vectors == "The nets embed categories as trained vectors: 'colour' (3 values as 8 numbers)."
    assert embedding_notes([PLAIN, COLOUR]) == (vectors,)
    assert embedding_notes([PLAIN, ONE_HOT]) == ()
    vectors_too, bins = embedding_notes([BINS, COLOUR, PLAIN_BINS])
    assert vectors_too == vectors
    assert bins.endswith("as trained piecewise linear functions: 'area' (5 features as 16).")
    (many,) = embedding_notes([PeriodicColumn(f"x{k}", (0.0, 1.0), False) for k in range(25)])
    assert many.endswith("'x19' (1 feature) and 5 more.")


def test_sizes_of_vectors_are_checked():
    with pytest.raises(ValueError, match="the size of its embedding"):
        replace(BINS, vector_size=-1)
    with pytest.raises(ValueError, match="the size of its vectors"):
        CategoryColumn("x", ("a",), True, True, vector_size=-1)
