"""Sources of rows: each kind gives the same rows, pass after pass; what cannot be read is refused with a sentence."""

import numpy as np
import pytest

import fastmlp
from fastmlp.api.population_prediction import reads_rows
from fastmlp.streams import arrow_rows, sources
from fastmlp.streams.arrow_rows import rows_of_batches
from fastmlp.streams.source_kinds import is_chunked_array, is_source
from fastmlp.streams.sources import Source, as_source

N, WIDTH = 1_000, 3


@pytest.fixture
def X(rng):
    return rng.normal(size=(N, WIDTH)).astype(np.float32)


@pytest.fixture
def y(rng):
    return rng.integers(0, 4, N)


def rows_of(source):
    pieces = list(source.pieces())
    X = np.concatenate([X for X, _ in pieces])
    return X, None if pieces[0][1] is None else np.concatenate([y for _, y in pieces])


def table_of(X, y):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table({**{f"x{i}": X[:, i] for i in range(WIDTH)}, "label": y})


class Slices:
    """A sequence in the sense of LightGBM's Sequence."""

    batch_size = 77

    def __init__(self, rows):
        self._rows = rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        return self._rows[index]


class Batches:
    def __init__(self, X, y):
        self._batches = [(X[i : i + 300], y[i : i + 300]) for i in range(0, len(X), 300)]

    def __iter__(self):
        return iter(self._batches)


