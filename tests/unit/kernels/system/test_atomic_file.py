"""Atomic files: written as a whole or not at all, and drafts of killed processes are removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastmlp.kernels.system import atomic_file

posix = pytest.mark.skipif(os.name == "nt", reason="processes cannot be asked whether they live")
WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from fastmlp.kernels.system.atomic_file import replacing

with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, data=b"new"):
    with atomic_file.replacing(path) as file:
        file.write(data)


def left_behind(folder, **changes):
    """Create a draft file as another process would name it."""
    parts = {"host": atomic_file._host(), "pid": os.getpid(), "began": atomic_file._began(os.getpid())} | changes
    path = folder / f".fastmlp-{parts['host']}-{parts['pid']}-{parts['began']}-{'0' * 16}.tmp"
    path.write_bytes(b"half")
    return path


def test_replacing_writes_and_replaces_a_file(tmp_path):
    for data in (b"one", b"two, longer"):
        write(tmp_path / "a", data)
        assert (tmp_path / "a").read_bytes() == data
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_exception_while_writing_leaves_the_old_file(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error), atomic_file.replacing(tmp_path / "a"):
        raise error
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_draft_is_in_the_same_folder_and_recognised(tmp_path):
    with atomic_file.replacing(tmp_path / "a") as file:
        (name,) = names(tmp_path)
        assert file.name == str(tmp_path / name)
        assert atomic_file.DRAFT.fullmatch(name)[2] == str(os.getpid())
        atomic_file.sweep(tmp_path)
        assert names(tmp_path) == [name], "drafts of living processes must stay"


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
    victim, name = tmp_path / "victim", left_behind(tmp_path).name
    (tmp_path / name).unlink()
    victim.write_bytes(b"mine")
    (tmp_path / name).symlink_to(victim)
    with pytest.raises(FileExistsError):
        write(tmp_path / "a")
    assert victim.read_bytes() == b"mine"


@posix
def test_draft_of_a_killed_process_is_removed_by_the_next_write(tmp_path):
    done = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(tmp_path / "a")], check=False)
    assert done.returncode == -9
    (name,) = names(tmp_path)
    assert atomic_file.DRAFT.fullmatch(name)
    write(tmp_path / "b")
    assert names(tmp_path) == ["b"]


@posix
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="when processes began is not known")
def test_draft_of_a_dead_process_is_removed_after_pid_reuse(tmp_path):
    left_behind(tmp_path, began=atomic_file._began(os.getpid()) + 1)
    atomic_file.sweep(tmp_path)
    assert names(tmp_path) == []


@posix
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states of processes are not known")
def test_draft_of_a_zombie_process_is_removed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    draft = left_behind(tmp_path, pid=child.pid, began=atomic_file._began(child.pid))
    atomic_file.sweep(tmp_path)
    assert draft.exists()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    atomic_file.sweep(tmp_path)
    assert not draft.exists()
    child.communicate()


@posix
def test_files_that_may_be_in_use_are_not_removed(tmp_path):
    dead = 2**22 + 1  # above the highest number of a process
    kept = [left_behind(tmp_path), left_behind(tmp_path, began=0), left_behind(tmp_path, host="0" * 12, pid=dead)]
    kept += [left_behind(tmp_path, pid=1, began=0)]
    for name in (".fastmlp-mine.tmp", ".fastmlp", "model.tmp"):
        kept.append(tmp_path / name)
        kept[-1].write_bytes(b"")
    folder = tmp_path / f".fastmlp-{atomic_file._host()}-{dead}-1-{'0' * 16}.tmp"
    folder.mkdir()
    left_behind(tmp_path, pid=dead + 2)
    atomic_file.sweep(tmp_path)
    assert names(tmp_path) == sorted([folder.name, *(path.name for path in kept)])


def test_slow_folders_are_swept_rarely(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_file, "SHORT", -1.0)
    monkeypatch.setattr(atomic_file, "SHARE", 1e-9)
    atomic_file.sweep(tmp_path)
    draft = left_behind(tmp_path, pid=2**22 + 1)
    atomic_file.sweep(tmp_path)
    assert draft.exists()
    (tmp_path / "other").mkdir()
    atomic_file.sweep(tmp_path / "other")
    atomic_file.sweep(tmp_path)
    assert draft.exists() == (os.name == "nt")


def test_failing_fsync_of_the_folder_is_ignored(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def of_files_only(fd):
        calls.append(fd)
        if len(calls) == 2:
            raise OSError(22, "Invalid argument")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", of_files_only)
    write(tmp_path / "a")
    assert len(calls) == (1 if os.name == "nt" else 2)
