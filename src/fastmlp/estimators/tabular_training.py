"""Training of the nets of a tabular estimator, by the recipes of table_training/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from ..callbacks import as_callbacks
from ..class_probabilities import logits
from ..mlp import MLP
from ..table_training.fit import Rows, continue_from, fit_nets, make_nets
from ..table_training.folds import fit_folds, fold_numbers
from ..table_training.recipe import AUTO, TEMPERATURE, Recipe, is_auto, recipe_of
from ..table_training.time_limit import Budget, StopInTime, affordable, seconds_per_epoch
from .interruption import trained_nets, warn_of_interrupted_folds, warn_of_interrupted_history
from .parameters import checked_hidden_sizes, warn_user

# Parameters of the estimators whose values come from a preset, by the fields of Recipe.
PARAMETERS = {
    "hidden": "hidden_layer_sizes",
    "activation": "activation",
    "dropout": "dropout",
    "learning_rate": "learning_rate_init",
    "weight_decay": "weight_decay",
    "schedule": "schedule",
    "batch_size": "batch_size",
    "epochs": "max_iter",
    "patience": "n_iter_no_change",
    "validation_fraction": "validation_fraction",
    "n_nets": "n_nets",
    "n_folds": "n_folds",
}
OF_CLASSIFIERS = {"calibration": "calibration"}
CURVES = "loss_curve_", "validation_loss_curve_"


class NetsTask(NamedTuple):
    """What a fit of a tabular estimator hands to the training of its nets.

    rows : encoded rows, without those that are held out
    held_out : encoded rows that are held out, or None
    folds : (n_rows,) fold of each row, or None if rows are held out otherwise
    seed : seed of initial parameters, order and dropout
    continues : whether training goes on with the nets of the last fit
    budget : time that is left for all
    """

    rows: Rows
    held_out: Rows | None
    folds: np.ndarray | None
    seed: int
    continues: bool
    budget: Budget

    def in_time(self, recipe: Recipe, make: Callable[[Recipe], Any]) -> Recipe:
        """Return the recipe with as many epochs and nets as there is time for; make : makes nets by a recipe.

        Fewer nets cannot go on with the parameters of more. A warning says what is left out.
        """
        if not self.budget.is_limited:
            return recipe
        n_fits, rows, held_out = 1, self.rows, self.held_out
        if self.folds is not None:  # nets are trained one after another
            n_fits, held = recipe.n_nets * recipe.n_folds, self.folds == 0
            rows, held_out = rows.take(np.flatnonzero(~held)), rows.take(np.flatnonzero(held))
        probed = replace(recipe, n_nets=1, n_folds=1) if self.folds is not None else recipe
        seconds = n_fits * seconds_per_epoch(lambda: make(probed), rows, held_out, recipe)
        changed, note = affordable(recipe, seconds, self.budget.left())
        if self.continues:
            changed = replace(changed, n_nets=recipe.n_nets)
        if note:
            warn_user(note)
        return changed


def estimator_recipe(estimator: Any) -> Recipe:
    """Return the recipe of an estimator: its preset with the parameters that are given, checked.

    Raises
    ------
    ValueError
        If a parameter is invalid.
    """
    own = OF_CLASSIFIERS if is_classifier(estimator) else {}
    given = {field: getattr(estimator, name) for field, name in (PARAMETERS | own).items()}
    if not is_auto(given["hidden"]):
        given["hidden"] = checked_hidden_sizes(given["hidden"])
    recipe = recipe_of(estimator.quality, given).checked(PARAMETERS)
    if recipe.n_folds > 1 and not is_auto(estimator.validation_fraction):
        raise ValueError(
            f"validation_fraction is given, but with {recipe.n_folds} folds each fold is held out in turn: leave it "
            "out, or set n_folds=1."
        )
    return recipe


def train_nets(estimator: Any, task: NetsTask, recipe: Recipe) -> None:
    """Train the net or nets of an estimator, and set its fitted attributes."""
    if task.held_out is None and task.folds is None and getattr(estimator, "calibration", AUTO) == TEMPERATURE:
        raise ValueError("calibration='temperature' needs held-out rows: set validation_fraction above 0, or leave it.")
    settings = {
        "dtype": estimator.dtype,
        "device": estimator.device,
        "random_state": task.seed,
        **estimator._net_settings(),
    }
    # Without folds, as for validation_data, all nets have the same rows.
    make = lambda recipe: make_nets(
        task.rows.X.shape[1], estimator.n_outputs_, recipe, settings, recipe.n_nets * recipe.n_folds
    )
    recipe = task.in_time(recipe, make)
    nets = make(recipe)
    if task.continues:
        continue_from(nets, estimator.net_, "Keep them as they were, or fit anew with warm_start=False.")
    records: tuple[str, ...] = ()
    if task.folds is not None:
        train_folds(estimator, nets, task, recipe)
        records = ("oof_prediction_",)
    elif isinstance(nets, MLP):
        train_net(estimator, nets, task, recipe)
        records = CURVES
    else:
        result = fit_nets(nets, task.rows, task.held_out, recipe, verbose=estimator.verbose)
        if result.interrupted or not result.epochs.all():
            nets = trained_nets(nets, task.continues)
        estimator.keep_net(nets, nets.result)
    if task.folds is None:
        calibrate(estimator, task.held_out, recipe)
    for name in {*CURVES, "oof_prediction_"}.difference(records):  # of an earlier fit
        estimator.__dict__.pop(name, None)
    estimator.n_iter_ = int(np.max(estimator.history_.epochs))


def train_net(estimator: Any, net: MLP, task: NetsTask, recipe: Recipe) -> None:
    """Train one net, and record its losses."""
    callbacks = *as_callbacks(estimator.callbacks), *time_limit_of(task.budget)
    history = fit_nets(net, task.rows, task.held_out, recipe, verbose=estimator.verbose, callbacks=callbacks)
    warn_of_interrupted_history(history)
    estimator.keep_net(net, history)
    loss, held_out = (vars(estimator).get(name) if task.continues else None for name in CURVES)
    estimator.loss_curve_ = [*(loss or []), *history.loss.tolist()]
    if history.validation_loss is not None:
        held_out = [*(held_out or []), *history.validation_loss.tolist()]
    estimator.validation_loss_curve_ = held_out


def time_limit_of(budget: Budget) -> tuple[StopInTime, ...]:
    """Return the callback that keeps one net within a budget, or nothing where there is no limit."""
    return (StopInTime(budget),) if budget.is_limited else ()


def train_folds(estimator: Any, nets: Any, task: NetsTask, recipe: Recipe) -> None:
    """Train nets that are each without one fold, and keep the predictions of each row by the others."""
    assert task.folds is not None

    def fit_one(net: Any, rows: Rows, held_out: Rows, k: int) -> Any:
        callbacks = time_limit_of(task.budget.part(nets.n_nets - k))
        return fit_nets(net, rows, held_out, recipe, verbose=estimator.verbose, callbacks=callbacks)

    found = fit_folds(nets, task.rows, task.folds, fit_one)
    if found.interrupted:
        warn_of_interrupted_folds(len(found.histories), nets.n_nets)
    estimator.keep_net(found.nets, found.nets.result)
    predicted = np.flatnonzero(np.isfinite(found.logits).all(axis=(0, 2)))
    estimator._calibrate(found.logits[:, predicted], task.rows.take(predicted), recipe.calibration)
    estimator.oof_prediction_ = estimator._predictions_of(found.logits)


def calibrate(estimator: Any, held_out: Rows | None, recipe: Recipe) -> None:
    """Calibrate the predictions of an estimator on held-out rows, if there are any."""
    z = None if held_out is None else logits(estimator.net_, held_out.X)
    estimator._calibrate(z if z is None or z.ndim == 3 else z[None], held_out, recipe.calibration)


def folds_of(strata: Any, n_rows: int, n_folds: int, rng: np.random.RandomState) -> np.ndarray:
    """Return the fold of each row; see fold_numbers."""
    return fold_numbers(strata, n_rows, n_folds, np.random.default_rng(int(rng.randint(2**31 - 1))))
