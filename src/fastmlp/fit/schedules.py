"""Schedules of a fit: functions (steps, n_steps) -> factors, of the learning rate and of the dropout rates."""

from __future__ import annotations

from typing import Any

from ..network.spec import Network
from ..schedules.checked_factors import DropoutFactors, varying_factors


def factors_of(given: dict[str, Any], network: Network) -> tuple[Any, Any]:
    """Return (schedule of the learning rate, schedule of the dropout rates) as functions; None for constant ones.

    given : arguments of fit

    Raises
    ------
    ValueError
        If there is a schedule of dropout rates, and the network has no dropout.
    """
    of_dropout = varying_factors(given["dropout_schedule"])
    if of_dropout is not None:
        if not any(network.dropout):
            raise ValueError(
                "dropout_schedule is for nets with dropout, but this net has none. Make it with dropout=0.1, for "
                "example, or leave dropout_schedule out."
            )
        of_dropout = DropoutFactors(of_dropout, max(network.dropout))
    return varying_factors(given["schedule"]), of_dropout
