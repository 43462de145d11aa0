"""Samples that MLPClassifier and MLPRegressor read piece by piece."""

import warnings

import numpy as np
import pytest
from large_tables import Pieces

pd = pytest.importorskip("pandas", reason="pieces of files are data frames of pandas")
pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")
pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")

from interrupted_fits import interrupted_epochs  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

from fastmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor  # noqa: E402  # needs scikit-learn
from fastmlp.estimators import sources, table_input  # noqa: E402
from fastmlp.streams import record_batches, table_sources  # noqa: E402

RNG = np.random.default_rng(7)
N, LIMIT = 60_000, "1MB"
SETTINGS = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, "device": "cpu", "batch_size": 100}

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    return X, np.where(X[:, 0] * X[:, 1] > 0, "yes", "no"), 3.0 * X[:, 0] + X[:, 1] + 1.0


@pytest.fixture(scope="module")
def path(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "samples.parquet"
    columns = {f"x{k}": column for k, column in enumerate(data[0].T)}
    pd.DataFrame({**columns, "kind": data[1]}).to_parquet(path, row_group_size=9_000)
    return path


@pytest.mark.thinned(2)
@pytest.mark.slow
@pytest.mark.parametrize("early_stopping", [False, True])
def test_samples_within_the_limit_give_the_bits_of_a_fit_in_memory(early_stopping, data, path):
    settings = {**SETTINGS, "early_stopping": early_stopping}
    expected = MLPClassifier(**settings).fit(*data[:2])
    frame = pd.read_parquet(path)
    for source, y in [(path, "kind"), (Pieces(*data[:2]), None), (iter(Pieces(*data[:2])), None), (frame, "kind")]:
        found = MLPClassifier(**settings).fit(source, y, memory_limit="100MB")
        np.testing.assert_array_equal(found.net_.params, expected.net_.params)
    assert MLPClassifier(**settings).fit(path, "kind").feature_names_in_.tolist() == ["x0", "x1", "x2", "x3"]


@pytest.mark.slow
def test_classes_are_learned_from_disk(data, path, capsys):
    model = MLPClassifier(**SETTINGS).fit(path, "kind", memory_limit=LIMIT)
    assert "Reading 60,000 rows" in capsys.readouterr().err
    assert model.classes_.tolist() == ["no", "yes"]
    frame = pd.DataFrame(data[0], columns=model.feature_names_in_)
    assert np.mean(model.predict(frame) == data[1]) > 0.9
    assert len(model.loss_curve_) == 3
    assert model.t_ == 3 * N


def test_a_fit_without_shuffling_has_the_bits_of_one_in_memory(data):
    settings = {**SETTINGS, "shuffle": False}
    streamed = MLPRegressor(**settings).fit(Pieces(data[0], data[2]), None, memory_limit=LIMIT)
    in_memory = MLPRegressor(**settings).fit(data[0], data[2])
    np.testing.assert_array_equal(streamed.net_.params, in_memory.net_.params)
    np.testing.assert_allclose(streamed.loss_curve_, in_memory.loss_curve_, rtol=1e-3)  # the penalty is of other steps


@pytest.mark.parametrize("estimator", [MLPClassifier, TabularMLPClassifier])
def test_lists_of_pairs_and_datasets_are_sources(estimator, data, tmp_path):
    dataset = pytest.importorskip("pyarrow.dataset", reason="datasets are pyarrow's")
    X, y = pd.DataFrame(data[0][:900], columns=list("abcd")), pd.Series(data[1][:900], name="kind")
    for k in range(3):
        X[300 * k : 300 * k + 300].assign(kind=y).to_parquet(tmp_path / f"{k}.parquet")
    settings = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, "device": "cpu"}
    expected = estimator(**settings).fit(X, y)
    pairs = [(X[i : i + 300], y[i : i + 300]) for i in range(0, 900, 300)]
    rows = dataset.dataset(tmp_path)
    lists = [(of_piece.to_numpy().tolist(), kinds.tolist()) for of_piece, kinds in pairs]
    for found in (estimator(**settings).fit(pairs), estimator(**settings).fit(rows, "kind")):
        np.testing.assert_array_equal(found.net_.params, expected.net_.params)
        assert found.score(pairs) == found.score(rows, "kind") == expected.score(X, y)
    assert estimator(**settings).fit(lists).net_.params.shape == expected.net_.params.shape
    with pytest.raises(ValueError, match="requires y to be passed"):
        estimator(**settings).fit(X)


