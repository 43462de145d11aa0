"""Growth of the largest resident memory of a process (VmHWM), in which a function is called for two files."""

import subprocess
import sys
from pathlib import Path

import pytest

on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmHWM is in /proc")
PROGRAM = """
import sys

{definition}

def peak():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


for _ in range(3):  # the first imports and compiles; the others take what the allocators keep
    fit(sys.argv[1])
before = peak()
fit(sys.argv[2])
print(peak() - before)
"""


def growth(definition, small, large):
    """Return by how many bytes the peak of fit(small) grows in fit(large), in a process of its own.

    definition : code that defines the function `fit` of a path
    """
    command = [sys.executable, "-c", PROGRAM.format(definition=definition), str(small), str(large)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
