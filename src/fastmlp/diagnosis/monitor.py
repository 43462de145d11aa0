"""Monitor of a fit, for fit(..., monitor=True): checks losses between kernel calls, and warns once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ..data.arrays import on_host
from ..data.targets import unsmoothed
from ..errors import TrainingWarning
from ..interface.user_warnings import warn_user
from ..kernels.structs import DIVERGED_NET, Samples
from ..network.spec import Network
from .data_checks import MAX_ROWS, input_scale
from .measurements import base_loss_of
from .model_under_test import model_of_fastmlp
from .verdicts.evidence import scale_too_large

CHECK_RATIO = 1.3  # ratio between the epochs of consecutive checks
FIRST_EPOCH = 30  # no warning before this epoch
PATIENCE = 0.1  # fraction of the planned epochs for which a loss may stay at the base rate's loss
FLAT_CURVE = 2e-3  # relative change over the second half of the epochs, below which a loss counts as constant
AT_BASE = 0.01  # relative distance from the base rate's loss, up to which a loss counts as equal
FAR_ABOVE = 2.0  # ratio to the base rate's loss from which on a loss that still falls causes a warning
LARGE_SCALE = 0.5  # confidence from which on unscaled inputs are named as the cause
LARGE_SWING = 0.2  # mean step up or down between epochs, relative to the mean loss, that causes a warning
NETS, POINTS = 256, 1_000  # largest numbers of nets of a population to check, and of losses of each


class Monitor:
    """Monitor of the fit of one net or of a population. It takes little time, and warns only if training goes wrong.

    network, data : net and samples of the fit
    n_epochs : planned number of epochs; a plateau in the first tenth of them causes no warning
    strides : elements from net to net of a population, of its inputs, targets and weights; if targets or weights
        differ, there is no one base
    """

    def __init__(self, network: Network, data: Samples, n_epochs: int = 0, strides: tuple[int, int, int] | None = None):
        by_net = strides or (0, 0, 0)
        self.data = None if by_net[0] else data
        self.base = np.nan if by_net[1] or by_net[2] else base_of(network, data)
        self._call = "net, X, y, history" if strides is None else "pop, X, y"
        self._patient = max(FIRST_EPOCH, int(PATIENCE * n_epochs))
        self._late = max(FIRST_EPOCH, n_epochs // 2)
        self._next, self._has_warned = FIRST_EPOCH, False

    def look(self, losses: np.ndarray, *, at_end: bool = False) -> None:
        """Check the fit of a net if a check is due, and warn with TrainingWarning if something is wrong.

        losses : (epochs,) training losses so far
        at_end : whether the fit has ended; then the schedule of checks does not apply
        """
        n = len(losses)
        if n >= FIRST_EPOCH and self._is_due(n, at_end) and (failure := self._failure(losses, at_end)):
            self._warn(f"Epoch {n}: {failure}")

    def look_at_nets(self, outcome: Any, *, at_end: bool = False) -> None:
        """Check some nets of a population if a check is due, and warn with TrainingWarning if most of them fail.

        outcome : Outcome of fit/outcome.py, whose losses are those of some epochs
        at_end : whether the fit has ended
        """
        chosen = np.unique(np.linspace(0, len(outcome.status) - 1, NETS).astype(np.int64))
        records = np.asarray(outcome.records[:, chosen], np.float64)
        if not self._is_due(int(np.isfinite(records).sum()), at_end):
            return
        failures = []
        for losses in records.T:
            is_known = np.isfinite(losses)
            epochs = outcome.record_epochs[is_known]
            if epochs.max(initial=0) >= FIRST_EPOCH:
                points = np.linspace(1, n := int(epochs[-1]), min(n, POINTS))
                failures.append(self._failure(np.interp(points, epochs, losses[is_known]), at_end, n))
        failed = [failure for failure in failures if failure]
        if len(failures) >= len(chosen) / 4 and len(failed) > len(failures) / 2:
            share = 100.0 * len(failed) / len(failures)
            self._warn(f"{share:.0f} % of the nets looked at fail; in the first of them {failed[0]}")
        elif not at_end and (outcome.status[chosen] == DIVERGED_NET).mean() > 0.5:  # at the end, fit itself warns of it
            self._warn(f"Most of the nets diverge: {self._unscaled or 'the learning rate is too high'}")

    def _is_due(self, n: int, at_end: bool) -> bool:
        """Return whether to check a fit with n losses, and plan the next check."""
        if self._has_warned or (n < self._next and not at_end):
            return False
        self._next = int(n * CHECK_RATIO) + 1
        return True

    def _warn(self, text: str) -> None:
        self._has_warned = True
        warn_user(f"{text}; fastmlp.diagnose({self._call}) says why and what to change.", TrainingWarning)

    def _failure(self, losses: np.ndarray, at_end: bool, n_epochs: int = 0) -> str:
        """Return what is wrong with the losses of a net, in words, or ""; n_epochs : 0 if they are those of all"""
        n = len(losses)
        n_epochs = n_epochs or n
        last = losses[-max(1, n // 8) :]
        if not last.mean() > 0:  # a perfect net, or a loss without a natural zero
            return ""
        level, middle = last.mean(), losses[n // 2]
        is_flat = abs(level - middle) < FLAT_CURVE * abs(level)
        if is_flat and n_epochs >= self._patient and level > (1.0 - AT_BASE) * self.base:
            position = "at" if level < (1.0 + AT_BASE) * self.base else f"at {level:.4g}, above"
            return (
                f"the loss has stayed {position} the base rate's, {self.base:.4g}, since epoch {n_epochs // 2}: the "
                f"net is no better than a constant{self._since()}"
            )
        lowest = losses.min()
        if level > 2.0 * lowest and level > losses[0] and level > 0.2 * self.base:
            cause = self._unscaled or "the learning rate is too high or the sign is wrong"
            return f"the loss has risen from {lowest:.4g} to {level:.4g}: {cause}"
        recent = losses[-max(8, n // 4) :]
        steps = np.abs(np.diff(recent))
        swing, net_change = steps.mean() / recent.mean(), abs(recent[-1] - recent[0])
        if swing > LARGE_SWING and net_change < 0.2 * steps.sum() and level > 0.2 * self.base:
            cause = self._unscaled or "the learning rate is too high"
            return f"the loss swings by {100 * swing:.0f} % from epoch to epoch: {cause}"
        if level > (1.0 + AT_BASE if at_end else FAR_ABOVE) * self.base and n_epochs >= self._late:
            return (
                f"the loss is still {level:.4g}, above the base rate's, {self.base:.4g}: the net is no better "
                f"than a constant{self._since()}"
            )
        return ""

    def _since(self) -> str:
        return f", since {self._unscaled}" if self._unscaled else ""

    @cached_property
    def _unscaled(self) -> str:
        """Statement that the inputs are not scaled, or "" if they are or are those of each net."""
        if self.data is None:
            return ""
        stride = max(1, self.data.n_samples // MAX_ROWS)
        X = self.data.X.reshape(self.data.n_samples, -1)[::stride]
        scale = input_scale(on_host(X).astype(np.float64))
        if scale_too_large(scale) < LARGE_SCALE:
            return ""
        return (
            "the inputs are not scaled: their largest standard deviation is "
            f"{scale.largest_input_spread:.4g}, the median one {scale.typical_input_spread:.4g}"
        )


def base_of(network: Network, data: Samples) -> float:
    """Return the loss of the best constant output on the samples of a fit."""
    model = model_of_fastmlp(network, np.zeros((1, network.layout.n_params)), 0.0)
    Y = on_host(data.Y).reshape(-1, network.n_outputs).astype(np.float64)
    weight = on_host(data.weight).astype(np.float64) if data.has_weights else None
    return base_loss_of(model, unsmoothed(Y, network), weight)
