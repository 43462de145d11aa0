"""Machine code on disk: found again only where everything is as it was, and never needed."""

from pathlib import Path

import pytest

import fastmlp.kernels
from fastmlp.kernels import cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "folder")
    return tmp_path / "folder"


def test_read_what_was_written(folder):
    assert cache.read("a kernel") is None
    cache.write("a kernel", b"code")
    assert cache.read("a kernel") == b"code"
    assert cache.read("another kernel") is None
    assert [path.suffix for path in folder.iterdir()] == [".o"]


@pytest.mark.parametrize("damage", [lambda code: code[:-1], lambda code: code[:-1] + b"?", lambda code: b""])
def test_a_damaged_file_is_not_used(folder, damage):
    cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read("a kernel") is None


def test_another_machine_has_other_files(folder, monkeypatch):
    cache.write("a kernel", b"code")
    monkeypatch.setattr(cache, "machine", lambda: "another processor")
    assert cache.read("a kernel") is None


@pytest.mark.parametrize("name", ["NUMBA_CPU_NAME", "NUMBA_OPT"])
def test_settings_of_numba_are_part_of_the_machine(name, monkeypatch):
    before = cache.machine.__wrapped__()
    monkeypatch.setenv(name, "1")
    assert cache.machine.__wrapped__() != before


@pytest.mark.parametrize("name", sorted(cache.OF_NO_CONCERN))
def test_workers_find_what_their_parent_has_compiled(name, monkeypatch):
    before = cache.machine.__wrapped__()
    monkeypatch.setenv(name, "1")
    assert cache.machine.__wrapped__() == before


def test_without_a_folder_to_write_in(tmp_path, monkeypatch):
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setattr(cache, "cache_folder", lambda: occupied)
    monkeypatch.setattr(cache, "_warned", [])
    with pytest.warns(RuntimeWarning, match=r"cannot be kept in '.*file' \(.+\).*NUMBA_CACHE_DIR"):
        cache.write("a kernel", b"code")
    cache.write("another kernel", b"code")  # says nothing, or the test would fail
    assert cache.read("a kernel") is None


def test_the_folder_is_named_by_the_sources(monkeypatch, tmp_path):
    """Any change to a source of CPU kernels gives another folder."""
    sources, tag = Path(fastmlp.kernels.__file__).parent, cache.sources_tag.__wrapped__()
    for path in sources.rglob("*.py"):
        copy = tmp_path / path.relative_to(sources)
        copy.parent.mkdir(exist_ok=True, parents=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    assert cache.sources_tag.__wrapped__() == tag
    (tmp_path / "cuda" / "backend.py").write_text("# no CPU kernel depends on it")
    assert cache.sources_tag.__wrapped__() == tag
    for name in cache.LOADERS:
        assert (tmp_path / name).is_file()
        (tmp_path / name).write_text("# loads machine code and makes none")
    assert cache.sources_tag.__wrapped__() == tag
    (tmp_path / "losses.py").write_text("# changed")
    assert cache.sources_tag.__wrapped__() != tag
    assert cache.cache_folder.__wrapped__().name == tag
