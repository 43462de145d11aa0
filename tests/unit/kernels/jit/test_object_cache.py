"""Object cache: machine code on disk, used only if sources, machine and settings are the same."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import fastmlp.kernels
from fastmlp.kernels.jit import object_cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(object_cache, "cache_folder", lambda: tmp_path / "folder")
    return tmp_path / "folder"


def test_read_returns_what_was_written(folder):
    assert object_cache.read("a kernel") is None
    object_cache.write("a kernel", b"code")
    assert object_cache.read("a kernel") == b"code"
    assert object_cache.read("another kernel") is None
    assert [path.suffix for path in folder.iterdir()] == [".o"]


def test_damaged_files_and_code_of_another_machine_are_not_used(folder, monkeypatch):
    object_cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    code = path.read_bytes()
    for damaged in (code[:-1], code[:-1] + b"?", b""):
        path.write_bytes(damaged)
        assert object_cache.read("a kernel") is None
    path.write_bytes(code)
    assert object_cache.read("a kernel") == b"code"
    monkeypatch.setattr(object_cache, "machine", lambda: "another processor")
    assert object_cache.read("a kernel") is None


@pytest.mark.parametrize("name", ["NUMBA_CPU_NAME", "NUMBA_OPT", *sorted(object_cache.OF_NO_CONCERN)])
def test_numba_settings_that_matter_are_part_of_the_machine(name, monkeypatch):
    before = object_cache.machine.__wrapped__()
    monkeypatch.setenv(name, "1")
    assert (object_cache.machine.__wrapped__() == before) == (name in object_cache.OF_NO_CONCERN)


def test_another_version_of_numba_is_another_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(object_cache, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    for name in ("__init__.py", "_version.py"):  # not all packages have the latter
        (tmp_path / name).write_text("1")
        before = object_cache.machine.__wrapped__()
        (tmp_path / name).write_text("2")
        assert object_cache.machine.__wrapped__() != before


@pytest.fixture
def unwarned():
    object_cache._warn_of_folder.cache_clear()


def test_unwritable_folder_warns_once(tmp_path, monkeypatch, unwarned):
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setattr(object_cache, "cache_folder", lambda: occupied)
    with pytest.warns(RuntimeWarning, match=r"cannot be kept in '.*file' \(.+\).*NUMBA_CACHE_DIR"):
        object_cache.write("a kernel", b"code")
    object_cache.write("another kernel", b"code")  # a second warning would fail the test
    assert object_cache.read("a kernel") is None


def test_folder_name_follows_from_the_sources(monkeypatch, tmp_path):
    """Any change to a source file of CPU kernels leads to another folder."""
    sources, tag = Path(fastmlp.kernels.__file__).parent, object_cache.sources_tag()
    for path in sources.rglob("*.py"):
        copy = tmp_path / path.relative_to(sources)
        copy.parent.mkdir(exist_ok=True, parents=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(object_cache, "__file__", str(tmp_path / "jit" / "object_cache.py"))
    assert object_cache.sources_tag.__wrapped__() == tag
    (tmp_path / "cuda" / "backend.py").write_text("# no CPU kernel depends on it")
    assert object_cache.sources_tag.__wrapped__() == tag
    for name in (*object_cache.LOADERS, "system/interrupts.py"):
        assert (tmp_path / name).is_file()
        (tmp_path / name).write_text("# loads machine code and makes none")
    assert object_cache.sources_tag.__wrapped__() == tag
    (tmp_path / "formulas" / "losses.py").write_text("# changed")
    assert object_cache.sources_tag.__wrapped__() != tag
    assert object_cache.cache_folder.__wrapped__().name == tag


def test_a_full_disk_warns_once_and_leaves_no_draft(folder, unwarned, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patches:
        patches.setattr(os, "fsync", full)  # where a file system with delayed allocation says so
        with pytest.warns(RuntimeWarning, match=r"cannot be kept in '.*folder' \(No space left on device\)"):
            object_cache.write("a kernel", b"code")
        object_cache.write("another kernel", b"code")  # a second warning would fail the test
        assert list(folder.iterdir()) == []
        assert object_cache.read_or_write("a kernel", lambda: b"compiled") == b"compiled"
    object_cache.write("a kernel", b"code")  # once there is room
    assert object_cache.read("a kernel") == b"code"
