"""Configurations that a sampler of Optuna chooses, by the scores of those of earlier rounds."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from ..errors import is_distribution, shown
from .space import as_python, check_space, choices_of

MOST_ROUNDS = 8  # each learns from those before it ...
SMALLEST_ROUND = 8  # ... and has enough configurations for populations of many nets
NAMED = (str, int, float, bool, type(None))  # types of choices that Optuna knows by themselves


class Dimension(NamedTuple):
    """A setting whose value is chosen by the sampler, or fixed.

    distribution : distribution of Optuna; None for a fixed value
    choices : values by their index in a categorical distribution; None for numbers
    examples : values that stand for all
    """

    distribution: Any
    choices: list[Any] | None
    examples: list[Any]

    def value_of(self, chosen: Any) -> Any:
        """Return the value of the setting for what Optuna has chosen."""
        if self.choices is None:
            return chosen
        return self.choices[int(self.distribution.to_internal_repr(chosen))]


class SamplerProposals:
    """Configurations chosen by a sampler, in at most MOST_ROUNDS rounds of at least SMALLEST_ROUND.

    space, n, sampler : arguments of sweep

    Raises
    ------
    ImportError
        If Optuna is not installed.
    ValueError
        If `sampler` is no sampler of Optuna, a setting is unknown or has no choices, or a distribution is none that
        Optuna knows.
    """

    def __init__(self, space: Mapping[str, Any], n: int, sampler: Any):
        try:
            import optuna
        except ImportError as error:
            raise ImportError("sweep with a sampler needs Optuna: install the package optuna.") from error
        if not isinstance(sampler, optuna.samplers.BaseSampler):
            raise ValueError(
                "sampler must be a sampler of Optuna, such as optuna.samplers.TPESampler(seed=0), but it is "
                f"{shown(sampler)}."
            )
        check_space(space)
        self._dimensions = {name: _dimension_of(name, value) for name, value in space.items()}
        first = {name: dimension.examples[0] for name, dimension in self._dimensions.items()}
        self.examples = [first] + [
            first | {name: value} for name, dimension in self._dimensions.items() for value in dimension.examples[1:]
        ]
        self._n_per_round = max(SMALLEST_ROUND, ceil(n / MOST_ROUNDS))
        self._study, self._failed = _quiet_study(sampler), optuna.trial.TrialState.FAIL
        # Samplers of finite spaces, such as GridSampler, call this when they have no more; Optuna allows it only in
        # its own loop.
        self._study.stop = self._end
        self._trials: list[Any] = []
        self._has_more = True

    def _end(self) -> None:
        self._has_more = False

    def ask(self, n: int) -> list[dict[str, Any]]:
        n_asked = min(n, self._n_per_round) if self._has_more else 0
        chosen = {name: d.distribution for name, d in self._dimensions.items() if d.distribution is not None}
        self._trials = [self._study.ask(chosen) for _ in range(n_asked)]
        return [self._configuration(trial.params) for trial in self._trials]

    def _configuration(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            name: dimension.value_of(params[name]) if name in params else dimension.examples[0]
            for name, dimension in self._dimensions.items()
        }

    def tell(self, scores: np.ndarray) -> None:
        for trial, score in zip(self._trials, scores, strict=True):
            if np.isfinite(score):
                self._study.tell(trial, float(score))
            else:  # samplers know no infinity
                self._study.tell(trial, state=self._failed)


def _quiet_study(sampler: Any) -> Any:
    """Return a study in memory that maximises, without Optuna's line about it."""
    from optuna import create_study, logging

    before = logging.get_verbosity()
    logging.set_verbosity(max(before, logging.WARNING))
    try:
        return create_study(sampler=sampler, direction="maximize")
    finally:
        logging.set_verbosity(before)


def _dimension_of(name: str, value: Any) -> Dimension:
    """Return the dimension of a setting for its value in a space. ValueError: it is a distribution of another shape."""
    from optuna.distributions import CategoricalDistribution

    if is_distribution(f"space[{name!r}]", value):
        distribution = _numeric(name, value)
        as_number = type(distribution.low)
        return Dimension(distribution, None, [as_number(value.ppf(q)) for q in (0.25, 0.75)])
    given = choices_of(name, value)
    if given is None:
        return Dimension(None, None, [value])
    choices = [as_python(choice) for choice in given]
    are_named = all(isinstance(choice, NAMED) for choice in choices)
    return Dimension(CategoricalDistribution(choices if are_named else range(len(choices))), choices, choices)


def _numeric(name: str, frozen: Any) -> Any:
    """Return Optuna's distribution for a frozen one of SciPy."""
    from optuna.distributions import FloatDistribution, IntDistribution

    kind = getattr(getattr(frozen, "dist", None), "name", type(frozen).__name__)
    if kind in ("uniform", "loguniform", "reciprocal", "randint"):
        low, high = map(as_python, frozen.support())
        if kind == "randint":
            return IntDistribution(int(low), int(high))
        if kind == "uniform":
            return FloatDistribution(low, high)
        if low > 0.0 and np.isclose(frozen.median(), np.sqrt(low * high)):  # without a shift by loc
            return FloatDistribution(low, high, log=True)
        kind += " with loc"
    raise ValueError(
        f"space[{name!r}] must be a list of choices or, with a sampler, a distribution that Optuna has, too: uniform, "
        f"loguniform (reciprocal) or randint, but it is {kind}."
    )
