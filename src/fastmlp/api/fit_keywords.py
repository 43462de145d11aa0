"""Keywords of MLP.fit and Population.fit: their types and, in the order of the signatures, their defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from ..callbacks import Callback
from ..interface.keywords import Keywords, completed
from ..optimizers import OPTIMIZERS, Adam, Optimizer
from ..runtime.checkpoint_interval import DEFAULT
from ..training.batch_rows import AUTO
from ..training.optimizer_state import OptimizerState


class CheckpointKeywords(TypedDict, total=False):
    """Keywords about the file of checkpoints; `sweep` has them, too."""

    checkpoint: str | os.PathLike | None
    every: int | str
    resume: bool


class FitKeywords(CheckpointKeywords, total=False):
    """Keywords that both have."""

    epochs: int
    batch_size: int | str | None
    optimizer: Any
    schedule: Any
    dropout_schedule: Any
    shuffle: bool
    sample_weight: Any
    class_weight: Any
    validation_data: tuple[Any, Any] | None
    validation_fraction: float
    early_stopping: Any
    monitor: bool
    verbose: int
    time_limit: float | None
    memory_limit: int | str | None
    row_cache: str | os.PathLike | None


class MLPFitKeywords(FitKeywords, total=False):
    """Keywords of MLP.fit."""

    callbacks: Sequence[Callback]
    metrics: Any
    optimizer_state: OptimizerState | None


class PopulationFitKeywords(FitKeywords, total=False):
    """Keywords of Population.fit."""

    converged: Any
    restart_after: int | None
    executor: Any


_TRAINING: FitKeywords = {
    "epochs": 100,
    "batch_size": AUTO,
    "optimizer": "adam",
    "schedule": None,
    "dropout_schedule": None,
    "shuffle": True,
    "sample_weight": None,
    "class_weight": None,
    "validation_data": None,
    "validation_fraction": 0.0,
    "early_stopping": None,
}
_MONITOR: FitKeywords = {"monitor": False}
_SOURCE: FitKeywords = {"memory_limit": None, "row_cache": None}
CHECKPOINT_DEFAULTS: CheckpointKeywords = {"checkpoint": None, "every": DEFAULT, "resume": False}
_RUN: FitKeywords = {"verbose": 1, **CHECKPOINT_DEFAULTS, "time_limit": None}

MLP_FIT_DEFAULTS: MLPFitKeywords = {
    **_TRAINING,
    "callbacks": (),
    "metrics": (),
    "optimizer_state": None,
    **_MONITOR,
    **_SOURCE,
    **_RUN,
}
POPULATION_FIT_DEFAULTS: PopulationFitKeywords = {
    **_TRAINING,
    "converged": None,
    "restart_after": None,
    **_MONITOR,
    **_RUN,
    "executor": None,
    **_SOURCE,
}


def completed_fit(function: Callable[..., Any], given: Keywords, defaults: Keywords, owner: type) -> Keywords:
    """Return the keywords that fit was given, and the defaults of the others.

    owner : class whose method `function` is

    Raises
    ------
    TypeError
        If fit has no keyword of that name; of a setting of optimisers, with a hint.
    """
    for name in given.keys() - defaults.keys():
        kinds: tuple[type[Optimizer], ...] = (Adam, *OPTIMIZERS.values())
        cls = next((kind.__name__ for kind in kinds if name in kind.__dataclass_fields__), None)
        if cls is not None:
            raise TypeError(
                f"{function.__qualname__}() got an unexpected keyword argument {name!r}. It is a setting of the "
                f"optimizer: write optimizer=fastmlp.{cls}({name}=...)."
            )
    return completed(function, given, defaults, owner)
