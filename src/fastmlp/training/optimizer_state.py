"""What an optimiser remembers, for fits that go on where another one ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.formulas.update_rules import CODES, MOST_STATE, RULES
from ..kernels.structs import LAST_LOSS, POWER1, POWER2, aligned_zeros
from ..optimizers import Optimizer

CARRIED = [POWER1, POWER2, LAST_LOSS]  # scalars that belong to an optimiser's state


@dataclass
class OptimizerState:
    """What an optimiser remembers from step to step: momentum, moments, how many steps there were.

    Give the same object to several fits, and each goes on where the one before ended.

    >>> state = OptimizerState()
    >>> state.array is None
    True
    """

    array: np.ndarray | None = None  # (MOST_STATE, n_padded)
    scalars: np.ndarray | None = None  # those of CARRIED
    rule: str = ""

    def fitted(self, optimizer: Optimizer, n_padded: int, dtype: np.dtype) -> np.ndarray:
        """Its array, begun anew if there is none; a ValueError if it is another net's or another rule's."""
        if self.array is None:
            self.array, self.rule = aligned_zeros((MOST_STATE, n_padded), dtype), optimizer.rule.name
            optimizer.begin(self.array)
        elif (self.rule, self.array.shape[1], self.array.dtype) != (optimizer.rule.name, n_padded, dtype):
            raise ValueError(
                f"optimizer_state belongs to the rule {self.rule!r} for {self.array.shape[1]} parameters in "
                f"{self.array.dtype}, but this fit has {optimizer.rule.name!r}, {n_padded} and {dtype}. "
                "Begin with a new OptimizerState()."
            )
        return self.array

    def __getstate__(self) -> tuple[Any, ...]:
        n_state = 0 if self.array is None else RULES[CODES[self.rule]].n_state
        return self.rule, self.scalars, None if self.array is None else self.array[:n_state]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.rule, self.scalars, used = state
        self.array = None
        if used is not None:
            self.array = aligned_zeros((MOST_STATE, used.shape[1]), used.dtype)
            self.array[: len(used)] = used


def checked_state(value: Any) -> OptimizerState | None:
    """An OptimizerState or None; a ValueError says what else came."""
    if value is not None and not isinstance(value, OptimizerState):
        raise ValueError(f"optimizer_state must be a fastmlp.OptimizerState or None, but it is {value!r}.")
    return value
