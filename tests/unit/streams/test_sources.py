"""Sources of rows: each kind gives the same rows, pass after pass; what cannot be read is refused with a sentence."""

import numpy as np
import pytest

from fastmlp.streams import sources
from fastmlp.streams.source_kinds import is_chunked_array, is_source, reads_rows
from fastmlp.streams.sources import as_source

N, WIDTH = 1_000, 3
INSTALL = "pip install 'fastmlp[sources]' has it"


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


class OnDisk:
    """An array as h5py, zarr and Dask have them, which may only be read by slices; like zarr's, it has no length."""

    def __init__(self, rows, chunks):
        self._rows, self.chunks, self.dtype, self.shape = rows, chunks, rows.dtype, rows.shape

    def __getitem__(self, index):
        return self._rows[index]

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read as a whole")


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


# ---- kinds of sources


@pytest.mark.parametrize("kind", ["parquet", "folder", "csv", "stream", "array", "dataset", "relation", "frame"])
def test_tables_give_named_targets_and_the_other_columns(kind, X, y, tmp_path):
    table, path = table_of(X, y), tmp_path / "rows.parquet"
    import pyarrow.csv
    import pyarrow.dataset
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path, row_group_size=300)
    if kind == "csv":
        pyarrow.csv.write_csv(table, tmp_path / "rows.csv")
    source = {
        "parquet": lambda: path,
        "folder": lambda: str(tmp_path),
        "csv": lambda: tmp_path / "rows.csv",
        "stream": lambda: Stream(table),
        "array": lambda: type("Columns", (), {"__arrow_c_array__": table.to_batches()[0].__arrow_c_array__})(),
        "dataset": lambda: pyarrow.dataset.dataset(path),
        "relation": lambda: Relation(table),  # whose query is not run to recognise it
        "frame": table.to_pandas,
    }[kind]()
    assert reads_rows(source, "label")
    for _ in range(2):
        features, targets = rows_of(as_source(source, "label" if kind != "stream" else ["label"]))
        np.testing.assert_allclose(features, X, rtol=1e-6)
        np.testing.assert_array_equal(targets, y if kind != "stream" else y[:, None])
    features, targets = rows_of(as_source(source, ("label", "x1")))
    np.testing.assert_allclose(features, X[:, [0, 2]], rtol=1e-6)
    np.testing.assert_allclose(targets, np.stack([y, X[:, 1]], axis=1), rtol=1e-6)


@pytest.mark.parametrize("kind", ["npy", "memmap", "batches", "batches of X"])
def test_arrays_give_their_rows(kind, X, y, tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X)
    source, targets = {
        "npy": (path, y),
        "memmap": (np.load(path, mmap_mode="r"), y),
        "batches": (Batches(X, y), None),
        "batches of X": ({"first": X[:400], "second": X[400:]}.values(), y),
    }[kind]
    assert is_source(source)
    features, found = rows_of(as_source(source, targets))
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(found, y)


@pytest.mark.parametrize("library", ["h5py", "zarr", "dask.array", "duckdb", "polars"])
def test_data_of_other_libraries_are_read_piece_by_piece(library, X, y, tmp_path, monkeypatch):
    module = pytest.importorskip(library, reason=INSTALL)
    monkeypatch.setattr(sources, "PIECE_BYTES", 100 * 4 * WIDTH)
    path, targets = tmp_path / "rows", y
    if library == "h5py":
        file = module.File(path, "w")
        rows, targets = file.create_dataset("X", data=X, chunks=(64, 1)), file.create_dataset("y", data=y)
    elif library == "zarr":
        rows = module.open_array(str(path), mode="w", shape=X.shape, chunks=(64, WIDTH), dtype="float32")
        rows[:] = X
    elif library == "dask.array":
        rows = module.from_array(X, chunks=(64, 2))
        with pytest.raises(ValueError, match="call its compute_chunk_sizes"):
            as_source(rows[rows[:, 0] > 0], y)
    elif library == "duckdb":
        connection = module.connect()
        rows, targets = connection.from_arrow(table_of(X, y)), "label"
    else:
        rows, targets = module.from_arrow(table_of(X, y)), "label"
    assert is_source(rows) or library == "polars"
    for _ in range(2):
        pieces = list(as_source(rows, targets).pieces())
        assert len(pieces) > 10 or library in ("duckdb", "polars")
        np.testing.assert_array_equal(np.concatenate([features for features, _ in pieces]), X)
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in pieces]), y)
    if library in ("h5py", "duckdb"):
        (file if library == "h5py" else connection).close()


