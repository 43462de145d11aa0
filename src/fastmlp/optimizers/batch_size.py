"""The argument batch_size: samples of a step, which an update rule may want to be all of them."""

from __future__ import annotations

from typing import Any

from ..errors import checked_count, shown
from ..kernels.formulas.update_rules import Rule

AUTO = "auto"
AUTO_ROWS = 200  # scikit-learn's batch_size="auto" is min(200, n_samples)


def takes_all(batch_size: Any, rule: Rule | None = None) -> bool:
    """Return whether a step takes all samples, however many they are; arguments as of batch_rows."""
    is_auto = isinstance(batch_size, str) and batch_size == AUTO
    return batch_size is None or (is_auto and rule is not None and rule.needs_full_batch)


def batch_rows(batch_size: Any, n_samples: int, rule: Rule | None = None) -> int:
    """Return the number of samples of a step.

    batch_size : an int; None for all samples; "auto" for up to AUTO_ROWS, or all for a rule that needs full batches
    n_samples : number of samples; of nets with samples of their own, those of one net
    rule : update rule of the fit; None where it is not known

    Raises
    ------
    ValueError
        If batch_size is none of these.

    >>> batch_rows("auto", 1000), batch_rows("auto", 4), batch_rows(None, 1000), batch_rows(32, 1000)
    (200, 4, 1000, 32)
    """
    if takes_all(batch_size, rule):
        return n_samples
    if isinstance(batch_size, str):
        if batch_size != AUTO:
            raise ValueError(
                f"batch_size must be a whole number of at least 1, 'auto' for up to {AUTO_ROWS} samples, or None for "
                f"all of them, but it is {shown(batch_size)}."
            )
        return min(AUTO_ROWS, n_samples)
    return min(checked_count("batch_size", batch_size), n_samples)
