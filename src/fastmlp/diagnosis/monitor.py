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
ADVICE = "fastmlp.diagnose(net, X, y, history) says why and what to change."


class Monitor:
    """Monitor of the fit of one net. `look` takes little time, and warns only if training goes wrong."""

    def __init__(self, network: Network, data: Samples, n_epochs: int = 0):
        """Create a monitor for one fit.

        n_epochs : planned number of epochs; a plateau in the first tenth of them causes no warning
        """
        self.network, self.data = network, data
        self._patient = max(FIRST_EPOCH, int(PATIENCE * n_epochs))
        self._late = max(FIRST_EPOCH, n_epochs // 2)
        self._next, self.warned = FIRST_EPOCH, ""

    def look(self, losses: np.ndarray, *, at_end: bool = False) -> None:
        """Check the fit if a check is due, and warn with TrainingWarning if something is wrong.

        losses : (epochs,) training losses so far
        at_end : whether the fit has ended; then the schedule of checks does not apply
        """
        n = len(losses)
        if self.warned or n < FIRST_EPOCH or (n < self._next and not at_end):
            return
        self._next = int(n * CHECK_RATIO) + 1
        self.warned = self._check_curve(losses, at_end)
        if self.warned:
            warn_user(f"Epoch {n}: {self.warned}; {ADVICE}", TrainingWarning)

    @cached_property
    def base(self) -> float:
        model = model_of_fastmlp(self.network, np.zeros((1, self.network.layout.n_params)), 0.0)
        Y = on_host(self.data.Y).reshape(-1, self.network.n_outputs).astype(np.float64)
        weight = on_host(self.data.weight).astype(np.float64) if self.data.has_weights else None
        return base_loss_of(model, unsmoothed(Y, self.network), weight)

    def _check_curve(self, losses: np.ndarray, at_end: bool) -> str:
        n = len(losses)
        last = losses[-max(1, n // 8) :]
        if not last.mean() > 0:  # a perfect net, or a loss without a natural zero
            return ""
        level, middle = last.mean(), losses[n // 2]
        is_flat = abs(level - middle) < FLAT_CURVE * abs(level)
        if is_flat and n >= self._patient and level > (1.0 - AT_BASE) * self.base:
            position = "at" if level < (1.0 + AT_BASE) * self.base else f"at {level:.4g}, above"
            return (
                f"the loss has stayed {position} the base rate's, {self.base:.4g}, since epoch {n // 2}: the net is no "
                f"better than a constant{unscaled_inputs(self.data, ', since ')}"
            )
        lowest = losses.min()
        if level > 2.0 * lowest and level > losses[0] and level > 0.2 * self.base:
            return (
                f"the loss has risen from {lowest:.4g} to {level:.4g}: "
                f"{unscaled_inputs(self.data) or 'the learning rate is too high or the sign is wrong'}"
            )
        recent = losses[-max(8, n // 4) :]
        steps = np.abs(np.diff(recent))
        swing, net_change = steps.mean() / recent.mean(), abs(recent[-1] - recent[0])
        if swing > LARGE_SWING and net_change < 0.2 * steps.sum() and level > 0.2 * self.base:
            cause = unscaled_inputs(self.data) or "the learning rate is too high"
            return f"the loss swings by {100 * swing:.0f} % from epoch to epoch: {cause}"
        if level > (1.0 + AT_BASE if at_end else FAR_ABOVE) * self.base and n >= self._late:
            return (
                f"the loss is still {level:.4g}, above the base rate's, {self.base:.4g}: the net is no better "
                f"than a constant{unscaled_inputs(self.data, ', since ')}"
            )
        return ""


def unscaled_inputs(data: Samples | None, conjunction: str = "") -> str:
    """Return a clause, after a conjunction, on the scale of the inputs as a cause of failure; "" if they are scaled.

    data : None for nets with different inputs
    """
    if data is None:
        return ""
    stride = max(1, data.n_samples // MAX_ROWS)
    scale = input_scale(on_host(data.X.reshape(data.n_samples, -1)[::stride]).astype(np.float64))
    if scale_too_large(scale) < LARGE_SCALE:
        return ""
    return (
        f"{conjunction}the inputs are not scaled: their largest standard deviation is {scale.largest_spread:.4g}, the "
        f"median one {scale.typical_spread:.4g}"
    )


class PopulationMonitor:
    """Monitor of the fit of a population: it warns if most nets are no better than a constant, or diverge."""

    NETS = 256  # largest number of nets to check

    def __init__(self, network: Network, data: Samples, strides: tuple[int, int, int]):
        """Create a monitor for one fit.

        strides : from net to net, of inputs, targets and weights; targets or weights that differ have no one base
        """
        self.base = np.nan if strides[1] or strides[2] else Monitor(network, data).base
        self.data, self.warned = None if strides[0] else data, ""

    def look(self, outcome: Any, *, at_end: bool = False) -> None:
        """Check the records of the nets, and warn with TrainingWarning if most of them do not learn.

        outcome : Outcome of fit/outcome.py
        at_end : as in Monitor.look
        """
        if self.warned:
            return
        chosen = np.unique(np.linspace(0, len(outcome.status) - 1, self.NETS).astype(np.int64))
        records = np.asarray(outcome.records[:, chosen], np.float64)
        epochs = outcome.record_epochs
        n = np.isfinite(records).sum(axis=0)
        last = np.maximum(n - 1, 0)
        half = np.searchsorted(epochs, epochs[last] / 2)
        nets = np.arange(len(chosen))
        level, middle = records[last, nets], records[np.minimum(half, last), nets]
        is_old = (n > 0) & (epochs[last] >= FIRST_EPOCH) & (half < last)
        with np.errstate(invalid="ignore"):
            is_flat = (level > (1.0 - AT_BASE) * self.base) & (np.abs(level - middle) < FLAT_CURVE * level)
            is_useless = is_old & (is_flat | (level > (1.0 + AT_BASE if at_end else np.inf) * self.base))
        warning = ""
        diverged = outcome.status[chosen] == DIVERGED_NET
        if is_old.sum() >= len(chosen) / 4 and is_useless.sum() > is_old.sum() / 2:
            percentage = 100.0 * is_useless.sum() / is_old.sum()
            warning = (
                f"{percentage:.0f} % of the nets looked at stay at the base rate's loss, {self.base:.4g}, or above it: "
                f"they are no better than a constant{unscaled_inputs(self.data, ', since ')}"
            )
        elif diverged.sum() > len(chosen) / 2 and not at_end:  # at the end, fit itself warns of divergence
            warning = f"most of the nets diverge: {unscaled_inputs(self.data) or 'the learning rate is too high'}"
        if warning:
            self.warned = warning
            warn_user(
                f"{warning[0].upper()}{warning[1:]}; {ADVICE}".replace("(net", "(pop").replace(", history", ""),
                TrainingWarning,
            )
