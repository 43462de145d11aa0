"""Checks of the parameters of tabular estimators, and warnings: of suspect data, and of fits that ended early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from ...devices import resolve
from ...errors import checked_number, checked_verbose, counted, unknown_name
from ...fit.interrupt_warnings import warn_of_interrupted_net
from ...history import History
from ...interface.user_warnings import warn_user
from ...network.spec import HIDDEN, Network, activation_code
from ...population_result import PopulationResult
from ...table_training.recipes import AUTO, OF_CLASSES, OF_NUMBERS, Recipe, is_auto, recipe_of
from ...table_training.tuning import Tuning
from ...tables.leaks import target_leaks_note
from ...tables.target import distinct_labels, numbers_as_classes
from ..parameters import checked_hidden_sizes

# Parameters of the estimators whose values come from a preset, by the fields of Recipe: some have scikit-learn's names.
SKLEARN_NAMES = {
    "hidden": "hidden_layer_sizes",
    "learning_rate": "learning_rate_init",
    "epochs": "max_iter",
    "patience": "n_iter_no_change",
}
PARAMETERS = {row.name: row.name for row in fields(Recipe) if row.name != "own_folds"} | SKLEARN_NAMES


def estimator_recipe(estimator: Any, has_held_out: bool) -> tuple[Recipe, Tuning | None]:
    """Return the recipe of an estimator, its preset with the parameters that are given, and its search; both checked.

    has_held_out : whether held-out rows are given apart from the table

    Raises
    ------
    RuntimeError
        If the device is not available.
    ValueError
        If a parameter is invalid.
    """
    given = {field: getattr(estimator, name, AUTO) for field, name in PARAMETERS.items()}
    given = {field: value for field, value in given.items() if not is_auto(value)}
    if "hidden" in given:
        given["hidden"] = checked_hidden_sizes(given["hidden"])
    recipe = recipe_of(estimator.quality, given, PARAMETERS)
    tuning = None
    if estimator.tune is not None:
        tuning = Tuning.of(estimator.tune, "tune", recipe, given, PARAMETERS, has_held_out)
    if estimator.time_limit is not None:
        checked_number("time_limit", estimator.time_limit, 0.0, open_low=True)
    resolve(estimator.device)
    checked_verbose(estimator.verbose)
    if recipe.hidden and "activation" in given:
        if not isinstance(recipe.activation, str):  # files of estimators have no code
            raise unknown_name("activation", recipe.activation, HIDDEN)
        activation_code(recipe.activation, HIDDEN, "activation")
    if not {"activation", "dropout", "label_smoothing"}.isdisjoint(given):  # as an error before the table is looked at
        loss = OF_CLASSES if estimator._is_classifier else OF_NUMBERS
        settings = {"hidden_activation": recipe.activation_for(loss), "loss": loss, "dropout": recipe.dropout}
        settings["label_smoothing"] = recipe.label_smoothing_for(loss)
        Network.build((1, *[1] * len(recipe.hidden), 2), settings)
    return recipe, tuning


MOST_OUTPUTS = 10  # of more, the first ones are compared with the columns: each looks at all of them


def warn_of_target_copies(table: Any, y: np.ndarray, given: Any, is_classification: bool) -> None:
    """Warn if columns of a data frame hold the target, or predict it alone.

    y : (n_rows,) or (n_rows, n_outputs), checked
    given : y as the user has passed it, for the names of several outputs
    """
    outputs = y.reshape(len(y), -1).T[:MOST_OUTPUTS]
    names = list(getattr(given, "columns", [getattr(given, "name", None)] * len(outputs)))
    for k, output in enumerate(outputs):
        called = "the target" if len(outputs) == 1 else f"target {k if names[k] is None else repr(names[k])}"
        if note := target_leaks_note(table, output, is_classification, called=called):
            warn_user(note)


def warn_of_targets(y: np.ndarray, is_classification: bool, given: Any) -> None:
    """Warn of classes that look like numbers, and of targets of a regression that are all the same.

    y : (n_rows,) or (n_rows, n_outputs), checked
    given : y as the user has passed it, whose name is used
    """
    if is_classification:
        name = str(getattr(given, "name", None) or "y")
        if y.ndim == 1 and (note := numbers_as_classes(name, distinct_labels(y)[0])):
            warn_user(note)
        return
    outputs = y.reshape(len(y), -1)
    for k in np.flatnonzero((outputs == outputs[:1]).all(axis=0))[:1]:
        called = "y" if y.ndim == 1 else f"Output {k} of y"
        warn_user(f"{called} is {outputs[0, k]:g} in every row: there is nothing to learn.")


def warn_of_other_order(X: Any, others: Mapping[str, Any]) -> None:
    """Warn if targets or weights have the row labels of X in another order, since labels do not matter.

    Labels that X does not have are often those of rows that go together by their position, such as prices of the next
    day.

    Nothing is said of inputs with the labels 0, 1, 2, ..., which were often made anew from an array, such as that of a
    scaler, in the order of the targets.

    others : targets and weights by their names, for messages; all but those of pandas have no labels
    """
    import pandas as pd

    labels = getattr(X, "index", None)
    if not isinstance(labels, pd.Index):
        return
    if isinstance(labels, pd.RangeIndex) and (labels.start, labels.step) == (0, 1):
        return
    for name, values in others.items():
        own = getattr(values, "index", None)
        if not isinstance(own, pd.Index) or len(own) != len(labels) or own is labels or labels.equals(own):
            continue
        if labels.is_unique and own.is_unique and own.isin(labels).all():
            warn_user(
                f"The rows of {name} should be in the order of those of X, but have their labels in another order, and "
                "labels are not looked at. If rows go together by their labels, align them by .loc[X.index]; if they "
                "are in the same order, drop the labels by .to_numpy()."
            )


# ---- fits that ended early: by Ctrl-C, a time limit or divergence

INTERRUPTED, OUT_OF_TIME = "Training was interrupted", "The time of the fit was over"
DIVERGED = "Training diverged in the first epoch"
REMEDIES = {INTERRUPTED: "", OUT_OF_TIME: ", with a larger time_limit", DIVERGED: ", with a lower learning rate"}


def warn_of_interrupted_history(history: History) -> None:
    """Warn if Ctrl-C ended the fit of one net, or if a time limit ended it in the first epoch."""
    if history.stopped_by == "time_limit" and not history.epochs:
        warn_user(f"{OUT_OF_TIME} in the first epoch, and the net has learned little: set a larger time_limit.")
    if history.stopped_by == "interrupt":
        best = ""
        if history.validation_loss is not None and history.best_epoch is not None:
            best = f"validation loss, {history.validation_loss[history.best_epoch]:.4g}"
        warn_of_interrupted_net(history.epochs, best)


def warn_of_missing_nets(result: PopulationResult, n_begun: int, n_nets: int) -> None:
    """Warn that Ctrl-C, its time limit or divergence ended the fit of several nets.

    result : PopulationResult of the nets that had begun
    n_begun, n_nets : number of nets that had begun, and of those that there were to train
    """
    reason = INTERRUPTED if result.interrupted else OUT_OF_TIME
    if reason == OUT_OF_TIME and "divergence" in result.stopped_by and "time_limit" not in result.stopped_by:
        reason = DIVERGED
    outcome = f"No net is trained: fit again{REMEDIES[reason]}."
    if n_begun:
        outcome = f"Predictions are the mean of the {counted(n_begun, 'net')} that had begun."
    if reason == DIVERGED:
        warn_user(f"{DIVERGED} of {n_nets - n_begun} of {counted(n_nets, 'net')}. {outcome}")
        return
    warn_user(
        f"{reason}: {result.n_finished} of {counted(n_nets, 'net')} had come to their end, and {n_nets - n_begun} had "
        f"not begun. {outcome}"
    )
