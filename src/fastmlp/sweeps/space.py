"""Spaces of settings: drawing configurations from them, and nets, optimisers and populations for a configuration.

Where the space names no loss, it is guessed from the targets.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from math import inf, prod
from typing import Any

import numpy as np

from ..errors import is_distribution, unknown_name
from ..interface.user_warnings import warn_user
from ..kernels.formulas.update_rules import HYPER_PARAMETERS
from ..mlp import MLP
from ..network.net_settings import IN_SPACE, PER_NET
from ..optimizers import OPTIMIZERS, Optimizer, optimizer_from_name
from ..population import Population

FIT_SETTINGS = ("epochs", "batch_size", "schedule", "shuffle")
OPTIMIZER_SETTINGS = tuple(dict.fromkeys(f.name for cls in OPTIMIZERS.values() for f in fields(cls)))
PER_NET_OF_OPTIMIZER = tuple(row.name for row in HYPER_PARAMETERS)  # numbers; others are the same for all nets
PER_LAYER = ("hidden_layer_sizes", "hidden_activation")  # settings for which a tuple is one value, not choices
MANY_CLASSES = 50  # whole numbers from this one on are taken for quantities, not classes
MOST_REPEATED = 1000  # repeated draws in a row after which a space with distributions counts as exhausted
KNOWN = ("hidden_layer_sizes", "optimizer", *IN_SPACE, *PER_NET, *FIT_SETTINGS, *OPTIMIZER_SETTINGS)


def _axis_of(name: str, value: Any) -> Any:
    """Return the distinct choices of a setting in a space, one for a single value; a distribution as it is.

    ValueError: the list of choices is empty.
    """
    if is_distribution(f"space[{name!r}]", value):
        return value
    if not isinstance(value, (list, range, np.ndarray)) and not (isinstance(value, tuple) and name not in PER_LAYER):
        return [value]
    if not len(value):
        raise ValueError(f"space[{name!r}] is empty: give at least one choice, or leave it out.")
    return list({_text_of(choice): choice for choice in map(_as_python, value)}.values())


def _as_python(value: Any) -> Any:
    """Return a number of NumPy as one of Python, and any other value as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _drawn(axis: Any, rng: np.random.Generator) -> Any:
    """Return a value of a setting, drawn from its choices or its distribution."""
    if isinstance(axis, list):
        return axis[int(rng.integers(len(axis)))]
    drawn = axis.rvs(random_state=rng)
    return drawn.item() if hasattr(drawn, "item") else drawn


def check_space(space: Any) -> None:
    """Raise ValueError if a space is no dictionary, or has an unknown setting."""
    if not isinstance(space, Mapping):
        raise ValueError(f"space must be a dictionary {{setting: choices}}, but it is a {type(space).__name__}.")
    for name in space:
        if name not in KNOWN:
            raise unknown_name("setting in space", name, KNOWN)