class Stream:
    """Something with the Arrow protocol alone."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


class Relation(Stream):
    """As one of DuckDB, which runs its query to know its shape, and has columns as attributes."""

    dtype = chunks = ()

    @property
    def shape(self):
        raise RuntimeError("the query has run")

    def __getitem__(self, name):
        return None


@pytest.mark.parametrize("kind", ["parquet", "folder", "csv", "stream", "reader", "frame"])
def test_tables_give_named_targets_and_the_other_columns(kind, X, y, tmp_path):
    table = table_of(X, y)
    import pyarrow.csv
    import pyarrow.parquet

    if kind == "csv":
        source = tmp_path / "rows.csv"
        pyarrow.csv.write_csv(table, source)
    elif kind == "frame":
        source = table.to_pandas()
    elif kind in ("stream", "reader"):
        source = Stream(table)
    else:
        source = tmp_path / "rows.parquet"
        pyarrow.parquet.write_table(table, source, row_group_size=300)
        source = str(tmp_path) if kind == "folder" else source
    found = as_source(source, ["label"] if kind == "reader" else "label")
    for _ in range(2):
        features, targets = rows_of(found)
        np.testing.assert_allclose(features, X, rtol=1e-6)
        np.testing.assert_array_equal(targets, y)


@pytest.mark.parametrize("kind", ["parquet", "csv", "npy"])
@pytest.mark.parametrize("when", ["between two passes", "during a pass"])
def test_a_file_that_changes_while_it_is_read_is_refused(kind, when, X, y, tmp_path):
    """Its rows would be those of two contents."""
    table, path = table_of(X, y), tmp_path / f"rows.{kind}"
    import pyarrow.csv
    import pyarrow.parquet

    def write(n_rows):
        if kind == "npy":
            np.save(path, X[:n_rows])
        elif kind == "csv":
            pyarrow.csv.write_csv(table[:n_rows], path)
        else:
            pyarrow.parquet.write_table(table[:n_rows], path, row_group_size=300)

    write(N)
    source = as_source(path, None if kind == "npy" else "label")
    pieces = source.pieces()
    if when == "between two passes":
        list(pieces)
        pieces = source.pieces()
    else:
        next(pieces)
    write(N - 1)
    with pytest.raises(ValueError, match=rf"rows.{kind}' has changed while it was read. Try again when it is"):
        list(pieces)


@pytest.mark.parametrize("kind", ["npy", "memmap", "sequence", "batches", "batches of X"])
def test_arrays_give_their_rows(kind, X, y, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X)
    sources = {
        "npy": (path, y),
        "memmap": (np.load(path, mmap_mode="r"), y),
        "sequence": (Slices(X), y),
        "batches": (Batches(X, y), None),
        "batches of X": ({"first": X[:400], "second": X[400:]}.values(), y),
    }
    source, targets = sources[kind]
    assert is_source(source)
    features, found = rows_of(as_source(source, targets))
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(found, y)


def test_no_query_is_run_to_recognise_a_source(X, y):
    rows = Relation(table_of(X, y))
    assert is_source(rows)
    assert reads_rows(rows, "label")
    features, targets = rows_of(as_source(rows, "label"))
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(targets, y)


class HuggingFace:
    """As a Dataset of Hugging Face with a format."""

    column_names = ["x0", "x1", "x2", "label"]  # noqa: RUF012  as theirs

    def __init__(self, table, **format):
        self._table, self.format = table, format

    def with_format(self, kind, columns=None):
        return HuggingFace(self._table.select(columns or self.column_names), type=kind)

    def iter(self, n_rows):
        assert self.format["type"] == "arrow"
        return (self._table[first : first + n_rows] for first in range(0, len(self._table), n_rows))


def test_the_format_of_a_dataset_chooses_its_columns(X, y):
    table, columns = table_of(X, y), ["x1", "label"]
    for given, expected in (
        ({"type": "numpy", "columns": columns, "output_all_columns": False}, X[:, 1:2]),
        ({"type": "numpy", "columns": columns, "output_all_columns": True}, X),
        ({"type": None, "columns": HuggingFace.column_names, "output_all_columns": False}, X),
    ):
        features, targets = rows_of(as_source(HuggingFace(table, **given), "label"))
        np.testing.assert_array_equal(features, expected)
        np.testing.assert_array_equal(targets, y)
    with pytest.raises(ValueError, match="The HuggingFace has a transform"):
        rows_of(as_source(HuggingFace(table, type="custom"), "label"))


def test_several_columns_can_be_targets(X, y):
    features, targets = rows_of(as_source(Stream(table_of(X, y)), ("label", "x1")))
    np.testing.assert_array_equal(features, X[:, [0, 2]])
    np.testing.assert_array_equal(targets, np.stack([y, X[:, 1]], axis=1))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda X, y, path: (Slices(X), 3), "y must be an array, or the name of a column, but it is 3"),
        (lambda X, y, path: (Stream(table_of(X, y)), ["label", "x0", "x1", "x2"]), "no column of features"),
        (lambda X, y, path: (path / "absent.parquet", "label"), "There is no file"),
        (lambda X, y, path: (Stream(table_of(X, y)), "lable"), "Did you mean 'label'"),
        (lambda X, y, path: (Slices(X), "label"), "cannot be chosen by their names"),
        (lambda X, y, path: (Slices(X), y[:-1]), "y has 999 samples, but X has 1,000"),
        (lambda X, y, path: (Batches(X, y), y), "has targets of its own"),
        (lambda X, y, path: (path, "label"), "has no files"),
    ],
)
def test_sources_that_cannot_be_read_are_refused(make, message, X, y, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        rows_of(as_source(*make(X, y, tmp_path)))


@pytest.mark.parametrize(
    "column, message",
    [
        (["a"] * N, "Column 'x9' must hold numbers, but its type is string"),
        ([None] + [1.0] * (N - 1), "Column 'x9' has 1 missing cell"),
    ],
)
def test_columns_that_are_no_numbers_are_refused(column, message, X, y):
    table = table_of(X, y)
    with pytest.raises(ValueError, match=message):
        rows_of(as_source(Stream(table.append_column("x9", [column])), "label"))


def test_unknown_kinds_of_files_are_refused(tmp_path):
    (tmp_path / "rows.xlsx").write_text("")
    with pytest.raises(ValueError, match="Unknown kind of file"):
        as_source(tmp_path / "rows.xlsx", "label")


@pytest.mark.parametrize("value", [np.zeros((2, 2)), [[1.0]], ((1, 2), (3, 4)), 3])
def test_data_in_memory_are_no_source(value):
    assert not is_source(value)


def test_text_labels_are_no_names_of_columns(X):
    net = fastmlp.MLP((WIDTH, 2))
    with pytest.raises(ValueError, match="y must hold numbers"):
        net.fit(X[:2], ["cat", "dog"])


def test_batches_that_are_no_arrays_are_refused():
    class Numbers:
        def __iter__(self):
            return iter([1.0, 2.0])

    with pytest.raises(ValueError, match="Each batch must be an array, or a pair"):
        rows_of(as_source(Numbers()))


@pytest.mark.parametrize(
    "rows", [[[1.0, 2.0], [3.0, 4.0]], (np.ones(2), np.zeros(2)), [0, 1]], ids=["lists", "arrays", "y"]
)
def test_a_batch_of_two_rows_is_no_pair(rows):
    [(found, targets)] = as_source(iter([rows])).pieces()
    assert found is rows
    assert targets is None


def test_a_file_of_a_single_number_is_refused(tmp_path):
    np.save(tmp_path / "number.npy", np.array(3.0))
    with pytest.raises(ValueError, match="must have rows"):
        rows_of(as_source(tmp_path / "number.npy"))


def test_held_out_samples_of_a_file_are_read(X, y, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
    parquet.write_table(table_of(X, y), file := tmp_path / "t.parquet", row_group_size=70)
    losses = []
    for held_out in ((X, y), (file, "label"), (table_of(X, y), "label")):
        net = fastmlp.MLP((WIDTH, 4), loss="softmax_cross_entropy", random_state=0)
        losses.append(net.fit(X, y, epochs=2, validation_data=held_out).validation_loss)
    np.testing.assert_allclose(losses[1:], losses[:1] * 2, rtol=1e-6)


def test_columns_are_told_apart_by_their_names(X, y):
    """Files of a folder may have them in another order; other columns, or the same name twice, are refused."""
    pyarrow = pytest.importorskip("pyarrow")
    first = table_of(X, y)
    turned = first.select(["label", "x2", "x0", "x1"])
    batches = [*first.to_batches(), *turned.to_batches()]
    features, targets = rows_of(Source("tables", lambda: rows_of_batches(iter(batches), ("label",))))
    np.testing.assert_array_equal(features, np.concatenate([X, X]))
    np.testing.assert_array_equal(targets, np.concatenate([y, y]))
    with pytest.raises(ValueError, match="All pieces must have the columns"):
        list(rows_of_batches(iter([*first.to_batches(), *first.select(["x0", "label"]).to_batches()]), ("label",)))
    twice = pyarrow.record_batch([X[:, 0], X[:, 1], y], names=["a", "a", "label"])
    with pytest.raises(ValueError, match="'a' is there twice"):
        list(rows_of_batches(iter([twice]), ("label",)))


def test_the_file_of_a_folder_that_differs_is_named(X, y, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
    table = table_of(X, y)
    numbers = table.column("x1").to_pylist()
    others = {
        "but one lacks 'x1', 'x2'": table.select(["x0", "label"]),
        "Column 'x1' must hold numbers": table.set_column(1, "x1", [list(map(str, numbers))]),
        "Column 'x1' has 1 missing cell": table.set_column(1, "x1", [[None, *numbers[1:]]]),
    }
    for message, other in others.items():
        for k, part in enumerate((table, other, table)):
            parquet.write_table(part, tmp_path / f"part-{k}.parquet")
        with pytest.raises(ValueError, match=f"In '[^']*part-1.parquet': .*{message}"):
            rows_of(as_source(tmp_path, "label"))
    twice = table.append_column("label", [1 - y])
    parquet.write_table(twice, tmp_path / "part-1.parquet")
    with pytest.raises(ValueError, match=r"In '[^']*part-1.parquet': Columns must .* 'label' is there twice"):
        rows_of(as_source(tmp_path, "label"))
    X[0, 1] = np.inf
    parquet.write_table(table_of(X, y), tmp_path / "part-1.parquet")
    with pytest.raises(ValueError, match=r"In rows 0 to 1,000 of .*part-1.parquet. .not included.: X must be finite"):
        fastmlp.MLP((WIDTH, 4)).fit(tmp_path, "label", epochs=1)
    with pytest.raises(ValueError, match=r"^Unknown column 'labels'"):
        rows_of(as_source(tmp_path, "labels"))


@pytest.mark.parametrize("name", [None, "row"])
@pytest.mark.parametrize("kind", ["frame", "parquet", "folder", "stream"])
def test_index_of_a_frame_is_no_feature(kind, name, X, y, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    frame = table_of(X, y).to_pandas().rename_axis(name)
    kept = frame[frame["x0"] > 0]
    path = tmp_path / "rows.parquet"
    kept.to_parquet(path)
    sources = {"frame": kept, "parquet": path, "folder": tmp_path, "stream": Stream(pyarrow.Table.from_pandas(kept))}
    if kind == "folder":  # of files with and without an index
        frame[frame["x0"] <= 0].to_parquet(tmp_path / "others.parquet", index=False)
        X = np.concatenate([X[X[:, 0] <= 0], X[X[:, 0] > 0]])
    features, _ = rows_of(as_source(sources[kind], "label"))
    np.testing.assert_allclose(features, X if kind == "folder" else X[X[:, 0] > 0], rtol=1e-6)


def test_wide_tables_are_read_in_small_pieces(monkeypatch, X, y):
    monkeypatch.setattr(arrow_rows, "PIECE_BYTES", 3200)
    sizes = [len(X) for X, _ in as_source(Stream(table_of(X, y)), "label").pieces()]
    assert sizes == [100] * 10


class OnDisk:
    """An array as h5py, zarr and Dask have them, which may only be read by slices; like zarr's, it has no length."""

    def __init__(self, rows, chunks):
        self._rows, self.chunks, self.dtype, self.shape = rows, chunks, rows.dtype, rows.shape

    def __getitem__(self, index):
        return self._rows[index]

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read as a whole")