@pytest.mark.parametrize("estimator", [MLPClassifier, TabularMLPClassifier])
def test_held_out_samples_may_be_a_file(estimator, data, tmp_path):
    X, y = pd.DataFrame(data[0][:600], columns=list("abcd")), pd.Series(data[1][:600], name="kind")
    frame = X[400:].assign(kind=y)
    frame.to_parquet(file := tmp_path / "t.parquet", row_group_size=90)
    settings = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, "device": "cpu"}
    settings |= {"n_nets": 1} if estimator is TabularMLPClassifier else {}
    fit = lambda held_out: estimator(**settings).fit(X[:400], y[:400], validation_data=held_out)
    expected = fit((X[400:], y[400:])).validation_loss_curve_
    for held_out in ((file, "kind"), (frame, "kind"), ([(X[400:500], y[400:500]), (X[500:], y[500:])], None)):
        np.testing.assert_allclose(fit(held_out).validation_loss_curve_, expected, rtol=1e-6)
    for held_out in (str(file), [file]):
        with pytest.raises(ValueError, match=r"must be .X, y. or .X, y, sample_weight., but it is .*For a file, pass"):
            fit(held_out)
    with pytest.raises(ValueError, match="Unknown column 'kinds'"):
        fit((file, "kinds"))


@pytest.mark.parametrize("estimator", [MLPRegressor, TabularMLPRegressor])
def test_held_out_samples_are_copied_from_buffers_that_are_used_again(estimator, data):
    X, y = data[0][:600], data[2][:600]

    class Reused:
        def __iter__(self):
            buffers = np.empty_like(X[:60]), np.empty_like(y[:60])
            for first in range(400, 600, 60):
                n = min(60, 600 - first)
                for buffer, rows in zip(buffers, (X, y), strict=True):
                    buffer[:n] = rows[first : first + n]
                yield tuple(buffer[:n] for buffer in buffers)

    settings = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, "device": "cpu"}
    settings |= {"n_nets": 1} if estimator is TabularMLPRegressor else {}
    fit = lambda *held_out: estimator(**settings).fit(X[:400], y[:400], validation_data=held_out)
    model, expected = fit(Reused(), None), fit(X[400:], y[400:])
    np.testing.assert_allclose(model.validation_loss_curve_, expected.validation_loss_curve_, rtol=1e-6)
    assert model.score(Reused(), None) == pytest.approx(expected.score(X[400:], y[400:]))


def test_poisson_loss_has_its_constant(data):
    counts = np.round(np.exp(0.3 * data[0][:, 0]) * 2.0)
    settings = {**SETTINGS, "shuffle": False, "loss": "poisson", "max_iter": 1}
    streamed = MLPRegressor(**settings).fit(Pieces(data[0], counts), None, memory_limit=LIMIT)
    in_memory = MLPRegressor(**settings).fit(data[0], counts)
    np.testing.assert_allclose(streamed.loss_curve_, in_memory.loss_curve_, rtol=1e-5)


def test_early_stopping_holds_out_rows(data, path):
    model = MLPClassifier(**{**SETTINGS, "early_stopping": True, "max_iter": 4}).fit(path, "kind", memory_limit=LIMIT)
    assert len(model.validation_scores_) == 4
    assert model.best_validation_score_ > 0.85
    other = MLPRegressor(**{**SETTINGS, "early_stopping": True, "random_state": None})
    other.fit(Pieces(data[0], data[2]), None, memory_limit=LIMIT)
    assert other.best_validation_score_ > 0.9


