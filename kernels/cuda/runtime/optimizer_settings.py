"""Settings of the update rule for every step of a call, computed on the host; the device sets `loss_increased`."""

from __future__ import annotations

import numpy as np

from ...formulas.update_rules import BIAS_CORRECTED, PASSED, StepSettings
from ...structs import HYPER, TrainConfig


def step_settings(config: TrainConfig, powers: np.ndarray, n_steps: int) -> np.ndarray:
    """Return the settings of n_steps steps: float64 (n_steps, len(StepSettings._fields)).

    The formulas are those of step_settings in cpu/single_net/optimizer_step.py.

    powers : (2,), powers of Adam's betas up to the first step; advanced by n_steps
    """
    hyper = dict(zip(HYPER, config.hyper, strict=True))
    rate = np.broadcast_to(hyper["learning_rate"] * config.factors, n_steps)
    table = np.zeros((n_steps, len(StepSettings._fields)))
    column = {name: table[:, k] for k, name in enumerate(StepSettings._fields)}
    for name in PASSED:
        column[name][:] = hyper[name]
    column["decay"][:] = 1.0 - rate * hyper["weight_decay"]
    column["inv_sqrt_bias_correction2"][:] = 1.0
    if config.rule in BIAS_CORRECTED:
        # Factors are multiplied one by one: however a fit is divided into calls, the powers have the same bits.
        power1, power2 = (
            np.cumprod(np.append(power, np.full(n_steps, hyper[beta])))[1:]
            for power, beta in zip(powers, ("beta1", "beta2"), strict=True)
        )
        powers[:] = power1[-1], power2[-1]
        rate = rate / (1.0 - power1)
        column["inv_sqrt_bias_correction2"][:] = 1.0 / np.sqrt(1.0 - power2)
    column["learning_rate"][:] = rate
    return table