def configurations_of(space: Mapping[str, Any], n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return n distinct configurations drawn from a space; all of them, in order, if there are fewer.

    ValueError: a setting is unknown, or has no choices.
    """
    check_space(space)
    axes = {name: _axis_of(name, value) for name, value in space.items()}
    n_distinct = prod(len(axis) if isinstance(axis, list) else inf for axis in axes.values())
    if n_distinct <= n:
        return [dict(zip(axes, row, strict=True)) for row in product(*axes.values())]
    rows: dict[str, dict[str, Any]] = {}
    n_repeated = 0  # in a row; distributions of few values have no known number of configurations
    while len(rows) < n and (n_distinct < inf or n_repeated < MOST_REPEATED):
        row = {name: _drawn(axis, rng) for name, axis in axes.items()}
        n_repeated = n_repeated + 1 if _text_of(row) in rows else 0
        rows.setdefault(_text_of(row), row)
    return list(rows.values())


def _text_of(value: Any) -> str:
    """Return a text that tells settings apart."""
    with np.printoptions(threshold=sys.maxsize, precision=17):
        return repr(value)


def optimizer_of(row: Mapping[str, Any]) -> Optimizer:
    """Return the optimiser of a configuration. ValueError: it has no such setting."""
    base = optimizer_from_name(row.get("optimizer", "adam"))
    settings = {name: row[name] for name in OPTIMIZER_SETTINGS if name in row}
    names = {f.name for f in fields(base)}
    if unknown := [name for name in settings if name not in names]:
        raise ValueError(
            f"space has {unknown[0]!r}, but {type(base).__name__} has no such setting. "
            f"It has {', '.join(sorted(names))}."
        )
    return replace(base, **settings)


def is_second_order(row: Mapping[str, Any]) -> bool:
    """Return whether the nets of a configuration are trained by a second-order rule, which not all nets can have."""
    return optimizer_of(row).rule.is_second_order


def groups_of(rows: Sequence[dict[str, Any]], defaults: dict[str, Any]) -> list[list[int]]:
    """Return lists of row numbers, one per population: rows that differ only in settings that may differ per net."""
    groups: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        settings = {**defaults, **row}
        optimizer = optimizer_of(settings)
        shared = [item for item in settings.items() if item[0] not in (*PER_NET, *PER_NET_OF_OPTIMIZER)]
        key = repr((sorted(shared, key=str), type(optimizer).__name__, optimizer.rule.name))
        groups.setdefault(key, []).append(k)
    return list(groups.values())


def layer_sizes_of(row: Mapping[str, Any], X: np.ndarray, y: np.ndarray) -> tuple[int, ...]:
    """Return the layer sizes of a configuration's net for inputs X and targets y."""
    hidden = row.get("hidden_layer_sizes", (32,))
    hidden = (hidden,) if isinstance(hidden, (int, np.integer)) else tuple(hidden)
    return (X.shape[1], *hidden, n_outputs_of(row["loss"], y))


def population_of(configurations, X, y, cv, device, dtype, seed) -> tuple[Population, dict[str, Any]]:
    """Return a population with cv nets for each configuration of `configurations`, and the arguments of its fit."""
    shared = configurations[0]
    repeated = lambda values: np.repeat(np.asarray(values, np.float64), cv)
    settings: dict[str, Any] = {name: shared[name] for name in IN_SPACE if name in shared}
    settings |= {name: repeated([row[name] for row in configurations]) for name in PER_NET if name in shared}
    settings |= {"device": device, "dtype": dtype, "random_state": seed}
    pop = Population(layer_sizes_of(shared, X, y), len(configurations) * cv, **settings)
    optimizers = [optimizer_of(row) for row in configurations]
    base, varied_settings = optimizers[0], dict[str, Any]()
    for name in PER_NET_OF_OPTIMIZER:
        values = [getattr(optimizer, name, None) for optimizer in optimizers]
        if any(value != values[0] for value in values):
            varied_settings[name] = repeated(values)
    return pop, {
        "optimizer": replace(base, **varied_settings),
        **{name: shared[name] for name in FIT_SETTINGS if name in shared},
    }


def refit(row, X, y, device, dtype, seed, verbose) -> MLP:
    """Return a net trained with a configuration on all samples."""
    settings = {name: row[name] for name in (*IN_SPACE, *PER_NET) if name in row}
    net = MLP(layer_sizes_of(row, X, y), **settings, device=device, dtype=dtype, random_state=seed)
    fit = {name: row[name] for name in FIT_SETTINGS if name in row}
    net.fit(X, y, optimizer=optimizer_of(row), verbose=verbose, **fit)
    return net


# ---- the loss where the space names none


def default_loss(y: np.ndarray) -> str:
    """Return the loss for targets: whole numbers from 0 to below MANY_CLASSES in one column are classes."""
    are_whole = y.size > 0 and (y.ndim == 1 or y.shape[1:] == (1,)) and np.array_equal(y, np.floor(y))
    if not are_whole or y.min() < 0 or y.max() >= MANY_CLASSES:
        return "squared_error"
    return "binary_cross_entropy" if y.max() <= 1 else "softmax_cross_entropy"


def warn_of_classes(y: np.ndarray, loss: str) -> None:
    """Warn if the default loss takes floats for more than two classes, which may be meant as quantities."""
    if loss == "softmax_cross_entropy" and y.dtype.kind == "f":
        warn_user(
            f"y has whole numbers from {y.min():g} to {y.max():g}, which are taken for {n_outputs_of(loss, y)} classes "
            "although they are floats. If they are quantities, add 'loss': 'squared_error' to the space; if they are "
            f"classes, add 'loss': {loss!r}, or give integers."
        )


def n_outputs_of(loss: str, y: np.ndarray) -> int:
    """Return the number of outputs of a net with this loss for targets y."""
    if y.ndim == 2 and y.shape[1] > 1:
        return y.shape[1]
    if loss == "softmax_cross_entropy":
        return max(2, int(y.max()) + 1)
    return int(y.max()) + 1 if loss == "binary_cross_entropy" and y.max() > 1 else 1
