"""Row caches: rows are kept and used again, damaged ones are written anew, and the least recently used make room."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.streams import row_file, row_loading
from fastmlp.streams.row_cache import KEPT, RowCache, as_cache
from fastmlp.streams.row_loading import RowsInMemory, load
from fastmlp.streams.sources import Source

N, SMALL, LARGE = 500, 100, 10_000_000  # rows of 20 bytes, and memory limits in bytes
needs_owners = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no owners")
on_posix = pytest.mark.skipif(os.name == "nt", reason="Windows removes no open files")
X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
Y = X[:, :1] * 2.0


def load_rows(cache, name="rows", limit=SMALL, is_there=True, held_out=None):
    """Return the rows of a source with this name; is_there : whether the source can be read"""
    pieces = [(X[i : i + 90], Y[i : i + 90]) for i in range(0, N, 90)] if is_there else []
    net = MLP((4, 1))
    source = Source("rows", lambda: iter(pieces), lambda: (name,))
    return load(source, net.network, net.dtype, limit, as_cache(cache), held_out=held_out)


def assert_whole(rows):
    found = np.empty_like(X), np.empty_like(Y)
    rows.read(0, *found)
    np.testing.assert_array_equal(found[0], X)
    np.testing.assert_array_equal(found[1], Y)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_cached_rows_are_used_again_and_stay(tmp_path):
    with load_rows(tmp_path) as first:
        assert first.folder.parent == tmp_path
    with load_rows(tmp_path, is_there=False) as second:
        assert (second.folder, second.checksums) == (first.folder, first.checksums)
        assert_whole(second)
    assert names_in(tmp_path) == [first.folder.name]
    with load_rows(tmp_path, "others") as third:
        assert third.folder != first.folder


def test_cached_rows_that_fit_into_memory_are_read_from_the_source(tmp_path):
    load_rows(tmp_path).close()
    assert isinstance(load_rows(tmp_path, limit=LARGE), RowsInMemory)


def changed(name, old, new):
    """Return a function that replaces text in a file of a folder."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes().replace(old, new))


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
        (changed(row_file.HEADER, b"}", b""), "Expecting"),
        (changed(row_file.HEADER, b'"n_samples": 500', b'"n_samples": 501'), "X.bin should have 8,016 bytes"),
        (changed(row_file.HEADER, b'"n_samples": 500', b'"n_samples": -1'), "header.json is damaged"),
        (changed(row_file.HEADER, b'"format": 2', b'"format": 99'), "another version of fastmlp has written it"),
        (changed(row_file.HEADER, b'"crc32": [', b'"crc32": ["1", '), "header.json is damaged"),
        (lambda folder: (folder / row_file.HEADER).unlink(), "No such file or directory"),
        (lambda folder: os.truncate(folder / row_file.Y_FILE, 1_999), "Y.bin should have 2,000 bytes, but it has 1"),
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


def test_rows_that_were_not_used_for_the_longest_time_make_room(tmp_path):
    places = {}
    for age, name in enumerate(["first", "second", "third"]):
        with load_rows((tmp_path, "31kB"), name) as rows:
            places[name] = rows.folder
        os.utime(rows.folder, (age, age))
    (tmp_path / "rows-of-mine").write_text("no rows of a fit")
    load_rows((tmp_path, "31kB"), "first", is_there=False).close()  # used again
    with load_rows((tmp_path, "31kB"), "fourth") as rows:
        assert not places["second"].exists()
        left = [places["first"].name, places["third"].name, rows.folder.name]
        assert names_in(tmp_path) == sorted([*left, "rows-of-mine"])
    with load_rows((tmp_path, 10_000), "third", is_there=False) as rows:
        assert_whole(rows)
        assert names_in(tmp_path) == sorted([places["third"].name, "rows-of-mine"])


def test_rows_beyond_the_limit_are_not_kept(tmp_path):
    with load_rows((tmp_path, 9_999)) as rows:
        assert_whole(rows)
    assert names_in(tmp_path) == []
    load_rows((tmp_path, 10_000)).close()
    assert len(names_in(tmp_path)) == 1


def test_held_out_rows_count_for_the_limit_too(tmp_path):
    held_out = lambda: (X[:50], Y[:50])  # 1,000 bytes
    for limit, n_kept in ((10_999, 0), (11_000, 1)):
        load_rows((tmp_path, limit), held_out=held_out).close()
        assert len(names_in(tmp_path)) == n_kept


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


@on_posix
def test_rows_in_use_can_be_read_when_another_fit_has_removed_them(tmp_path):
    with load_rows(tmp_path, "first") as rows:
        load_rows((tmp_path, 10_000), "second").close()
        assert not rows.folder.exists()
        assert_whole(rows)


@on_posix
def test_rows_that_another_fit_removes_at_once_can_be_read(tmp_path, monkeypatch):
    rename = os.rename

    def removed(draft, place):
        rename(draft, place)
        shutil.rmtree(place)

    monkeypatch.setattr(os, "rename", removed)
    with load_rows(tmp_path) as rows:
        assert not rows.folder.exists()
        assert_whole(rows)


def test_rows_that_vanish_while_they_are_opened_are_written_anew(tmp_path, monkeypatch):
    load_rows(tmp_path).close()
    check = row_file._checked_header

    def vanishing(folder):
        header = check(folder)
        if KEPT.fullmatch(folder.name):
            shutil.rmtree(folder)
        return header

    monkeypatch.setattr(row_file, "_checked_header", vanishing)
    with load_rows(tmp_path) as rows:  # without a warning
        assert_whole(rows)


def test_rows_that_another_fit_has_written_meanwhile_stay(tmp_path, monkeypatch):
    with load_rows(tmp_path) as first:
        monkeypatch.setattr(row_loading, "kept_rows", lambda *_: None)  # they were not there when the second fit began
        with load_rows(tmp_path) as second:
            assert second.folder != first.folder
            assert_whole(second)
    assert names_in(tmp_path) == [first.folder.name]


def test_folders_are_moved_without_open_files_on_windows(tmp_path, monkeypatch):
    rename = os.rename

    def moved(draft, place):
        assert not opened[0]._files
        rename(draft, place)

    opened = []
    keep = row_file.RowFile.keep
    monkeypatch.setattr(row_file.RowFile, "keep", lambda self, place: opened.append(self) or keep(self, place))
    monkeypatch.setattr(os, "rename", moved)
    monkeypatch.setattr(row_file, "IS_WINDOWS", True)
    with load_rows(tmp_path) as rows:
        assert opened == [rows]
        assert_whole(rows)


def test_a_killed_removal_leaves_a_draft_alone(tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    load_rows(tmp_path, "first").close()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            load_rows((tmp_path, 10_000), "second")
    kept, draft = names_in(tmp_path)
    assert draft.endswith(".partial") or kept.endswith(".partial")
    load_rows(tmp_path, "first").close()  # without a warning


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, None),
        ("rows", RowCache(Path("rows"))),
        (Path("rows"), RowCache(Path("rows"))),
        (("rows", "20GB"), RowCache(Path("rows"), 20 * 10**9)),
        ((Path("rows"), 5), RowCache(Path("rows"), 5)),
        (("rows", None), RowCache(Path("rows"))),
    ],
)
def test_row_cache_is_a_path_or_a_pair(value, expected):
    assert as_cache(value) == expected


@pytest.mark.parametrize("value", [3, ("rows", "much"), ("rows", -1), (3, "1GB"), ("a", "b", "c"), ["rows", 5]])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="row_cache must be the path of a folder, a pair of it and the most bytes"):
        as_cache(value)
