"""A progress bar for fits that take long, where somebody can see it."""

from __future__ import annotations

import sys
import time
from typing import Any

SHOW_AFTER = 1.0  # seconds


def _somebody_watches() -> bool:
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"  # a notebook


class Progress:
    """`with Progress(n_epochs, verbose) as progress: progress.show(epochs_done, loss)`, or another unit of work.

    Nothing is printed or imported before SHOW_AFTER seconds, or with verbose=0, or where no person can see it.
    """

    def __init__(self, total: int, verbose: int, unit: str = "epoch"):
        self.total, self.unit = total, unit
        self.done: float = 0
        self._start = time.perf_counter()
        self._bar: Any = None
        self._task: Any = None
        self._wanted = bool(verbose) and _somebody_watches()

    def __enter__(self) -> Progress:
        return self

    def show(self, done: float, loss: float) -> None:
        self.done = done
        if self._bar is None:
            if not self._wanted or time.perf_counter() - self._start < SHOW_AFTER:
                return
            self._open()
        self._bar.update(self._task, completed=done, loss=f"loss {loss:.4g}" if loss == loss else "")

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn(self.unit),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
        )
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("training", total=self.total, loss="")
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
