"""Columns of text: which n-grams become features, which columns are text, and what is said of other texts."""

from collections import Counter
from uuid import UUID

import numpy as np
import pytest

from fastmlp.tables import text_column
from fastmlp.tables.features import fit_column, fit_columns
from fastmlp.tables.number_columns import NumericEncoding
from fastmlp.tables.preprocessing import column_from_dict
from fastmlp.tables.table_summary import TableSummary
from fastmlp.tables.text_column import MOST_NGRAMS, fit_text, is_running_text, ngrams_of, parts_of, words_of

pd = pytest.importorskip("pandas")

RANDOM = np.random.default_rng(0)
COLOURS, THINGS = ["red", "blue", "green"], ["car", "house", "bicycle"]


def texts(n=300, seed=0):
    """Return n different texts, of which a third each has a colour and a third each a thing."""
    rng = np.random.default_rng(seed)
    pick = lambda words: [words[k] for k in rng.integers(0, 3, n)]
    pairs = zip(pick(COLOURS), pick(THINGS), strict=True)
    return [f"A {colour} {thing}, number {k}." for k, (colour, thing) in enumerate(pairs)]


def random_words():
    """Return 300 texts of three words each, of which none is in many."""
    letters = np.random.default_rng(0).integers(97, 123, (300, 3, 3)).tolist()
    return [" ".join("".join(map(chr, word)) for word in cell) for cell in letters]


def fitted(cells, **settings):
    return fit_column(pd.Series(cells, name="title"), NumericEncoding(**settings))


def features_of(column, cells):
    out = np.full((len(cells), len(column.feature_names)), np.nan, np.float32)
    notes = column.encode(pd.Series(cells, name="title", dtype=object), out)
    return pd.DataFrame(out, columns=column.feature_names), notes


# ---- features


def test_a_feature_is_1_where_a_cell_has_the_word():
    column, note = fitted(texts())
    assert (column.kind, note, column.share) == ("text", "", 1.0)
    found, notes = features_of(column, ["RED: cars and bicycles", "a blue house", None, "the house is Blue"])
    assert found["title has 'red'"].tolist() == [1, 0, 0, 0]
    assert found["title has 'blue'"].tolist() == [0, 1, 0, 1]
    assert found["title has 'blue house'"].tolist() == [0, 1, 0, 0], "a pair of words in this order"
    assert found["title has '~<bi'"].tolist() == [1, 0, 0, 0], "a part of a word that is new"
    assert found.iloc[2].tolist() == [0] * len(found.columns)
    assert len(notes) == 1, "training had no missing cell"
    assert not [name for name in found if name.removeprefix("title has ").strip("'").isdigit()], "of one row each"
    marked, _ = fitted([*texts(), None, "n/a"])
    found, notes = features_of(marked, ["a red car", None])
    assert (found["title is missing"].tolist(), notes) == ([0, 1], [])


def test_every_cell_has_the_features_of_its_n_grams(monkeypatch):
    monkeypatch.setattr(text_column, "BUCKETS", 1024)  # so that some n-grams share a bucket
    monkeypatch.setattr(text_column, "_buckets_of_word", text_column._buckets_of_word.__wrapped__)  # without its cache
    cells = texts()
    column = fit_text("title", Counter(cells), False)
    found, _ = features_of(column, cells)
    for row, cell in enumerate(cells):
        expected = [ngram in ngrams_of(cell) for ngram in column.ngrams]
        assert found.iloc[row, : len(expected)].tolist() == expected


def test_n_grams_are_those_with_the_most_varying_presence(monkeypatch):
    rows = [f"always {'often' if k % 2 else 'seldom'} {'rare' if k < 20 else 'other'} {k}x" for k in range(400)]
    column = fit_text("x", Counter(rows), False)
    assert {"often", "seldom", "rare", "always often"} <= set(column.ngrams)
    assert "always" not in column.ngrams, "in all rows"
    many = [" ".join(f"w{(7 * k + 11 * j) % 997}" for j in range(80)) for k in range(500)]
    column = fit_text("x", Counter(many), False)
    n_parts = sum(ngram.startswith("~") for ngram in column.ngrams)
    assert (len(column.ngrams) - n_parts, n_parts) == MOST_NGRAMS
    assert list(column.ngrams) == sorted(column.ngrams)
    column = fit_text("x", Counter({"red car": 20, "blue car": 20, "green house": 3}), False)
    assert {"red", "blue"} <= set(column.ngrams), "counts of equal texts are added up"
    assert not {"green", "car"} & set(column.ngrams), "in 3 cells, and in all but 3"
    monkeypatch.setattr(text_column, "MOST_TEXTS", 100)
    assert {"red", "blue", "green"} <= set(fit_text("x", Counter(texts(1000)), False).ngrams), "of some of many texts"


