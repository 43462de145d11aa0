"""The space of `tune`: settings of a recipe that are searched and their ranges, and configurations drawn from them.

The ranges are those that the literature searches for plain MLPs, around the presets: Gorishniy, Rubachev, Khrulkov and
Babenko 2021 (arXiv:2106.11959), Kadra, Lindauer, Hutter and Grabocka 2021 (arXiv:2106.11189), Holzmüller, Grinsztajn
and Steinwart 2024 (RealMLP, arXiv:2407.04491).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, exp, log, sqrt
from typing import Any

import numpy as np

from ..sweeps.space import draw_choice, groups_of
from .recipes import AUTO, Recipe


@dataclass(frozen=True)
class Uniform:
    """Numbers between two bounds, all equally likely."""

    low: float
    high: float

    def rvs(self, random_state: np.random.Generator) -> float:
        return float(random_state.uniform(self.low, self.high))


@dataclass(frozen=True)
class LogUniform:
    """Numbers between two bounds whose logarithms are equally likely."""

    low: float
    high: float

    def rvs(self, random_state: np.random.Generator) -> float:
        return exp(random_state.uniform(log(self.low), log(self.high)))


# Settings that nets of one population may have of their own.
PER_NET: dict[str, Any] = {
    "learning_rate": LogUniform(5e-4, 1e-2),
    "weight_decay": LogUniform(1e-3, 0.5),
    "dropout": Uniform(0.0, 0.5),
}
# Settings that they have in common. batch_size has factors of the recipe's number of rows.
SHARED: dict[str, Any] = {
    "hidden": [(128, 128, 128), (256, 256, 256), (128, 128), (512, 512), (512,), (64, 64, 64, 64, 64)],
    "batch_size": [1.0, 0.5, 2.0],
    "label_smoothing": [AUTO, 0.0],
    "numeric_encoding": [AUTO, "quantile"],
}
SPACE = PER_NET | SHARED

Settings = dict[str, Any]  # of one configuration, by the names of Recipe's fields


def configurations(
    recipe: Recipe, searched: Iterable[str], n: int, n_rows: int, rng: np.random.Generator
) -> list[Settings]:
    """Return n configurations, of which the first is the recipe itself.

    Settings that a population shares are drawn about sqrt(n) times, and those of each net n times, so that there are
    several nets to each population. The shared settings of the first draw are the recipe's.

    recipe : has the values of the first configuration
    searched : names of the settings that are searched, keys of SPACE
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
    value = draw_choice(name, SPACE[name], rng)
    if name != "batch_size":
        return value
    return recipe.batch_size if value == 1.0 else max(1, round(value * recipe.batch_rows(n_rows)))


def groups_of_recipes(recipes: list[Recipe], encodings: list[int]) -> list[list[int]]:
    """Return lists of numbers of recipes, one per population: nets of one architecture, on rows of one encoding.

    encodings : number of the encoding of each recipe's rows
    """
    return groups_of([_row(k, recipe, encodings[k]) for k, recipe in enumerate(recipes)], {})


def _row(k: int, recipe: Recipe, encoding: int) -> Settings:
    """Return a recipe as groups_of takes a configuration.

    A dropout rate for each layer needs a net of its own.
    """
    is_alone = not isinstance(recipe.dropout, (int, float))
    own = {name: getattr(recipe, name) for name in PER_NET} | {"optimizer": "adamw"}
    common = {name: getattr(recipe, name) for name in ("hidden", "batch_size", "label_smoothing")}
    return {**own, **common, "encoding": encoding, "alone": k if is_alone else -1}


def joint_recipe(recipes: list[Recipe]) -> Recipe:
    """Return the recipe of a population whose nets have these recipes: settings of each net are arrays (n_nets,)."""
    if len(recipes) == 1:
        return recipes[0]
    own: dict[str, Any] = {
        name: np.array([getattr(recipe, name) for recipe in recipes], np.float64) for name in PER_NET
    }
    return replace(recipes[0], **own)
