"""Notes on columns: how each is encoded, and warnings of many."""

import numpy as np
import pandas as pd

from fastmlp.tables.base_column import NotesOfPieces, as_lines
from fastmlp.tables.features import encode_columns, fit_columns


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
