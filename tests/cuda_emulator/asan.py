"""Runs programs under AddressSanitizer, which checks that every read and write of a kernel is inside an array."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fastmlp

OPTIONS = "detect_leaks=0:abort_on_error=0:detect_stack_use_after_return=0:verify_asan_link_order=0"


def library() -> str | None:
    """Return the path of the sanitizer's library; None if g++ has none."""
    done = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False)
    path = done.stdout.strip()
    return path if os.path.isabs(path) and os.path.exists(path) else None


def run(program: str, timeout: float = 300) -> subprocess.CompletedProcess:
    """Run `program` in a new process, with the emulator installed as cupy before its first line."""
    folders = [str(Path(fastmlp.__file__).parents[1]), str(Path(__file__).parents[1])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(folders),
        "LD_PRELOAD": str(library()),
        "ASAN_OPTIONS": OPTIONS,
        "FASTMLP_EMULATOR_ASAN": "1",
        "PYTHONMALLOC": "malloc",
    }
    head = "import cuda_emulator\nwith cuda_emulator.installed():\n"
    lines = head + "".join(f"    {line}\n" for line in program.splitlines())
    return subprocess.run(
        [sys.executable, "-c", lines], env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
