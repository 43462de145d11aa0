"""Progress of long fits: a bar in a terminal or a notebook, and lines about a population for verbose=2."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..kernels.jit.compile_time import compile_seconds, notices
from .compile_notice import notice
from .durations import long_duration
from .output_target import OutputLine, output_target

SHOW_AFTER = 1.0  # seconds of training, without compiling, before a bar appears
UPDATE_EVERY = 0.2  # seconds between two updates of a bar
LEAST_LEFT = 1.0  # seconds that are left, of which a bar tells
LINE_EVERY = 1.0  # seconds between two lines about a population
WIDTH = 30  # width of a bar, in characters


class Progress:
    """Progress of a fit or another long task: `with Progress(n_epochs, verbose) as p: p.show(epochs_done, loss)`.

    Nothing is printed or imported before SHOW_AFTER seconds, or with verbose=0, or if the program runs neither in a
    terminal nor in a notebook. A bar is erased at the end on a terminal, and becomes a summary in a notebook.

    total : number of units of work
    verbose : 0 for no output, else 1
    unit : name of one unit of work
    bar : whether a bar may be shown; False if lines are printed instead
    """

    def __init__(self, total: int, verbose: int, unit: str = "epoch", bar: bool = True):
        self.total, self.unit = total, unit
        self.done: float = 0
        self._start, self._waited = time.perf_counter(), compile_seconds()
        self._line: OutputLine | None = None  # with the bar
        self._written, self._text = 0.0, ""
        self._shows_bar = bool(bar and verbose and output_target())
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
        if self._line is None:
            if not self._shows_bar or self._elapsed() < SHOW_AFTER:
                return
            self._line = OutputLine()
            notice.bars.append(self.show_text)
        best = "" if find_best is None else str(find_best())
        self._text = joined(best, f"loss {loss:.4g}" if loss == loss else "")
        if (now := time.perf_counter()) - self._written >= UPDATE_EVERY:
            self._written = now
            left = self._elapsed() * (self.total / done - 1.0) if done else 0.0
            self.show_text(joined(self._text, f"{long_duration(left)} left" if left >= LEAST_LEFT else ""))

    def show_text(self, text: str) -> None:
        """Show the bar with a text, where it is shown."""
        assert self._line is not None
        n_full = round(WIDTH * self.done / self.total)
        bar = "━" * n_full + "─" * (WIDTH - n_full)
        self._line.write(f"{self.unit} {int(self.done):,}/{self.total:,} {bar} {text}")

    def _elapsed(self) -> float:
        return time.perf_counter() - self._start - (compile_seconds() - self._waited)

    def __exit__(self, *_: object) -> None:
        self._notices.__exit__(None, None, None)
        if self._line is not None:
            if self.show_text in notice.bars:  # not so in a forked process, where the list has been emptied
                notice.bars.remove(self.show_text)
            done = int(self.done)
            n = f"{done:,}" if done == self.total else f"{done:,} of {self.total:,}"
            self._line.write(joined(f"{n} {self.unit}s", self._text) if self._line.stays else "")


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
