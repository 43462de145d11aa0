"""Progress of several fits as one: of nets that are trained at the same time, or one after another.

A fit shows itself by `progress_of_fit`: with a bar of its own, or as a part of such a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from math import inf, isfinite, nan
from typing import NamedTuple

import numpy as np

from .compile_notice import CompileNotices
from .progress_bar import Progress
from .viewers import output_target


class BestScore(NamedTuple):
    """Lowest validation loss of the epochs so far, and the accuracy of that epoch; NaN without one.

    >>> str(BestScore(0.4102, 0.8611)), str(BestScore())
    ('best validation loss 0.4102, accuracy 0.861', '')
    """

    loss: float = nan
    accuracy: float = nan

    @classmethod
    def of(cls, losses: np.ndarray, accuracies: np.ndarray | None = None) -> BestScore:
        """Return the best of some epochs; accuracies : None for regression"""
        finite = np.where(np.isfinite(losses), losses, inf)
        if not finite.size or finite.min() == inf:
            return cls()
        k = int(finite.argmin())
        return cls(float(finite[k]), nan if accuracies is None else float(accuracies[k]))

    def __str__(self) -> str:
        if not isfinite(self.loss):
            return ""
        accuracy = f", accuracy {self.accuracy:.3f}" if isfinite(self.accuracy) else ""
        return f"best validation loss {self.loss:.4g}{accuracy}"


def best_of(scores: Iterable[BestScore]) -> BestScore:
    """Return the score with the lowest loss."""
    return min(scores, key=lambda score: score.loss if isfinite(score.loss) else inf, default=BestScore())


class PartProgress:
    """Progress of a fit that is a part of a whole: what Progress is to a fit that shows itself.

    total : number of epochs
    update : called after each change
    verbose : as of Progress
    """

    def __init__(self, total: int, update: Callable[[], None], verbose: int = 0):
        self.total, self._update = total, update
        self._notices = CompileNotices(bool(verbose))
        self.fraction = 0.0  # of the fit that is done
        self.find_best: Callable[[], BestScore] = BestScore

    def __enter__(self) -> PartProgress:
        self._notices.__enter__()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._notices.__exit__()
        best = self.find_best()
        self.find_best = lambda: best  # without a reference to the fit
        if error is None:
            self.fraction = 1.0
            self._update()

    def show(self, done: float, loss: float, find_best: Callable[[], BestScore] | None = None) -> None:
        self.fraction = min(1.0, done / self.total)
        if find_best is not None:
            self.find_best = find_best
        self._update()


class NetsInTraining:
    """Progress of nets of which several may be trained at the same time, on threads of their own.

    n_epochs : largest number of epochs of a net
    update : called after each change, with this progress
    """

    def __init__(self, n_epochs: int, update: Callable[[NetsInTraining], None] = lambda nets: None):
        self._n_epochs, self._update = n_epochs, lambda: update(self)
        self._parts: dict[int, PartProgress] = {}
        self._lock = threading.Lock()
        self.n_finished = 0
        self._best = BestScore()  # of finished nets

    def begin(self, net: int) -> PartProgress:
        part = self._parts[net] = PartProgress(self._n_epochs, self._update)
        return part

    def end(self, net: int) -> None:
        """Count a net as finished, after whatever number of epochs."""
        with self._lock:
            part = self._parts.pop(net)
            self._best, self.n_finished = best_of((self._best, part.find_best())), self.n_finished + 1

    @property
    def done(self) -> float:
        """Number of finished nets, with fractions of those in training."""
        with self._lock:
            return self.n_finished + sum(part.fraction for part in self._parts.values())

    def find_best(self) -> BestScore:
        with self._lock:
            return best_of((self._best, *(part.find_best() for part in self._parts.values())))


class NetsInTurn(Progress):
    """Progress of fits one after another, as one: `with NetsInTurn(5) as all_nets: all_nets.begin(0); ...`.

    Fits on this thread show themselves in it, unless they are silent. With verbose=2, their lines begin with the number
    of the fit.

    total : number of fits
    unit : name of one of them
    """

    def __init__(self, total: int, unit: str = "net"):
        super().__init__(total, 0, unit)
        self._number, self._part, self._best = 0, PartProgress(1, lambda: None), BestScore()

    def begin(self, number: int) -> None:
        """Begin a fit; number : counted from 0"""
        self._best = self.find_best()
        self._number, self._part = number, PartProgress(1, lambda: None)

    def part(self, n_epochs: int, verbose: int) -> PartProgress:
        """Return the progress of the fit that has begun; verbose : of the fit, 1 or 2"""
        if verbose == 1 and not self._watcher:
            self._watcher = output_target()
        self._best = self.find_best()  # of a fit that is made again
        self._part = PartProgress(n_epochs, self._show_all, verbose)
        return self._part

    @property
    def line_start(self) -> str:
        return f"{self.unit} {self._number + 1:,}/{self.total:,}  "

    def find_best(self) -> BestScore:
        return best_of((self._best, self._part.find_best()))

    def _show_all(self) -> None:
        self.show(self._number + self._part.fraction, nan, self.find_best)

    def __enter__(self) -> NetsInTurn:
        super().__enter__()
        self._before, _open.whole = _whole(), self
        return self

    def __exit__(self, *error: object) -> None:
        _open.whole = self._before
        super().__exit__(*error)


_open = threading.local()  # `whole`: the innermost NetsInTurn whose context is open on this thread


def _whole() -> NetsInTurn | None:
    return getattr(_open, "whole", None)


def progress_of_fit(n_epochs: int, verbose: int, part: PartProgress | None = None) -> Progress | PartProgress:
    """Return the progress of a fit; part : what shows it as a part of a whole, if that is known"""
    if part is not None:
        return part
    whole = _whole() if verbose else None
    return Progress(n_epochs, verbose, bar=verbose < 2) if whole is None else whole.part(n_epochs, verbose)


def line_start() -> str:
    """Return what lines of verbose=2 begin with, on this thread: the number of the fit among several, or ""."""
    whole = _whole()
    return "" if whole is None else whole.line_start
