"""Attacks on the object cache: files or folders that other users may write to are not used.

The kernel is compiled instead, and for an unsafe folder there is a warning. After each attack, a test does what a new
process does: it loads a kernel by its name, with a stand-in for the compiler. The planted code has a correct digest,
since anybody can compute it.
"""

import hashlib
import os
import signal
import subprocess
import sys
import warnings

import pytest

from fastmlp.kernels.jit import call, object_cache
from fastmlp.kernels.jit.linker import ObjectFile

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners and modes")
OTHER = 54321  # id of another user


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that loads the kernel as a new process does.

    It returns (code that was run, path of the kernel's file, messages of warnings).
    """
    folder = tmp_path / "base" / "tag"
    monkeypatch.setattr(object_cache, "cache_folder", lambda: folder)
    monkeypatch.setattr(object_cache, "_prebuilt_path", lambda name: None)
    monkeypatch.setattr(call, "_load", lambda file: call.Loaded(file.code.decode(), frozenset()))

    def as_a_new_process():
        monkeypatch.setattr(object_cache, "_reasons", {})
        object_cache._warn_of_folder.cache_clear()
        monkeypatch.setattr(call, "_functions", {})
        signal.alarm(60)  # ends the test run if the load waits for a planted pipe
        with warnings.catch_warnings(record=True) as messages:
            warnings.simplefilter("always")
            ran = call.load_function("a kernel", lambda: ObjectFile(b"compiled")).address
        signal.alarm(0)
        return ran, object_cache._path("a kernel"), [str(warning.message) for warning in messages]

    return as_a_new_process


def plant(path, code=b"planted"):
    code = ObjectFile(code).to_bytes()
    path.write_bytes(hashlib.sha256(code).digest() + code)


@pytest.fixture
def cached(load):
    """Return the path of a kernel that an earlier process has compiled and saved."""
    ran, path, messages = load()
    assert (ran, messages) == ("compiled", [])
    assert path.is_file()
    return path


def give(*paths):
    for path in paths:
        os.chown(path, OTHER, OTHER, follow_symlinks=False)


def needs_root():
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")


def test_code_compiled_by_this_user_is_used(load, cached):
    plant(cached, b"own")
    assert load() == ("own", cached, [])


@pytest.mark.parametrize("place", ["folder", "folder above"])
@pytest.mark.parametrize("attack", ["writable for all", "writable for a group", "of another user"])
def test_folders_writable_by_others_are_not_used(load, cached, place, attack):
    plant(cached)
    folder = cached.parent if place == "folder" else cached.parent.parent
    if attack == "writable for all":
        folder.chmod(0o777)
    else:
        needs_root()
        os.chown(folder, -1 if "group" in attack else OTHER, OTHER)
        folder.chmod(0o775 if "group" in attack else 0o755)
    before = sorted(cached.parent.iterdir())
    ran, _, messages = load()
    assert ran == "compiled"
    assert len(messages) == 1
    assert "cannot be kept in" in messages[0]
    assert str(folder) in messages[0]
    assert "Set NUMBA_CACHE_DIR to a folder that belongs to you" in messages[0]
    assert sorted(cached.parent.iterdir()) == before, "nothing is written there either"


@pytest.mark.parametrize(
    "attack", ["of another user", "writable for all", "link", "link of another user", "pipe", "folder"]
)
def test_planted_object_file_is_not_used(load, cached, attack, tmp_path):
    """A planted file in a safe folder, such as one whose permissions were repaired: it is compiled and saved again."""
    victim = tmp_path / "victim"
    plant(victim)
    before = victim.read_bytes()
    plant(cached)
    if attack == "of another user":
        needs_root()
        give(cached)
    elif attack == "writable for all":
        cached.chmod(0o666)
    else:
        cached.unlink()
        if "link" in attack:
            cached.symlink_to(victim)
            if "user" in attack:
                needs_root()
                give(cached)
        elif attack == "pipe":
            os.mkfifo(cached)
        else:
            cached.mkdir()
    ran, _, messages = load()
    assert ran == "compiled"
    assert victim.read_bytes() == before
    if attack == "folder":  # a folder cannot be replaced by a file
        assert "cannot be kept in" in messages[0]
    else:
        assert messages == []
        assert load() == ("compiled", cached, []), "and found there by the next process"
        assert not cached.is_symlink()


@pytest.mark.parametrize("attack", ["link", "pipe", "folder"])
def test_planted_lock_file_is_ignored(load, cached, attack, tmp_path):
    victim, lock = tmp_path / "victim", cached.with_suffix(".lock")
    victim.write_bytes(b"mine")
    cached.unlink()
    if attack == "link":
        lock.symlink_to(victim)
    elif attack == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    assert load() == ("compiled", cached, [])
    assert victim.read_bytes() == b"mine"
    assert os.path.lexists(lock)


FIT = """
import fastmlp
from fastmlp.kernels.jit import call
from fastmlp.kernels.jit.linker import ObjectFile

call._load_kernel = lambda *_: call.load_function("a kernel", lambda: ObjectFile(b"compiled"))
call._load = lambda file: sys.exit(file.code.decode())
import sys
fastmlp.MLP((5, 2), random_state=0, device="cpu").evaluate([[0.0] * 5], [[0.0, 0.0]])
"""


def test_process_with_an_unsafe_cache_warns_and_compiles(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "FASTMLP_COMPILE_PROCESSES": "2"}
    done = subprocess.run(
        [sys.executable, "-c", FIT], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stderr.rstrip().endswith("compiled"), done.stderr
    assert f"(others may write to {str(folder)!r})" in done.stderr
    assert not list(folder.iterdir())
