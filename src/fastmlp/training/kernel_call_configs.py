"""Configurations of a fit's kernel calls: batches, random numbers and the settings of their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..kernels.formulas.update_rules import CODES
from ..kernels.structs import TrainConfig
from ..schedules.checked_factors import factors_at
from .fit_options import Options


class TrainConfigs:
    """Configurations of the calls of a fit.

    shapes : sequence of (int, int)     (fan_in, fan_out) of each layer
    n_steps : int     number of steps of the whole fit
    """

    def __init__(self, options: Options, shapes: Sequence[tuple[int, int]], n_steps: int):
        self._options, self._n_steps = options, n_steps
        self._hyper = options.optimizer.hyper
        self._layer_factors = options.optimizer.factors_of_layers(shapes)
        self._no_factors = np.empty(0)

    def of(self, first: int, n: int) -> TrainConfig:
        """Return the configuration of a call that trains n steps from step `first` on."""
        options = self._options
        return TrainConfig(
            batch_size=options.batch_size,
            shuffle=options.shuffle,
            seed=options.seed,
            rule=CODES[options.optimizer.rule.name],
            hyper=self._hyper,
            factors=factors_at(options.factors, first, n, self._n_steps),
            layered=self._layer_factors.size > 0,
            layer_factors=self._layer_factors,
            decays=options.decay_factors is not None,
            decay_factors=self._factors_of(options.decay_factors, first, n),
            drops_by_schedule=options.dropout_factors is not None,
            dropout_factors=self._factors_of(options.dropout_factors, first, n),
            first_step=first,
        )

    def _factors_of(self, schedule: Callable[[np.ndarray, int], np.ndarray] | None, first: int, n: int) -> np.ndarray:
        return self._no_factors if schedule is None else factors_at(schedule, first, n, self._n_steps)
