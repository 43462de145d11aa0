"""Data of other libraries: h5py, zarr, Dask, DuckDB, polars and Hugging Face's datasets are read piece by piece."""

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.streams import sources
from fastmlp.streams.source_kinds import is_source
from fastmlp.streams.sources import as_source

N, WIDTH = 1_000, 3
INSTALL = "pip install 'fastmlp[sources]' has it"


@pytest.fixture
def X(rng):
    return rng.normal(size=(N, WIDTH)).astype(np.float32)


@pytest.fixture
def y(rng):
    return rng.integers(0, 4, N)


@pytest.fixture
def table(X, y):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table({**{f"x{k}": X[:, k] for k in range(WIDTH)}, "label": y})


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(sources, "PIECE_BYTES", 100 * 4 * WIDTH)


def check(source, y, expected):
    """Check that a source gives the expected rows, pass after pass; y : its targets, or the name of their column"""
    assert is_source(source) or isinstance(y, str)
    found = as_source(source, y)
    for _ in range(2):
        pieces = list(found.pieces())
        for rows, wanted in zip(zip(*pieces, strict=True), expected, strict=True):
            np.testing.assert_array_equal(np.concatenate(rows), wanted)
    return pieces


@pytest.mark.parametrize("chunks", [None, (64, WIDTH), (64, 1), (400, WIDTH)])
def test_h5py(chunks, X, y, tmp_path):
    h5py = pytest.importorskip("h5py", reason=INSTALL)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        rows, labels = file.create_dataset("X", data=X, chunks=chunks), file.create_dataset("y", data=y)
        sizes = [len(piece) for piece, _ in check(rows, labels[:], (X, y))]
        assert sizes[0] == {None: 100, 64: 64, 400: 400}[chunks and chunks[0]]
        net = MLP((WIDTH, 4), loss="softmax_cross_entropy", random_state=0, device="cpu")
        net.fit(rows, labels, epochs=1, batch_size=50, verbose=0)
        expected = MLP((WIDTH, 4), loss="softmax_cross_entropy", random_state=0, device="cpu")
        expected.fit(X, y, epochs=1, batch_size=50, verbose=0)
        np.testing.assert_array_equal(net.params, expected.params)
        np.testing.assert_allclose(net.predict(rows), net.predict(X), rtol=1e-6)


def test_zarr(X, y, tmp_path):
    zarr = pytest.importorskip("zarr", reason=INSTALL)
    rows = zarr.open_array(str(tmp_path / "rows.zarr"), mode="w", shape=X.shape, chunks=(64, WIDTH), dtype="float32")
    rows[:] = X
    assert {len(piece) for piece, _ in check(rows, y, (X, y))} == {64, N % 64}


def test_dask(X, y):
    array = pytest.importorskip("dask.array", reason="pip install 'fastmlp[dask]' has it")
    rows = array.from_array(X, chunks=(64, 2))
    check(rows, y, (X, y))
    with pytest.raises(ValueError, match="call its compute_chunk_sizes"):
        as_source(rows[rows[:, 0] > 0], y)


def test_duckdb(X, y, table):
    duckdb = pytest.importorskip("duckdb", reason=INSTALL)
    with duckdb.connect() as connection:
        check(connection.from_arrow(table), "label", (X, y))
        over_0 = connection.from_arrow(table).filter("x0 > 0")
        check(over_0, "label", (X[X[:, 0] > 0], y[X[:, 0] > 0]))
        with connection.cursor() as other:  # a connection has one open result
            labels = other.from_arrow(table.select(["label"]))
            check(connection.from_arrow(table.select(["x0", "x1", "x2"])), labels, (X, y[:, None]))


def test_polars(X, y, table):
    polars = pytest.importorskip("polars", reason="pip install 'fastmlp[test]' has it")
    check(polars.from_arrow(table), "label", (X, y))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:Training reached max_iter")
def test_hugging_face(X, y, table, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the estimator is scikit-learn's")
    from fastmlp import MLPClassifier

    monkeypatch.setenv("HF_HOME", str(tmp_path))
    datasets = pytest.importorskip("datasets", reason=INSTALL)
    rows = datasets.Dataset(table)
    assert is_source(rows)
    check(rows, "label", (X, y))
    order = np.random.default_rng(0).permutation(N)[:300]
    check(rows.select(order), "label", (X[order], y[order]))
    check(rows.to_iterable_dataset(), "label", (X, y))
    check(rows.with_format("numpy", columns=["x0", "label"]), "label", (X[:, :1], y))
    with pytest.raises(ValueError, match="has a transform"):
        list(as_source(rows.with_transform(lambda batch: batch), "label").pieces())
    settings = {"max_iter": 1, "random_state": 0, "device": "cpu"}
    model = MLPClassifier((4,), **settings).fit(rows, "label")
    assert model.predict(rows.remove_columns("label")).shape == (N,)


def test_an_object_that_gives_an_arrow_array_is_a_batch(X, y, table):
    batch = table.to_batches()[0]

    class Columns:
        def __arrow_c_array__(self, requested_schema=None):
            return batch.__arrow_c_array__(requested_schema)

    check(Columns(), "label", (X, y))
