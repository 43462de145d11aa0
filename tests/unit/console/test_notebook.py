"""An executed notebook: cell outputs of fits, and of compiling."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import fastmlp

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
BEGIN = """
import sys, time, fastmlp
from fastmlp.console import compile_notice
from fastmlp.kernels.jit.compile_time import notify_listeners

X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
net = fastmlp.MLP((2, 3, 1), loss='binary_cross_entropy', random_state=0)
slowly = lambda epoch, history: time.sleep(0.05) or epoch == 29
history = net.fit(X, y, epochs=2, verbose=0)
"""
LINES = [f"epoch {k}/30  loss" for k in range(1, 31)]
CELLS = [  # (code, beginning of the text that it leaves, or None, beginnings of the lines that it prints)
    (BEGIN, None, []),
    ("h = net.fit(X, y, epochs=60, callbacks=slowly)\nprint('afterwards')", "30 of 60 epochs  loss 0.", ["afterwards"]),
    ("h = net.fit(X, y, epochs=30, callbacks=slowly, verbose=2)", None, LINES),
    ("h = net.fit(X, y, epochs=5)", None, []),
    ("with notify_listeners():\n    time.sleep(compile_notice.SHOW_AFTER + 0.2)", "", []),
    ("[name for name in ('ipywidgets', 'rich.live') if name in sys.modules]", "[]", []),
]


@pytest.mark.full
@pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} is missing: pip install '.[test]'")
def test_cells_leave_one_line_for_a_fit():
    environment = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    program = PROGRAM.format(cells=json.dumps([code for code, _, _ in CELLS]))
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    for (code, start, starts), outputs in zip(CELLS, json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert all(output.get("name") != "stderr" for output in outputs), code
        printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream").splitlines()
        assert len(printed) == len(starts), code
        assert all(line.startswith(expected) for line, expected in zip(printed, starts, strict=True)), code
        texts = [output["data"] for output in outputs if output["output_type"] != "stream"]
        assert len(texts) == (start is not None), code
        assert all(text["text/plain"].startswith(start) for text in texts), code
