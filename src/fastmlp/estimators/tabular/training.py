"""Training of the nets of a tabular estimator, by the recipes of table_training/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...callbacks import VALIDATION, as_callbacks
from ...execution.dispatch import IN_TURN, FitsAtOnce
from ...history import History
from ...interface.user_warnings import warn_user
from ...kernels.system import interrupts
from ...mlp import MLP
from ...population import Population
from ...table_training.epochs_in_time import FitsInTime, NetsToPlan, planned_in_time
from ...table_training.folds import TrainedNets, fit_each, fit_folds, fold_numbers, folds_at_once
from ...table_training.folds_on_workers import fit_folds_on_workers
from ...table_training.recipe_fit import continue_from, fit_nets, is_cut_short, make_nets, refit_recipe
from ...table_training.recipes import Recipe
from ...table_training.rows_in_file import FileRows
from ...table_training.rows_in_memory import Rows, first_held_out
from ...table_training.time_budget import Budget
from ...training.interruption import was_interrupted
from ..interruption import (
    keeping_nets,
    trained_nets,
    warn_of_interrupted_end,
    warn_of_interrupted_history,
    warn_of_missing_nets,
)
from ..sklearn_callbacks import ObservedTask, epoch_tasks
from .parameter_checks import refuse_without_held_out
from .weights_and_calibration import calibrate, weigh_and_calibrate_folds, weigh_nets

CURVES = "loss_curve_", "validation_loss_curve_"
RESULTS_OF_TUNING = "tuning_results_", "best_settings_"
# Attributes that not every fit sets.
RECORDS = {*CURVES, "oof_prediction_", "temperature_", "validation_scores_", *RESULTS_OF_TUNING}


class NetsTask(NamedTuple):
    """Task of a fit: rows, folds, seed and time for the training of a tabular estimator's nets.

    rows : encoded rows, without those that are held out
    held_out : encoded rows that are held out, or None
    folds : (n_rows,) fold of each row, or None if rows are held out otherwise
    seed : seed of initial parameters, order and dropout
    continues : whether training goes on with the nets of the last fit
    budget : time that is left for all
    observed : the fit, for scikit-learn's callbacks
    executor : where to train a population, as for Population.fit, or None
    at_once : how many nets of folds are trained at the same time
    wanted : the recipe without a time limit
    """

    rows: Rows | FileRows
    held_out: Rows | None
    folds: np.ndarray | None
    seed: int
    continues: bool
    budget: Budget
    observed: ObservedTask
    executor: Any = None
    at_once: FitsAtOnce = IN_TURN
    wanted: Recipe = Recipe()


def train_nets(estimator: Any, task: NetsTask, recipe: Recipe) -> None:
    """Train the net or nets of an estimator, and set its fitted attributes."""
    if task.held_out is None and task.folds is None:
        refuse_without_held_out(estimator)
    settings = {
        "dtype": estimator.dtype,
        "device": estimator.device,
        "random_state": task.seed,
        **estimator._net_settings(),
    }
    if task.continues:
        recipe = recipe.continued(estimator.net_.network)
    # Without folds, as for validation_data, all nets have the same rows.
    make = lambda recipe: make_nets(
        task.rows.n_features, estimator.n_outputs_, recipe, settings, recipe.n_nets_of_all_folds
    )
    n_times, at_once = 2 if estimator.refit else 1, _wanted_at_once(estimator, task, recipe, make)
    given = NetsToPlan(make, task.rows, task.held_out, task.folds, n_times, at_once)
    planned, note, at_once = planned_in_time(recipe, given, task.budget)
    task = task._replace(at_once=at_once, wanted=planned if estimator.refit else recipe)  # a refit needs its own time
    if task.continues:  # all nets go on
        planned = replace(planned, n_nets=recipe.n_nets, n_folds=recipe.n_folds)
    recipe = planned
    if note:
        warn_user(note)
    if task.folds is not None and recipe.n_folds == 1:  # no time for a net of each fold
        assert isinstance(task.rows, Rows)
        rows, held_out = first_held_out(task.rows, task.folds)
        task = task._replace(rows=rows, held_out=held_out, folds=None)
    nets = make(recipe)
    if task.continues:
        continue_from(nets, estimator.net_, "Keep them as they were, or fit anew with warm_start=False.")
    n_nets = getattr(nets, "n_nets", 1)
    one_by_one = trains_one_by_one(estimator, task, recipe)
    n_fits = n_nets if one_by_one else 1
    task.observed.begin_fit(n_fits + estimator.refit)
    before = {name: vars(estimator).pop(name) for name in RECORDS if name in vars(estimator)}
    try:
        train_by_kind(estimator, nets, task, recipe, before)
    except BaseException:
        vars(estimator).update(before)
        raise
    try:
        if task.folds is None:
            with interrupts.deferred():
                weigh_nets(estimator, task.held_out, recipe)
                calibrate(estimator, task.held_out, recipe)
        if estimator.refit:
            train_again(estimator, make, task, recipe)
    except KeyboardInterrupt:
        warn_of_interrupted_end()
    estimator.n_iter_ = int(np.max(estimator.history_.epochs))
    is_cut = "time_limit" in np.atleast_1d(estimator.history_.stopped_by)
    if is_cut and (n_nets == 1 or one_by_one) and 0 < estimator.n_iter_ < recipe.epochs:
        warn_user(
            f"The time of the fit was over after {estimator.n_iter_} of {recipe.epochs} epochs: they were slower than "
            "those that were measured before. The best parameters so far are kept."
        )


def _wanted_at_once(estimator: Any, task: NetsTask, recipe: Recipe, make: Callable[[Recipe], Any]) -> FitsAtOnce:
    """Return how many nets of folds are trained at the same time where time is not limited."""
    # Callbacks and metrics of the user need not be safe to call from several threads.
    in_turn = observes_epochs(estimator) or task.observed.is_observed
    if task.folds is None or task.executor is not None or in_turn:
        return IN_TURN
    assert isinstance(task.rows, Rows)
    return folds_at_once(recipe, make, task.rows)


def train_again(estimator: Any, make: Callable[[Recipe], Any], task: NetsTask, recipe: Recipe) -> None:
    """Train new nets on all rows, for the epochs after which early stopping has found the nets to be at their best.

    A fit that is interrupted, or for which there is too little time, leaves the nets of the first training; so does a
    training that has found no best epoch.
    """
    first = estimator.history_
    if was_interrupted(first) or first.best_epoch is None:
        return
    recipe = refit_recipe(recipe, np.atleast_1d(first.best_epoch))
    assert task.held_out is not None
    assert isinstance(task.rows, Rows)
    nets, rows = make(recipe), task.rows.joined(task.held_out)
    result = fit_together(estimator, nets, task._replace(rows=rows, held_out=None), recipe)
    if was_interrupted(result):
        warn_user("Training on all rows was interrupted; the nets are those of the training without held-out rows.")
        return
    if is_cut_short(result, recipe):
        warn_user("The time was over during the training on all rows; the nets are those of the training before it.")
        return
    estimator.keep_net(nets, result)


def train_by_kind(estimator: Any, nets: Any, task: NetsTask, recipe: Recipe, before: dict[str, Any]) -> None:
    """Train one net, a population, or nets one after another; before : records of the last fit."""
    if task.folds is not None:
        train_folds(estimator, nets, task, recipe)
    elif isinstance(nets, MLP):
        train_net(estimator, nets, task, recipe, before if task.continues else {})
    elif trains_one_by_one(estimator, task, recipe):
        train_each(estimator, nets, task, recipe)
    else:
        result = fit_together(estimator, nets, task, recipe)
        if result.interrupted or not result.epochs.all():
            nets = trained_nets(nets, task.continues)
        estimator.keep_net(nets, nets.result)


def trains_one_by_one(estimator: Any, task: NetsTask, recipe: Recipe) -> bool:
    """Return whether nets are trained one after another: in folds, observed after each epoch, or on rows on disk."""
    if task.executor is not None:
        return False
    return task.folds is not None or observes_epochs(estimator) or isinstance(task.rows, FileRows)


def observes_epochs(estimator: Any) -> bool:
    """Whether each net is looked at after each epoch: by a metric or by callbacks, which a population does not have."""
    return estimator.eval_metric is not None or bool(as_callbacks(estimator.callbacks))


def fit_together(estimator: Any, nets: Any, task: NetsTask, recipe: Recipe) -> Any:
    """Train a population, or one net, as one training, and return the PopulationResult or History."""
    is_one = isinstance(nets, MLP)
    training = task.observed.begin_subtask("training", recipe.epochs if is_one else 0)
    further: dict[str, Any] = {} if task.executor is None else {"executor": task.executor}
    if is_one:
        further = {"callbacks": epoch_tasks(training, recipe.epochs)}
    result = fit_nets(nets, task.rows, task.held_out, recipe, budget=task.budget, verbose=estimator.verbose, **further)
    training.end()
    return result


def train_net(estimator: Any, net: MLP, task: NetsTask, recipe: Recipe, before: dict[str, Any]) -> None:
    """Train one net, and record its losses.

    before : records of the fits that this one continues
    """
    history = fit_one(estimator, net, task, recipe)
    warn_of_interrupted_history(history)
    estimator.keep_net(net, history)
    curves = {"loss_curve_": history.loss, "validation_loss_curve_": history.validation_loss}
    for name, values in curves.items():
        known = before.get(name)
        setattr(estimator, name, known if values is None else [*(known or []), *values.tolist()])
    if estimator.eval_metric is not None:
        estimator.validation_scores_ = [*before.get("validation_scores_", []), *scores_of(history)]


def fit_one(estimator: Any, net: MLP, task: NetsTask, recipe: Recipe) -> History:
    """Train one net; eval_metric, if there is one, is measured after each epoch, and chooses the best if it can."""
    metric = estimator.eval_metric
    training = task.observed.begin_subtask("training", recipe.epochs)
    callbacks = [*as_callbacks(estimator.callbacks), *epoch_tasks(training, recipe.epochs)]
    further: dict[str, Any] = {"verbose": estimator.verbose, "callbacks": callbacks}
    if metric is not None:
        further["metrics"] = [metric]
    history: History = fit_nets(net, task.rows, task.held_out, recipe, monitored(metric), task.budget, **further)
    training.end()
    return history


def monitored(metric: Any) -> str:
    """Return the record that early stopping looks at: a metric with a name, of which it is known what is better."""
    return f"{VALIDATION}{metric}" if isinstance(metric, str) else "validation_loss"


def scores_of(history: History) -> list[float]:
    """Return the record of eval_metric on the held-out rows."""
    (values,) = history.validation_metrics.values()
    return values.tolist()


def train_each(estimator: Any, nets: Population, task: NetsTask, recipe: Recipe) -> None:
    """Train several nets one after another on the same rows."""
    fits = FitsInTime(task.budget, nets.n_nets, recipe, task.wanted)

    def fit(net: MLP, k: int) -> History:
        train = lambda recipe, budget: fit_one(estimator, net, task._replace(budget=budget), recipe)
        history: History = fits.fit(k, train)
        return history

    monitor = "loss" if task.held_out is None else monitored(estimator.eval_metric)
    keep_trained(estimator, nets, fit_each(nets, fit, monitor))


def keep_trained(estimator: Any, nets: Population, found: TrainedNets) -> None:
    """Store nets that were trained one after another; nets : those that there were to train."""
    result = found.nets.result
    assert result is not None, "fit_each sets it"
    ended_early = found.n_begun < nets.n_nets or not result.epochs.all()
    if found.interrupted or ended_early:  # also for want of time, if only for a whole epoch
        warn_of_missing_nets(result, found.n_begun, nets.n_nets)
    estimator.keep_net(found.nets, result)
    if estimator.eval_metric is not None:
        estimator.validation_scores_ = [scores_of(history) for history in found.histories]


def train_folds(estimator: Any, nets: Any, task: NetsTask, recipe: Recipe) -> None:
    """Train nets that are each without one fold, and keep the predictions of each row by the others."""
    assert task.folds is not None
    assert isinstance(task.rows, Rows)
    fits = FitsInTime(task.budget, nets.n_nets, recipe, task.wanted, task.at_once.n_fits)

    def fit(nets: Any, rows: Rows, held_out: Rows, k: int) -> Any:
        part = task._replace(rows=rows, held_out=held_out)
        return fits.fit(k, lambda recipe, budget: fit_one(estimator, nets, part._replace(budget=budget), recipe))

    if task.executor is not None:
        training = task.observed.begin_subtask("training", 0)
        found, z = fit_folds_on_workers(task.executor, nets, task.rows, task.folds, recipe, estimator.verbose)
        training.end()
    else:
        found, z = fit_folds(nets, task.rows, task.folds, fit, monitored(estimator.eval_metric), task.at_once)
    keep_trained(estimator, nets, found)
    with keeping_nets():
        weigh_and_calibrate_folds(estimator, nets.n_nets, found, z, task.rows, task.folds, recipe)


def folds_of(strata: Any, n_rows: int, n_folds: int, rng: np.random.RandomState) -> np.ndarray:
    """Return the fold of each row; see fold_numbers."""
    return fold_numbers(strata, n_rows, n_folds, np.random.default_rng(int(rng.randint(2**31 - 1))))
