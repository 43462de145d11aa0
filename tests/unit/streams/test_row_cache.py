"""Rows on disk: whole or not there, found again by what they depend on, and written anew when they are damaged."""

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
from fastmlp.streams import row_file, row_loading
from fastmlp.streams.row_cache import as_cache
from fastmlp.streams.row_loading import RowsInMemory, load
from fastmlp.streams.sources import Source, as_source

N, SMALL, LARGE = 500, 100, 10_000_000  # rows of 20 bytes, and memory limits in bytes
needs_owners = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no owners")
X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 2, N)
SETTINGS = {"loss": "softmax_cross_entropy", "label_smoothing": 0.1}


def load_rows(cache=None, name="rows", limit=SMALL, is_there=True, X=X, y=Y, size=90, **more):
    """Return the rows of a source with this name; is_there : whether the source can be read"""

    def pieces():
        buffers = np.empty((size, *X.shape[1:]), X.dtype), np.empty(size, y.dtype)
        for first in range(0, len(X) if is_there else 0, size):
            parts = [buffer[: len(X) - first] for buffer in buffers]
            for part, data in zip(parts, (X, y), strict=True):
                part[:] = data[first : first + size]
            yield tuple(parts)  # in buffers that are used again

    net = MLP((3, 4, 2), **SETTINGS)
    return load(Source("rows", pieces, lambda: (name,)), net.network, net.dtype, limit, as_cache(cache), **more)


def assert_whole(rows):
    found = np.empty((N, 3), np.float32), np.empty((N, 2), np.float32)
    rows.read(0, *found)
    np.testing.assert_array_equal(found[0], X)
    np.testing.assert_allclose(found[1], 0.9 * np.eye(2)[Y] + 0.05, rtol=1e-6)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- loading


def test_rows_that_fit_stay_in_memory_and_others_are_in_a_file_that_a_fit_removes():
    found = load_rows(limit=LARGE)
    assert isinstance(found, RowsInMemory)
    np.testing.assert_array_equal(found.X, X)
    np.testing.assert_array_equal(found.y, Y)
    with load_rows() as rows:
        assert_whole(rows)
        sums = {"training X": zlib.crc32(X.tobytes())}
        sums["training y"] = zlib.crc32((rows.folder / row_file.Y_FILE).read_bytes())
        assert rows.checksums == {name: f"crc32:{crc:08x}" for name, crc in sums.items()}
        assert (rows.n_samples, rows.widths, rows.metric, rows.row_bytes) == (N, (3, 2), METRIC_ARGMAX, 20)
    assert not rows.folder.exists()


@pytest.mark.parametrize(
    "y, metric", [([1, 0], METRIC_ARGMAX), ([1, 1], METRIC_THRESHOLD), ([0.5, 1], METRIC_NONE)], ids=str
)
def test_what_counts_as_correct_follows_from_all_pieces(y, metric):
    net = MLP((3, 4, 2), loss="binary_cross_entropy")
    pieces = [(np.zeros((1, 3)), np.array([row])) for row in ([0, 1], y, [1, 0])]
    with load(Source("rows", lambda: iter(pieces)), net.network, net.dtype, 10, None) as rows:
        assert rows.metric == metric


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
    with pytest.raises(ValueError, match="at least one sample"):
        load_rows(is_there=False)


def refuse():
    raise ValueError("no file")


class Full:
    """A file on a full disk."""

    def write(self, _):
        raise OSError(28, "No space left on device")

    def close(self):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("why", ["damaged rows", "files are refused", "the disk is full"])
def test_a_pass_that_fails_leaves_nothing(why, tmp_path, monkeypatch):
    bad = X.copy()
    bad[400, 1] = np.nan
    if why == "damaged rows":
        more, error, message = {"X": bad}, ValueError, r"In rows 360 to 450 of rows \(not included\): X"
    elif why == "files are refused":
        more, error, message = {"before_file": refuse}, ValueError, "no file"
    else:
        monkeypatch.setattr(row_file, "open", lambda *_: Full(), raising=False)
        more, error, message = {}, OSError, r"cannot be written to .*No space left on device\. Choose a folder"
    with pytest.raises(error, match=message):
        load_rows(tmp_path, **more)
    assert names_in(tmp_path) == []


