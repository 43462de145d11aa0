"""Configurations that `tune` compares: drawn from the ranges of their settings, grouped into populations, and scored.

The ranges are those that the literature searches for plain MLPs, around the presets: Gorishniy, Rubachev, Khrulkov and
Babenko 2021 (arXiv:2106.11959), Kadra, Lindauer, Hutter and Grabocka 2021 (arXiv:2106.11189), Holzmüller, Grinsztajn
and Steinwart 2024 (RealMLP, arXiv:2407.04491).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import ceil, exp, log, sqrt
from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import fit_temperature, logits, row_losses
from ..network.spec import Network
from .encoded_rows import Rows
from .recipes import AUTO, Recipe

# Settings that nets of one population may have of their own: (lowest, highest, whether logarithms are equally likely).
PER_NET: dict[str, tuple[float, float, bool]] = {
    "learning_rate": (5e-4, 1e-2, True),
    "weight_decay": (1e-3, 0.5, True),
    "dropout": (0.0, 0.5, False),
}
# Settings that they have in common. batch_size has factors of the recipe's number of rows.
SHARED: dict[str, list[Any]] = {
    "hidden": [(128, 128, 128), (256, 256, 256), (128, 128), (512, 512), (512,), (64, 64, 64, 64, 64)],
    "batch_size": [1.0, 0.5, 2.0],
    "label_smoothing": [AUTO, 0.0],
    "numeric_encoding": [AUTO, "quantile"],
}
SPACE = (*PER_NET, *SHARED)
Settings = dict[str, Any]  # of one configuration, by the names of Recipe's fields


def configurations(
    recipe: Recipe, searched: Iterable[str], n: int, n_rows: int, rng: np.random.Generator
) -> list[Settings]:
    """Return n configurations, of which the first is the recipe itself.

    Settings that a population shares are drawn about sqrt(n) times, and those of each net n times, so that there are
    several nets to each population. The shared settings of the first draw are the recipe's.

    recipe : has the values of the first configuration
    searched : names of the settings that are searched, of SPACE
    n_rows : number of training rows

    >>> found = configurations(Recipe(), ["dropout", "hidden"], 9, 1000, np.random.default_rng(0))
    >>> found[0], len({row["hidden"] for row in found}) <= 3, len({row["dropout"] for row in found})
    ({'dropout': 0.1, 'hidden': (128, 128, 128)}, True, 9)
    """
    names = set(searched)
    per_net, shared = ([name for name in table if name in names] for table in (PER_NET, SHARED))
    own = {name: getattr(recipe, name) for name in (*per_net, *shared)}
    structures = [{name: own[name] for name in shared}]
    while len(structures) < ceil(sqrt(n)):
        structures.append({name: _drawn(name, recipe, n_rows, rng) for name in shared})
    drawn = [
        {**{name: _drawn(name, recipe, n_rows, rng) for name in per_net}, **structures[k % len(structures)]}
        for k in range(n)
    ]
    return [own, *drawn[1:]]


def _drawn(name: str, recipe: Recipe, n_rows: int, rng: np.random.Generator) -> Any:
    if name in PER_NET:
        low, high, is_log = PER_NET[name]
        return exp(rng.uniform(log(low), log(high))) if is_log else float(rng.uniform(low, high))
    value = SHARED[name][int(rng.integers(len(SHARED[name])))]
    if name != "batch_size":
        return value
    return recipe.batch_size if value == 1.0 else max(1, round(value * recipe.batch_rows(n_rows)))


def groups_of_recipes(recipes: list[Recipe], encodings: list[int]) -> list[list[int]]:
    """Return lists of numbers of recipes, one per population: nets of one architecture, on rows of one encoding.

    A dropout rate for each layer needs a net of its own.

    encodings : number of the encoding of each recipe's rows
    """
    groups: dict[Any, list[int]] = {}
    for k, (recipe, encoding) in enumerate(zip(recipes, encodings, strict=True)):
        alone = -1 if isinstance(recipe.dropout, (int, float)) else k
        key = recipe.hidden, recipe.batch_size, recipe.label_smoothing, encoding, alone
        groups.setdefault(key, []).append(k)
    return list(groups.values())


def joint_recipe(recipes: list[Recipe]) -> Recipe:
    """Return the recipe of a population whose nets have these recipes: settings of each net are arrays (n_nets,)."""
    if len(recipes) == 1:
        return recipes[0]
    own: dict[str, Any] = {
        name: np.array([getattr(recipe, name) for recipe in recipes], np.float64) for name in PER_NET
    }
    return replace(recipes[0], **own)


# ---- scores


class Scores(NamedTuple):
    """Scores of nets on held-out rows.

    values : (n_nets,); larger is better, and minus infinity is that of a net whose outputs are not finite
    losses : (n_nets, n_rows), whose means are the values times -1
    """

    values: np.ndarray
    losses: np.ndarray


def scores_of(nets: Any, held_out: Rows) -> Scores:
    """Return the scores of nets on held-out rows; nets : MLP or Population

    For classes, a score is minus the log loss of calibrated probabilities. For numbers, it is minus the mean squared
    error of y scaled to a standard deviation of 1.
    """
    with np.errstate(all="ignore"):  # of nets whose outputs are not finite
        z = logits(nets, held_out.X)
        losses = np.array([_losses(of_net[None], nets.network, held_out) for of_net in (z[None] if z.ndim == 2 else z)])
        values = -np.average(losses, axis=1, weights=held_out.weights)
    return Scores(np.where(np.isfinite(values), values, -np.inf), losses)


def _losses(z: np.ndarray, network: Network, held_out: Rows) -> np.ndarray:
    """Return the losses of rows; z : (1, n_rows, n_outputs), logits of a net"""
    kind = network.output_row.name
    if kind == "identity":
        errors = z[0].astype(np.float64) - held_out.y.reshape(held_out.n_rows, -1)
        return np.square(errors).mean(axis=1)
    y = held_out.y.astype(np.float64 if kind == "sigmoid" else np.intp)
    temperature = fit_temperature(z, held_out.y, held_out.weights, network, kind == "sigmoid")
    return row_losses(z, y, temperature, kind == "sigmoid")


def standard_errors_apart(first: np.ndarray, second: np.ndarray, weights: np.ndarray | None) -> float:
    """Return by how many standard errors the mean of the first losses is above that of the second, paired by rows.

    >>> round(standard_errors_apart(np.array([3.0, 2.0, 4.0, 3.0]), np.ones(4), None), 3)
    5.657
    """
    gains = first - second
    weights = np.ones(len(gains)) if weights is None else weights
    mean = np.average(gains, weights=weights)
    error = np.sqrt(np.square(weights * (gains - mean)).sum()) / weights.sum()
    return float(mean / max(error, np.finfo(float).tiny))
