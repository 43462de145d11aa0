"""Row files: what is written is read, whole or not at all; loading leaves small data in memory."""

import gc
import os
import shutil
import tempfile
import zlib

import numpy as np
import pytest
from interrupted_fits import with_sigint

from fastmlp import MLP
from fastmlp.kernels.structs import METRIC_ARGMAX, METRIC_NONE, METRIC_THRESHOLD
from fastmlp.streams import row_file
from fastmlp.streams.row_cache import as_cache
from fastmlp.streams.row_file import RowFile
from fastmlp.streams.row_loading import RowsInMemory, common_metric, load
from fastmlp.streams.sources import Source, as_source

SMALL, LARGE = 100, 10_000_000  # memory limits in bytes


@pytest.fixture
def rows(rng):
    return rng.normal(size=(500, 3)).astype(np.float32), rng.integers(0, 2, 500)


def load_rows(rows, limit, cache=None, identity=None):
    X, y = rows
    net = MLP((3, 4, 2), loss="softmax_cross_entropy", label_smoothing=0.1)
    pieces = [(X[i : i + 90], y[i : i + 90]) for i in range(0, len(X), 90)]
    known = None if identity is None else lambda: identity
    return load(Source("rows", lambda: iter(pieces), known), net.network, net.dtype, limit, as_cache(cache))


def test_rows_that_fit_stay_in_memory(rows):
    found = load_rows(rows, LARGE)
    assert isinstance(found, RowsInMemory)
    np.testing.assert_array_equal(found.X, rows[0])
    np.testing.assert_array_equal(found.y, rows[1])


def test_other_rows_are_in_a_file_with_smoothed_targets(rows):
    with load_rows(rows, SMALL) as found:
        assert isinstance(found, RowFile)
        assert (found.n_samples, found.metric, found.row_bytes) == (500, METRIC_ARGMAX, 20)
        assert found.checksums["training X"] == f"crc32:{zlib.crc32(rows[0].tobytes()):08x}"
        assert found.checksums["training y"] == f"crc32:{zlib.crc32((found.folder / row_file.Y_FILE).read_bytes()):08x}"
        X, Y = np.empty((120, 3), np.float32), np.empty((120, 2), np.float32)
        found.read(380, X, Y)
        np.testing.assert_array_equal(X, rows[0][380:])
        np.testing.assert_allclose(Y, 0.9 * np.eye(2)[rows[1][380:]] + 0.05, rtol=1e-6)
        folder = found.folder
        assert folder.is_dir()
    assert not folder.exists()


def test_failed_pass_leaves_nothing(rows, tmp_path):
    rows[0][400, 1] = np.nan
    with pytest.raises(ValueError, match=r"In rows 360 to 450 of rows \(not included\): X"):
        load_rows(rows, SMALL, tmp_path, ("rows", 1))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_close_removes_the_folder_all_the_same(rows, ctrl_c, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = load_rows(rows, SMALL)
    monkeypatch.setattr(shutil, "rmtree", with_sigint(shutil.rmtree))
    with pytest.raises(KeyboardInterrupt):
        found.close()
    assert list(tmp_path.iterdir()) == []


def test_rows_that_an_exception_has_lost_are_removed(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = load_rows(rows, SMALL)
    found._close_files()
    assert len(list(tmp_path.iterdir())) == 1
    del found
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_truncated_file_is_noticed(rows):
    with load_rows(rows, SMALL) as found:
        os.truncate(found.folder / row_file.X_FILE, 100)
        with pytest.raises(OSError, match="shorter than it was"):
            found.read(0, np.empty((50, 3), np.float32), np.empty((50, 2), np.float32))


def test_empty_source_is_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        load_rows((np.empty((0, 3)), np.empty(0)), SMALL)


@pytest.mark.parametrize(
    "pair, expected",
    [
        ((None, METRIC_NONE), METRIC_NONE),
        ((METRIC_ARGMAX, METRIC_ARGMAX), METRIC_ARGMAX),
        ((METRIC_ARGMAX, METRIC_THRESHOLD), METRIC_THRESHOLD),
        ((METRIC_THRESHOLD, METRIC_NONE), METRIC_NONE),
    ],
)
def test_metric_of_two_pieces(pair, expected):
    assert common_metric(*pair) == expected


def test_errors_that_concern_all_rows_name_none():
    """Of the first piece: what is wrong with a later one is wrong with its rows."""
    net, X, y = MLP((3, 4, 1)), np.zeros((5, 3)), np.zeros(5)
    for piece, message in (
        (X, "y is None, but the source has no targets"),
        ((X[:, :2], y), "X has 2 features, but the net has 3 inputs"),
    ):
        for pieces, prefix in (((piece,), "^"), (((X, y), piece), r"^In rows 5 to 10 of .* \(not included\): ")):
            with pytest.raises(ValueError, match=prefix + message):
                load(as_source(dict(enumerate(pieces)).values()), net.network, net.dtype, SMALL, None)


def test_rows_are_copied_from_buffers_that_are_used_again(rows):
    X, y = rows

    def pieces():
        buffer, targets = np.empty((100, 3), np.float32), np.empty(100, int)
        for i in range(0, 500, 100):
            buffer[:], targets[:] = X[i : i + 100], y[i : i + 100]
            yield buffer, targets

    net = MLP((3, 4, 2), loss="softmax_cross_entropy")
    found = load(Source("rows", pieces), net.network, net.dtype, LARGE, None)
    np.testing.assert_array_equal(found.X, X)
    np.testing.assert_array_equal(found.y, y)


def test_nothing_is_written_where_files_are_refused(rows, tmp_path):
    def refuse():
        raise ValueError("no file")

    net, (X, y) = MLP((3, 4, 2), loss="softmax_cross_entropy"), rows
    with pytest.raises(ValueError, match="no file"):
        load(Source("rows", lambda: iter([(X, y)])), net.network, net.dtype, SMALL, as_cache(tmp_path), refuse)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_a_sentence_and_leaves_nothing(rows, tmp_path, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(28, "No space left on device")

        def close(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(row_file, "open", lambda *_: Full(), raising=False)
    with pytest.raises(OSError, match=r"cannot be written to .*No space left on device\. Choose a folder"):
        load_rows(rows, SMALL, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice on files")
def test_prefetch_asks_for_the_bytes_of_rows_in_both_files(rows, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, first, n, advice: asked.append((first, n, advice)))
    with load_rows(rows, SMALL) as found:
        found.prefetch(10, 20)
    assert asked == [(120, 240, os.POSIX_FADV_WILLNEED), (80, 160, os.POSIX_FADV_WILLNEED)]


def test_prefetch_is_no_error_where_a_file_takes_no_advice(rows, monkeypatch):
    def refuse(*_):
        raise OSError("no advice")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    with load_rows(rows, SMALL) as found:
        found.prefetch(0, 500)
