"""Memory-mapped arrays: read back as they were, mapped once, deleted with their folder."""

import os
import subprocess
import tempfile

import numpy as np
import pytest

from fastmlp.executors import shared_arrays
from fastmlp.executors.shared_arrays import ArrayFolder, as_array
from fastmlp.kernels.system.atomic_file import process_name
from fastmlp.runtime.python_process import python_command


def test_an_array_is_mapped_once_and_deleted_with_its_folder():
    folder = ArrayFolder()
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    shared = folder.write(array)
    found = as_array(shared)
    np.testing.assert_array_equal(found, array)
    assert as_array(shared) is found
    assert found.flags.c_contiguous
    folder.remove()
    assert not folder.path.exists()
    np.testing.assert_array_equal(found, array)  # its pages stay


def test_few_arrays_stay_mapped(monkeypatch):
    monkeypatch.setattr(shared_arrays, "MOST_MAPPED", 2)
    folder = ArrayFolder()
    shared = [folder.write(np.full(3, k)) for k in range(4)]
    assert [int(as_array(one)[0]) for one in shared] == [0, 1, 2, 3]
    assert list(shared_arrays._mapped) == [shared[2].path, shared[3].path]
    folder.remove()


def test_objects_are_not_written():
    folder = ArrayFolder()
    with pytest.raises(ValueError):
        folder.write(np.array([{}], dtype=object))
    folder.remove()


SHARE_AND_DIE = """
import os, signal
import numpy as np
from fastmlp.executors.shared_arrays import ArrayFolder

ArrayFolder().write(np.ones(1000))
os.kill(os.getpid(), signal.SIGKILL)
"""
posix = pytest.mark.skipif(os.name == "nt", reason="processes cannot be asked whether they live")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, of child processes, too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def of_process(parent, host=None, pid=None, began=None):
    """Make a folder as a process would name it, by default this one, and return it."""
    own_host, own_pid, own_began = process_name().split("-")
    path = parent / f"fastmlp-arrays-{host or own_host}-{pid or own_pid}-{began or own_began}-abc_12"
    path.mkdir()
    (path / "0.npy").write_bytes(b"array")
    return path


@pytest.mark.slow
@posix
def test_arrays_of_a_killed_process_are_deleted(temporary):
    done = subprocess.run(python_command(SHARE_AND_DIE), check=False)
    assert done.returncode == -9
    (left,) = temporary.iterdir()
    assert (left / "0.npy").stat().st_size > 8000
    folder = ArrayFolder()
    assert list(temporary.iterdir()) == [folder.path]
    folder.remove()


@posix
def test_arrays_of_others_stay(temporary):
    began = int(process_name().rpartition("-")[2])
    kept = [
        of_process(temporary),
        of_process(temporary, host="0" * 12, pid=99_999_999),  # another host, or the processes of another container
        temporary / "fastmlp-arrays-of_an_earlier_version",
        temporary / f"fastmlp-arrays-{process_name().partition('-')[0]}-99999999-1-link",
    ]
    (temporary / "target").mkdir()
    (temporary / "target" / "file").touch()
    kept[2].mkdir()
    kept[3].symlink_to("target")
    gone = [of_process(temporary, pid=99_999_998)]  # more than there can be
    if began:  # known on Linux: the process id was used again
        gone.append(of_process(temporary, began=began + 1))
    folder = ArrayFolder()
    assert all(path.exists() for path in kept)
    assert (temporary / "target" / "file").exists()
    assert not any(path.exists() for path in gone)
    folder.remove()
