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

from ..kernels.jit.compile_time import notices
from .output_target import output_target
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


class PartProgress:
    """Progress of a fit that is a part of a whole: what Progress is to a fit that shows itself.

    total : number of epochs or, of a population, of nets
    update : called after each change
    verbose : as of Progress
    weight : number of units of the whole
    """

    def __init__(self, total: int, update: Callable[[], None], verbose: int = 0, weight: int = 1):
        self.total, self._update, self.weight = total, update, weight
        self._notices = notices(bool(verbose))
        self.done: float = 0
        self.fraction = 0.0  # of the fit that is done
        self.find_best: Callable[[], BestScore] = BestScore

    def __enter__(self) -> PartProgress:
        self._notices.__enter__()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._notices.__exit__(None, None, None)
        best = self.find_best()
        self.find_best = lambda: best  # without a reference to the fit
        if error is None:
            self.fraction = 1.0
            self._update()

    def show(self, done: float, loss: float, find_best: Callable[[], BestScore] | None = None) -> None:
        self.done, self.fraction = done, min(1.0, done / self.total)
        if find_best is not None:
            self.find_best = find_best
        self._update()


class NetsInTraining:
    """Progress of nets of which several may be trained at the same time, on threads of their own.

    update : called after each change, with this progress
    """

    def __init__(self, update: Callable[[NetsInTraining], None] = lambda nets: None):
        self._update = lambda: update(self)
        self._parts: dict[int, PartProgress] = {}
        self._lock = threading.Lock()
        self.n_finished = 0
        self._best = BestScore()  # of nets that are not in training any more

    def begin(self, net: int, n_epochs: int, verbose: int = 0, weight: int = 1) -> PartProgress:
        """Return the progress of the fit of a net, which begins now, perhaps anew; arguments as of PartProgress"""
        part = PartProgress(n_epochs, self._update, verbose, weight)
        with self._lock:
            self._leave(net)
            self._parts[net] = part
        return part

    def end(self, net: int, weight: int = 1) -> None:
        """Count a net as finished, after whatever number of epochs."""
        with self._lock:
            self._leave(net)
            self.n_finished += weight

    def _leave(self, net: int) -> None:
        part = self._parts.pop(net, None)
        if part is not None:
            self._best = best_of((self._best, part.find_best()))

    @property
    def done(self) -> float:
        """Number of finished nets, with fractions of those in training."""
        with self._lock:
            return self.n_finished + sum(part.weight * part.fraction for part in self._parts.values())

    def find_best(self) -> BestScore:
        with self._lock:
            return best_of((self._best, *(part.find_best() for part in self._parts.values())))


class SeveralFits(Progress):
    """Progress of several fits as one: `with SeveralFits(5) as fits: with fits.fit(0): net.fit(...)`.

    A fit on the thread that is inside `fit(number)` shows itself in it, unless it is silent. With verbose=2, its lines
    begin with the number. Fits may be on threads of their own; `refresh` then shows what they have done, on the thread
    that has made this progress. The fit of a population may count as several units.

    total : number of fits, or of their units
    unit : name of one of them
    """

    def __init__(self, total: int, unit: str = "net"):
        super().__init__(total, 0, unit)
        self._thread = threading.get_ident()
        self._nets = NetsInTraining(self._update)

    def __enter__(self) -> SeveralFits:
        super().__enter__()
        return self

    @contextmanager
    def fit(self, number: int, n_units: int = 1) -> Iterator[None]:
        """Context of a fit on this thread; number : counted from 0"""
        before, _open.place = getattr(_open, "place", None), (self, number, n_units)
        try:
            yield
        finally:
            _open.place = before
            self._nets.end(number, n_units)

    def part(self, number: int, total: int, verbose: int, n_units: int = 1) -> PartProgress:
        """Return the progress of the fit with this number, which begins now.

        total : number of epochs, or of nets
        verbose : of the fit, 1 or 2
        n_units : as of `fit`
        """
        if verbose == 1 and not self._watcher:
            self._watcher = output_target()
        return self._nets.begin(number, total, verbose, n_units)

    def refresh(self) -> None:
        """Show what is done."""
        self.show(self._nets.done, nan, self._nets.find_best)

    def _update(self, _: NetsInTraining) -> None:
        if threading.get_ident() == self._thread:
            self.refresh()


_open = threading.local()  # `place`: the SeveralFits and arguments of the innermost `fit` whose context is open here


def progress_of_fit(n_epochs: int, verbose: int) -> Progress | PartProgress:
    """Return the progress of a fit."""
    return part_of_whole(n_epochs, verbose) or Progress(n_epochs, verbose, bar=verbose < 2)


def part_of_whole(total: int, verbose: int) -> PartProgress | None:
    """Return the progress of a fit on this thread as a part of SeveralFits, or None; total : of epochs, or of nets"""
    place: Any = getattr(_open, "place", None)
    return place[0].part(place[1], total, verbose, place[2]) if place and verbose else None


def line_start() -> str:
    """Return what lines of verbose=2 begin with, on this thread: the number of the fit among several, or ""."""
    place: Any = getattr(_open, "place", None)
    return f"{place[0].unit} {place[1] + 1:,}/{place[0].total:,}  " if place else ""
