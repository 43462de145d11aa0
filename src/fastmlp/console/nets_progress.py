"""Progress of several fits as one: of nets that are trained at the same time, or one after another.

A fit shows itself by `progress_of_fit`: with a bar of its own, or as a part of such a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import inf, isfinite, nan
from typing import Any, NamedTuple

import numpy as np

from .progress_bar import Progress


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


class PartProgress(Progress):
    """Progress of a fit that is a part of a whole.

    total : number of epochs or, of a population, of nets
    verbose : keyword of the fit, for notices
    update : called after each change
    n_units : number of units of the whole
    """

    def __init__(self, total: int, verbose: int, update: Callable[[], None], n_units: int):
        super().__init__(total, verbose, bar=False)
        self._update, self.n_units = update, n_units
        self.fraction = 0.0  # of the fit that is done
        self.find_best: Callable[[], Any] = BestScore

    def __exit__(self, error: object = None, *_: object) -> None:
        super().__exit__()
        best = self.find_best()
        self.find_best = lambda: best  # without a reference to the fit
        if error is None:
            self.fraction = 1.0
            self._update()

    def show(self, done: float, loss: float, find_best: Callable[[], object] | None = None) -> None:
        self.done, self.fraction = done, min(1.0, done / self.total)
        if find_best is not None:
            self.find_best = find_best
        self._update()


class SeveralFits:
    """Several fits that are shown as one: `fits = SeveralFits(progress)`, then `with fits.fit(0): net.fit(...)`.

    A fit on the thread that is inside `fit(number)` shows itself in it, unless it is silent. With verbose=2, its lines
    begin with the number. Fits may be on threads of their own; `update` then shows what they have done. The fit of a
    population may count as several units.

    whole : Progress or None     shows what is done, on the thread that has made this object
    """

    def __init__(self, whole: Progress | None):
        self.whole, self._n_before = whole, 0.0 if whole is None else whole.done
        self._thread = threading.get_ident()
        self._parts: dict[int, PartProgress] = {}
        self._lock = threading.Lock()
        self._n_finished = 0
        self._best = BestScore()  # of fits that have ended

    @contextmanager
    def fit(self, number: int, n_units: int = 1) -> Iterator[None]:
        """Context of a fit on this thread; number : counted from 0"""
        before, _open.place = getattr(_open, "place", None), (self, number, n_units)
        try:
            yield
        finally:
            _open.place = before
            self.end(number, n_units)

    def begin(self, number: int, total: int, verbose: int = 0, n_units: int = 1) -> PartProgress:
        """Return the progress of the fit with this number, which begins now, perhaps anew.

        total : number of epochs, or of nets
        verbose : keyword of the fit
        n_units : number of units of the fit, as for `fit`
        """
        part = PartProgress(total, verbose, self.update, n_units)
        with self._lock:
            self._leave(number)
            self._parts[number] = part
        return part

    def end(self, number: int, n_units: int = 1) -> None:
        """Count a fit as finished, after whatever number of epochs."""
        with self._lock:
            self._leave(number)
            self._n_finished += n_units

    def _leave(self, number: int) -> None:
        part = self._parts.pop(number, None)
        if part is not None:
            self._best = best_of((self._best, part.find_best()))

    def update(self) -> None:
        """Show the units that are finished, with fractions of those in training."""
        if self.whole is not None and threading.get_ident() == self._thread:
            with self._lock:
                done = self._n_finished + sum(part.n_units * part.fraction for part in self._parts.values())
            self.whole.show(self._n_before + done, nan, self._find_best)

    def _find_best(self) -> BestScore:
        with self._lock:
            return best_of((self._best, *(part.find_best() for part in self._parts.values())))


_open = threading.local()  # `place`: the SeveralFits and arguments of the innermost `fit` whose context is open here


def progress_of_fit(total: int, verbose: int, unit: str = "epoch") -> Progress:
    """Return the progress of a fit, which may be one of SeveralFits on this thread; total : of epochs, or of nets"""
    place: Any = getattr(_open, "place", None)
    if place and verbose:
        fits, number, n_units = place
        return fits.begin(number, total, verbose, n_units)
    return Progress(total, verbose, unit, bar=verbose < 2)


def line_start() -> str:
    """Return what lines of verbose=2 begin with, on this thread: the number of the fit among several, or ""."""
    place: Any = getattr(_open, "place", None)
    return f"{place[0].whole.unit} {place[1] + 1:,}/{place[0].whole.total:,}  " if place else ""
