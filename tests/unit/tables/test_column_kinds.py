"""Kinds of columns: which one is chosen, and what all of them do alike. Each has a file of tests of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastmlp.tables.base_column import NotesOfPieces, as_lines
from fastmlp.tables.category_column import CategoryColumn
from fastmlp.tables.date_column import DateColumn
from fastmlp.tables.features import KINDS, column_from_dict, encode_columns, fit_column, fit_columns
from fastmlp.tables.number_columns import PiecewiseLinearColumn, QuantileColumn, StandardColumn

pd = pytest.importorskip("pandas")

EXAMPLES = {
    "standard": StandardColumn("x", 1.5, 2.0, True),
    "quantile": QuantileColumn("x", (0.0, 1.0, 1.0, 4.0), False),
    "piecewise_linear": PiecewiseLinearColumn("x", (0.0, 1.0, 1.0, 4.0), True, (-1.15, 0.0, 1.15)),
    "date": DateColumn("x", 18_000.0, 100.0, ("week", "year"), False, True),
    "category": CategoryColumn("x", ("a", "b"), True, True),
}
CELLS = {  # the second one missing, the third unlike training
    "date": ["2020-01-01", None, "1999-01-01"],
    "category": ["b", None, "c"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder_round_trips_through_json(kind):
    column = EXAMPLES[kind]
    assert column_from_dict(json.loads(json.dumps(column.to_dict()))) == column


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder_fills_its_features(kind):
    cells = CELLS.get(kind, [1.0, None, 1e6])
    out = np.full((3, len(EXAMPLES[kind].feature_names)), np.nan, np.float32)
    EXAMPLES[kind].encode(pd.Series(cells, name="x"), out)
    assert np.isfinite(out).all()


@pytest.mark.parametrize(
    ("cells", "column", "feature", "serious", "words"),
    [
        (["c", "b", None], EXAMPLES["category"], [0, 1, 0], False, "unseen in training in 1 of 3 cells ('c')"),
        (["c", "d", "a"], EXAMPLES["category"], [0, 0, 0], True, "in 2 of 3 cells ('c', 'd'), which are encoded"),
        (["c"], EXAMPLES["category"], [0], True, "unseen in training in its only cell ('c')"),
        ([None] * 10, EXAMPLES["category"], [0] * 10, True, "Column 'x' is missing in all 10 cells."),
        ([None] * 10, EXAMPLES["standard"], [0] * 10, True, "Column 'x' is missing in all 10 cells."),
        ([None, 1.0, 1.0], EXAMPLES["quantile"], [0] * 3, False, "missing in 1 of 3 cells, but in none of training; "),
        ([1.5, "?!", 1.5], EXAMPLES["standard"], [0, 0, 0], True, "holds no numbers in 1 of 3 cells ('?!'), which"),
    ],
    ids=str,
)
def test_values_unseen_in_training_give_notes(cells, column, feature, serious, words):
    out = np.empty((len(cells), len(column.feature_names)), np.float32)
    (note,) = column.encode(pd.Series(cells, name="x", dtype=object), out)
    assert words in note.text
    assert note.is_serious == serious
    if column is EXAMPLES["category"]:
        assert out[:, 1].tolist() == feature
    else:
        np.testing.assert_allclose(out[:, 0], feature, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_values_seen_in_training_give_no_notes(kind):
    column = EXAMPLES[kind]
    cells = [*CELLS.get(kind, [1.5])[:1], *[None] * column.marks_missing]
    assert column.encode(pd.Series(cells, name="x"), np.empty((len(cells), len(column.feature_names)))) == []


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (
            [str(k / 7) for k in range(96)] + ["?!", "?!", "-", "bad"],
            "quantile",
            "in 4 of 100 cells ('?!', '-', 'bad')",
        ),
        (
            ["1", "2", "3", "unknown"] * 25,
            "category",
            "holds no numbers in 25 of 100 cells ('unknown'), and a column of",
        ),
        ([str(k / 7) for k in range(100)], "quantile", "holds numbers as text, and is used as a column of numbers"),
        ([str(k / 7) for k in range(90)] + ["?!"] * 300, "category", ""),
        (
            [f"2020-{k % 12 + 1}-{k % 28 + 1}" for k in range(80)],
            "date",
            "holds dates as text, and is used as a column of dates",
        ),
        (["1.0", "1"], None, "all of its cells are equal"),
    ],
    ids=["few bad", "half bad", "numbers as text", "mostly text", "dates", "one number"],
)
def test_column_kind_of_text_with_numbers(cells, kind, words):
    column, note = fit_column(pd.Series(cells, name="x"))
    assert (column and column.kind) == kind
    assert words in note
    assert bool(words) == bool(note)


# ---- notes


def test_of_notes_of_one_kind_the_first_piece_is_told():
    """Columns whose names share a beginning have kinds of their own."""
    table = pd.DataFrame({"size in cm": np.arange(40.0), "size in kg": np.arange(40.0)})
    said, columns, found = NotesOfPieces(), fit_columns(table).columns, []
    for n_missing in (3, 17):
        notes = []
        encode_columns(columns, table[n_missing:].reindex(range(40)), notes=notes)
        found += said.of_next(40, notes)
    start = "In rows 0 to 40 (later ones are not counted): Column 'size in "
    assert [note.text.removeprefix(start)[:21] for note in found] == ["cm' is missing in 3 o", "kg' is missing in 3 o"]


def test_a_warning_has_a_line_for_each_note_and_not_too_many():
    assert as_lines(["One."], "notes_") == "One."
    lines = as_lines([f"Number {k}." for k in range(12)], "notes_").split("\n")
    assert lines[0] == "12 notes on columns, all of them in notes_:"
    assert lines[1:] == ["  Number 0.", "  Number 1.", "  Number 2.", "  Number 3.", "  ... and 8 more."]
    assert as_lines([f"Number {k}." for k in range(5)], "notes_").endswith("\n  Number 4.")


def test_the_treatment_of_every_kind_of_column_is_told(rng):
    n, sizes = 400, ["small", "medium", "large"]
    table = pd.DataFrame(
        {
            "few distinct": rng.integers(0, 5, n),
            "heavy tail": rng.lognormal(0, 3, n),
            "true or false": rng.random(n) < 0.5,
            "town": rng.choice(["Bonn", "Kiel", "Ulm"], n),
            "sold": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 30_000, n), "h"),
            "size": pd.Categorical(rng.choice(sizes, n), sizes, ordered=True),
            "pair": pd.cut(np.arange(400.0), 2),
        }
    )
    table.loc[::5, "heavy tail"] = np.nan
    table.loc[::9, "town"] = None
    found = fit_columns(table)
    assert not found.notes
    (features,) = found.choices
    assert features == (
        "Features of the columns: standard score ('few distinct'), normal score ('heavy tail'), "
        "one-hot categories ('true or false', 'town', 'size', 'pair'), "
        "score of the time, sine and cosine of its cycles ('sold'), "
        "indicator of missing cells ('heavy tail', 'town')."
    )
