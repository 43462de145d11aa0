"""Mistakes in tables that estimators read piece by piece: sentences, with the rows or the file that are to blame."""

import os

import numpy as np
import pytest
from executor_cases import InPlace
from large_tables import INPUTS, LIMIT, N, Pieces, classifier

pd = pytest.importorskip("pandas", reason="tables are data frames of pandas")
pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")
pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")

from fastmlp import TabularMLPClassifier  # noqa: E402  # needs scikit-learn


@pytest.mark.thinned(2)
@pytest.mark.slow
@pytest.mark.parametrize(
    "settings, arguments, message",
    [
        ({"quality": "best", "n_nets": "auto"}, {}, "n_folds above 1 .quality='best'. cannot be used"),
        ({"class_weight": "balanced"}, {}, "class_weight cannot be used"),
        ({"tune": 2, "class_weight": "balanced"}, {}, "class_weight and tune cannot be used"),
        ({"warm_start": True}, {}, "warm_start cannot be used"),
        ({}, {"sample_weight": np.ones(N)}, "sample_weight cannot be used"),
        ({}, {"memory_limit": "much"}, "memory_limit must be"),
        ({}, {"row_cache": 3}, "row_cache must be the path"),
        ({"n_nets": 2}, {"executor": InPlace()}, "executor cannot be used"),
    ],
)
def test_what_needs_all_rows_in_memory_is_refused(settings, arguments, message, path):
    with pytest.raises(ValueError, match=message):
        classifier(**settings).fit(path, "kind", **{"memory_limit": LIMIT, **arguments})


