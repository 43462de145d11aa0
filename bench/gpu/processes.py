"""Measurements in processes of their own, which are stopped when their time is over; what they have saved stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fastmlp.runtime.output_files import write_text

MINUTES = 8.0  # for everything
PROGRAM = str(Path(__file__).with_name("run.py"))


def start(command: list, out: Any, errors: Any, **settings: Any) -> subprocess.Popen:
    """Start a process as the head of a group of its own, so that its children, such as compilers, stop with it."""
    return subprocess.Popen(command, stdout=out, stderr=errors, start_new_session=True, **settings)


def wait_or_stop(process: subprocess.Popen, seconds: float) -> bool:
    """Wait so many seconds, then stop the process; returns whether it ended by itself."""
    try:
        process.wait(max(0.0, seconds))
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.wait()


def run_in_process(
    name: str, quick: bool, seconds: float, known: dict[str, float], program: str = PROGRAM
) -> dict[str, Any]:
    """The result of run.measure(name) in a process of its own, perhaps partial, or {"error": reason}.

    known : numbers that have been measured before
    """
    if seconds <= 0:
        return {"error": f"not measured: {MINUTES:g} minutes were over"}
    with tempfile.TemporaryDirectory() as folder:
        into, out, errors = (Path(folder, name) for name in ("row.json", "out.txt", "errors.txt"))
        command = [sys.executable, program, "--only", name, "--into", str(into), "--known", json.dumps(known)]
        # Files, not pipes: reading a pipe would wait for a compiler that has inherited it.
        with out.open("w") as o, errors.open("w") as e:
            process = start([*command, *["--quick"] * quick], o, e)
            ended = wait_or_stop(process, seconds)
        reason = ""
        if not ended:
            reason = f"stopped after {seconds:.0f} s, its share of {MINUTES:g} minutes"
        elif process.returncode:
            text = errors.read_text(errors="replace")
            print(out.read_text(errors="replace")[-2000:], text[-4000:], flush=True)
            last = (text.strip().splitlines() or [f"ended with {process.returncode}"])[-1]
            reason = last.replace("|", "/")[:500]
        return finish_row(json.loads(into.read_text()), reason) if into.exists() else {"error": reason or "no result"}


def finish_row(row: dict[str, Any], reason: str) -> dict[str, Any]:
    """The row, with the reason, and with competitors that were not reached moved to "left_out".

    reason : why the process ended early, or ""
    """
    pending = row.pop("pending", None)
    if reason and pending is None:
        row["ended early"] = reason
    elif reason:
        row["notes"]["ended early"] = reason
        row["left_out"] |= {name: f"{state}: {reason}" for name, state in pending.items()}
    return row


def write(row: dict[str, Any], path: Path) -> None:
    """Write the row whole or not at all, whenever this process is stopped."""
    write_text(path, json.dumps(row))
