"""File locks between processes: one works, the others wait and find the result, even if the first one dies."""

import subprocess
import sys
import time

import pytest

from fastmlp.kernels.jit import object_cache
from fastmlp.kernels.jit.object_cache import file_lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nobody waits on Windows")
DO_ONCE = """
import sys, time
from pathlib import Path
from fastmlp.kernels.jit.object_cache import file_lock

folder = Path(sys.argv[1])
print("here", flush=True)
input()
with file_lock(folder / "it.lock"):
    if not (folder / "it").exists():
        print("does it", flush=True)
        time.sleep(0.3)  # so that the others come meanwhile
        (folder / "it").write_text("done")
print("has it", (folder / "it").read_text(), flush=True)
"""
ENTER_AND_DIE = """
import os, signal, sys
from pathlib import Path
from fastmlp.kernels.jit.object_cache import file_lock

with file_lock(Path(sys.argv[1]) / "it.lock"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def start(script, folder):
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_one_of_several_processes_does_the_work(tmp_path):
    processes = [start(DO_ONCE, tmp_path) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "here\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate()[0] for process in processes]
    assert sorted(outputs) == ["does it\nhas it done\n"] + 3 * ["has it done\n"]
    assert [path.name for path in tmp_path.iterdir()] == ["it"]  # no lock is left behind


def test_lock_of_a_killed_process_is_released(tmp_path):
    start(ENTER_AND_DIE, tmp_path).communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["it.lock"]
    with file_lock(tmp_path / "it.lock"):
        pass
    assert not list(tmp_path.iterdir())


def test_where_a_lock_cannot_be_had_work_goes_on_without(tmp_path, monkeypatch):
    monkeypatch.setattr(object_cache, "PATIENCE", 0.1)
    with file_lock(tmp_path / "it.lock"):
        before = time.monotonic()
        with file_lock(tmp_path / "it.lock"):  # opens the file again, so that it waits for this process as for another
            assert time.monotonic() - before >= 0.1

    def refused(*arguments):
        raise OSError("no locks available")

    monkeypatch.setattr(object_cache.fcntl, "flock", refused)
    entered, occupied = [], tmp_path / "file"
    occupied.write_text("")
    with file_lock(tmp_path / "it.lock"), file_lock(tmp_path / "it.lock"), file_lock(occupied / "it.lock"):
        entered.append("without locks, and without a folder")
    assert entered
