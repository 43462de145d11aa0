"""Progress of long fits: a bar in a terminal or a notebook, and lines about a population for verbose=2."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..kernels.jit.compile_time import compile_seconds, notices
from .compile_notice import notice
from .output_target import NOTEBOOK, NotebookText, output_target

SHOW_AFTER = 1.0  # seconds of training, without compiling, before a bar appears
CELL_EVERY = 0.2  # seconds between two updates of a bar in a notebook
LINE_EVERY = 1.0  # seconds between two lines about a population
WIDTH = 30  # width of a bar in a notebook, in characters


class TerminalBar:
    """Progress bar on standard error, which is erased when it is closed."""

    def __init__(self, total: int, unit: str):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn(unit),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),  # which leaves the text the room that it needs
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
        )
        self.rich = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._task = self.rich.add_task("training", total=total, text="")
        self.rich.start()

    def update(self, done: float, text: str) -> None:
        self.rich.update(self._task, completed=done, text=text)

    def show_text(self, text: str) -> None:
        self.rich.update(self._task, text=text)

    def close(self) -> None:
        with suppress(OSError):  # of a terminal that is closed, which must not end the fit
            self.rich.stop()


class NotebookBar:
    """Progress bar of text characters in the output of a notebook cell. When closed, it becomes a summary line."""

    def __init__(self, total: int, unit: str):
        self.total, self.unit = total, unit
        self._line = NotebookText()
        self._start = time.perf_counter()
        self._written = 0.0
        self._done, self._text = 0.0, ""

    def update(self, done: float, text: str) -> None:
        self._done, self._text = done, text
        if (now := time.perf_counter()) - self._written >= CELL_EVERY:
            self._written = now
            self.show_text(text)

    def show_text(self, text: str) -> None:
        n_full = round(WIDTH * self._done / self.total)
        bar = "━" * n_full + "─" * (WIDTH - n_full)
        self._line.write(f"{self.unit} {int(self._done):,}/{self.total:,} {bar} {text}")

    def close(self) -> None:
        done = int(self._done)
        total = "" if done == self.total else f" of {self.total:,}"
        self._line.write(joined(f"{done:,}{total} {self.unit}s", self._text))


class Progress:
    """Progress of a fit or another long task: `with Progress(n_epochs, verbose) as p: p.show(epochs_done, loss)`.

    Nothing is printed or imported before SHOW_AFTER seconds, or with verbose=0, or if the program runs neither in a
    terminal nor in a notebook.

    total : number of units of work
    verbose : 0 for no output, else 1
    unit : name of one unit of work
    bar : whether a bar may be shown; False if lines are printed instead
    """

    def __init__(self, total: int, verbose: int, unit: str = "epoch", bar: bool = True):
        self.total, self.unit = total, unit
        self.done: float = 0
        self._start, self._waited = time.perf_counter(), compile_seconds()
        self._bar: Any = None
        self._watcher = output_target() if bar and verbose else ""
        self._notices = notices(bool(verbose))

    def __enter__(self) -> Progress:
        self._notices.__enter__()
        return self

    def show(self, done: float, loss: float, find_best: Callable[[], object] | None = None) -> None:
        """Show the units that are done.

        loss : training loss, NaN for none
        find_best : returns what is best so far, such as a BestScore, as text or by str; called only if it is shown
        """
        self.done = done
        if self._bar is None:
            if not self._watcher or self._elapsed() < SHOW_AFTER:
                return
            self._bar = (NotebookBar if self._watcher == NOTEBOOK else TerminalBar)(self.total, self.unit)
            notice.bars.append(self._bar.show_text)
        best = "" if find_best is None else str(find_best())
        self._bar.update(done, joined(best, f"loss {loss:.4g}" if loss == loss else ""))

    def _elapsed(self) -> float:
        return time.perf_counter() - self._start - (compile_seconds() - self._waited)

    def __exit__(self, *_: object) -> None:
        self._notices.__exit__(None, None, None)
        if self._bar is not None:
            if self._bar.show_text in notice.bars:  # not so in a forked process, where the list has been emptied
                notice.bars.remove(self._bar.show_text)
            self._bar.close()


def joined(*texts: str) -> str:
    return "  ".join(text for text in texts if text)


class NetLines(Progress):
    """Progress of a population with verbose=2: one line a second on standard output, and a last one.

    total : number of units of work
    figures : function that returns the text of a line after the number of finished nets
    unit : name of one unit of work
    """

    def __init__(self, total: int, figures: Callable[[], str], unit: str = "net"):
        super().__init__(total, 2, unit, bar=False)
        self._figures = figures
        self._printed, self._last = self._start, ""
        self._find_best: Callable[[], object] | None = None

    def show(self, done: float, loss: float, find_best: Callable[[], object] | None = None) -> None:
        self.done, self._find_best = done, find_best
        if time.perf_counter() - self._printed >= LINE_EVERY:
            self._print()

    def _print(self) -> None:
        self._printed = time.perf_counter()
        best = "" if self._find_best is None else str(self._find_best())
        line = joined(f"{self.unit} {int(self.done):,}/{self.total:,}", self._figures(), best)
        if line != self._last:
            print(line, flush=True)
        self._last = line

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._print()
