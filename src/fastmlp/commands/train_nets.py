"""Nets of `fastmlp train`: made by the recipe of its settings, trained, and calibrated."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from ..class_probabilities import logits, outputs_of, outputs_of_logits
from ..errors import DivergenceWarning, counted
from ..execution.dispatch import FitsAtOnce
from ..history import History
from ..kernels.system import interrupts
from ..mlp import MLP
from ..population import Population, subset_of
from ..population_result import PopulationResult
from ..table_training.epochs_in_time import FitsInTime, NetsToPlan, about, expected_seconds, planned_in_time
from ..table_training.folds import fit_each, fit_folds, folds_at_once, predicted_rows
from ..table_training.net_weights import with_greedy_weights, with_greedy_weights_in_folds
from ..table_training.recipe_fit import fit_nets, is_cut_short, make_nets, refit_recipe
from ..table_training.recipes import GREEDY, TEMPERATURE, Recipe
from ..table_training.rows_in_file import FileRows
from ..table_training.rows_in_memory import Rows, first_held_out
from ..table_training.streamed_table import EncodedRows
from ..table_training.temperature import fit_temperature
from ..table_training.time_budget import Budget
from ..table_training.training_summary import summary
from ..tables.preprocessing import Preprocessing
from ..tables.target import CLASSIFICATION, Target
from ..training.interruption import was_interrupted
from .train_continuation import ContinuedFits, go_on
from .train_parts import Parts, first_fold_apart, fold_rows, weighted_parts
from .train_settings import NO_CHECKPOINTS, Checkpoints, TrainSettings
from .training_split import has_same_split, record_split, split_of

WORTH_TELLING, LONG = 10.0, 60.0  # seconds of a training from which its time is told, and what is faster
OUT_OF_FOLD = "out of fold"  # name of the part of the training rows, each predicted by nets without its fold
HELD_OUT = "validation"  # name of the part that is held out


@dataclass
class Training:
    """What `fastmlp train` has trained.

    nets : MLP or Population, with its preprocessing
    history : what the fit, or the fits of all folds, returned
    recipe : how the nets were trained
    outputs : as Target.decode takes them, of a part whose rows the nets have seen: OUT_OF_FOLD, or after a fit to all
        rows HELD_OUT, by nets that have not seen them; otherwise empty
    interrupted : whether Ctrl-C came after the training, such as during the calibration
    parts : parts of the table, as the nets have seen them
    summary : sentence on the training; "" for that of its records
    """

    nets: Any
    history: History | PopulationResult
    recipe: Recipe
    outputs: dict[str, np.ndarray]
    interrupted: bool = False
    parts: Parts = field(default_factory=dict)
    summary: str = ""

    @property
    def stopped_by(self) -> str:
        """ "interrupt" if Ctrl-C came during or after the fits, "divergence" if that ended one of them, else "" """
        if self.interrupted or was_interrupted(self.history):
            return "interrupt"
        reasons = np.atleast_1d(self.history.stopped_by).tolist()
        return "divergence" if "divergence" in reasons else ""


def make_net(preprocessing: Preprocessing, settings: TrainSettings, recipe: Recipe | None = None) -> Any:
    """Return an untrained MLP, or Population of several nets, for these features and this target.

    Classes have a softmax, numbers one linear output.
    """
    recipe = settings.recipe() if recipe is None else recipe
    further = net_arguments(preprocessing, settings, settings.seed)
    n_features, n_outputs = len(preprocessing.feature_names), preprocessing.target.n_outputs
    nets = make_nets(n_features, n_outputs, recipe, further, recipe.n_nets_of_all_folds)
    nets.preprocessing = preprocessing
    return nets


def net_arguments(preprocessing: Preprocessing, settings: TrainSettings, seed: int) -> dict[str, Any]:
    """Return the arguments of MLP and Population that a recipe does not have."""
    return {
        "loss": "softmax_cross_entropy" if preprocessing.target.task == CLASSIFICATION else "squared_error",
        "device": settings.device,
        "random_state": seed,
    }


def fit(
    preprocessing: Preprocessing,
    parts: Parts,
    settings: TrainSettings,
    recipe: Recipe,
    log: Callable[[str], Any],
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    known: Any = None,
    streamed: EncodedRows | None = None,
    budget: Budget | None = None,
) -> Training:
    """Train the nets, without the warning about divergence: the caller's error names the options of the command.

    log : prints a sentence on what the time limit leaves out
    known : nets to go on with, or None
    streamed : rows of a table that is read piece by piece, instead of those of `parts`
    budget : time that is left; None for all of the time limit
    """
    budget = budget or settings.budget()
    make = partial(make_net, preprocessing, settings)
    if streamed is None:
        given = nets_on_parts(make, recipe, parts, preprocessing.target, settings)
    else:
        given = NetsToPlan(make, *streamed)
    planned, at_once = planned_with_note(recipe, given, settings, budget, checkpoints, log)
    wanted = recipe
    recipe = planned if known is None else replace(planned, n_nets=recipe.n_nets, n_folds=recipe.n_folds)
    split = split_of(recipe, settings, given) if streamed is None else {}
    if given.folds is not None and recipe.n_folds == 1:  # no time for a net of each fold
        parts, split = first_fold_apart(parts, given.folds), {}
        given = first_fold_held_out(given)
    nets, continued = make(recipe), ContinuedFits()
    if known is not None:
        continued = go_on(nets, known, given, has_same_split(known, split), log)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        if given.folds is not None:
            fits = FitsInTime(budget, nets.n_nets, recipe, wanted, at_once.n_fits)
            trained = fit_all_folds(nets, given, recipe, fits, at_once, log, continued.fit_nets, checkpoints)
            text = continued.finish(trained.nets, log)
            trained = replace(trained, history=history_of(trained.nets), summary=text, parts=parts)
            if recipe.net_weights != GREEDY and trained.nets.n_nets == nets.n_nets:
                record_split(trained.history, split, settings.class_weight)
            return trained
        nets = fit_without_folds(nets, given, recipe, wanted, budget, checkpoints, continued)
        text = continued.finish(nets, log)
    if isinstance(nets, Population) and known is None:
        nets = without_idle_nets(nets, log)
    record_split(history_of(nets), split, settings.class_weight)
    trained = finished(nets, given.held_out, recipe, parts, log)
    trained.summary = "" if known is None else text
    if not settings.refit or trained.stopped_by:
        return trained
    return fit_to_all_rows(trained, given, budget, log)


def planned_with_note(
    recipe: Recipe,
    given: NetsToPlan,
    settings: TrainSettings,
    budget: Budget,
    checkpoints: Checkpoints,
    log: Callable[[str], Any],
) -> tuple[Recipe, FitsAtOnce]:
    """Return the recipe with as many epochs and nets as there is time for, and how many nets are trained at a time.

    log : prints a sentence on what the time limit leaves out or, without a limit, on how long the training takes
    """
    planned, note, at_once = planned_in_time(recipe, given, budget)
    if not budget.is_limited and not checkpoints.resume:
        seconds = expected_seconds(planned, given)
        note = expectation(seconds, planned, by_quality=settings.n_nets is None and settings.n_folds is None)
    if note:
        log(note)
    return planned, at_once


def first_fold_held_out(given: NetsToPlan) -> NetsToPlan:
    """Return nets without folds, which hold out the rows of the first one."""
    assert isinstance(given.rows, Rows)
    assert given.folds is not None
    rows, held_out = first_held_out(given.rows, given.folds)
    return given._replace(rows=rows, held_out=held_out, folds=None)


def fit_without_folds(
    nets: Any,
    given: NetsToPlan,
    recipe: Recipe,
    wanted: Recipe,
    budget: Budget,
    checkpoints: Checkpoints,
    continued: ContinuedFits,
) -> Any:
    """Train nets on the same rows, and return those that have begun.

    wanted : the recipe without a time limit
    """
    if isinstance(given.rows, FileRows) and isinstance(nets, Population) and checkpoints.path is None:
        fits = FitsInTime(budget, nets.n_nets, recipe, wanted)
        return fit_one_by_one(nets, given.rows, given.held_out, fits)
    continued.fit_nets(nets, given.rows, given.held_out, recipe, budget=budget, **checkpoints.fit_arguments())
    return nets


def nets_on_parts(
    make: Callable[[Recipe], Any], recipe: Recipe, parts: Parts, target: Target, settings: TrainSettings
) -> NetsToPlan:
    """Return the nets to train on parts of a table in memory, and their folds, if the recipe has some."""
    rows, held_out = weighted_parts(make(recipe).network, parts, target, settings.class_weight)
    given = NetsToPlan(make, rows, held_out, n_times=2 if settings.refit else 1)
    if recipe.n_folds == 1:
        return given
    folds = fold_rows(rows.y, target.task, recipe.n_folds, settings.seed)
    return given._replace(folds=folds, at_once=folds_at_once(recipe, make, rows))


def history_of(nets: Any) -> History | PopulationResult:
    """Return what the last fit of a net or of nets has returned."""
    found = nets.result if isinstance(nets, Population) else nets.history
    assert found is not None, "the nets are trained"
    return found


def finished(nets: Any, held_out: Rows | None, recipe: Recipe, parts: Parts, log: Callable[[str], Any]) -> Training:
    """Weigh and calibrate trained nets by the rows that are held out, and return the training."""

    def finish() -> None:
        nonlocal nets
        assert held_out is not None
        if recipe.net_weights == GREEDY and isinstance(nets, Population):
            weighed, _ = with_greedy_weights(nets, held_out)
            tell_of_diverged(nets, weighed, log)
            nets = weighed
        calibrate_on(nets, held_out, recipe)

    interrupted = held_out is not None and interrupted_while(finish)
    return Training(nets, history_of(nets), recipe, {}, interrupted, parts)


def fit_to_all_rows(first: Training, given: NetsToPlan, budget: Budget, log: Callable[[str], Any]) -> Training:
    """Train new nets on all rows, for the epochs that early stopping has found best, and return them.

    After Ctrl-C, if there is too little time, or if no best epoch is known, these are the nets of the first training.

    log : prints a sentence on the first training, and one on the rows and epochs of the second
    """
    rows, held_out = given.rows, given.held_out
    assert held_out is not None, "check_refit refuses it"
    assert isinstance(rows, Rows), "options_in_memory refuses it"
    if first.history.best_epoch is None:
        return first
    recipe = refit_recipe(first.recipe, np.atleast_1d(first.history.best_epoch))
    preprocessing = first.nets.preprocessing  # with the temperature
    try:
        outputs = {HELD_OUT: outputs_of(first.nets, preprocessing.target, held_out.X)}
        nets, both = given.make(recipe), rows.joined(held_out)
        log(summary(first.history))
        log(f"New nets are trained on all {counted(both.n_rows, 'row')}, for {counted(recipe.epochs, 'epoch')}.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)
            history = fit_nets(nets, both, None, recipe, budget=budget)
    except KeyboardInterrupt:  # before the first epoch has ended
        return replace(first, interrupted=True)
    if was_interrupted(history):
        return replace(first, interrupted=True)
    if is_cut_short(history, recipe):
        log("The time was over during the training on all rows: the nets of the first training are kept.")
        return first
    nets.preprocessing = preprocessing
    return Training(nets, history, recipe, outputs, parts=first.parts)


def interrupted_while(finish: Callable[[], None]) -> bool:
    """Do what follows a training, with Ctrl-C deferred to its end, and return whether it came: the nets are trained."""
    try:
        with interrupts.deferred():
            finish()
    except KeyboardInterrupt:
        return True
    return False


def expectation(seconds: float, recipe: Recipe, by_quality: bool = True) -> str:
    """Return a sentence on how long a training takes, if that is long enough to be told, with what takes less time.

    by_quality : whether --quality decides on the number of nets
    """
    if seconds < WORTH_TELLING:
        return ""
    text = f"The training takes about {about(seconds)}, or less if nets stop early"
    n_nets = recipe.n_nets_of_all_folds
    if seconds < LONG or n_nets == 1:
        return f"{text}."
    fewer = f"--quality fast trains one smaller net instead of {n_nets}; " if by_quality else ""
    return f"{text}. {fewer}--time-limit SECONDS shortens it."


def fit_one_by_one(nets: Population, rows: FileRows, held_out: Rows | None, fits: FitsInTime) -> Population:
    """Train nets on rows in a file, and return those that have begun, with the result of their fits."""

    def fit_one(net: MLP, k: int) -> History:
        train = lambda recipe, budget: fit_nets(net, rows, held_out, recipe, budget=budget)
        history: History = fits.fit(k, train)
        return history

    found = fit_each(nets, fit_one, "loss" if held_out is None else "validation_loss").nets
    found.preprocessing = nets.preprocessing
    return found


def without_idle_nets(nets: Population, log: Callable[[str], Any]) -> Population:
    """Return the nets with a finished epoch; the time limit may have left none for others, which is logged."""
    result = nets.result
    assert result is not None, "the nets are trained"
    begun = np.flatnonzero(result.epochs)
    if result.interrupted or len(begun) in (0, nets.n_nets):
        return nets
    log(f"The time of the fit was over: {counted(nets.n_nets - len(begun), 'net')} had not begun, and are left out.")
    return subset_of(nets, begun)


def tell_of_diverged(nets: Population, weighed: Population, log: Callable[[str], Any]) -> None:
    """Log how many nets diverged, if greedy weights have left them all out; weighed : the nets that are picked"""
    assert nets.result is not None, "the nets are trained"
    assert weighed.result is not None, "they have the result of the nets that were picked"
    diverged, picked = (result.stopped_by == "divergence" for result in (nets.result, weighed.result))
    if diverged.any() and not picked.any():
        log(f"Greedy weights leave out {counted(int(np.count_nonzero(diverged)), 'net')} that diverged.")


def fit_all_folds(
    nets: Population,
    given: NetsToPlan,
    recipe: Recipe,
    fits: FitsInTime,
    at_once: FitsAtOnce,
    log: Callable[[str], Any],
    train: Callable[..., Any],
    checkpoints: Checkpoints,
) -> Training:
    """Train nets that are each without one fold, and predict each row by nets that have not seen it.

    fits : of each net
    at_once : how many nets are trained at the same time
    log : prints a sentence on nets that diverged
    train : trains a net, as fit_nets does
    checkpoints : of which each net has a file of its own
    """

    rows, folds = given.rows, given.folds
    assert isinstance(rows, Rows)
    assert folds is not None

    def fit_one(net: Any, rows: Rows, held_out: Rows, k: int) -> Any:
        saved = checkpoints.of_net(k).fit_arguments()
        return fits.fit(k, lambda recipe, budget: train(net, rows, held_out, recipe, budget=budget, **saved))

    preprocessing = nets.preprocessing
    found, z = fit_folds(nets, rows, folds, fit_one, at_once=at_once)
    found.nets.preprocessing = preprocessing
    outputs: dict[str, np.ndarray] = {}

    def finish() -> None:
        nonlocal found, z
        if recipe.net_weights == GREEDY and found.n_begun == nets.n_nets and not found.interrupted:
            weighed, z, _ = with_greedy_weights_in_folds(found.nets, z, rows, folds)
            tell_of_diverged(found.nets, weighed, log)
            found = found._replace(nets=weighed)
        predicted = predicted_rows(z)
        if len(predicted):
            calibrate(found.nets, z[:, predicted], rows.take(predicted), recipe)
        if len(predicted) < len(rows.X):  # for want of time
            return
        outputs[OUT_OF_FOLD] = outputs_of_logits(z, nets.network, found.nets.preprocessing.target)

    interrupted = found.interrupted or interrupted_while(finish)
    assert found.nets.result is not None, "fit_folds sets it"
    return Training(found.nets, found.nets.result, recipe, outputs, interrupted)


def calibrate_on(nets: Any, held_out: Rows, recipe: Recipe) -> None:
    """Set the temperature of nets by their logits of held-out rows."""
    z = logits(nets, held_out.X)
    calibrate(nets, z if z.ndim == 3 else z[None], held_out, recipe)


def calibrate(nets: Any, z: np.ndarray, held_out: Rows, recipe: Recipe) -> None:
    """Set the temperature of the class probabilities in the preprocessing of nets.

    z : (n_nets, n_rows, n_outputs), logits of the held-out rows
    """
    target = nets.preprocessing.target
    if target.task == CLASSIFICATION and recipe.calibration == TEMPERATURE:
        temperature = fit_temperature(z, held_out.y, held_out.weights, nets.network)
        nets.preprocessing = replace(nets.preprocessing, target=replace(target, temperature=temperature))
