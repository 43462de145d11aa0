"""What scikit-learn's nets do in their own way: names, factors in losses, first weights, falling rates, when to stop.

Facts of sklearn.neural_network 1.9, which estimators.py keeps to. With B samples in a batch, its objective is a sum
over outputs, with one half before squares, and has the penalty alpha / (2 B) times the sum of squared weights.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np

from ..history import History
from ..memory_check import check_params
from ..network.parameter_layout import Layout

OUR_ACTIVATION = {"logistic": "sigmoid"}  # where the names differ
THEIR_OUTPUT = {"sigmoid": "logistic", "exponential": "exp"}
SMALLEST_ADAPTIVE_RATE = 1e-6  # "adaptive" stops here
ADAPTIVE_DIVISOR = 5.0
MOST_AHEAD = 1000  # epochs
SMALL_SHARE = 0.01


class Scale(NamedTuple):
    """Factors from a loss of ours, a mean over outputs without one half, to theirs."""

    objective: float  # that is minimised
    reported: float  # that loss_ and loss_curve_ show


def scale_of(loss: str, n_outputs: int) -> Scale:
    """
    >>> scale_of("squared_error", 3)
    Scale(objective=1.5, reported=0.5)
    """
    if loss == "softmax_cross_entropy":
        return Scale(1.0, 1.0)
    if loss in ("squared_error", "huber"):
        return Scale(0.5 * n_outputs, 0.5)
    if loss in ("binary_cross_entropy", "poisson"):
        return Scale(float(n_outputs), float(n_outputs))
    return Scale(float(n_outputs), 1.0)


def poisson_constant(y: np.ndarray, sample_weight: np.ndarray | None) -> float:
    """What its Poisson deviance has and our likelihood leaves out: the mean of y log(y) - y, summed over outputs."""
    from scipy.special import xlogy

    return float(np.average(xlogy(y, y) - y, weights=sample_weight, axis=0).sum())


def sklearn_initial_params(rng: np.random.RandomState, layout: Layout, activation: str) -> np.ndarray:
    """(n_params,) weights and biases from U(-b, b), b = sqrt(f / (fan_in + fan_out)), f = 2 for sigmoid units, else 6.

    The very numbers that scikit-learn draws from the same rng.
    """
    check_params(layout.layer_sizes, layout.n_params, 8)
    factor = 2.0 if activation == "sigmoid" else 6.0
    bounds = [sqrt(factor / (i + j)) for i, j in layout.shapes]
    parts = [rng.uniform(-b, b, i * j + j) for b, (i, j) in zip(bounds, layout.shapes, strict=True)]
    return np.concatenate(parts)


def inverse_scaling(
    power: float, n_batches: int, n_samples: int, seen: int, goes_on: bool
) -> Callable[[np.ndarray, int], np.ndarray]:
    """The schedule "invscaling": 1 / (t + 1) ** power, t samples seen by the end of the epoch before.

    seen : samples before this fit. goes_on : whether the optimiser does too, so that they count in its first epoch.
    """

    def factors(steps: np.ndarray, n_steps: int) -> np.ndarray:
        epochs = steps // n_batches
        falling = (seen + epochs * n_samples + 1.0) ** -power
        return np.where((epochs == 0) & (not goes_on), 1.0, falling)

    return factors


class EpochRules:
    """A callback that records what scikit-learn records, and stops, or slows down, when it would.

    Training has stalled once more than n_iter_no_change epochs in a row were not better than the best before by tol.
    The measure is the training loss with its penalty or, for early stopping, a score on samples that are held out, and
    then the parameters with the best score are kept.
    """

    def __init__(
        self, *, tol: float, n_iter_no_change: float, learning_rate: float = 0.0, adaptive: bool = False,
        early_stopping: bool = False, losses: Callable[[History, int], list[float]] | None = None,
        score: Callable[[History], float] | None = None, is_smooth: Callable[[float], bool] | None = None,
        verbose: Any = False,
    ):  # fmt: skip
        """losses : those of the history from an epoch on. is_smooth : whether losses of several epochs may be asked for
        at once, without the net as it was between them, to within tol. score : of the net as it is"""
        self.tol, self.n_iter_no_change = tol, n_iter_no_change
        self.learning_rate, self.adaptive, self.early_stopping = learning_rate, adaptive, early_stopping
        self._losses, self._score, self._is_smooth, self.verbose = losses, score, is_smooth, verbose
        self.factor = 1.0
        self.n_stalled, self.best_loss, self.best_score = 0, inf, -inf
        self.best_params: np.ndarray | None = None
        self.losses: list[float] = []
        self.scores: list[float] = []

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        """The schedule "adaptive": what the learning rate has come to."""
        return np.full(len(steps), self.factor)

    def epochs_ahead(self) -> int:
        """It takes so many more epochs until training can have stalled."""
        assert self._is_smooth is not None
        if self._score is not None or self.verbose or not self._is_smooth(self.tol):
            return 1
        return int(min(self.n_iter_no_change + 1 - self.n_stalled, MOST_AHEAD))

    def __call__(self, epoch: int, history: History) -> bool:
        assert self._losses is not None
        for loss in self._losses(history, len(self.losses)):
            self.losses.append(loss)
            if self.verbose:
                print(f"Iteration {len(self.losses)}, loss = {loss:.8f}")
            if not self.early_stopping:
                stalls = loss > self.best_loss - self.tol
                self.best_loss = min(self.best_loss, loss)
                self.n_stalled = self.n_stalled + 1 if stalls else 0
        if self._score is not None:
            self._judge(self._score(history), history)
        return self.n_stalled > self.n_iter_no_change and self._ends()

    def lag_behind(self, history: History) -> bool:
        """Whether epochs have been finished that nothing is recorded of."""
        recorded = len(self.losses) if self._score is None else min(len(self.losses), len(self.scores))
        return recorded < history.epochs

    def _judge(self, score: float, history: History) -> None:
        self.scores.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        if self.early_stopping:
            stalls = score < self.best_score + self.tol
            if score > self.best_score:
                self.best_score, self.best_params = score, history.net.params.copy()
            self.n_stalled = self.n_stalled + 1 if stalls else 0

    def _ends(self) -> bool:
        measure = "Validation score" if self.early_stopping else "Training loss"
        text = f"{measure} did not improve by more than {self.tol:g} for {self.n_iter_no_change} epochs."
        ends = not self.adaptive or self.learning_rate <= SMALLEST_ADAPTIVE_RATE
        if not ends:
            self.factor /= ADAPTIVE_DIVISOR
            self.learning_rate /= ADAPTIVE_DIVISOR
            self.n_stalled = 0
        if self.verbose:
            print(text, "Stopping." if ends else f"Learning rate lowered to {self.learning_rate:g}.")
        return ends

    def goes_on_from(self, before: EpochRules) -> None:
        """Remember what the fit before had seen."""
        self.n_stalled, self.best_params = before.n_stalled, before.best_params
        self.best_loss, self.best_score = before.best_loss, before.best_score

    def __getstate__(self) -> dict[str, Any]:
        """Without the functions, which hold the data of the fit."""
        return {**self.__dict__, "_losses": None, "_score": None, "_is_smooth": None}


def sum_of_squares(weights: list[np.ndarray]) -> float:
    """Of all layers' weights, in an order that no number of threads changes: BLAS shares out a large layer's.

    >>> sum_of_squares([np.array([[1.0, 2.0], [0.0, 1.0]])])
    6.0
    """
    return sum(float(np.einsum("ij,ij->i", W, W).sum(dtype=np.float64)) for W in weights)


class ObjectiveOfEpochs:
    """Losses of finished epochs as scikit-learn reports them: scaled, and with the penalty of their steps.

    The penalty, which theirs has before each step, is measured when losses are asked for and linear in between.
    """

    def __init__(self, net: Any, reported: float, penalty: float, constant: float, n_batches: int):
        self.net, self.reported, self.constant = net, reported, constant
        self.middle = 0.5 - 0.5 / n_batches  # of an epoch: the mean of its steps' beginnings
        self.half_penalty = 0.5 * penalty
        self._before, self._last_loss = self._measure(), 0.0

    def _measure(self) -> float:
        if not self.half_penalty:
            return 0.0
        return self.half_penalty * sum_of_squares(self.net.weights)

    def is_smooth(self, tol: float) -> bool:
        """Whether the penalty is so small, beside tol or the loss, that its bend between measurements is nothing."""
        return self._before <= max(tol, SMALL_SHARE * self._last_loss)

    def __call__(self, history: History, first: int) -> list[float]:
        """Losses of the epochs from `first` on."""
        before, self._before = self._before, self._measure()
        n = history.epochs - first
        penalties = before + (self._before - before) * (np.arange(n) + self.middle) / max(n, 1)
        losses = (self.reported * history.loss[first:] + self.constant + penalties).tolist()
        self._last_loss = losses[-1] if losses else 0.0
        return losses
