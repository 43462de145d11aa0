"""Examples and tutorials: each runs as a script."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import fastmlp

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.py"))
SCRIPTS = [*sorted((ROOT / "examples").glob("*.py")), *TUTORIALS]
NEEDED = {path: set() for path in SCRIPTS}  # libraries that a script imports, beside those of the package
for path in SCRIPTS:
    imported = re.findall(r"^(?:import|from) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    NEEDED[path] = {name for name in imported if name in ("matplotlib", "pandas", "sklearn")}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.fixture
def environment():
    """Environment of a new process that finds the package under test and draws without a display."""
    shown = {"DISPLAY", "WAYLAND_DISPLAY", "FASTMLP_DATA"}
    kept = {name: value for name, value in os.environ.items() if name not in shown}
    return {**kept, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1]), "MPLBACKEND": "agg"}


def skip_without(libraries):
    if missing := [name for name in libraries if find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} is missing; pip install 'fastmlp[test,docs]' has it")


def test_there_are_examples_and_tutorials():
    assert len(TUTORIALS) >= 4
    assert len(SCRIPTS) - len(TUTORIALS) >= 10
    assert all(re.match(r"(plot|long)_\w+\.py", path.name) for path in SCRIPTS)  # which conf.py runs


@pytest.mark.full
@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_script_runs_without_a_warning(path, environment, tmp_path):
    skip_without(NEEDED[path])
    command = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout
    assert list(tmp_path.iterdir()) == [], "it left files behind"
