"""Examples and tutorials: each runs as a script; each tutorial also runs as the notebook that its page offers."""

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
NOTEBOOK_LIBRARIES = ("sphinx_gallery", "nbclient", "nbformat", "ipykernel", "matplotlib_inline")


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


RUN_NOTEBOOK = """
import copy, json, sys, warnings
warnings.simplefilter("ignore")  # of the client's own libraries
import nbformat
from nbclient import NotebookClient
from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
from sphinx_gallery.notebook import jupyter_notebook
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

_, blocks = split_code_and_text_blocks(sys.argv[1])
cells = jupyter_notebook(blocks, copy.deepcopy(DEFAULT_GALLERY_CONF), ".")
notebook = nbformat.reads(json.dumps(cells), as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
print(json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"]))
"""


@pytest.mark.full
@pytest.mark.parametrize("path", TUTORIALS, ids=name_of)
def test_tutorial_runs_as_a_notebook(path, environment, tmp_path):
    skip_without([*NOTEBOOK_LIBRARIES, *NEEDED[path]])
    import json

    del environment["MPLBACKEND"]  # a notebook has its own
    done = subprocess.run(
        [sys.executable, "-c", RUN_NOTEBOOK, str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    outputs = [output for cell in json.loads(done.stdout.splitlines()[-1]) for output in cell]
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs), "the notebook shows no picture"
