"""Nets for a table and their fits by a recipe, within a time limit: as many epochs and nets as there is time for.

A fit that is cut off in the middle of a cycle of the learning rate is worse than one with a shorter cycle. So a short
fit of a part of the rows measures how long an epoch takes, and the recipe gets as many epochs as fit into the time,
and fewer nets if these would be too few epochs. Of nets that are trained one after another, the first ones show what
the measurement got wrong, and those after them get as many epochs as there is time for. Each fit has a limit as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

import numpy as np

from ..callbacks import EarlyStopping
from ..console.fit_time import compiling_in_limit
from ..errors import DivergenceWarning, counted
from ..execution.dispatch import IN_TURN, FitsAtOnce
from ..fit.fits_on_threads import run_on_threads
from ..fit.interrupt_warnings import require_complete
from ..fit.rows import OnDisk
from ..history import History
from ..initialization import UniformByFanIn
from ..kernels.jit.compile_time import Stopwatch
from ..mlp import MLP
from ..optimizers import AdamW
from ..population import Population
from ..runtime.ctrl_c import StopFlag, stop_flag
from ..runtime.thread_count import with_threads
from .encoded_rows import EncodedRows, FileRows, Rows
from .recipes import Recipe

SCHEDULE, CLIP_NORM = "flat_cosine", 1.0
SHORTEST = 1e-3  # seconds: time limit of a fit that begins when the time is over, and makes one step
LEAST_WITH_TRIAL = 10.0  # seconds: limit of a fit with a trial of bins, which takes up to two
SHARE = 0.95  # of the time left that planned epochs take; the rest is for what an estimate cannot know
FEWEST_EPOCHS = 10  # nets are left out before they get fewer epochs
SHORT_EPOCHS = 1.0  # seconds of the first epochs of all nets that are trained to their end, however short the limit
PROBE_SHARE = 0.03  # of the time left that a measurement takes at least: a short fit shows what any fit costs
PROBE_EPOCHS = 2.0  # whole epochs after which a measurement is long enough in any case
MOST_PROBING = 0.05  # of the time left, for all measurements


class Budget:
    """The seconds that a fit may take, with the time in which kernels compile.

    seconds : limit, counted from now; None or infinity for none
    completes_epoch : whether a fit whose time is over in its first epoch trains it to its end
    """

    def __init__(self, seconds: float | None = None, completes_epoch: bool = False):
        self.seconds = inf if seconds is None else seconds
        self.is_limited, self.completes_epoch, self._watch = self.seconds < inf, completes_epoch, Stopwatch()

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


def make_nets(
    n_outputs: int, settings: dict[str, Any], n_features: int, seed: int, recipe: Recipe, n_nets: int | None = None
) -> Any:
    """Return an untrained MLP, or a Population if there are several nets.

    settings : further arguments of MLP and Population: loss, dtype and device
    n_nets : by default all nets of the recipe
    """
    sizes = (n_features, *recipe.hidden, n_outputs)
    n_nets = recipe.n_nets_of_all_folds if n_nets is None else n_nets
    further = {
        "hidden_activation": recipe.activation_for(settings["loss"]),
        "dropout": recipe.dropout,
        "label_smoothing": recipe.label_smoothing_for(settings["loss"]),
        "init": UniformByFanIn(),
        "random_state": seed,
        **settings,
    }
    return MLP(sizes, **further) if n_nets == 1 else Population(sizes, n_nets, **further)


def fit_nets(
    net: Any, rows: Any, held_out: Rows | None, recipe: Recipe, budget: Budget | None = None, **further: Any
) -> Any:
    """Train a net or a population by a recipe, and return its History or PopulationResult.

    rows : Rows or FileRows
    held_out : rows that early stopping looks at, or None for all epochs
    budget : time that is left; one that completes_epoch ends after the first epoch at the earliest
    further : arguments of the fit, such as verbose
    """
    in_file = isinstance(rows, FileRows)
    X, y = (OnDisk.of(rows.file, rows.memory_limit, announces=False), None) if in_file else (rows.X, rows.y)
    settings = further | {
        "sample_weight": rows.weights,
        "validation_data": held_out,
        "batch_size": recipe.batch_rows(rows.n_rows),
        "optimizer": AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, clip_norm=CLIP_NORM),
        "schedule": SCHEDULE,
        "early_stopping": None if held_out is None else EarlyStopping(recipe.patience),
    }
    if budget is None or not budget.is_limited:
        return net.fit(X, y, epochs=recipe.epochs, **settings)
    history = net.fit(X, y, epochs=recipe.epochs, time_limit=max(budget.left(), SHORTEST), **settings)
    lacks_an_epoch = set(np.atleast_1d(history.stopped_by).tolist()) == {"time_limit"} and not np.any(history.epochs)
    if budget.completes_epoch and lacks_an_epoch:
        history = net.fit(X, y, epochs=1, **settings)
        if isinstance(history, History) and history.stopped_by == "epochs":
            history.stopped_by = "time_limit"
    return history


# ---- as many epochs and nets as there is time for


def seconds_per_epoch(make_nets: Callable[[], Any], data: EncodedRows, recipe: Recipe, seconds: float) -> float:
    """Return how long an epoch of nets takes, measured on a part of the rows.

    make_nets : function that returns new nets, which are trained for a moment
    seconds : time that is left for all

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, since there is no net to keep yet.
    """
    rows, held_out = data.training, data.held_out
    n_rows, n_batch = rows.n_rows, recipe.batch_rows(rows.n_rows)

    def timed(n: int, n_epochs: int) -> float:
        """Return how long a fit of n rows takes."""
        held = None if held_out is None else held_out.take(np.arange(max(1, round(n / n_rows * held_out.n_rows))))
        probe = replace(recipe, batch_size=n_batch, epochs=n_epochs)
        history = fit_nets(make_nets(), rows.take(np.arange(n)), held, probe, verbose=0)
        require_complete(history)
        return float(history.seconds - history.compile_seconds)

    spent = timed(min(n_rows, n_batch), 1)  # slow, since it loads modules and kernels
    n_batches = 1
    while True:
        n, n_epochs = min(n_rows, n_batches * n_batch), max(1, n_batches * n_batch // n_rows)
        share = n_epochs * n / n_rows
        taken = timed(n, n_epochs)
        spent += taken
        is_long = taken >= PROBE_SHARE * seconds or share >= PROBE_EPOCHS
        if is_long or spent + 4 * taken > MOST_PROBING * seconds:
            return taken / share
        n_batches *= 4


def affordable(recipe: Recipe, epoch_seconds: float, seconds: float, keeps_nets: bool = False) -> tuple[Recipe, str]:
    """Return (recipe with as many epochs as there is time for, and fewer nets if needed; a sentence on that, or "").

    epoch_seconds : how long an epoch of all nets takes
    seconds : time that is left
    keeps_nets : whether no nets are left out

    Where there is no time for an epoch of a net for each fold, or if the folds are those of single nets, for
    FEWEST_EPOCHS, those that are trained all hold out the same rows.

    >>> found, _ = affordable(Recipe(n_nets=5, epochs=100), epoch_seconds=0.5, seconds=10.0)
    >>> found.n_nets, found.epochs, found.patience
    (5, 19, 19)
    >>> found, _ = affordable(Recipe(n_nets=5, epochs=100), epoch_seconds=2.0, seconds=10.0)
    >>> found.n_nets, found.epochs
    (2, 11)
    """
    n_epochs = SHARE * seconds / max(epoch_seconds, 1e-9)
    if n_epochs >= recipe.epochs:
        return recipe, ""
    of_single_nets = recipe.own_folds or n_epochs * recipe.n_nets < 1.0
    if recipe.n_folds > 1 and of_single_nets and not keeps_nets:
        alike = replace(recipe, n_nets=recipe.n_nets_of_all_folds, n_folds=1, own_folds=False)
        fewer, note = affordable(alike, epoch_seconds, seconds)
        has_all = fewer.n_nets == alike.n_nets
        return (replace(recipe, epochs=fewer.epochs, patience=fewer.patience) if has_all else fewer), note
    n_nets = recipe.n_nets
    if n_epochs < FEWEST_EPOCHS and not keeps_nets:
        n_nets = min(n_nets, max(1, int(n_nets * n_epochs / min(FEWEST_EPOCHS, recipe.epochs))))
    epochs = min(recipe.epochs, max(1, int(n_epochs * recipe.n_nets / n_nets)))
    changed = replace(recipe, n_nets=n_nets, epochs=epochs, patience=min(recipe.patience, epochs))
    if (each := epoch_seconds * n_nets / recipe.n_nets) > seconds:
        return changed, (
            f"The time limit leaves {seconds:.2g} s, and one epoch of {counted(n_nets * recipe.n_folds, 'net')} takes "
            f"about {each:.2g} s: {_size(changed)} is all that is trained, instead of {_size(recipe)}; raise the limit."
        )
    return changed, f"The time limit is enough for {_size(changed)}, instead of {_size(recipe)}."


def _size(recipe: Recipe) -> str:
    return f"{counted(recipe.n_nets_of_all_folds, 'net')} of {counted(recipe.epochs, 'epoch')}"


def planned_in_time(
    recipe: Recipe, make: Callable[[Recipe], Any], data: EncodedRows, at_once: FitsAtOnce, budget: Budget
) -> tuple[Recipe, str, FitsAtOnce]:
    """Plan a training by a recipe in a budget.

    make : makes untrained nets by a recipe
    at_once : how many nets of folds would be trained at the same time without a limit
    budget : is told to complete the first epochs of its fits if these take no longer than the whole limit, or than
        SHORT_EPOCHS seconds

    Returns (recipe with as many epochs and nets as there is time for, a sentence on what is left out or "", how many
    nets of folds are trained at the same time).
    """
    epoch_seconds = _epoch_seconds_of_all(recipe, make, data, at_once, budget.left() or SHORTEST)
    all_at_once = 1 < at_once.n_fits == recipe.n_nets_of_all_folds  # fewer nets would have no more epochs
    planned, note = affordable(recipe, epoch_seconds, budget.left(), all_at_once)
    share = planned.n_nets_of_all_folds / recipe.n_nets_of_all_folds
    if share < 1.0 and at_once.n_fits > 1:  # fewer nets at the same time would leave processors idle
        return planned_in_time(recipe, make, data, IN_TURN, budget)
    budget.completes_epoch = epoch_seconds * share <= max(budget.seconds, SHORT_EPOCHS)
    return planned, note and note + compiling_in_limit(budget.compiled(), budget.seconds), at_once


def _epoch_seconds_of_all(
    recipe: Recipe, make: Callable[[Recipe], Any], data: EncodedRows, at_once: FitsAtOnce, seconds_left: float
) -> float:
    """Return how long an epoch of all nets takes, as often as they are trained."""
    measured, n_turns, measurements = recipe, 1, list[float]()
    if data.folds is not None:  # nets are trained each by itself
        measured, n_turns = replace(recipe, n_nets=1, n_folds=1), -(-recipe.n_nets_of_all_folds // at_once.n_fits)
        data = data.without(0)

    def measure() -> None:
        measurements.append(seconds_per_epoch(lambda: make(measured), data, recipe, seconds_left))

    with warnings.catch_warnings(), stop_flag() as flag:
        warnings.simplefilter("ignore", DivergenceWarning)  # the training itself will warn
        if at_once.n_fits == 1:
            measure()
        else:  # fits at the same time slow each other down
            run_on_threads(
                partial(with_threads, at_once.n_threads, measure), at_once.n_fits, StopFlag(flag), lambda: None
            )
    return n_turns * max(measurements)


class FitsInTime:
    """Fits one after another in the time that is left, each with the epochs for which the fits before it show time.

    Fits at the same time are a turn: all of the first turn have the planned epochs, and each of a later turn goes by
    those of earlier turns, not by others of its own turn that a faster thread has finished.

    budget : time that is left for all of them
    n_fits : number of fits
    recipe : planned, for the first fits
    wanted : recipe without a limit; no fit has more epochs or patience
    n_at_once : number of fits at the same time, each on a thread of its own
    """

    def __init__(self, budget: Budget, n_fits: int, recipe: Recipe, wanted: Recipe, n_at_once: int = 1):
        self._budget, self._n_turns, self._n_at_once = budget, -(-n_fits // n_at_once), n_at_once
        self._recipe, self._wanted = recipe, wanted
        self._epoch_seconds: dict[int, float] = {}  # of the fits that have ended, by their numbers

    def fit(self, k: int, train: Callable[[Recipe, Budget], Any]) -> Any:
        """Return what `train` returns for fit k, a History or PopulationResult; it gets a recipe, and its time."""
        budget = self._budget.part(self._n_turns - k // self._n_at_once)
        result = train(self._recipe_of(k, budget), budget)
        if n_epochs := int(np.max(result.epochs)):
            self._epoch_seconds[k] = (budget.elapsed() - budget.compiled()) / n_epochs
        return result

    def _recipe_of(self, k: int, budget: Budget) -> Recipe:
        before = k // self._n_at_once * self._n_at_once  # fits of earlier turns
        ended = [seconds for fit, seconds in sorted(self._epoch_seconds.copy().items()) if fit < before]
        if not (budget.is_limited and ended):
            return self._recipe
        slowest = max(ended[-self._n_at_once :])
        epochs = min(self._wanted.epochs, max(1, int(SHARE * budget.left() / slowest)))
        return replace(self._recipe, epochs=epochs, patience=min(self._wanted.patience, epochs))
