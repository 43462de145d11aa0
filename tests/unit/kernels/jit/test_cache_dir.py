"""The folder of what processes find out for each other: where it is, and who could have written what is in it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fastmlp.kernels.jit import cache_dir as module
from fastmlp.kernels.jit.cache_dir import base_folder, distrust_reason, make_folder, read_file

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners and modes")
as_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives files away")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "base" / "tag"
    make_folder(made)
    return made


def test_where_it_is(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "somewhere")
    assert base_folder() == Path("somewhere")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    if sys.platform != "win32":
        monkeypatch.setenv("XDG_CACHE_HOME", "/x")
        assert base_folder() == Path("/x/fastmlp")


def test_a_folder_of_this_user_is_trusted(folder):
    assert distrust_reason(folder) is None
    with pytest.raises(FileNotFoundError):
        distrust_reason(folder / "not" / "there")
    (folder / "file").write_text("")
    assert distrust_reason(folder / "file") == f"{str(folder / 'file')!r} is no folder"


@posix
def test_folders_are_made_so_that_others_cannot_write(tmp_path):
    before = os.umask(0)
    try:
        make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert distrust_reason(tmp_path / "a" / "b") is None


@posix
@pytest.mark.parametrize("place", ["base", "base/tag"])
@pytest.mark.parametrize("mode", [0o757, 0o777, 0o702])
def test_what_others_may_write_to_is_refused(folder, tmp_path, place, mode):
    (tmp_path / place).chmod(mode)
    assert distrust_reason(folder) == f"others may write to {str(tmp_path / place)!r}"


@posix
def test_the_folder_above_may_be_one_like_tmp(folder):
    folder.parent.chmod(0o1777)
    assert distrust_reason(folder) is None
    folder.chmod(0o1777)
    assert "others may write" in distrust_reason(folder)


@as_root
@pytest.mark.parametrize("place", ["base", "base/tag"])
def test_another_users_is_refused(folder, tmp_path, place):
    os.chown(tmp_path / place, 12345, 0)
    assert distrust_reason(folder) == f"{str(tmp_path / place)!r} belongs to another user (12345)"


@as_root
@pytest.mark.parametrize("owner", [0, 12345])
def test_a_link_is_followed_if_it_is_this_users(folder, tmp_path, owner):
    link = tmp_path / "link"
    link.symlink_to(folder)
    os.chown(link, owner, 0, follow_symlinks=False)
    expected = None if owner == 0 else f"{str(link)!r} is a link that belongs to another user (12345)"
    assert distrust_reason(link) == expected


class Group:
    def __init__(self, name, members):
        self.gr_name, self.gr_mem = name, members


@posix
@pytest.mark.parametrize(
    ("group", "trusted"),
    [
        (Group("ada", []), True),
        (Group("ada", ["ada"]), True),
        (Group("root", []), True),
        (Group("ada", ["ada", "eve"]), False),
        (Group("users", []), False),
        (Group("root", ["eve"]), False),
        (None, False),
    ],
    ids=["own", "own, listed", "root's", "shared", "users", "of administrators", "unknown"],
)
def test_a_group_of_this_user_alone_may_write(folder, monkeypatch, group, trusted):
    """As under a umask of 002."""
    import grp

    def found(group_id):
        if group is None:
            raise KeyError(group_id)
        return group

    module._is_own_group.cache_clear()
    monkeypatch.setattr(module, "_user_name", lambda user_id: "ada")
    monkeypatch.setattr(grp, "getgrgid", found)
    folder.chmod(0o775)
    assert (distrust_reason(folder) is None) is trusted
    module._is_own_group.cache_clear()


def test_a_file_of_this_user_is_read(folder):
    (folder / "a").write_bytes(b"content")
    assert read_file(folder / "a") == b"content"
    with pytest.raises(FileNotFoundError):
        read_file(folder / "b")


@posix
def test_files_that_others_could_have_written_are_not_read(folder):
    path = folder / "a"
    path.write_bytes(b"content")
    path.chmod(0o666)
    with pytest.raises(PermissionError):
        read_file(path)
    path.chmod(0o644)
    (folder / "link").symlink_to(path)
    with pytest.raises(OSError):
        read_file(folder / "link")
    assert read_file(path) == b"content"


@as_root
def test_files_of_others_are_not_read(folder):
    (folder / "a").write_bytes(b"content")
    os.chown(folder / "a", 12345, 0)
    with pytest.raises(PermissionError):
        read_file(folder / "a")


@posix
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file_is_neither_read_nor_waited_for(folder, make):
    make(folder / "a")
    assert not stat.S_ISREG(os.lstat(folder / "a").st_mode)
    text = "import sys\nfrom fastmlp.kernels.jit.cache_dir import read_file\nread_file(sys.argv[1])"
    command = [sys.executable, "-c", text, str(folder / "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "OSError" in done.stderr or "IsADirectoryError" in done.stderr
