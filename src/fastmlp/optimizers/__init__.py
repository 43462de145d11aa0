"""Optimisers: small frozen objects with the settings of an update rule, by name or as an object."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from ..errors import unknown_name
from ..interface.keywords import explains_parameters
from .base import Optimizer as Optimizer
from .base import setting_text as setting_text
from .full_batch import *  # noqa: F403
from .mini_batch import *  # noqa: F403
from .second_order import *  # noqa: F403

MODULES = ["base", "mini_batch", "full_batch", "second_order"]
_KINDS = [kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, Optimizer)]
OPTIMIZERS: dict[str, type[Optimizer]] = {  # the classes of these modules, those for batches first
    kind.__name__.lower(): kind
    for kind in sorted(_KINDS, key=lambda kind: MODULES.index(kind.__module__.rpartition(".")[2]))
    if kind is not Optimizer
}
for _kind in OPTIMIZERS.values():
    explains_parameters(_kind)


@cache
def _with_defaults(name: str) -> Optimizer:
    """Return the optimiser with its default settings: one for all fits, since it cannot be changed."""
    return OPTIMIZERS[name]()


def optimizer_from_name(name: object, learning_rate: float | None = None) -> Optimizer:
    """Return the optimiser with this name, with its default settings; an Optimizer is returned as it is.

    Parameters
    ----------
    name : str or Optimizer
        Name of an optimiser in upper or lower case, a key of `fastmlp.optimizers.OPTIMIZERS`.
    learning_rate : float, optional
        Replaces the optimiser's learning rate, if given.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If the name is unknown, or name is a class or a number instead of an object.

    Examples
    --------
    >>> optimizer_from_name("adam", learning_rate=0.01)
    Adam(learning_rate=0.01, weight_decay=0.0, clip_norm=0.0, beta1=0.9, beta2=0.999, epsilon=1e-08)
    """
    if isinstance(name, Optimizer):
        return name if learning_rate is None else replace(name, learning_rate=learning_rate)
    if isinstance(name, type) and issubclass(name, Optimizer):
        raise ValueError(
            f"optimizer must be a name or an object, but it is the class {name.__name__}. Pass {name.__name__}()."
        )
    if isinstance(name, (int, float)) and not isinstance(name, bool):
        raise ValueError(
            f"optimizer must be a name or an object, but it is the number {name}. A learning rate is an argument of "
            f"the optimiser: optimizer=fastmlp.SGD({name})."
        )
    if not isinstance(name, str) or name.lower() not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    made = _with_defaults(name.lower())
    return made if learning_rate is None else replace(made, learning_rate=learning_rate)
