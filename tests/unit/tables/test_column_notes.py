"""Notes on cells of a table that are unlike those of training."""

from fastmlp.tables.column_notes import missing_note


def test_the_kind_of_a_note_has_its_column_and_no_counts():
    """Of each kind, one piece of a table is reported: columns whose names share a beginning have kinds of their own."""
    cells = lambda name, n: missing_note(name, n, 40, False, "0")[0].kind
    assert cells("size in cm", 3) == cells("size in cm", 17)
    assert cells("size in cm", 3) != cells("size in kg", 3)
