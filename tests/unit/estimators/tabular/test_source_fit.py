"""Tables that estimators read piece by piece: the bits of a fit in memory where they fit, and bounded memory beyond."""

import re

import numpy as np
import pytest
from interrupted_fits import interrupted_epochs, with_sigint
from large_tables import INPUTS, LIMIT, SETTINGS, N, Pieces, classifier
from peak_memory import growth, on_linux

pd = pytest.importorskip("pandas", reason="tables are data frames of pandas")
pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")
pyarrow = pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")

from fastmlp import TabularMLPRegressor  # noqa: E402  # needs scikit-learn
from fastmlp.fit.one_net import OneNet  # noqa: E402
from fastmlp.table_training import streamed_fit  # noqa: E402
from fastmlp.table_training.encoded_rows import EncodedRows  # noqa: E402


def regressor(**settings):
    return TabularMLPRegressor(**{**SETTINGS, **settings})


def assert_same_nets(found, expected, where=""):
    np.testing.assert_array_equal(found.net_.params, expected.net_.params, err_msg=where)


@pytest.mark.slow
def test_a_table_within_the_limit_gives_the_bits_of_a_fit_in_memory(table, tmp_path):
    small = table[["a", "b", "c", "colour", "kind"]].iloc[:1_500]
    X, y = small.drop(columns="kind"), small.kind
    small.to_parquet(tmp_path / "t.parquet")
    small.to_csv(tmp_path / "t.csv", index=False)
    expected = classifier(n_nets=2).fit(X, y)
    sources = (small, "kind"), (Pieces(X, y), None), (iter(Pieces(X, y)), None)
    for source, target in (*sources, (tmp_path / "t.parquet", "kind"), (tmp_path / "t.csv", "kind")):
        for limit in ("1TB", "8MB"):  # files: by the number of cells, and after a pass
            if hasattr(source, "__next__") and limit == "1TB":
                continue
            found = classifier(n_nets=2).fit(source, target, memory_limit=limit)
            assert_same_nets(found, expected, str(source))
    pairs = [([[1.0, "a"], [2.0, "b"]], [2.0, 4.0]), ([[2.0, "a"], [3.0, "b"]], [4.0, 6.0])] * 20
    assert regressor().fit(iter(pairs), None).predict([[1.0, "a"]]).shape == (1,)


def test_a_table_beyond_the_limit_is_trained_on_from_disk(table, path, capsys):
    model = classifier(n_nets=2).fit(str(path), "kind", memory_limit=LIMIT)
    assert "read from disk in each epoch" in capsys.readouterr().err
    assert model.net_.n_nets == 2
    assert model.history_.arguments["memory_limit"] == 2_000_000
    assert 0 < model.history_.arguments["n_validation"] < 0.2 * N
    assert model.score(table[INPUTS], table.kind) > 0.85
    assert model.score(path, "kind") == pytest.approx(model.score(table[INPUTS], table.kind))
    assert model.columns_[3].categories == ("blue", "green", "red")
    assert model.columns_[1].marks_missing
    in_memory = classifier(max_iter=1).fit(table[INPUTS], table.kind)
    assert [type(column) for column in model.columns_] == [type(column) for column in in_memory.columns_]
    x = np.linspace(-2.0, 2.0, 9)
    np.testing.assert_allclose(model.columns_[0].scores(x), in_memory.columns_[0].scores(x), atol=0.2)
    assert_same_nets(classifier(n_nets=2).fit(path, "kind", memory_limit=LIMIT), model)


@pytest.mark.slow
def test_all_sources_of_the_same_rows_give_the_same_bits(table, path, monkeypatch):
    expected = classifier(max_iter=1).fit(path, "kind", memory_limit=LIMIT)
    arrow = pyarrow.Table.from_pandas(table[[*INPUTS, "kind"]])

    class Stream:
        def __arrow_c_stream__(self, requested_schema=None):
            return arrow.__arrow_c_stream__(requested_schema)

    monkeypatch.setattr(streamed_fit, "ENCODED_BYTES", 100_000)  # rows are encoded a few at a time
    for source, targets in [(Pieces(table[INPUTS], table.kind), None), (Stream(), "kind")]:
        assert_same_nets(classifier(max_iter=1).fit(source, targets, memory_limit=LIMIT), expected)


def test_columns_are_learned_from_a_sample_and_it_is_said(table, capsys):
    X = table[INPUTS].copy()
    X.loc[N - 3 :, "colour"] = "mauve"
    with pytest.warns(UserWarning, match="'colour' has categories unseen in the sample in 3 of .* cells \\('mauve'\\)"):
        model = classifier(max_iter=1).fit(Pieces(X, table.kind), None, memory_limit=LIMIT)
    found = re.search(r"Columns are learned from ([\d,]+) rows, drawn at random", capsys.readouterr().err)
    assert 1_000 <= int(found[1].replace(",", "")) < N
    assert "mauve" not in model.columns_[3].categories
    (note,) = model.notes_on(X.iloc[-100:])
    assert "'colour' has categories unseen in training in 3 of 100 cells ('mauve')" in note
    with pytest.warns(UserWarning, match="'colour' has categories unseen in training in all 3 cells"):
        model.predict(X.iloc[-3:])


