"""Stopping rules of scikit-learn's MLPs: when training has stalled, by the loss or by the score on held-out samples."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from ..errors import counted
from ..history import History

SMALLEST_ADAPTIVE_RATE = 1e-6  # with "adaptive", training stops at this learning rate
ADAPTIVE_DIVISOR = 5.0
MAX_EPOCHS_AHEAD = 1000  # largest number of epochs between two calls of EpochRules
SMALL_SHARE = 0.01  # penalty below this fraction of the loss: see ObjectiveOfEpochs.is_smooth


class EpochRules:
    """Callback with scikit-learn's stopping rules: records losses and scores, and stops or lowers the learning rate.

    Training has stalled after more than n_iter_no_change consecutive epochs that did not improve on the best epoch by
    at least tol. Epochs are compared by the training loss with its penalty. With early stopping they are compared by
    the score on held-out samples instead, and the parameters with the best score are kept. Fits that continue one
    another share the best values and the count of stalled epochs.
    """

    def __init__(self) -> None:
        self.adaptive, self.factor, self.learning_rate = False, 1.0, 0.0
        self.n_stalled, self.best_loss, self.best_score = 0, inf, -inf
        self.best_params: np.ndarray | None = None
        self.losses: list[float] = []
        self.scores: list[float] = []
        self._settings: Any = None  # the estimator
        self._objective: Any = None
        self._score: Callable[[History], float] | None = None

    def begin(
        self,
        estimator: Any,
        objective: ObjectiveOfEpochs,
        score: Callable[[History], float] | None,
        keeps_rate: bool = False,
    ) -> None:
        """Begin a fit with the settings of an estimator.

        score : function history -> score of the current parameters on held-out samples, or None
        keeps_rate : whether the learning rate that "adaptive" has lowered goes on
        """
        adaptive = estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
        if not (keeps_rate and adaptive and self.adaptive):
            self.factor, self.learning_rate = 1.0, estimator.learning_rate_init
        self.adaptive, self._settings, self._objective, self._score = adaptive, estimator, objective, score
        self.losses, self.scores = [], []

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        """Return the factors of the schedule "adaptive" on the learning rate: one per step, all the current one."""
        return np.full(len(steps), self.factor)

    def epochs_ahead(self) -> int:
        """Return in how many epochs the callback must be called again: before then training cannot have stalled."""
        if self._score is not None or self._settings.verbose or not self._objective.is_smooth(self._settings.tol):
            return 1
        return int(min(self._settings.n_iter_no_change + 1 - self.n_stalled, MAX_EPOCHS_AHEAD))

    def __call__(self, epoch: int, history: History) -> bool:
        for loss in self._objective.losses(history, len(self.losses)):
            self.losses.append(loss)
            if self._settings.verbose:
                print(f"Iteration {len(self.losses)}, loss = {loss:.8f}")
            if not self._settings.early_stopping:
                stalls = loss > self.best_loss - self._settings.tol
                self.best_loss = min(self.best_loss, loss)
                self.n_stalled = self.n_stalled + 1 if stalls else 0
        if self._score is not None:
            self._record_score(self._score(history), history)
        return self.n_stalled > self._settings.n_iter_no_change and self._stop_or_lower_rate()

    def _record_score(self, score: float, history: History) -> None:
        self.scores.append(score)
        if self._settings.verbose:
            print(f"Validation score: {score:f}")
        if self._settings.early_stopping:
            stalls = score < self.best_score + self._settings.tol
            if score > self.best_score:
                self.best_score, self.best_params = score, history.net.params.copy()
            self.n_stalled = self.n_stalled + 1 if stalls else 0

    def _stop_or_lower_rate(self) -> bool:
        measure = "Validation score" if self._settings.early_stopping else "Training loss"
        n_epochs = counted(int(self._settings.n_iter_no_change), "epoch")
        text = f"{measure} did not improve by more than {self._settings.tol:g} for {n_epochs}."
        ends = not self.adaptive or self.learning_rate <= SMALLEST_ADAPTIVE_RATE
        if not ends:
            self.factor /= ADAPTIVE_DIVISOR
            self.learning_rate /= ADAPTIVE_DIVISOR
            self.n_stalled = 0
        if self._settings.verbose:
            print(text, "Stopping." if ends else f"Learning rate lowered to {self.learning_rate:g}.")
        return ends

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what refers to the estimator, the net and the data."""
        return {**self.__dict__, "_settings": None, "_objective": None, "_score": None}


def sum_of_squares(weights: list[np.ndarray]) -> float:
    """Return the sum of squared weights of all layers, with the same bits for any number of BLAS threads.

    A BLAS product would split a large layer among its threads; einsum does not.

    >>> sum_of_squares([np.array([[1.0, 2.0], [0.0, 1.0]])])
    6.0
    """
    return sum(float(np.einsum("ij,ij->i", W, W).sum(dtype=np.float64)) for W in weights)


class ObjectiveOfEpochs:
    """Losses of finished epochs as scikit-learn reports them: scaled, and with the penalty.

    scikit-learn adds the penalty before each step. Here it is computed only when losses are requested, and
    interpolated linearly between these epochs.

    net : the MLP in training
    reported : factor from its loss to scikit-learn's
    penalty : factor p of the penalty p / 2 times the sum of squared weights
    constant : constant to add to the loss
    n_batches : number of steps in an epoch
    """

    def __init__(self, net: Any, reported: float, penalty: float, constant: float, n_batches: int):
        self.net, self.reported, self.constant = net, reported, constant
        self.middle = 0.5 - 0.5 / n_batches  # mean starting time of the steps in an epoch, as a fraction of the epoch
        self.half_penalty = 0.5 * penalty
        self._before, self._last_loss = self._measure(), 0.0

    def _measure(self) -> float:
        if not self.half_penalty:
            return 0.0
        return self.half_penalty * sum_of_squares(self.net.weights)

    def is_smooth(self, tol: float) -> bool:
        """Return whether the penalty is small enough, compared with tol or the loss, for linear interpolation."""
        return self._before <= max(tol, SMALL_SHARE * self._last_loss)

    def losses(self, history: History, first: int) -> list[float]:
        """Return the losses of the epochs from `first` on."""
        before, self._before = self._before, self._measure()
        n = history.epochs - first
        penalties = before + (self._before - before) * (np.arange(n) + self.middle) / max(n, 1)
        losses = (self.reported * history.loss[first:] + self.constant + penalties).tolist()
        self._last_loss = losses[-1] if losses else 0.0
        return losses
