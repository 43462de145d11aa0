"""Nets for a table, and their fits by a recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..callbacks import EarlyStopping
from ..errors import counted
from ..history import History
from ..initialization import UniformByFanIn
from ..mlp import MLP
from ..optimizers import Optimizer, optimizer_from_name
from ..population import Population
from ..schedules import schedule_factors
from .recipes import Recipe
from .rows_in_file import FileRows
from .rows_in_memory import Rows
from .time_budget import Budget

SHORTEST = 1e-3  # seconds: time limit of a fit that begins when the time is over, and makes one step


def make_nets(n_features: int, n_outputs: int, recipe: Recipe, settings: dict[str, Any], n_nets: int) -> Any:
    """Return an untrained MLP, or a Population if there are several nets.

    settings : further arguments of MLP and Population, such as loss, dtype, device and random_state
    """
    sizes = (n_features, *recipe.hidden, n_outputs)
    further = {
        "hidden_activation": recipe.activation_for(settings["loss"]),
        "dropout": recipe.dropout,
        "label_smoothing": recipe.label_smoothing_for(settings["loss"]),
        "l2": recipe.l2,
        "init": UniformByFanIn(),
        **settings,
    }
    if n_nets == 1:
        return MLP(sizes, **further)
    return Population(sizes, n_nets, **further)


def continue_from(net: Any, known: Any, remedy: str) -> None:
    """Copy the parameters of a trained net or population to a new one.

    remedy : what to do if they do not fit, for the message

    Raises
    ------
    ValueError
        If their layers or numbers of nets differ.
    """
    sizes = [(of.network.layer_sizes, of.params.size) for of in (known, net)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"Training goes on with {described(known)}, but the settings and data ask for {described(net)}. {remedy}"
        )
    net.params = known.params.reshape(net.params.shape)  # an interrupted fit may have kept a population of one net
    net.fits = known.fits  # so that batches and dropout masks differ from those of the previous fits


def described(net: Any) -> str:
    count = "" if isinstance(net, MLP) else f"{counted(net.n_nets, 'net')} of "
    return f"{count}layers {net.network.layer_sizes}"


def make_optimizer(recipe: Recipe) -> Optimizer:
    """Return the optimiser of a recipe. Raises ValueError if its name is unknown, or a setting is invalid."""
    optimizer = optimizer_from_name(recipe.optimizer, recipe.learning_rate)
    settings: dict[str, Any] = {"weight_decay": recipe.weight_decay, "clip_norm": recipe.clip_norm}
    return replace(optimizer, **settings)


class FirstEpochs:
    """Schedule of a fit that has only the first epochs of a longer one.

    schedule : schedule of the longer fit
    share : fraction of its epochs that are trained

    >>> bool(FirstEpochs("one_cycle", 0.5)(np.array([0, 49]), 50)[1] > 0.5)  # the cycle is half over
    True
    """

    def __init__(self, schedule: Any, share: float):
        self._factors, self._share = schedule_factors(schedule), share

    def __call__(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        return self._factors(steps, round(n_steps / self._share))


def refit_recipe(recipe: Recipe, best_epochs: np.ndarray) -> Recipe:
    """Return the recipe for a fit to all rows: as many epochs as the nets had that early stopping kept.

    best_epochs : (n_nets,) the best epoch of each net, counted from 0
    """
    epochs = max(1, round(float(np.median(best_epochs)) + 1.0))
    return replace(recipe, epochs=epochs, schedule=FirstEpochs(recipe.schedule, epochs / recipe.epochs))


def is_cut_short(history: Any, recipe: Recipe) -> bool:
    """Return whether a fit without held-out rows has ended before its last epoch, other than by divergence."""
    goes_on = np.atleast_1d(history.stopped_by) != "divergence"
    return bool((np.atleast_1d(history.epochs)[goes_on] < recipe.epochs).any())


def fit_nets(
    net: Any,
    rows: Rows | FileRows,
    held_out: Rows | None,
    recipe: Recipe,
    monitor: str | None = None,
    budget: Budget | None = None,
    **further: Any,
) -> Any:
    """Train a net or a population by a recipe, and return its History or PopulationResult.

    held_out : rows that early stopping looks at, or None for all epochs
    monitor : the record that early stopping looks at; None for the loss
    budget : time that is left; one that completes_epoch ends after the first epoch at the earliest
    further : arguments of the fit, such as verbose
    """
    budget = budget or Budget()
    if budget.is_limited:
        further["time_limit"] = max(budget.left(), SHORTEST)
    history = _fit(net, rows, held_out, recipe, monitor, further)
    if budget.is_limited and budget.completes_epoch and _lacks_an_epoch(history):
        further["time_limit"] = None
        history = _fit(net, rows, held_out, replace(recipe, epochs=1), monitor, further)
        if isinstance(history, History) and history.stopped_by == "epochs":
            history.stopped_by = "time_limit"
    return history


def _lacks_an_epoch(history: Any) -> bool:
    """Return whether the time of a fit was over before any net had trained a whole epoch."""
    return set(np.atleast_1d(history.stopped_by).tolist()) == {"time_limit"} and not np.any(history.epochs)


def _fit(
    net: Any, rows: Rows | FileRows, held_out: Rows | None, recipe: Recipe, monitor: str | None, further: dict[str, Any]
) -> Any:
    arguments = further | {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_rows(rows.n_rows),
        "optimizer": make_optimizer(recipe),
        "schedule": recipe.schedule,
        "early_stopping": None if held_out is None else EarlyStopping(recipe.patience, monitor),
    }
    try:
        if isinstance(rows, FileRows):
            return rows.fit(net, held_out, **arguments)
        return net.fit(rows.X, rows.y, sample_weight=rows.weights, validation_data=held_out, **arguments)
    except KeyboardInterrupt:  # before the training, or after it
        if not mark_interrupted(net):
            raise
        return history_or_result(net)


def mark_interrupted(net: Any) -> bool:
    """Mark the record of the only fit of a net or population as interrupted. Return whether it has a finished epoch."""
    record = history_or_result(net)
    if record is None or not np.any(record.epochs):
        return False
    if isinstance(net, MLP):
        record.stopped_by = "interrupt"
    else:
        net.result = replace(record, interrupted=True)
    return True


def history_or_result(net: Any) -> Any:
    """Return the History of the last fit of an MLP, or the PopulationResult of a population's; None before a fit."""
    return net.history if isinstance(net, MLP) else net.result