@pytest.mark.slow
def test_arrays_on_disk_need_no_pandas(data, monkeypatch):
    def absent():
        raise ImportError("pandas is not installed")

    for module in (table_sources, sources, table_input):
        monkeypatch.setattr(module, "import_pandas", absent)
    X, y = data[:2]

    class OnDisk:
        shape, dtype, chunks = X.shape, X.dtype, (1_000, 4)

        def __getitem__(self, rows):
            return X[rows]

    model = MLPClassifier(**SETTINGS).fit(OnDisk(), y, memory_limit=LIMIT)
    expected = MLPClassifier(**SETTINGS).fit(Pieces(X, y), None, memory_limit=LIMIT)
    np.testing.assert_array_equal(model.net_.params, expected.net_.params)
    assert model.score(OnDisk(), y) == np.mean(model.predict(OnDisk()) == y)
    numbers = data[2].copy()
    numbers[7] = np.nan
    with pytest.raises(ValueError, match="The target 'y' is missing in 1 row"):
        MLPRegressor(**SETTINGS).fit(OnDisk(), numbers, memory_limit=LIMIT)


@pytest.mark.slow
def test_three_classes_and_labels(data):
    three = np.digitize(data[0][:, 0], [-0.5, 0.5])
    model = MLPClassifier(**SETTINGS).fit(Pieces(data[0], three), None, memory_limit=LIMIT)
    assert model.predict_proba(data[0][:5]).shape == (5, 3)
    labels = (data[0][:, :2] > 0).astype(int)
    model = MLPClassifier(**SETTINGS).fit(Pieces(data[0], labels), None, memory_limit=LIMIT)
    assert np.mean(model.predict(data[0]) == labels) > 0.9


def test_partial_fit_is_an_epoch_over_the_source(data):
    X, y, _ = data
    settings = {**SETTINGS, "shuffle": False}
    streamed, in_memory = MLPClassifier(**settings), MLPClassifier(**settings)
    for _ in range(2):
        streamed.partial_fit(Pieces(X, y), None, classes=["no", "yes"], memory_limit=LIMIT)
        in_memory.partial_fit(X, y, classes=["no", "yes"])
    np.testing.assert_array_equal(streamed.net_.params, in_memory.net_.params)
    assert streamed.t_ == 2 * N
    with pytest.raises(ValueError, match="classes must list all labels"):
        MLPClassifier().partial_fit(Pieces(X, y), None)
    with pytest.raises(ValueError, match="maybe"):
        streamed.partial_fit(Pieces(X, np.where(X[:, 0] > 2, "maybe", y)), None, memory_limit=LIMIT)


@pytest.mark.parametrize(
    "settings, arguments, message",
    [
        ({"solver": "lbfgs", "batch_size": "auto"}, {}, "solver='lbfgs' cannot be used"),
        ({"n_nets": 2}, {}, "n_nets above 1 cannot be used"),
        ({"class_weight": "balanced"}, {}, "class_weight cannot be used"),
        ({}, {"sample_weight": np.ones(N)}, "sample_weight cannot be used"),
        ({}, {"y": "kinds"}, "Unknown column 'kinds'"),
        ({}, {"y": "x0"}, "could not convert string to float"),
        ({}, {"memory_limit": 3}, "memory_limit must be"),
    ],
)
def test_mistakes_are_refused(settings, arguments, message, path):
    arguments = {"y": "kind", "memory_limit": LIMIT, **arguments}
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**{**SETTINGS, **settings}).fit(path, **arguments)


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "ending, cells, words, shown",
    [
        ("csv", {41_234: "oops"}, "could not convert string to float: 'oops'", "'oops'"),
        ("csv", {41_234: np.nan}, "Input X contains NaN", "nan"),
        ("parquet", {41_234: np.nan, 50_000: np.inf}, "Input X contains (NaN|infinity)", "nan"),
        ("parquet", {41_234: np.inf}, "Input X contains infinity", "inf"),
    ],
)
@pytest.mark.slow
def test_bad_cells_are_named_by_column_and_row(ending, cells, words, shown, data, tmp_path):
    frame = pd.DataFrame({"a": data[2], "b": data[2], "y": data[2] > 0})
    if ending == "csv":
        frame = frame.astype({"b": object})
    for row, cell in cells.items():
        frame.loc[row, "b"] = cell
    file = tmp_path / f"samples.{ending}"
    frame.to_csv(file, index=False) if ending == "csv" else frame.to_parquet(file, row_group_size=9_000)
    X = frame[["a", "b"]]
    message = f"{words}.*Column 'b' holds {shown} in row 41,234, but each cell must be a finite number"
    fitted = MLPClassifier(**SETTINGS).fit(X[:500], frame.y[:500])
    for use in (
        lambda: MLPClassifier(**SETTINGS).fit(file, "y", memory_limit=LIMIT),
        lambda: MLPClassifier(**SETTINGS).fit(file, "y"),
        lambda: MLPClassifier(**SETTINGS).fit(X, frame.y),
        lambda: fitted.score(file, "y"),
        lambda: fitted.predict(X),
    ):
        with pytest.raises(ValueError, match=message):
            use()


