"""Optimisers that need all samples in one batch: Quickprop and Rprop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import checked_number, checked_setting, is_per_net
from ..interface.docstrings import with_entries_of
from .base import Optimizer


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class Quickprop(Optimizer):
    """Quickprop: a step to the minimum of a parabola for each parameter. For full batches.

    Parameters
    ----------
    learning_rate : float, default 0.5
        Factor on the gradient in a step of plain descent, above 0, multiplied by the factor of the schedule.
    growth : float, default 1.75
        Largest ratio of a step on the parabola to the step before, above 0.
    by_fan_in : bool, default False
        Whether to divide the learning rate of a layer by fan_in + 1, the number of connections into a unit, bias
        included, as Fahlman's program did.
    bias_input : float, default 1.0
        Constant input of the bias weights in the program to reproduce, above 0; 1 is an ordinary bias.

    Notes
    -----
    With the gradient g, and g_before and step_before of the step before::

        jump = step_before * g / (g_before - g)
        step = jump, but growth * step_before where jump would be longer or point uphill
        step = step - learning_rate * g, unless the gradient has changed sign since the step before
        params = params + step

    With batch_size, gradients of different samples would be compared; fit permits it without a warning.

    Where step_before is 0, as in the first step, step = -learning_rate * g. A gradient that is 0 twice in a row, such
    as that of a unit that is never active, ends the steps; in Fahlman's program they would go on growing. In a
    Population, by_fan_in and bias_input are the same for all nets.

    References
    ----------
    Fahlman 1988, "An empirical study of learning speed in back-propagation networks", CMU-CS-88-162.

    Examples
    --------
    >>> Quickprop(growth=2.0).rule.needs_full_batch
    True
    """

    learning_rate: float = 0.5
    growth: float = 1.75
    by_fan_in: bool = False
    bias_input: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        checked_setting("growth", self.growth, 0.0, open_low=True)
        checked_number("bias_input", self.bias_input, 0.0, open_low=True)

    def layer_factors(self, shapes):
        if not self.by_fan_in and self.bias_input == 1.0:
            return np.empty(0)
        fans = [1.0 / (fan_in + 1) if self.by_fan_in else 1.0 for fan_in, _ in shapes]
        # A weight v with input c acts as the bias c v: the gradient and the step each have a factor c.
        return np.array([[fan, fan * self.bias_input**2] for fan in fans]).reshape(-1)


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class Rprop(Optimizer):
    """iRprop+: step sizes that depend on the sign of the gradient only. For full batches.

    Parameters
    ----------
    learning_rate : float, default 0.1
        Initial step size of each parameter, above 0. Schedules have no effect on step sizes.
    growth : float, default 1.2
        Factor on a step size while the gradient keeps its sign, above 1.
    shrink : float, default 0.5
        Factor on a step size when the gradient changes sign, in (0, 1).
    smallest : float, default 1e-6
        Lower bound of a step size, above 0.
    biggest : float, default 50.0
        Upper bound of a step size, at least smallest.

    Notes
    -----
    With the gradient g and g_before of the step before, for each parameter::

        g * g_before > 0:  size = min(growth * size, biggest)
                           step = -sign(g) * size
        g * g_before < 0:  size = max(shrink * size, smallest)
                           step = -step_before if the loss has risen, else 0
                           g = 0 for the next step
        g * g_before = 0:  step = -sign(g) * size
        params = params + step

    With batch_size, gradients of different samples would be compared; fit permits it without a warning.

    References
    ----------
    Igel and Huesken 2003, "Empirical evaluation of the improved Rprop learning algorithms".

    Examples
    --------
    >>> Rprop().growth
    1.2
    """

    learning_rate: float = 0.1
    growth: float = 1.2
    shrink: float = 0.5
    smallest: float = 1e-6
    biggest: float = 50.0

    def __post_init__(self):
        super().__post_init__()
        checked_setting("growth", self.growth, 1.0, open_low=True)
        checked_setting("shrink", self.shrink, 0.0, 1.0, open_low=True, open_high=True)
        checked_setting("smallest", self.smallest, 0.0, open_low=True)
        checked_setting("biggest", self.biggest, 0.0 if is_per_net(self.smallest) else self.smallest)
        if self.learning_rate_factors is not None:
            raise ValueError(
                "Rprop has no use for learning_rate_factors: after the first step, its step sizes do not depend on the "
                "learning rate. Use another optimiser, such as fastmlp.Adam."
            )
