"""Cache folder: its place, and whom it is trusted of. tests/reliability/test_planted_cache.py attacks it."""

import os
import sys
from pathlib import Path

import pytest

from fastmlp.kernels.jit import cache_dir as module
from fastmlp.kernels.jit.cache_dir import base_folder, distrust_reason, make_folder

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners and modes")
as_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives files away")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "base" / "tag"
    make_folder(made)
    return made


def test_base_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "somewhere")
    assert base_folder() == Path("somewhere")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    if sys.platform != "win32":
        monkeypatch.setenv("XDG_CACHE_HOME", "/x")
        assert base_folder() == Path("/x/fastmlp")


@posix
def test_sticky_parent_folder_is_accepted(folder):
    folder.parent.chmod(0o1777)
    assert distrust_reason(folder) is None
    folder.chmod(0o1777)
    assert "others may write" in distrust_reason(folder)


@as_root
@pytest.mark.parametrize("owner", [0, 12345])
def test_link_is_followed_only_if_owned_by_this_user(folder, tmp_path, owner):
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
def test_group_writable_folder_is_trusted_for_a_private_group(folder, monkeypatch, group, trusted):
    """A umask of 002 makes folders writable for the user's private group."""
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