@pytest.mark.parametrize(
    "chunks, rows",
    [
        (None, 250),
        ((100, WIDTH), 200),
        ((100, 1), 200),
        ((300, WIDTH), 300),
        ((300, 1), 250),
        (((100, 400, 500), (WIDTH,)), 500),
        (((500, 500), (1, 2)), 250),
        (((100,) * 10, (WIDTH,)), 200),
    ],
)
def test_arrays_on_disk_are_read_by_whole_chunks(chunks, rows, X, y, monkeypatch):
    monkeypatch.setattr(sources, "PIECE_BYTES", 250 * X.itemsize * WIDTH)
    array = OnDisk(X, chunks)
    assert is_source(array)
    pieces = list(as_source(array, y).pieces())
    assert [len(features) for features, _ in pieces[:-1]] == [rows] * (N // rows - (N % rows == 0))
    np.testing.assert_array_equal(np.concatenate([features for features, _ in pieces]), X)


def test_arrays_in_memory_and_scalars_are_no_arrays_on_disk(X):
    class InMemory(OnDisk):
        """As xarray's."""

        __array_ufunc__ = None

    class OnGPU(OnDisk):
        def __dlpack__(self):
            pass

    scalar = OnDisk(np.array(1.0), ())
    others = InMemory(X, None), OnGPU(X, (10, WIDTH)), scalar, X, 3.0
    assert not any(map(is_chunked_array, others))
    assert not any(map(is_source, others))


class Reused:
    """Batches of rows in one buffer, which is written again for each batch."""

    def __init__(self, rows, size=130):
        self._rows, self._size = rows, size

    def __iter__(self):
        buffer = np.empty((self._size, *self._rows.shape[1:]), self._rows.dtype)
        for first in range(0, len(self._rows), self._size):
            part = self._rows[first : first + self._size]
            buffer[: len(part)] = part
            yield buffer[: len(part)]


@pytest.mark.parametrize(
    "kind", ["text", "path", "memmap", "on disk", "sequence", "batches", "values", "stream", "parquet"]
)
def test_targets_may_be_a_source_beside_x(kind, X, y, tmp_path):
    np.save(tmp_path / "y.npy", y)
    if kind in ("stream", "parquet"):
        parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
        parquet.write_table(labels := table_of(X, y).select(["label"]), tmp_path / "y.parquet", row_group_size=130)
    targets = {
        "text": str(tmp_path / "y.npy"),
        "path": tmp_path / "y.npy",
        "memmap": np.load(tmp_path / "y.npy", mmap_mode="r"),
        "on disk": OnDisk(y, (100,)),
        "sequence": Slices(y),
        "batches": Reused(y),
        "values": {"first": y[:400], "second": y[400:]}.values(),
        "stream": kind == "stream" and Stream(labels),
        "parquet": tmp_path / "y.parquet",
    }[kind]
    source = as_source(Reused(X, 77), targets)
    for _ in range(2):
        pieces = [(np.array(features), np.array(found)) for features, found in source.pieces()]
        assert [len(found) for _, found in pieces] == [len(features) for features, _ in pieces] == [77] * 12 + [76]
        np.testing.assert_array_equal(np.concatenate([features for features, _ in pieces]), X)
        np.testing.assert_array_equal(np.concatenate([found for _, found in pieces]).ravel(), y)


def test_sources_of_another_length_or_with_pairs_are_no_targets(X, y, tmp_path):
    for n in (999, 1_001, 130):
        with pytest.raises(ValueError, match=f"^y has {n:,} samples, but X has 1,000: they must have the same length"):
            rows_of(as_source(Slices(X), Reused(np.arange(n))))
    with pytest.raises(ValueError, match="y must give targets, but it is an iterable of batches of pairs"):
        rows_of(as_source(Slices(X), Batches(X, y)))
    _, targets = rows_of(as_source(Slices(X), range(N)))
    np.testing.assert_array_equal(targets, np.arange(N))
    with pytest.raises(ValueError, match=r"Unknown column 'y.npy'"):
        rows_of(as_source(Stream(table_of(X, y)), "y.npy"))
    with pytest.raises(ValueError, match="y names columns"):
        as_source(X, "y.npy")


def test_files_beside_each_other_are_known_by_both(X, y, tmp_path):
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    identity = as_source(tmp_path / "X.npy", str(tmp_path / "y.npy")).identity()
    assert identity == as_source(tmp_path / "X.npy", tmp_path / "y.npy").identity()
    assert as_source(tmp_path / "X.npy", y).identity is None
    np.save(tmp_path / "y.npy", y[:9])
    assert as_source(tmp_path / "X.npy", tmp_path / "y.npy").identity() != identity


def test_memory_maps_are_not_known_by_their_file(X, y, tmp_path):
    """A part of one, or a view of another shape, has the same file and other rows."""
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    X, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "Xy")
    for targets in (y, tmp_path / "y.npy"):
        assert as_source(X, targets).identity is None
    assert as_source(tmp_path / "X.npy", y).identity is None