def test_wrong_names_and_missing_targets_are_refused(table, path):
    for source in (path, table):
        with pytest.raises(ValueError, match=r"Unknown column 'kinds'. Did you mean 'kind'\?"):
            classifier().fit(source, "kinds")
    y = table.kind.copy()
    y[[3, 20_000]] = None
    with pytest.raises(ValueError, match=r"In rows 0 to 7,000 .*: The target 'y' is missing in 1 row"):
        classifier().fit(Pieces(table[INPUTS], y), None, memory_limit=LIMIT)
    with pytest.raises(ValueError, match="y is None, but the source has no targets"):
        classifier().fit(path, None, memory_limit=LIMIT)
    with pytest.raises(ValueError, match="Feature names unseen at fit time"):
        classifier(max_iter=1).fit(path, "kind", memory_limit=LIMIT).predict(path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        classifier().fit("absent.parquet", "kind")


def test_cells_that_cannot_be_used_are_named(table):
    X = table[INPUTS].copy()
    X.loc[20_000, "a"] = np.inf
    with pytest.raises(ValueError, match=r"In rows 14,000 to 21,000 .*Column 'a' should hold finite numbers"):
        classifier().fit(Pieces(X, table.kind), None, memory_limit=LIMIT)


def test_errors_that_concern_all_rows_name_none(table, path):
    y = table.kind
    for source, target, settings, message in (
        (path, None, {}, "y is None, but the source has no targets"),
        (path, "kind", {"categorical_features": ["colours"]}, "categorical_features names 'colours'"),
        (path, "kinds", {}, "Unknown column 'kinds'"),
        (path, y[:9], {}, f"y has 9 samples, but X has {N:,}"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            classifier(**settings).fit(source, target, memory_limit=LIMIT)
    pairs = [(table[INPUTS][:9], y[:9]), (table[INPUTS][:9].drop(columns="b"), y[:9]), (table[INPUTS][:9], None)]
    for others, message in ((pairs[1:2], "Feature names seen at fit time, yet now missing"), (pairs[2:], "y is None")):
        with pytest.raises(ValueError, match=rf"(?s)^In rows 9 to 18 of .*: .*{message}"):
            classifier().fit(mixed_pieces(pairs[:1] + others), None, memory_limit=LIMIT)


@pytest.mark.full
def test_errors_of_a_folder_name_the_file(table, tmp_path):
    parts = [table[[*INPUTS, "kind"]][i : i + 500].reset_index(drop=True) for i in range(0, 1500, 500)]
    few, many = parts[1].astype({"a": object}), parts[1].astype({"a": str})
    few.loc[7, "a"] = "unknown"

    def fit(second, expected=None):
        for k, part in enumerate((parts[0], second, parts[2])):
            part.to_parquet(tmp_path / f"part-{k}.parquet")
        return classifier(max_iter=1).fit(tmp_path, "kind", memory_limit="100MB")

    name = r"'[^']*part-1.parquet'"
    with pytest.raises(ValueError, match=rf"In {name}: All pieces must have .* but one lacks 'b' and has 'd' besi"):
        fit(parts[1].rename(columns={"b": "d"}))
    with pytest.raises(ValueError, match=rf"In rows 0 to 500 of {name} .*: Column 'b' .* cells of another type in"):
        fit(parts[1].assign(b=pd.Timestamp("2020-01-01")))
    with pytest.warns(UserWarning, match=r"Column 'a' is left out: .* no numbers in \d+ of \d+ cells .'many'"):
        fit(parts[1].assign(a="many"))
    with pytest.raises(ValueError, match=rf"In rows 0 to 500 of {name} .*: Column 'a' should hold finite numbers"):
        fit(parts[1].assign(a=np.inf))
    with pytest.warns(UserWarning, match="Column 'a' holds no numbers in 1 of 1500 cells .'unknown'"):
        fit(few.astype({"a": str}))
    assert fit(many).columns_[0].name == "a"


def mixed_pieces(pairs):
    source = Pieces([], [])
    source.pieces = pairs
    return source


@pytest.mark.slow
def test_a_generator_that_does_not_fit_is_refused(table):
    with pytest.raises(ValueError, match="had 40,000 rows in the first pass and 0 in the second"):
        classifier().fit(iter(Pieces(table[INPUTS], table.kind)), None, memory_limit=LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("changes", ["inputs", "labels"])
def test_a_file_that_changes_is_refused(changes, table, tmp_path, monkeypatch):
    table[INPUTS].to_parquet(tmp_path / "inputs.parquet")
    table[["kind"]].to_parquet(tmp_path / "labels.parquet")
    encode = TabularMLPClassifier._encode

    def changing(self, y):
        os.utime(tmp_path / f"{changes}.parquet", ns=(1, 1))
        return encode(self, y)

    monkeypatch.setattr(TabularMLPClassifier, "_encode", changing)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(ValueError, match=f"{changes}.parquet' has changed while it was read"):
        classifier().fit(tmp_path / "inputs.parquet", tmp_path / "labels.parquet", memory_limit=LIMIT)
    assert not list(tmp_path.glob("rows-*")), "nothing is left on disk"


@pytest.mark.filterwarnings("ignore:Column 'a' holds no numbers")
def test_text_in_a_piece_is_refused_if_it_is_in_half_of_all_rows(table):
    """As in memory: in predictions, scores, held-out rows and notes."""
    rows, y = table[:3_000], table.kind[:3_000]
    few, many = rows[INPUTS].astype({"a": object}), rows[INPUTS].astype({"a": object})
    few.loc[1_000:1_999, "a"] = "unknown"
    many.loc[1_000:, "a"] = "unknown"
    pieces = lambda frame: (frame[i : i + 500] for i in range(0, 3_000, 500))
    with_targets = lambda frame: Pieces(frame, y, 500)
    model = classifier(max_iter=1).fit(rows[INPUTS], y)
    np.testing.assert_array_equal(model.predict(pieces(few)), model.predict(few))
    assert model.score(with_targets(few)) == pytest.approx(model.score(few, y))
    assert model.notes_on(pieces(few))
    classifier(max_iter=1).fit(rows[INPUTS], y, validation_data=(with_targets(few), None))
    refusal = pytest.raises(ValueError, match="Column 'a' should hold numbers, but holds 'unknown' in 2000 of 3000")
    with refusal:
        model.predict(pieces(many))
    with refusal:
        model.score(with_targets(many))
    with refusal:
        model.notes_on(pieces(many))
    with refusal:
        classifier(max_iter=1).fit(rows[INPUTS], y, validation_data=(with_targets(many), None))
