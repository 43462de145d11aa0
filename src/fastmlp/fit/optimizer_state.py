"""Optimiser state that is carried from one fit to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import counted
from ..kernels.formulas.update_rules import ALL_RULES, CODES, n_state_rows
from ..kernels.structs import LAST_LOSS, POWER1, POWER2, aligned_zeros
from ..optimizers import Optimizer

CARRIED = [POWER1, POWER2, LAST_LOSS]  # indices of the scalars of TrainState that belong to the optimiser state


@dataclass
class OptimizerState:
    """Optimiser state that is kept from step to step: momentum, second moments, powers of Adam's betas, damping.

    If several fits get the same object, each fit continues with the state in which the previous fit ended. After a fit
    that diverged the next one begins anew, since the state is no longer that of the parameters, which are finite.

    Parameters
    ----------
    array : ndarray of shape (n, n_padded), optional
        State vectors of the update rule, which the first fit makes. Users write `OptimizerState()`.
    scalars : ndarray of shape (3,), optional
        Powers of beta1 and beta2, what the damping of LevenbergMarquardt is multiplied by and half of its next growth,
        or the length of the next step of LBFGS and 2 after the first; and the last loss.
    rule : str, default ""
        Name of the update rule that the state belongs to.
    layer_sizes : tuple of int, default ()
        Those of the net that the state belongs to.
    nets : list of OptimizerState
        Of a population, the state of each net; `array`, `scalars` and `rule` are then those of no net.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> once, twice = fastmlp.MLP((2, 4, 1), random_state=0), fastmlp.MLP((2, 4, 1), random_state=0)
    >>> history = once.fit(X, y, epochs=20)
    >>> state = OptimizerState()
    >>> for part in range(2):
    ...     history = twice.fit(X, y, epochs=10, optimizer_state=state)
    >>> bool((once.params == twice.params).all())
    True
    """

    array: np.ndarray | None = None  # (n_state_rows, n_padded)
    scalars: np.ndarray | None = None  # (3,), in the order of CARRIED
    rule: str = ""
    layer_sizes: tuple[int, ...] = ()
    nets: list[OptimizerState] = field(default_factory=list)

    def fitted(self, optimizer: Optimizer, n_padded: int, dtype: np.dtype) -> np.ndarray:
        """Return the state's array, initialised by the optimiser if there is none yet.

        Parameters
        ----------
        optimizer : Optimizer
            The optimiser of the fit.
        n_padded : int
            Length of the padded parameters.
        dtype : numpy.dtype
            Data type of the parameters.

        Returns
        -------
        ndarray of shape (n, n_padded)

        Raises
        ------
        ValueError
            If the state belongs to another update rule, number of parameters or dtype.
        """
        if self.array is None:
            self.array = aligned_zeros((n_state_rows(optimizer.rule), n_padded), dtype)
            self.rule = optimizer.rule.name
            optimizer.begin(self.array)
        elif (self.rule, self.array.shape[1], self.array.dtype) != (optimizer.rule.name, n_padded, dtype):
            raise ValueError(
                f"optimizer_state belongs to the rule {self.rule!r} in {self.array.dtype}, but this fit has "
                f"{optimizer.rule.name!r} in {dtype}. Begin with a new OptimizerState()."
            )
        return self.array

    def reset(self) -> None:
        """Forget the state, so that the next fit begins with a new one."""
        self.array, self.scalars, self.rule, self.layer_sizes = None, None, "", ()

    def __getstate__(self) -> tuple[Any, ...]:
        n_state = 0 if self.array is None else ALL_RULES[CODES[self.rule]].n_state
        stored = None if self.array is None else self.array[:n_state]
        return self.rule, self.layer_sizes, self.scalars, stored, self.nets

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.rule, self.layer_sizes, self.scalars, stored, self.nets = state
        self.array = None
        if stored is not None:
            rule = ALL_RULES[CODES[self.rule]]
            self.array = aligned_zeros((n_state_rows(rule), stored.shape[1]), stored.dtype)
            self.array[: len(stored)] = stored


def checked_state(value: Any) -> OptimizerState | None:
    """Return value if it is an OptimizerState or None, else raise ValueError."""
    if value is not None and not isinstance(value, OptimizerState):
        raise ValueError(f"optimizer_state must be a fastmlp.OptimizerState or None, but it is {value!r}.")
    return value


def states_of_nets(
    state: OptimizerState, layer_sizes: tuple[int, ...], n_nets: int | None = None
) -> list[OptimizerState]:
    """Return the state of each net of a fit, which from now on belongs to nets of these layer sizes.

    n_nets : number of nets of a population; None for an MLP, to which the object itself belongs

    Raises
    ------
    ValueError
        If it belongs to nets of other layer sizes, also where the vectors of both are equally long, or to another
        number of nets.
    """
    is_used = state.array is not None or bool(state.nets)
    if is_used and state.layer_sizes not in ((), layer_sizes):
        raise ValueError(
            f"optimizer_state belongs to a net with the layers {state.layer_sizes}, but this one has "
            f"{layer_sizes}. Begin with a new OptimizerState()."
        )
    if is_used and len(state.nets) != (n_nets or 0):
        shown = lambda n: counted(n, "net of a population", "nets of a population") if n else "an MLP"
        raise ValueError(
            f"optimizer_state belongs to {shown(len(state.nets))}, but this fit is of {shown(n_nets)}. Begin with a "
            "new OptimizerState()."
        )
    state.layer_sizes = layer_sizes
    if n_nets is None:
        return [state]
    state.nets = state.nets or [OptimizerState() for _ in range(n_nets)]
    return state.nets
