"""SIGKILL while a net or a compiled kernel is saved: the old or the new file is complete.

A process (DRIVER) imports fastmlp, forks writers and kills them. Some writers kill themselves at a given system call;
the others are killed after a random time. After each kill, the process reads the file, and saves once itself.
"""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork and SIGKILL")

DRIVER = """
import json, os, random, signal, sys, time
from pathlib import Path

import numpy as np

import fastmlp
from fastmlp.kernels.jit import object_cache
from fastmlp.kernels.system import atomic_file

folder, what, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
MOMENTS = ["open", "write", "fsync", "replace", "replaced"]


class Nets:
    '''Saved to one file, over and over; all parameters of a net are equal.'''

    path = folder / "net.safetensors"

    def __init__(self):
        self.net = fastmlp.MLP((300, 300, 10), random_state=0, device="cpu")

    def write(self, number):
        self.net.params[:] = number
        self.net.save(self.path)

    def read(self):
        params = fastmlp.load(self.path, device="cpu").params
        assert (params == params[0]).all(), "parts of two nets"
        return int(params[0])


class Kernels:
    '''Of one name; what is read is whole, or None, so that it is compiled anew.'''

    def __init__(self):
        object_cache.cache_folder = lambda: folder

    def write(self, number):
        object_cache.write("a kernel", str(number).encode() * 100_000)

    def read(self):
        code = object_cache.read("a kernel")
        assert code is not None
        assert code == code[: len(code) // 100_000] * 100_000
        return int(code[: len(code) // 100_000])


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(moment):
    '''At the call, or in the middle of writing, or right after the call.'''
    if moment == "open":
        atomic_file.open = lambda *a, **k: (open(*a, **k), die())
    elif moment == "write":
        class Half:
            def __init__(self, file): self.file = file
            def __enter__(self): return self
            def __exit__(self, *_): return self.file.close()
            def __getattr__(self, name): return getattr(self.file, name)
            def write(self, data):
                self.file.write(data[: len(data) // 2])
                self.file.flush()
                die()
        atomic_file.open = lambda *a, **k: Half(open(*a, **k))
    elif moment == "replaced":
        replace = os.replace
        os.replace = lambda *a, **k: (replace(*a, **k), die())
    else:
        setattr(os, moment, die)


def names():
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


subject = Nets() if what == "nets" else Kernels()
subject.write(10)
expected, number, left, new = names(), 10, 0, 0
for kill in range(kills):
    moment = MOMENTS[kill] if kill < len(MOMENTS) else None
    rng = random.Random(kill)
    pid = os.fork()
    if pid == 0:
        if moment:
            die_at(moment)
        for k in range(10**6):
            subject.write(number + 1 + k)
        os._exit(1)
    if moment is None:
        time.sleep(rng.uniform(0.0, 0.05))
        os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL, moment
    drafts = set(names()) - set(expected)
    assert all(name.startswith(".fastmlp-") and name.endswith(".tmp") for name in drafts), drafts
    left += len(drafts)
    for name in drafts:
        (folder / name).unlink()
    found = subject.read()
    assert found >= number, (found, number)
    if moment is not None:
        assert found == number + (moment == "replaced"), moment
    new += found > number
    number = found + 1
    subject.write(number)
    assert subject.read() == number
    assert names() == expected, (moment, names())
print(json.dumps({"drafts": left, "new": new}))
"""


@pytest.mark.parametrize("what", ["nets", "kernels"])
def test_killed_writers_leave_a_complete_file(tmp_path, is_long, count, what):
    kills = 300 if is_long else 12
    command = [sys.executable, "-c", DRIVER, str(tmp_path), what, str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["drafts"] >= 3, "some were killed while they wrote"
    count(f"kills of a process that saves {what}", kills)


FIT = """
import sys
import fastmlp
print("ready", flush=True)
net = fastmlp.MLP((2, 3, 1), random_state=0, device="cpu")
net.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=3, verbose=0)
print("trained", flush=True)
"""


def test_fit_after_killed_first_fits_works(tmp_path, is_long, count):
    """A fit works after earlier first fits were killed at various times. Only in the long form: it compiles kernels."""
    if not is_long:
        pytest.skip("compiles kernels: --long")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "FASTMLP_COMPILE_PROCESSES": "2"}
    command = [sys.executable, "-c", FIT]
    for k in range(10):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(0.5 + 1.5 * k)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert (done.stdout, done.stderr) == ("ready\ntrained\n", "")
    assert not list(tmp_path.rglob(".fastmlp-*"))
    count("kills of a first fit", 10)