@pytest.mark.slow
def test_the_classes_of_the_last_rows_are_learned(table):
    last = N - 8
    X, y = table[INPUTS].copy(), table.kind.copy()
    X.loc[last:, "a"] = np.nan
    y[last:] = "maybe"
    with pytest.warns(UserWarning, match="'a' is missing in 8 of 5000 cells, but in none of the sample"):
        model = classifier(max_iter=1).fit(Pieces(X, y), None, memory_limit=LIMIT)
    assert model.classes_.tolist() == ["maybe", "no", "yes"]
    assert model.predict_proba(X[:5]).shape == (5, 3)
    with pytest.raises(ValueError, match="No column can be used"):
        model.fit(Pieces(table[["a"]] * 0.0, table.kind), None, memory_limit=LIMIT)
    assert model.predict_proba(X[:5]).shape == (5, 3), "a fit that fails leaves the estimator as it was"


def test_suspect_columns_and_targets_are_told_of_as_in_memory(table):
    copied = table[["a", "b"]].assign(other=table.kind, constant=1.0)
    constant = pytest.warns(UserWarning, match="Column 'constant' is left out: all of its cells are equal.")
    with (
        constant,
        pytest.warns(UserWarning, match="The inputs should not hold the target, but 'other' equals it in every"),
    ):
        classifier(max_iter=1).fit(Pieces(copied, table.kind), None, memory_limit="1MB")
    with pytest.warns(UserWarning, match="y is 1 in every row: there is nothing to learn"):
        regressor(max_iter=1).fit(Pieces(table[["a", "b"]], np.ones(N)), None, memory_limit="1MB")


@pytest.mark.slow
def test_a_regressor_reads_csv_whose_columns_change_their_type(table, tmp_path):
    X = table[INPUTS].astype({"c": object})
    X.loc[N - 900 :, "c"] = "unknown"  # numbers in the first pieces, text in the last
    X.assign(value=table.value).to_csv(file := tmp_path / "table.csv", index=False)
    with pytest.warns(UserWarning, match="holds dates as text"):
        model = regressor().fit(file, "value", memory_limit=LIMIT)
    assert model.columns_[2].marks_missing
    assert any("Column 'c' holds no numbers in " in note for note in model.notes_)
    with pytest.warns(UserWarning, match="Column 'c' holds no numbers"):
        assert model.score(file, "value") > 0.89
    assert model.predict(table[INPUTS].astype({"day": str})).std() == pytest.approx(table.value.std(), rel=0.2)


def test_notes_on_a_file_name_its_rows(table, tmp_path):
    model = classifier(max_iter=1).fit(table[INPUTS][:500], table.kind[:500])
    changed = table[INPUTS][:3000].copy()
    changed.loc[1200:, "colour"] = "mauve"
    note = "Column 'colour' has categories unseen in training in {} cells ('mauve'), which are encoded as zeros."
    changed.to_parquet(file := tmp_path / "t.parquet", row_group_size=1000)
    prefix = "In rows 1,000 to 2,000 (later ones are not counted): "
    assert prefix + note.format("800 of 1000") in model.notes_on(file)
    changed.to_parquet(file)
    assert model.notes_on(str(file)) == model.notes_on(changed)
    assert note.format("1800 of 3000") in model.notes_on(file)


@pytest.mark.slow
def test_arrays_and_targets_beside_a_file(table, path, tmp_path):
    numbers, y = table[["a", "c"]].to_numpy(), table.value.to_numpy()
    np.save(file := tmp_path / "X.npy", numbers)
    expected = regressor(max_iter=1).fit(Pieces(numbers, table.value), None, memory_limit="1MB")
    for source in (file, np.load(file, mmap_mode="r")):
        assert_same_nets(regressor(max_iter=1).fit(source, y, memory_limit="1MB"), expected)
        in_memory = regressor(max_iter=1).fit(source, y)
        np.testing.assert_array_equal(in_memory.predict(source), in_memory.predict(numbers))
    beside = regressor(max_iter=1).fit(path, y, memory_limit=LIMIT)
    assert beside.score(path, y) > 0.0
    with pytest.raises(ValueError, match=f"^y has 50 samples, but X has {N:,}: they must have the same length"):
        regressor(max_iter=1).fit(path, y[:50], memory_limit=LIMIT)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["table", "array"])
