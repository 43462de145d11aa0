"""Fixtures of the reliability tests: fits, saves and processes that are interrupted, killed or attacked.

Most tests have a short form, which is part of the suite, and a long form: `pytest tests/reliability --long`. Both count
the cases they tried, and the summary at the end of the run prints the counts.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastmlp


@pytest.fixture
def python_file(tmp_path):
    """Return a function that runs text as a file, which spawned processes can import: run(text, *arguments)."""

    def run(text, *arguments):
        program = tmp_path / "program.py"
        program.write_text(text)
        environment = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
        command = [sys.executable, str(program), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    return run
