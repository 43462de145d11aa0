"""An executed notebook: cell outputs of fits and of compiling."""

import json
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.full  # a notebook's kernel is started
MISSING = [name for name in ("nbclient", "nbformat", "ipykernel") if find_spec(name) is None]
PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")  # of the client's own libraries
import nbformat
from nbclient import NotebookClient

cells = json.loads({cells!r})
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""
CELLS = [
    "import sys, time, fastmlp\nX, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]\n"
    "net = fastmlp.MLP((2, 3, 1), loss='binary_cross_entropy', random_state=0)\n"
    "slowly = lambda epoch, history: time.sleep(0.05) or epoch == 29\n"
    "history = net.fit(X, y, epochs=2, verbose=0)",
    "history = net.fit(X, y, epochs=30, callbacks=slowly)",
    "history = net.fit(X, y, epochs=60, callbacks=slowly)\nprint('afterwards')",
    "history = net.fit(X, y, epochs=30, callbacks=slowly, verbose=2)",
    "history = net.fit(X, y, epochs=30, callbacks=slowly, verbose=0)",
    "history = net.fit(X, y, epochs=5)",
    "from fastmlp.console import compile_notice\nfrom fastmlp.kernels.jit.compile_time import notify_listeners\n"
    "compile_notice.SHOW_AFTER = 0\nwith notify_listeners():\n    pass\nwith notify_listeners():\n    pass",
    "with notify_listeners():\n    pass\nhistory = net.fit(X, y, epochs=30, callbacks=slowly)",
    "[name for name in ('ipywidgets', 'rich.live') if name in sys.modules]",
]


@pytest.fixture(scope="module")
def outputs():
    """(texts of display outputs, text of standard output) of each cell."""
    if MISSING:
        pytest.skip(f"{', '.join(MISSING)} is missing: pip install '.[test]'")
    import os
    import subprocess
    import sys
    from pathlib import Path

    import fastmlp

    environment = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    program = PROGRAM.format(cells=json.dumps(CELLS))
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    found = []
    for cell in json.loads(done.stdout.splitlines()[-1]):
        assert all(output.get("name") != "stderr" for output in cell), cell
        streams = "".join(output["text"] for output in cell if output["output_type"] == "stream")
        texts = [output["data"]["text/plain"] for output in cell if output["output_type"] != "stream"]
        found.append((texts, streams))
    return found


def test_long_fit_leaves_one_line(outputs):
    [text], printed = outputs[1]
    assert text.startswith("30 epochs  loss 0.")
    assert printed == ""


def test_fit_that_ended_early_shows_both_numbers_of_epochs(outputs):
    [text], printed = outputs[2]
    assert text.startswith("30 of 60 epochs  loss 0.")
    assert printed == "afterwards\n"


def test_verbose_2_prints_a_line_per_epoch(outputs):
    texts, printed = outputs[3]
    assert texts == []
    assert [line.split("  ")[0] for line in printed.splitlines()] == [f"epoch {k}/30" for k in range(1, 31)]


@pytest.mark.parametrize("cell", [0, 4, 5], ids=["verbose=0", "a long one", "a short fit"])
def test_silent_and_short_fits_leave_no_output(cell, outputs):
    assert outputs[cell] == ([], "")


def test_compilation_leaves_one_line(outputs):
    [text], printed = outputs[6]
    assert text.startswith("Compiled for this processor in 0.0 s, once")
    assert printed == ""


def test_progress_bar_replaces_the_compile_notice(outputs):
    [text], _ = outputs[7]
    assert text.startswith("30 epochs")


def test_no_widget_library_is_imported(outputs):
    assert outputs[8] == (["[]"], "")
