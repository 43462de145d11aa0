"""Spaces of settings: drawing configurations from them, and nets, optimisers and populations for a configuration."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import product
from math import inf, prod
from typing import Any

import numpy as np

from ..errors import is_distribution, unknown_name
from ..kernels.formulas.losses import CONSTANTS
from ..kernels.formulas.update_rules import HYPER_PARAMETERS
from ..mlp import MLP
from ..optimizers import OPTIMIZERS, Optimizer, optimizer_from_name
from ..population import Population
from .default_loss import n_outputs_of

NET_SETTINGS = ("hidden_activation", "output_activation", "loss", "label_smoothing", *CONSTANTS, "init")
PER_NET = ("dropout", "l2", "init_scale")
FIT_SETTINGS = ("epochs", "batch_size", "schedule", "shuffle")
OPTIMIZER_SETTINGS = tuple(dict.fromkeys(f.name for cls in OPTIMIZERS.values() for f in fields(cls)))
PER_NET_OF_OPTIMIZER = tuple(row.name for row in HYPER_PARAMETERS)  # numbers; others are the same for all nets
PER_LAYER = ("hidden_layer_sizes", "hidden_activation")  # settings for which a tuple is one value, not choices
MOST_REPEATED = 1000  # repeated draws in a row after which a space with distributions counts as exhausted
KNOWN = ("hidden_layer_sizes", "optimizer", *NET_SETTINGS, *PER_NET, *FIT_SETTINGS, *OPTIMIZER_SETTINGS)


def choices_of(name: str, value: Any) -> Sequence[Any] | np.ndarray | None:
    """Return the value of a setting in a space if it is a list of choices, otherwise None.

    ValueError: the list is empty.
    """
    if not isinstance(value, (list, range, np.ndarray)) and not (isinstance(value, tuple) and name not in PER_LAYER):
        return None
    if not len(value):
        raise ValueError(f"space[{name!r}] is empty: give at least one choice, or leave it out.")
    return value


def as_python(value: Any) -> Any:
    """Return a number of NumPy as one of Python, and any other value as it is."""
    return value.item() if isinstance(value, np.generic) else value


def draw_choice(name: str, value: Any, rng: np.random.Generator) -> Any:
    """Return a value of a setting, drawn from its value in a space: a list of choices, a distribution, or one value."""
    if is_distribution(f"space[{name!r}]", value):
        drawn = value.rvs(random_state=rng)
        return drawn.item() if hasattr(drawn, "item") else drawn
    choices = choices_of(name, value)
    return value if choices is None else as_python(choices[int(rng.integers(len(choices)))])


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
    axes = {name: _distinct_choices(name, value) for name, value in space.items()}
    n_distinct = prod(inf if choices is None else len(choices) for choices in axes.values())
    if n_distinct <= n:
        return [dict(zip(axes, row, strict=True)) for row in product(*filter(None, axes.values()))]
    found: dict[str, dict[str, Any]] = {}
    n_repeated = 0  # in a row; distributions of few values have no known number of configurations
    while len(found) < n and (n_distinct < inf or n_repeated < MOST_REPEATED):
        row = {name: draw_choice(name, value, rng) for name, value in space.items()}
        n_repeated = n_repeated + 1 if _text_of(row) in found else 0
        found.setdefault(_text_of(row), row)
    return list(found.values())


def _distinct_choices(name: str, value: Any) -> list[Any] | None:
    """Return the values that a setting may have in a space, each once; None for a distribution."""
    if is_distribution(f"space[{name!r}]", value):
        return None
    choices = choices_of(name, value)
    values = [value] if choices is None else [as_python(choice) for choice in choices]
    return list({_text_of(value): value for value in values}.values())


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
    return type(base)(**{**{f.name: getattr(base, f.name) for f in fields(base)}, **settings})


def groups_of(rows: Sequence[dict[str, Any]], defaults: dict[str, Any]) -> list[list[int]]:
    """Return lists of row numbers, one per population: rows that differ only in settings that may differ per net."""
    groups: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        settings = {**defaults, **row}
        optimizer = optimizer_of(settings)
        shared_settings = {
            name: value for name, value in settings.items() if name not in (*PER_NET, *PER_NET_OF_OPTIMIZER)
        }
        key = repr((sorted(shared_settings.items(), key=str), type(optimizer).__name__, optimizer.rule.name))
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
    net_settings: dict[str, Any] = {
        name: repeated([row[name] for row in configurations]) for name in PER_NET if name in shared
    }
    settings: dict[str, Any] = {name: shared[name] for name in NET_SETTINGS if name in shared}
    pop = Population(
        layer_sizes_of(shared, X, y),
        len(configurations) * cv,
        **settings,
        **net_settings,
        device=device,
        dtype=dtype,
        random_state=seed,
    )
    optimizers = [optimizer_of(row) for row in configurations]
    base, varied_settings = optimizers[0], {}
    for name in PER_NET_OF_OPTIMIZER:
        values = [getattr(optimizer, name, None) for optimizer in optimizers]
        if any(value != values[0] for value in values):
            varied_settings[name] = repeated(values)
    optimizer = type(base)(**{**{f.name: getattr(base, f.name) for f in fields(base)}, **varied_settings})
    return pop, {"optimizer": optimizer, **{name: shared[name] for name in FIT_SETTINGS if name in shared}}


def refit(row, X, y, device, dtype, seed, verbose) -> MLP:
    """Return a net trained with a configuration on all samples."""
    settings = {name: row[name] for name in (*NET_SETTINGS, *PER_NET) if name in row}
    net = MLP(layer_sizes_of(row, X, y), **settings, device=device, dtype=dtype, random_state=seed)
    fit = {name: row[name] for name in FIT_SETTINGS if name in row}
    net.fit(X, y, optimizer=optimizer_of(row), verbose=verbose, **fit)
    return net
