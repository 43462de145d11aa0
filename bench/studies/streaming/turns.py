"""Processes of fastmlp that train in turns: a worker trains for some epochs when it is told to, and then waits.

Run as a program, this file is such a process; its argument has those of `work`, as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # bench/

from studies.streaming.files import BATCH, first_rows, rows_of
from studies.streaming.system import bytes_from_disk, largest_resident_bytes
from suite.clean_env import start_clean


class Turns:
    """Callback of a fit that prints what each turn took, and waits for the next one.

    The first turn is an epoch, and each later one `epochs_a_turn` epochs.
    """

    def __init__(self, epochs_a_turn: int):
        self._epochs = epochs_a_turn
        self._wait({"largest_resident": largest_resident_bytes()})

    def _wait(self, answer: dict[str, Any]) -> None:
        print(json.dumps(answer), flush=True)
        if not sys.stdin.readline():  # there is no further turn
            raise SystemExit
        self._seconds: list[float] = []
        self._from_disk, self._start = bytes_from_disk(), time.perf_counter()

    def __call__(self, epoch: int, history: Any) -> None:
        now = time.perf_counter()
        self._seconds.append(now - self._start)
        self._start = now
        if epoch % self._epochs == 0:
            from_disk = bytes_from_disk() - self._from_disk
            self._wait({
                "seconds": self._seconds,
                "bytes_from_disk": from_disk,
                "largest_resident": largest_resident_bytes(),
            })  # fmt: skip


def work(data: str, sizes: list[int], turns: int, epochs_a_turn: int, in_memory: int, memory_limit: str) -> None:
    """Train a net in turns.

    data : path of a Parquet file
    turns : number of turns after the first one
    in_memory : number of rows that are trained on in memory, the first ones of the file; 0 for all, read from disk
    """
    import fastmlp

    net, rng = fastmlp.MLP(tuple(sizes), device="cpu", random_state=0), np.random.default_rng(0)
    few = rng.normal(size=(5000, sizes[0])), rng.normal(size=5000)
    fit: dict[str, Any] = {"batch_size": BATCH, "verbose": 0}
    net.fit(*few, epochs=1, **fit)  # compiles
    fit["epochs"] = 1 + turns * epochs_a_turn
    if in_memory:
        samples = first_rows(Path(data), in_memory)
        net.fit(*samples, callbacks=Turns(epochs_a_turn), **fit)
    else:
        rows = {"memory_limit": memory_limit, "row_cache": rows_of(Path(data))}
        net.fit(data, "y", callbacks=Turns(epochs_a_turn), **rows, **fit)


class Worker:
    """A process that trains in turns; the arguments are those of `work`. As a context, it ends at the end."""

    def __init__(self, data: Path, sizes: tuple[int, ...], turns: int, epochs_a_turn: int, **further: Any):
        task = {"data": str(data), "sizes": sizes, "turns": turns, "epochs_a_turn": epochs_a_turn, **further}
        command = [sys.executable, __file__, json.dumps({"in_memory": 0, "memory_limit": "", **task})]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.at_start = self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def turn(self) -> dict[str, Any]:
        """Return what the next turn took."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError(f"a fit ended with status {self._process.returncode}; its error is above")
        return json.loads(line)


if __name__ == "__main__":
    start_clean()
    work(**json.loads(sys.argv[1]))
