"""Proposers: where a search has its configurations from. One draws them at random, without regard to scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .space import configurations_of


class Proposer(Protocol):
    """Source of configurations, which are trained in rounds.

    examples : configurations that stand for all that may be proposed; a search checks them before it trains any
    """

    examples: list[dict[str, Any]]

    def ask(self, n: int) -> list[dict[str, Any]]:
        """Return the configurations of the next round, at most n; none if there are no more."""

    def tell(self, scores: np.ndarray) -> None:
        """Take the scores of the configurations of the last round; larger is better, and -inf is that of divergence."""


class RandomDraws:
    """Configurations drawn from a space, all of them in one round.

    ValueError: a setting is unknown, or has no choices.
    """

    def __init__(self, space: Mapping[str, Any], n: int, rng: np.random.Generator):
        self.examples = configurations_of(space, n, rng)

    def ask(self, n: int) -> list[dict[str, Any]]:
        return self.examples[:n]

    def tell(self, scores: np.ndarray) -> None:
        pass
