"""Python processes that are started import from where their parent does, and not from the current folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastmlp.runtime.python_process import python_command

PLANTED = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"


@pytest.mark.slow
def test_the_current_folder_is_not_imported_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    Path("numpy.py").write_text(PLANTED)
    program = "import numpy, sys; print(numpy.__file__, *sys.argv[1:])"
    done = subprocess.run(python_command(program, "a b"), capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("__init__.py a b")
    assert not list(tmp_path.glob("*.imported"))


def test_paths_of_the_parent_are_used(tmp_path, monkeypatch):
    (tmp_path / "of_the_parent.py").write_text("name = 'found'\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), tmp_path])  # what is no text is not imported from
    command = python_command("import of_the_parent; print(of_the_parent.name)")
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "found\n"