AWKWARD = {
    "empty": "",
    "no words": "...",
    "German": "ÄRGER über 3,5 %",
    "Japanese": "日本語のテキスト",
    "surrogate": "\ud800 lone surrogate",
    "long": "x" * 10_000,
}


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_any_text_has_n_grams(text):
    assert set(words_of(text)) <= ngrams_of(text)
    assert fit_text("x", {text: 20, "another text": 20, "third": 20}, False) is not None


def test_parts_are_those_of_longer_words_and_words_those_of_a_bounded_cell():
    assert parts_of("red") == parts_of("x" * 65) == frozenset()
    assert parts_of("reds") == {"~<re", "~red", "~eds", "~ds>"}
    assert len(words_of("word " * 1000)) == text_column.MOST_WORDS


# ---- which columns are text


@pytest.mark.parametrize(
    "cells, kind",
    [
        ([f"{text} {k}" for k, text in enumerate(texts())], "text"),
        ([f"row {k}" for k in range(300)], None),
        ([f"{k} {k + 1} {k + 2}" for k in range(300)], None),
        (random_words(), None),
        (texts()[:40] * 10, "category"),
        ([f"{k % 28 + 1}.{k % 12 + 1}.2020 at noon" for k in range(300)], "category"),
        ([*["the usual red car"] * 400, *texts(300)], "category"),
        ([str(UUID(bytes=RANDOM.bytes(16), version=4)) for _ in range(1000)], None),
        ([RANDOM.bytes(6).hex(":") for _ in range(1000)], None),
        ([RANDOM.bytes(8).hex(" ") for _ in range(1000)], None),
        ([f"{text.split()[1]}.{text.split()[2]}{k}@mail.com" for k, text in enumerate(texts())], None),
    ],
    ids=[
        *("text", "two words", "numbers", "rare words", "few texts", "dates", "one frequent text"),
        *("UUIDs", "MAC addresses", "bytes", "e-mail addresses"),
    ],
)
def test_columns_of_running_text(cells, kind):
    column, _ = fitted(cells)
    assert (column and column.kind) == kind
    assert fitted(cells, texts=())[0] is None or kind == "category", "forbidden"


@pytest.mark.parametrize(
    "counts, is_text",
    [
        ({"an old car": 5, "a": 5}, True),
        ({"an old car": 5, "a": 6}, False),
        ({"car 1 2": 5}, False),
        ({"a b c": 5}, False),
        ({"an-old-car": 5}, False),
        ({}, False),
        ({"an old car": 1, "NaN": 10}, True),
    ],
)
def test_running_text_has_several_words_of_letters_in_half_of_the_cells(counts, is_text):
    assert is_running_text(counts) == is_text


def test_named_columns_are_text_whatever_their_cells():
    cells = ["red car", "blue car", "red house"] * 30
    column, note = fitted(cells, texts=("title",))
    assert (column.kind, note) == ("text", "")
    assert fitted(cells)[0].kind == "category"
    column, note = fitted([f"x{k}" for k in range(90)], texts=("title",))
    assert column is None
    assert note == "Column 'title' is left out: no word of its text is in 16 rows, and not in as many."
    with pytest.raises(ValueError, match="'title' is named as one of text, but"):
        fitted([1.0, 2.0, 3.0], texts=("title",))
    with pytest.raises(ValueError, match="'name' is named as a column of text, but no column of inputs"):
        fit_columns(pd.DataFrame({"title": cells}), NumericEncoding(texts=("name",)))


@pytest.mark.parametrize("named", [None, ("title",)], ids=["auto", "named"])
@pytest.mark.slow
def test_words_of_sorted_pieces_are_those_of_all_rows(named):
    colours = np.repeat(["red", "blue", "green", "white"], 7_000)
    table = pd.DataFrame({"title": [f"A {colour} car of lot {k}" for k, colour in enumerate(colours)]})
    summary = TableSummary(0, 2**30)
    for piece in np.split(np.arange(len(table)), 4):
        summary.add(table.iloc[piece], piece)
    sample, _ = summary.sample()
    (column,) = summary.fit_columns(sample, NumericEncoding(texts=named)).columns
    assert {"red", "blue", "green", "white"} <= set(column.ngrams)


# ---- notes and files


def test_words_that_training_had_not_are_told_of():
    column, _ = fitted(texts())
    foreign = ["ein Auto ohne Farbe"] * 12
    notes = features_of(column, foreign + texts(5))[1]
    assert [note.is_serious for note in notes] == [True]
    assert "Column 'title' has no word that training had in 12 of 17 cells." in notes[0].text
    assert features_of(column, foreign + texts(20))[1] == []
    assert features_of(column, foreign[:3])[1] == [], "too few cells to tell"


@pytest.mark.parametrize("damage", [{"ngrams": ["a", "a"]}, {"ngrams": [1]}, {"std": 0.0}, {"share": 2.0}])
def test_damaged_descriptions_are_refused(damage):
    column, _ = fitted(texts())
    with pytest.raises(ValueError, match="column 'title' needs"):
        column_from_dict(column.to_dict() | damage)