def test_columns_of_text_and_dates_are_named(data, tmp_path):
    frame = pd.DataFrame({"a": data[2][:50], "b": pd.Timestamp("2020-01-01"), "y": 0.0})
    for column, shown in (("b", "2020-01-01 00:00:00"), ("c", "'red'")):
        frame["c"] = "red"
        frame[["a", column, "y"]].to_parquet(file := tmp_path / "t.parquet")
        with pytest.raises(ValueError, match=f"Column '{column}' holds {shown} in row 0, but each cell"):
            MLPRegressor(**SETTINGS).fit(file, "y")


def test_missing_targets_are_refused(data):
    values = data[2].copy()
    values[40_000] = np.nan
    with pytest.raises(ValueError, match=r"In rows 35,000 to 42,000 .*The target 'y' is missing in 1 row"):
        MLPRegressor(**SETTINGS).fit(Pieces(data[0], values), None, memory_limit=LIMIT)


def test_an_interrupted_fit_keeps_whole_epochs(path, monkeypatch):
    with interrupted_epochs(1, monkeypatch), pytest.warns(UserWarning, match="interrupted in epoch 2"):
        model = MLPClassifier(**SETTINGS).fit(path, "kind", memory_limit=LIMIT)
    assert model.n_iter_ == 1
    assert np.isfinite(model.net_.params).all()


@pytest.mark.slow
def test_warm_start_goes_on(data):
    settings = {**SETTINGS, "shuffle": False, "warm_start": True, "max_iter": 1}
    streamed, in_memory = MLPClassifier(**settings), MLPClassifier(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(2):
            streamed.fit(Pieces(*data[:2]), None, memory_limit=LIMIT)
            in_memory.fit(*data[:2])
    np.testing.assert_array_equal(streamed.net_.params, in_memory.net_.params)


@pytest.mark.slow
def test_cached_rows_of_another_target_are_not_used(tmp_path):
    table = pd.DataFrame(RNG.normal(size=(80_000, 4)), columns=list("abcd"))
    table.to_parquet(tmp_path / "t.parquet")
    options = {"memory_limit": "1MB", "row_cache": tmp_path / "rows"}
    make = lambda: MLPRegressor(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    first = make().fit(tmp_path / "t.parquet", "a", **options)
    second = make().fit(tmp_path / "t.parquet", "b", **options)
    expected = make().fit(tmp_path / "t.parquet", "b", memory_limit="1MB")
    assert (second.net_.params == expected.net_.params).all()
    assert not (first.net_.params == second.net_.params).all()


@pytest.mark.slow
def test_refused_validation_data_leave_the_fitted_estimator_and_no_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    table = pd.DataFrame(RNG.normal(size=(80_000, 4)), columns=list("abcd"))
    table.to_parquet(tmp_path / "t.parquet")
    X = table[["a", "b"]]
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(X, table.c)
    before = model.predict(X)
    with pytest.raises(ValueError, match="feature"):
        model.fit(tmp_path / "t.parquet", "d", memory_limit="1MB", validation_data=(X[:5], np.zeros(5)))
    np.testing.assert_array_equal(model.predict(X), before)
    assert not list((tmp_path / "temporary").glob("rows-*"))


@pytest.mark.parametrize("estimator", [MLPRegressor, TabularMLPRegressor])
def test_an_invalid_memory_limit_is_an_error_for_arrays_too(estimator):
    with pytest.raises(ValueError, match="memory_limit must be a number of bytes"):
        estimator().fit(RNG.normal(size=(20, 2)), RNG.normal(size=20), memory_limit="abc")


# ---- rows that are kept


def count_reads(monkeypatch):
    """Return a list that gets the file of each pass over a Parquet file."""
    reads, batches = [], record_batches.parquet_batches
    monkeypatch.setattr(record_batches, "parquet_batches", lambda file, *n: reads.append(file) or batches(file, *n))
    return reads


@pytest.mark.thinned(3)
@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPClassifier(**SETTINGS),
        lambda: MLPClassifier(**{**SETTINGS, "early_stopping": True}),
        lambda: MLPClassifier(**{**SETTINGS, "dtype": "input"}),
    ],
    ids=["all rows", "held-out rows", "dtype of the input"],
)
def test_a_fit_to_kept_rows_does_not_read_the_source(make, path, tmp_path, monkeypatch, capsys):
    reads, options = count_reads(monkeypatch), {"memory_limit": LIMIT, "row_cache": tmp_path / "rows"}
    first = make().fit(path, "kind", **options)
    said = capsys.readouterr().err
    assert len(reads) == 2
    second = make().fit(path, "kind", **options)
    assert len(reads) == 2
    assert capsys.readouterr().err == said
    expected = make().fit(path, "kind", memory_limit=LIMIT)
    for model in (first, second):
        np.testing.assert_array_equal(model.net_.params, expected.net_.params)
        assert model.feature_names_in_.tolist() == expected.feature_names_in_.tolist()
        assert model.classes_.tolist() == expected.classes_.tolist()
    if expected.early_stopping:
        assert second.validation_scores_ == expected.validation_scores_