def test_temporary_rows_are_removed_if_ctrl_c_comes_or_an_exception_loses_them(ctrl_c, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = load_rows()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", with_sigint(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            found.close()
    assert names_in(tmp_path) == []
    found = load_rows()
    for file in found._files:  # which would warn
        file.close()
    assert len(names_in(tmp_path)) == 1
    del found, file
    gc.collect()
    assert names_in(tmp_path) == []


def test_a_truncated_file_is_noticed():
    with load_rows() as found:
        os.truncate(found.folder / row_file.X_FILE, 100)
        with pytest.raises(OSError, match="shorter than it was"):
            found.read(0, np.empty((50, 3), np.float32), np.empty((50, 2), np.float32))


# ---- rows that stay


def test_cached_rows_are_used_again_and_stay(tmp_path):
    with load_rows(tmp_path, held_out=lambda: (X[:5], Y[:5])) as first:
        assert first.folder.parent == tmp_path
    with load_rows(tmp_path, is_there=False) as second:
        assert (second.folder, second.checksums) == (first.folder, first.checksums)
        assert_whole(second)
        np.testing.assert_array_equal(second.held_out()[1], Y[:5])
    assert names_in(tmp_path) == [first.folder.name]
    with load_rows(tmp_path, "others") as third:
        assert third.folder != first.folder
        assert third.held_out() is None
    assert isinstance(load_rows(tmp_path, limit=LARGE), RowsInMemory)  # read from the source


def replaced(old, new):
    """Return a function that replaces text in the header of a folder."""
    return lambda folder: (folder / row_file.HEADER).write_bytes(
        (folder / row_file.HEADER).read_bytes().replace(old, new)
    )


def flipped(name):
    """Return a function that flips a bit of a file of a folder."""

    def damage(folder):
        content = bytearray((folder / name).read_bytes())
        content[-3] ^= 4
        (folder / name).write_bytes(content)

    return damage


@pytest.mark.parametrize(
    "damage, reason",
    [
        (replaced(b"}", b""), "Expecting"),
        (replaced(b'"metric": ', b'"metric": 9'), "header.json is damaged"),
        (replaced(b'"crc32": [', b'"crc32": ["1", '), "header.json is damaged"),
        (lambda folder: (folder / row_file.HEADER).unlink(), "No such file or directory"),
        (lambda folder: os.truncate(folder / row_file.Y_FILE, 1_999), "the checksum of Y.bin is wrong"),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "No such file or directory"),
        (flipped(row_file.X_FILE), "the checksum of X.bin is wrong"),
        (flipped(row_file.Y_FILE), "the checksum of Y.bin is wrong"),
    ],
)
def test_damaged_rows_are_written_anew_with_a_warning(damage, reason, tmp_path):
    with load_rows(tmp_path) as first:
        folder = first.folder
    damage(folder)
    message = rf"The folder '{folder}' of row_cache cannot be used: .*{reason}.*\. The rows are read and written again"
    with pytest.warns(UserWarning, match=message) as said:
        load_rows(tmp_path).close()
    assert (len(said), said[0].filename) == (1, __file__)
    with load_rows(tmp_path, is_there=False) as third:  # without a warning
        assert_whole(third)
    assert names_in(tmp_path) == [folder.name]


@needs_owners
@pytest.mark.parametrize("name", ["cache", "rows"])
def test_rows_that_others_can_have_written_are_not_used(name, tmp_path):
    cache = tmp_path / "cache"
    with load_rows(cache) as first:
        folders = {"cache": cache, "rows": first.folder}
    folders[name].chmod(0o777)
    message = f"neither taken from row_cache nor kept there: others may write to '{folders[name]}'. Choose a folder"
    with pytest.warns(UserWarning, match=message) as said:
        rows = load_rows(cache)
    assert said[0].filename == __file__
    with rows:
        assert rows.folder != first.folder
        assert_whole(rows)
    assert names_in(cache) == [first.folder.name]
    first.folder.chmod(0o700)
    cache.chmod(0o1777)  # where nobody can rename the folders of others
    load_rows(cache, is_there=False).close()


@needs_owners
def test_nobody_else_may_write_to_a_new_cache(tmp_path):
    umask = os.umask(0)
    try:
        load_rows(tmp_path / "new" / "cache").close()
    finally:
        os.umask(umask)
    assert all((tmp_path / name).stat().st_mode & 0o022 == 0 for name in ("new", "new/cache"))


def test_rows_that_another_fit_has_written_meanwhile_stay(tmp_path, monkeypatch):
    with load_rows(tmp_path) as first:
        monkeypatch.setattr(row_loading, "rows_of_earlier_fit", lambda *_: None)  # not there when the second fit began
        with load_rows(tmp_path) as second:
            assert second.folder != first.folder
            assert_whole(second)
    assert names_in(tmp_path) == [first.folder.name]
