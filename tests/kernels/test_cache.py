"""Machine code on disk: found again only where everything is as it was, and never needed."""

import os
import subprocess
import sys
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


posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners and modes")
REFUSED = r"cannot be kept in '.*folder' \(.*{}.*\), so that each process compiles them anew\. Set NUMBA_CACHE_DIR to"


@pytest.fixture
def unwarned(monkeypatch):
    monkeypatch.setattr(cache, "_warned", [])


@posix
def test_a_folder_that_others_may_write_to_is_not_used(folder, unwarned):
    cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    folder.chmod(0o777)
    cache._reasons.clear()
    assert cache.read("a kernel") is None
    assert not cache.is_there("a kernel")
    with cache.turn("a kernel"):
        assert list(folder.iterdir()) == [path], "without a lock"
    with pytest.warns(RuntimeWarning, match=REFUSED.format("others may write to '.*folder'")):
        cache.write("a kernel", b"code")
    cache.write("another kernel", b"code")  # says nothing, or the test would fail
    assert list(folder.iterdir()) == [path]


@posix
def test_nothing_is_made_in_a_folder_that_others_may_write_to(folder, unwarned):
    folder.parent.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=REFUSED.format("others may write to")):
        cache.write("a kernel", b"code")
    assert not folder.exists()


@posix
def test_a_file_that_others_could_have_written_is_written_anew(folder):
    cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    path.chmod(0o666)
    assert cache.read("a kernel") is None
    cache.write("a kernel", b"code")
    assert cache.read("a kernel") == b"code"


@posix
def test_planted_links_and_pipes_are_neither_followed_nor_waited_for(folder, tmp_path):
    cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    for name in (f"{path.stem}.{os.getpid()}.tmp", f"{path.stem}.lock"):
        (folder / name).symlink_to(victim)
    path.unlink()
    path.symlink_to(victim)
    assert cache.read("a kernel") is None
    with cache.turn("a kernel"):
        cache.write("a kernel", b"code")
    assert victim.read_bytes() == b"mine"
    assert cache.read("a kernel") == b"code"
    path.unlink()
    os.mkfifo(path)
    text = (
        "import sys\nfrom pathlib import Path\nfrom fastmlp.kernels import cache\n"
        "cache.cache_folder = lambda: Path(sys.argv[1])\nprint(cache.read('a kernel'))"
    )
    command = [sys.executable, "-c", text, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("None\n", "")


@posix
def test_what_dead_processes_left_is_removed(folder):
    folder.mkdir()
    dead = 2**22 + 1
    draft = folder / f".fastmlp-{cache.drafts._host()}-{dead}-1-{'0' * 16}.tmp"
    old, new = folder / "old.lock", folder / "new.lock"
    for path in (draft, old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    cache.write("a kernel", b"code")
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".o"]
    assert new.exists()


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