def test_targets_may_be_a_file_beside_a_file(kind, table, path, tmp_path):
    inputs, X = table[INPUTS], path.with_name("inputs.parquet")
    inputs.to_parquet(X, row_group_size=9_000)
    if kind == "array":
        inputs = table[["a", "c"]].to_numpy()
        np.save(X := tmp_path / "X.npy", inputs)
    table[["kind"]].to_parquet(labels := tmp_path / "labels.parquet", row_group_size=7_100)
    for limit in (LIMIT if kind == "table" else "1MB", "1GB"):
        expected = classifier(max_iter=1).fit(X, table.kind.to_numpy(), memory_limit=limit)
        found = classifier(max_iter=1).fit(X, labels, memory_limit=limit)
        assert_same_nets(found, expected)
    assert found.score(X, labels) == found.score(X, table.kind.to_numpy())


@pytest.mark.slow
def test_encoded_rows_that_fit_are_trained_on_in_memory(table, capsys):
    texts = ["a long text that takes much memory " * 4, "another one " * 12] * (N // 2)
    X = pd.DataFrame({"text": texts, "a": table.a})
    settings = {"n_nets": 2, "max_iter": 1, "numeric_encoding": "quantile"}
    model = classifier(**settings).fit(Pieces(X, table.kind), None, memory_limit="3MB")
    assert "encoded in memory" in capsys.readouterr().err
    assert model.net_.n_nets == 2


@pytest.mark.slow
def test_interrupted_fit_keeps_the_nets_that_had_begun(path, table, monkeypatch):
    message = "Training was interrupted: {} nets had come to their end, and {} had not begun. Predictions are the mean"
    told = pytest.warns(UserWarning, match=f"{message.format('1 of 3', 1)} of the 2 nets that had begun.")
    with interrupted_epochs(5, monkeypatch), told:  # in the second epoch of the second net
        model = classifier(n_nets=3).fit(path, "kind", memory_limit=LIMIT)
    assert model.net_.n_nets == 2
    assert np.isfinite(model.net_.params).all()
    told = pytest.warns(UserWarning, match=f"{message.format('0 of 5', 4)} of the 1 net that had begun.")
    with interrupted_epochs(4, monkeypatch, of_blocks=True), told:  # in the first epoch
        model = classifier(n_nets=5).fit(path, "kind", memory_limit=LIMIT)
    assert model.net_.n_nets == 1
    assert model.predict_proba(table[INPUTS][:500]).std() > 0.02, "it has learned something"
    monkeypatch.setattr(OneNet, "set_block", with_sigint(OneNet.set_block))
    with pytest.warns(UserWarning, match="and 5 had not begun. No net is trained: fit again."):
        model.fit(path, "kind", memory_limit=LIMIT)


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_the_rows_are_deleted_keeps_the_nets(path, table, monkeypatch):
    monkeypatch.setattr(EncodedRows, "close", with_sigint(EncodedRows.close))
    with pytest.warns(UserWarning, match="The fit was interrupted after its nets were trained"):
        model = classifier(n_nets=2, max_iter=1).fit(path, "kind", memory_limit=LIMIT)
    assert model.net_.n_nets == 2
    assert np.isfinite(model.predict_proba(table[INPUTS][:50])).all()


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:The time of the fit was over")  # on a machine that is busy by then
def test_a_time_limit_shortens_the_fit(path):
    with pytest.warns(UserWarning, match="The time limit (is enough for|leaves)"):
        model = classifier(max_iter=100_000, time_limit=1.0).fit(path, "kind", memory_limit=LIMIT)
    assert model.n_iter_ < 100_000
    assert np.isfinite(model.net_.params).all()


@pytest.mark.full
def test_fits_without_a_seed_or_with_a_generator_differ(path):
    fit = lambda seed: classifier(max_iter=1, random_state=seed).fit(path, "kind", memory_limit="1MB").net_.params
    generator = np.random.RandomState(0)
    for seed in (None, generator):
        assert not np.array_equal(fit(seed), fit(seed))
    assert np.array_equal(fit(0), fit(0))


FIT = """
from fastmlp import TabularMLPRegressor

def fit(path):
    settings = dict(n_nets=1, max_iter=1, hidden_layer_sizes=(16,), random_state=0, device="cpu")
    TabularMLPRegressor(**settings).fit(path, "y", memory_limit="30MB")
"""


@pytest.mark.full
@on_linux
def test_peak_memory_does_not_grow_with_the_table(tmp_path):
    """In a process of its own: a table ten times as large adds little to the peak of a first fit.

    Above the limit of 30 MB are what the allocators of pyarrow and NumPy keep, 14 to 55 MB in all from run to run.
    """
    rng = np.random.default_rng(0)
    paths = []
    for n in (100_000, 1_000_000):
        X = rng.normal(size=(n, 12))
        frame = pd.DataFrame(X, columns=[f"x{k}" for k in range(12)]).assign(y=X[:, 0] * X[:, 1])
        paths.append(str(tmp_path / f"{n}.parquet"))
        frame.to_parquet(paths[-1], row_group_size=50_000)
        n_bytes = frame.memory_usage().sum()
    assert growth(FIT, *paths) < 0.7 * n_bytes, "104 MB of numbers, and as many features"
