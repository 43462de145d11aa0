"""Nets for a table, and their fits by a recipe, in the time that there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..callbacks import EarlyStopping
from ..errors import counted
from ..history import History
from ..initialization import UniformByFanIn
from ..kernels.jit.compile_time import Stopwatch
from ..mlp import MLP
from ..optimizers import AdamW, Optimizer
from ..population import Population
from .recipes import Recipe
from .rows import FileRows, Rows

SCHEDULE, CLIP_NORM = "flat_cosine", 1.0
SHORTEST = 1e-3  # seconds: time limit of a fit that begins when the time is over, and makes one step
TRIAL_SHARE = 0.05  # of a limit that the trial of bins may take


class Budget:
    """The seconds that a fit may take, with the time in which kernels compile.

    seconds : limit, counted from now; infinity for none
    completes_epoch : whether a fit whose time is over in its first epoch trains it to its end
    """

    def __init__(self, seconds: float = float("inf"), completes_epoch: bool = False):
        self.seconds, self.completes_epoch, self._watch = seconds, completes_epoch, Stopwatch()
        self.is_limited, self.trial_seconds = seconds < float("inf"), TRIAL_SHARE * seconds

    def elapsed(self) -> float:
        return self._watch.read()[0]

    def compiled(self) -> float:
        """Return how long the thread that has made the budget has waited for kernels since then."""
        return self._watch.read()[1]

    def left(self) -> float:
        return max(0.0, self.seconds - self.elapsed())

    def part(self, n_fits: int) -> Budget:
        """Return the budget of the next of n_fits fits, all with the same."""
        return Budget(self.left() / n_fits, self.completes_epoch)


def make_nets(n_features: int, n_outputs: int, recipe: Recipe, settings: dict[str, Any], n_nets: int) -> Any:
    """Return an untrained MLP, or a Population if there are several nets.

    settings : further arguments of MLP and Population, such as loss, dtype, device and random_state
    """
    sizes = (n_features, *recipe.hidden, n_outputs)
    further = {
        "hidden_activation": recipe.activation_for(settings["loss"]),
        "dropout": recipe.dropout,
        "label_smoothing": recipe.label_smoothing_for(settings["loss"]),
        "init": UniformByFanIn(),
        **settings,
    }
    if n_nets == 1:
        return MLP(sizes, **further)
    return Population(sizes, n_nets, **further)


def continue_from(net: Any, known: Any) -> None:
    """Copy the parameters of a trained net or population to a new one.

    Raises
    ------
    ValueError
        If their layers or numbers of nets differ.
    """
    sizes = [(of.network.layer_sizes, of.params.size) for of in (known, net)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"Training goes on with {described(known)}, but the settings and data ask for {described(net)}. Leave the "
            "hidden layers and the numbers of nets and folds as they were, or train new nets."
        )
    net.params = known.params.reshape(net.params.shape)  # an interrupted fit may have kept a population of one net
    net.fits = known.fits  # so that batches and dropout masks differ from those of the previous fits


def described(net: Any) -> str:
    count = "" if isinstance(net, MLP) else f"{counted(net.n_nets, 'net')} of "
    return f"{count}layers {net.network.layer_sizes}"


def make_optimizer(recipe: Recipe) -> Optimizer:
    """Return the optimiser of a recipe. Raises ValueError if a setting is invalid."""
    return AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, clip_norm=CLIP_NORM)


def fit_nets(
    net: Any, rows: Rows | FileRows, held_out: Rows | None, recipe: Recipe, budget: Budget | None = None, **further: Any
) -> Any:
    """Train a net or a population by a recipe, and return its History or PopulationResult.

    held_out : rows that early stopping looks at, or None for all epochs
    budget : time that is left; one that completes_epoch ends after the first epoch at the earliest
    further : arguments of the fit, such as verbose
    """
    arguments = further | {
        "batch_size": recipe.batch_rows(rows.n_rows),
        "optimizer": make_optimizer(recipe),
        "schedule": SCHEDULE,
        "early_stopping": None if held_out is None else EarlyStopping(recipe.patience),
    }
    budget = budget or Budget()
    if not budget.is_limited:
        return _fit(net, rows, held_out, arguments | {"epochs": recipe.epochs})
    limit = max(budget.left(), SHORTEST)
    history = _fit(net, rows, held_out, arguments | {"epochs": recipe.epochs, "time_limit": limit})
    lacks_an_epoch = set(np.atleast_1d(history.stopped_by).tolist()) == {"time_limit"} and not np.any(history.epochs)
    if budget.completes_epoch and lacks_an_epoch:
        history = _fit(net, rows, held_out, arguments | {"epochs": 1})
        if isinstance(history, History) and history.stopped_by == "epochs":
            history.stopped_by = "time_limit"
    return history


def _fit(net: Any, rows: Rows | FileRows, held_out: Rows | None, arguments: dict[str, Any]) -> Any:
    if isinstance(rows, FileRows):
        return rows.fit(net, held_out, **arguments)
    return net.fit(rows.X, rows.y, sample_weight=rows.weights, validation_data=held_out, **arguments)


def history_or_result(net: Any) -> Any:
    """Return the History of the last fit of an MLP, or the PopulationResult of a population's; None before a fit."""
    return net.history if isinstance(net, MLP) else net.result
