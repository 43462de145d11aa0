"""Atomic files: written as a whole or not at all."""

import os

import pytest

from fastmlp.kernels.system import atomic_file

posix = pytest.mark.skipif(os.name == "nt", reason="files have no such permissions and links")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, data=b"new"):
    with atomic_file.replacing(path) as file:
        file.write(data)


def test_replacing_writes_and_replaces_a_file(tmp_path):
    for data in (b"one", b"two, longer"):
        write(tmp_path / "a", data)
        assert (tmp_path / "a").read_bytes() == data
    assert names(tmp_path) == ["a"]


@posix
def test_file_mode_respects_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@posix
def test_existing_file_with_the_draft_name_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "urandom", lambda n: bytes(n))
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    atomic_file.draft_beside(tmp_path / "a").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write(tmp_path / "a")
    assert victim.read_bytes() == b"mine"
