"""Notes on cells of a table that are unlike those of training."""

from fastmlp.tables.column_notes import as_lines, missing_note


def test_the_kind_of_a_note_has_its_column_and_no_counts():
    """Of each kind, one piece of a table is reported: columns whose names share a beginning have kinds of their own."""
    cells = lambda name, n: missing_note(name, n, 40, False, "0")[0].kind
    assert cells("size in cm", 3) == cells("size in cm", 17)
    assert cells("size in cm", 3) != cells("size in kg", 3)


def test_a_warning_has_a_line_for_each_note_and_not_too_many():
    assert as_lines(["One."], "notes_") == "One."
    lines = as_lines([f"Number {k}." for k in range(12)], "notes_").split("\n")
    assert lines[0] == "12 notes on columns, all of them in notes_:"
    assert lines[1:] == ["  Number 0.", "  Number 1.", "  Number 2.", "  Number 3.", "  ... and 8 more."]
    assert as_lines([f"Number {k}." for k in range(5)], "notes_").endswith("\n  Number 4.")
