"""Mistakes in tables that estimators read piece by piece: sentences, with the rows that are to blame."""

import os

import numpy as np
import pytest
from large_tables import INPUTS, LIMIT, N, Pieces, classifier

pd = pytest.importorskip("pandas", reason="tables are data frames of pandas")
pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")
pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")

from fastmlp import TabularMLPClassifier  # noqa: E402  # needs scikit-learn


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings, arguments, message",
    [
        ({"quality": "best", "n_nets": "auto"}, {}, "n_folds above 1 .quality='best'. cannot be used"),
        ({"tune": 2, "class_weight": "balanced"}, {}, "class_weight and tune cannot be used"),
        ({}, {"sample_weight": np.ones(N)}, "sample_weight cannot be used"),
        ({}, {"memory_limit": "much"}, "memory_limit must be"),
    ],
)
def test_what_needs_all_rows_in_memory_is_refused(settings, arguments, message, path):
    with pytest.raises(ValueError, match=message):
        classifier(**settings).fit(path, "kind", **{"memory_limit": LIMIT, **arguments})


def test_errors_that_concern_all_rows_name_none(table, path):
    y = table.kind
    for source, target, settings, message in (
        (path, None, {}, "y is None, but the source has no targets"),
        (path, "kind", {"categorical_features": ["colours"]}, "categorical_features names 'colours'"),
        (path, "kinds", {}, r"Unknown column 'kinds'. Did you mean 'kind'\?"),
        (table, "kinds", {}, r"Unknown column 'kinds'. Did you mean 'kind'\?"),
        (path, y[:9], {}, f"y has 9 samples, but X has {N:,}"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            classifier(**settings).fit(source, target, memory_limit=LIMIT)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        classifier().fit("absent.parquet", "kind")
    with pytest.raises(ValueError, match="Feature names unseen at fit time"):
        classifier(max_iter=1).fit(path, "kind", memory_limit=LIMIT).predict(path)
    with pytest.raises(ValueError, match="had 40,000 rows in the first pass and 0 in the second"):
        classifier().fit(iter(Pieces(table[INPUTS], y)), None, memory_limit=LIMIT)


def test_errors_of_a_piece_name_its_rows(table):
    X, y = table[INPUTS], table.kind
    infinite, missing, of_nine = X.copy(), y.copy(), X[:9]
    infinite.loc[20_000, "a"], missing[[3, 20_000]] = np.inf, None
    for pieces, message in (
        (Pieces(infinite, y).pieces, "In rows 14,000 to 21,000 .*Column 'a' should hold finite numbers"),
        (Pieces(X, missing).pieces, "In rows 0 to 7,000 .*: The target 'y' is missing in 1 row"),
        ([(of_nine, y[:9]), (of_nine.drop(columns="b"), y[:9])], "In rows 9 to 18 of .*at fit time, yet now missing"),
        ([(of_nine, y[:9]), (of_nine, None)], "In rows 9 to 18 of .*: y is None"),
    ):
        source = Pieces([], [])
        source.pieces = pieces
        with pytest.raises(ValueError, match=f"(?s)^{message}"):
            classifier().fit(source, None, memory_limit=LIMIT)


@pytest.mark.slow
def test_errors_of_a_folder_name_its_rows(table, tmp_path):
    parts = [table[[*INPUTS, "kind"]][i : i + 500].reset_index(drop=True) for i in range(0, 1500, 500)]
    few, many = parts[1].astype({"a": object}), parts[1].astype({"a": str})
    few.loc[7, "a"] = "unknown"

    def fit(second):
        for k, part in enumerate((parts[0], second, parts[2])):
            part.to_parquet(tmp_path / f"part-{k}.parquet")
        return classifier(max_iter=1).fit(tmp_path, "kind", memory_limit="100MB")

    rows = f"In rows 500 to 1,000 of '{tmp_path}' .*: "
    for second, message in (
        (parts[1].rename(columns={"b": "d"}), "In '.*part-1.parquet': All pieces must .* one lacks 'b' and has 'd'"),
        (parts[1].assign(a=np.inf), f"{rows}Column 'a' should hold finite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(second)
    with pytest.warns(UserWarning, match=r"Column 'a' is left out: .* no numbers in \d+ of \d+ cells .'many'"):
        fit(parts[1].assign(a="many"))
    with pytest.warns(UserWarning, match="Column 'a' holds no numbers in 1 of 1500 cells .'unknown'"):
        fit(few.astype({"a": str}))
    assert fit(many).columns_[0].name == "a"


@pytest.mark.slow
def test_a_file_that_changes_is_refused(table, tmp_path, monkeypatch):
    table[INPUTS].to_parquet(tmp_path / "inputs.parquet")
    table[["kind"]].to_parquet(tmp_path / "labels.parquet")
    encode = TabularMLPClassifier._encode

    def changing(self, y):
        os.utime(tmp_path / "inputs.parquet", ns=(1, 1))
        return encode(self, y)

    monkeypatch.setattr(TabularMLPClassifier, "_encode", changing)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(ValueError, match=r"inputs\.parquet' has changed while it was read"):
        classifier().fit(tmp_path / "inputs.parquet", tmp_path / "labels.parquet", memory_limit=LIMIT)
    assert not list(tmp_path.glob("rows-*")), "nothing is left on disk"


@pytest.mark.filterwarnings("ignore:Column 'a' holds no numbers")
def test_text_in_half_of_the_rows_of_a_piece_is_refused(table):
    """As in half of the rows of a table in memory: in predictions, scores, held-out rows and notes."""
    rows, y = table[:3_000], table.kind[:3_000]
    few, many = rows[INPUTS].astype({"a": object}), rows[INPUTS].astype({"a": object})
    few.loc[rows.index % 5 < 2, "a"] = "unknown"
    many.loc[1_000:1_499, "a"] = "unknown"
    pieces = lambda frame: (frame[i : i + 500] for i in range(0, 3_000, 500))
    with_targets = lambda frame: Pieces(frame, y, 500)
    model = classifier(max_iter=1).fit(rows[INPUTS], y)
    np.testing.assert_array_equal(model.predict(pieces(few)), model.predict(few))
    assert model.score(with_targets(few)) == pytest.approx(model.score(few, y))
    assert model.notes_on(pieces(few))
    uses = (
        lambda frame: model.predict(pieces(frame)),
        lambda frame: model.score(with_targets(frame)),
        lambda frame: model.notes_on(pieces(frame)),
        lambda frame: classifier(max_iter=1).fit(rows[INPUTS], y, validation_data=(with_targets(frame), None)),
    )
    uses[-1](few)
    for use in uses:
        with pytest.raises(ValueError, match="Column 'a' should hold numbers, but holds 'unknown' in all 500 cells"):
            use(many)
