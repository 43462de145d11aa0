"""Temporary folders: removed by their owner, without one, and at the end of the process that made them."""

import os

import pytest

from fastmlp.runtime.temporary_folder import TemporaryFolder


def make(parent):
    return TemporaryFolder("rows-", ".partial", parent)


def test_a_folder_is_private_and_removed_with_its_files(tmp_path):
    first, second = make(tmp_path), make(tmp_path)
    assert first.path != second.path
    assert first.path.stat().st_mode & 0o077 == 0 or os.name == "nt"
    (first.path / "file").touch()
    first.remove()
    assert list(tmp_path.iterdir()) == [second.path]
    second.remove()
    second.remove()  # nothing is left to do
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import os, sys
from pathlib import Path
from fastmlp.runtime.temporary_folder import TemporaryFolder

folder = TemporaryFolder("rows-", parent=Path({parent!r}))
if {forks} and os.fork() == 0:
    sys.exit()
if {forks}:
    os.wait()
print(len(list(Path({parent!r}).iterdir())))
"""


@pytest.mark.parametrize("forks", [False, True])
def test_the_end_of_the_process_removes_it_and_that_of_a_forked_one_does_not(fresh_python, tmp_path, forks):
    if forks and not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    done = fresh_python(PROGRAM.format(parent=str(tmp_path), forks=forks))
    assert (done.stdout, done.stderr) == ("1\n", "")
    assert list(tmp_path.iterdir()) == []
