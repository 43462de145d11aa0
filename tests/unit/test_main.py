"""Entry point: Ctrl-C while the modules of the command are imported."""

import subprocess
import sys

PROGRAM = """
import sys

class CtrlC:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
from fastmlp.__main__ import main
main()
"""


def test_ctrl_c_during_imports_prints_a_sentence():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "fastmlp: Interrupted.\n")
