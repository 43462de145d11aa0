"""Object cache: machine code on disk, used only if sources, machine and settings are the same."""

import errno
import os
import subprocess
import sys
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


@pytest.mark.parametrize("damage", [lambda code: code[:-1], lambda code: code[:-1] + b"?", lambda code: b""])
def test_damaged_file_is_not_used(folder, damage):
    object_cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert object_cache.read("a kernel") is None


def test_code_of_another_machine_is_not_used(folder, monkeypatch):
    object_cache.write("a kernel", b"code")
    monkeypatch.setattr(object_cache, "machine", lambda: "another processor")
    assert object_cache.read("a kernel") is None


@pytest.mark.parametrize("name", ["NUMBA_CPU_NAME", "NUMBA_OPT"])
def test_numba_settings_are_part_of_the_machine(name, monkeypatch):
    before = object_cache.machine.__wrapped__()
    monkeypatch.setenv(name, "1")
    assert object_cache.machine.__wrapped__() != before


RELEASED = '{"dirty": false, "error": null, "version": "0.99.1"}'


@pytest.mark.parametrize(
    "content", [None, RELEASED.replace("0.99.1", "0.99.1+3.g0ff"), RELEASED.replace("false", "true")]
)
def test_numba_of_a_checkout_is_known_by_its_file(content, monkeypatch, tmp_path):
    package = tmp_path / "__init__.py"
    package.write_text("")
    if content is not None:
        package.with_name("_version.py").write_text(content)
    monkeypatch.setattr(object_cache, "find_spec", lambda name: SimpleNamespace(origin=str(package)))
    before = object_cache.numba_version()
    assert before[0] == str(package)
    package.write_text("changed")
    assert object_cache.numba_version() != before


def test_numba_of_a_release_is_known_by_its_version(monkeypatch, tmp_path):
    package = tmp_path / "__init__.py"
    package.with_name("_version.py").write_text(RELEASED)
    monkeypatch.setattr(object_cache, "find_spec", lambda name: SimpleNamespace(origin=str(package)))
    assert object_cache.numba_version() == ("0.99.1",)


def test_version_of_the_installed_numba_is_found():
    import numba

    found = object_cache.numba_version()
    assert found == (numba.__version__,) or found[0] == numba.__file__


@pytest.mark.parametrize("name", sorted(object_cache.OF_NO_CONCERN))
def test_irrelevant_numba_settings_do_not_change_the_machine(name, monkeypatch):
    before = object_cache.machine.__wrapped__()
    monkeypatch.setenv(name, "1")
    assert object_cache.machine.__wrapped__() == before


def test_unwritable_folder_warns_once(tmp_path, monkeypatch):
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setattr(object_cache, "cache_folder", lambda: occupied)
    monkeypatch.setattr(object_cache, "_warned", [])
    with pytest.warns(RuntimeWarning, match=r"cannot be kept in '.*file' \(.+\).*NUMBA_CACHE_DIR"):
        object_cache.write("a kernel", b"code")
    object_cache.write("another kernel", b"code")  # a second warning would fail the test
    assert object_cache.read("a kernel") is None


posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners and modes")
REFUSED = r"cannot be kept in '.*folder' \(.*{}.*\), so that each process compiles them anew\. Set NUMBA_CACHE_DIR to"


@pytest.fixture
def unwarned(monkeypatch):
    monkeypatch.setattr(object_cache, "_warned", [])


@posix
def test_folder_writable_by_others_is_not_used(folder, unwarned):
    object_cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    folder.chmod(0o777)
    object_cache._reasons.clear()
    assert object_cache.read("a kernel") is None
    assert not object_cache.exists("a kernel")
    with object_cache.compile_lock("a kernel"):
        assert list(folder.iterdir()) == [path], "no lock file may be created"
    with pytest.warns(RuntimeWarning, match=REFUSED.format("others may write to '.*folder'")):
        object_cache.write("a kernel", b"code")
    object_cache.write("another kernel", b"code")  # a second warning would fail the test
    assert list(folder.iterdir()) == [path]


@posix
def test_no_folder_is_created_within_one_writable_by_others(folder, unwarned):
    folder.parent.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=REFUSED.format("others may write to")):
        object_cache.write("a kernel", b"code")
    assert not folder.exists()


@posix
def test_file_writable_by_others_is_replaced(folder):
    object_cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    path.chmod(0o666)
    assert object_cache.read("a kernel") is None
    object_cache.write("a kernel", b"code")
    assert object_cache.read("a kernel") == b"code"


@posix
def test_planted_links_and_pipes_are_ignored(folder, tmp_path):
    object_cache.write("a kernel", b"code")
    (path,) = folder.iterdir()
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    for name in (f"{path.stem}.{os.getpid()}.tmp", f"{path.stem}.lock"):
        (folder / name).symlink_to(victim)
    path.unlink()
    path.symlink_to(victim)
    assert object_cache.read("a kernel") is None
    with object_cache.compile_lock("a kernel"):
        object_cache.write("a kernel", b"code")
    assert victim.read_bytes() == b"mine"
    assert object_cache.read("a kernel") == b"code"
    path.unlink()
    os.mkfifo(path)
    text = (
        "import sys\nfrom pathlib import Path\nfrom fastmlp.kernels.jit import object_cache\n"
        "object_cache.cache_folder = lambda: Path(sys.argv[1])\nprint(object_cache.read('a kernel'))"
    )
    command = [sys.executable, "-c", text, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("None\n", "")


@posix
def test_old_locks_are_removed(folder):
    folder.mkdir()
    old, new = folder / "old.lock", folder / "new.lock"
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    object_cache.write("a kernel", b"code")
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".o"]
    assert new.exists()


def test_folder_name_follows_from_the_sources(monkeypatch, tmp_path):
    """Any change to a source file of CPU kernels leads to another folder."""
    sources, tag = Path(fastmlp.kernels.__file__).parent, object_cache.sources_tag.__wrapped__()
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