@pytest.mark.slow
def test_a_regressor_does_not_read_the_source_of_kept_rows(data, tmp_path, monkeypatch):
    """Its Poisson loss has a constant, which depends on all targets."""
    counts = pd.DataFrame({"x": data[0][:, 0], "z": data[0][:, 1], "n": np.floor(np.abs(data[2]))})
    counts.to_parquet(tmp_path / "n.parquet")
    reads, options = count_reads(monkeypatch), {"memory_limit": LIMIT, "row_cache": tmp_path / "rows"}
    models = [MLPRegressor("poisson", **SETTINGS).fit(tmp_path / "n.parquet", "n", **options) for _ in range(2)]
    assert len(reads) == 2
    assert models[1].loss_curve_ == models[0].loss_curve_


@pytest.mark.slow
def test_a_fit_with_other_settings_learns_and_uses_the_rows_again(path, tmp_path, monkeypatch):
    """The loss decides about the classes, so the first pass is another one; its rows are the same."""
    reads, options = count_reads(monkeypatch), {"memory_limit": LIMIT, "row_cache": tmp_path / "rows"}
    MLPClassifier(**SETTINGS).fit(path, "kind", **options)
    MLPClassifier(**{**SETTINGS, "max_iter": 1, "hidden_layer_sizes": (3,)}).fit(path, "kind", **options)
    assert len(reads) == 2
    model = MLPClassifier(**SETTINGS)
    model.partial_fit(path, "kind", classes=["no", "yes", "maybe"], **options)
    assert len(reads) == 4
    assert model.classes_.tolist() == ["maybe", "no", "yes"]


@pytest.mark.full
def test_what_was_kept_of_a_larger_file_is_not_used_for_one_in_memory(path, tmp_path):
    MLPClassifier(**SETTINGS).fit(path, "kind", memory_limit=LIMIT, row_cache=tmp_path / "rows")
    found = MLPClassifier(**SETTINGS).fit(path, "kind", memory_limit="1GB", row_cache=tmp_path / "rows")
    expected = MLPClassifier(**SETTINGS).fit(path, "kind", memory_limit="1GB")
    np.testing.assert_array_equal(found.net_.params, expected.net_.params)


@pytest.mark.thinned(2)
@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["found-*", "rows-*/held_out.npz", "rows-*/X.bin"])
@pytest.mark.parametrize("content", [b"", b"PK damaged"])
def test_damaged_files_are_found_anew(damaged, content, path, tmp_path, monkeypatch):
    make = lambda: MLPClassifier(**{**SETTINGS, "early_stopping": True})
    options = {"memory_limit": LIMIT, "row_cache": tmp_path}
    expected = make().fit(path, "kind", **options)
    (file,) = tmp_path.glob(damaged)
    file.write_bytes(content)
    reads = count_reads(monkeypatch)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* The rows are read and written again")
        found = make().fit(path, "kind", **options)
    assert len(reads) == 1
    np.testing.assert_array_equal(found.net_.params, expected.net_.params)
    assert found.validation_scores_ == expected.validation_scores_