@pytest.mark.parametrize(
    "chunks, rows",
    [
        (None, 250),
        ((100, WIDTH), 200),
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


def test_data_in_memory_are_no_source(X):
    class InMemory(OnDisk):
        """As xarray's."""

        __array_ufunc__ = None

    class OnGPU(OnDisk):
        def __dlpack__(self):
            pass

    arrays = InMemory(X, None), OnGPU(X, (10, WIDTH)), OnDisk(np.array(1.0), ())
    assert not any(map(is_chunked_array, (*arrays, X)))
    assert not any(map(is_source, (*arrays, X, [[1.0]], ((1, 2), (3, 4)), 3)))


@pytest.mark.parametrize(
    "rows", [[[1.0, 2.0], [3.0, 4.0]], (np.ones(2), np.zeros(2)), [0, 1]], ids=["lists", "arrays", "y"]
)
def test_a_batch_of_two_rows_is_no_pair(rows):
    [(found, targets)] = as_source(iter([rows])).pieces()
    assert found is rows
    assert targets is None


# ---- targets beside X


@pytest.mark.parametrize(
    "kind", ["text", "path", "memmap", "on disk", "batches", "values", "stream", "parquet", "range"]
)
def test_targets_may_be_a_source_beside_x(kind, X, y, tmp_path):
    np.save(tmp_path / "y.npy", y)
    if kind in ("stream", "parquet"):
        parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is read by pyarrow")
        parquet.write_table(labels := table_of(X, y).select(["label"]), tmp_path / "y.parquet", row_group_size=130)
    targets = {
        "text": lambda: str(tmp_path / "y.npy"),
        "path": lambda: tmp_path / "y.npy",
        "memmap": lambda: np.load(tmp_path / "y.npy", mmap_mode="r"),
        "on disk": lambda: OnDisk(y, (64,)),
        "batches": lambda: Reused(y),
        "values": lambda: {"first": y[:400], "second": y[400:]}.values(),
        "stream": lambda: Stream(labels),
        "parquet": lambda: tmp_path / "y.parquet",
        "range": lambda: range(N),
    }[kind]()
    np.save(tmp_path / "X.npy", X)
    for rows in (tmp_path / "X.npy", OnDisk(X, None)):
        pieces = list(as_source(rows, targets).pieces())
        np.testing.assert_array_equal(np.concatenate([features for features, _ in pieces]), X)
        found = np.concatenate([part for _, part in pieces]).ravel()
        np.testing.assert_array_equal(found, range(N) if kind == "range" else y)


# ---- what is refused


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda X, y, path: (OnDisk(X, None), 3), "y must be an array, or the name of a column, but it is 3"),
        (lambda X, y, path: (Stream(table_of(X, y)), ["label", "x0", "x1", "x2"]), "no column of features"),
        (lambda X, y, path: (path / "absent.parquet", "label"), "There is no file"),
        (lambda X, y, path: (Stream(table_of(X, y)), "lable"), "Did you mean 'label'"),
        (lambda X, y, path: (OnDisk(X, None), "label"), "cannot be chosen by their names"),
        (lambda X, y, path: (OnDisk(X, None), y[:-1]), "y has 999 samples, but X has 1,000"),
        (lambda X, y, path: (OnDisk(X, None), Reused(np.r_[y, y])), "y has 2,000 samples, but X has 1,000"),
        (lambda X, y, path: (OnDisk(X, None), Batches(X, y)), "y must give targets, but it is .* of pairs"),
        (lambda X, y, path: (Batches(X, y), y), "has targets of its own"),
        (lambda X, y, path: (path, "label"), "has no files"),
        (lambda X, y, path: (path / "rows.xlsx", "label"), "Unknown kind of file"),
        (lambda X, y, path: (path / "one.npy", None), "must have rows"),
        (lambda X, y, path: (path / "one.npy", "label"), "have no names"),
        (lambda X, y, path: ({1.0: 0}.keys(), None), "Each batch must be an array, or a pair"),
        (lambda X, y, path: ([{"a": X}].__iter__(), None), "Each batch must be an array, or a pair"),
        (
            lambda X, y, path: (Stream(table_of(X, [*y[:-1].astype(str), "red"])), "label"),
            "Column 'label' must hold numbers, but its type is string",
        ),
        (lambda X, y, path: (Stream(table_of(X, [None, *y[1:]])), "label"), "'label' has a missing cell in row 0"),
    ],
)
def test_sources_that_cannot_be_read_are_refused(make, message, X, y, tmp_path):
    (tmp_path / "rows.xlsx").write_text("")
    np.save(tmp_path / "one.npy", np.array(3.0))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        rows_of(as_source(*make(X, y, tmp_path)))


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
