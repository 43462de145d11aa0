"""Parameters of a tabular estimator, checked, and its recipe: its preset with those that are given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.base import is_classifier

from ...callbacks import METRIC_SIGNS, as_callbacks
from ...console.progress_bar import checked_verbose
from ...devices import resolve
from ...errors import checked_count, unknown_name
from ...network.spec import HIDDEN, activation_code
from ...schedules import schedule_factors
from ...table_training.recipe_fit import make_nets, make_optimizer
from ...table_training.recipes import GREEDY, TEMPERATURE, Recipe, is_auto, recipe_of
from ..parameters import checked_hidden_sizes

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
    "numeric_encoding": "numeric_encoding",
    "n_bins": "n_bins",
    "net_weights": "net_weights",
}
OF_CLASSIFIERS = {"calibration": "calibration", "label_smoothing": "label_smoothing"}


def parameter_names(estimator: Any) -> dict[str, str]:
    """Return the names of the estimator's parameters whose values come from a preset, by the fields of Recipe."""
    return PARAMETERS | (OF_CLASSIFIERS if is_classifier(estimator) else {})


def estimator_recipe(estimator: Any) -> Recipe:
    """Return the recipe of an estimator: its preset with the parameters that are given, checked.

    Raises
    ------
    ValueError
        If a parameter is invalid.
    """
    given = {field: getattr(estimator, name) for field, name in parameter_names(estimator).items()}
    if not is_auto(given["hidden"]):
        given["hidden"] = checked_hidden_sizes(given["hidden"])
    recipe = recipe_of(estimator.quality, given).checked(PARAMETERS)
    metric = estimator.eval_metric
    if metric is not None and not callable(metric) and not (isinstance(metric, str) and metric in METRIC_SIGNS):
        raise unknown_name("eval_metric", metric, METRIC_SIGNS)
    if recipe.n_folds > 1 and not is_auto(estimator.validation_fraction):
        raise ValueError(
            f"validation_fraction is given, but with {recipe.n_folds} folds each fold is held out in turn: leave it "
            "out, or set n_folds=1."
        )
    if recipe.net_weights == GREEDY and estimator.refit:
        raise ValueError(
            "net_weights='greedy' weighs nets by rows that they have not seen, and refit=True trains others on all "
            "rows: drop one of them."
        )
    if estimator.tune is not None:
        checked_count("tune", estimator.tune, 2)
        if estimator.warm_start:
            raise ValueError(
                "tune searches settings for new nets, and warm_start=True goes on with those there are: set one of "
                "them, and the other to its default."
            )
    return recipe


def check_nets(estimator: Any, recipe: Recipe) -> None:
    """Raise the error of nets that cannot be made, or trained, before the table is looked at.

    Raises
    ------
    RuntimeError
        If the device is not available.
    ValueError
        If a setting is invalid.
    """
    resolve(estimator.device)
    checked_verbose(estimator.verbose)
    if recipe.hidden and not is_auto(recipe.activation):
        activation_code(recipe.activation, HIDDEN, "activation")
    make_optimizer(recipe)
    schedule_factors(recipe.schedule)
    settings = {"dtype": estimator.dtype, "device": "cpu", "random_state": 0, **estimator._net_settings()}
    small = replace(recipe, hidden=(1,) * len(recipe.hidden))  # units cost time
    make_nets(1, 2, small, settings | {"device": estimator.device}, 1)


def check_executor(estimator: Any, recipe: Recipe) -> None:
    """Raise ValueError if an executor cannot train the nets of an estimator: one net, or nets one after another."""
    if recipe.n_nets_of_all_folds == 1:
        raise ValueError("executor= trains several nets: set n_nets above 1, or leave executor out.")
    reasons = {
        "eval_metric": (estimator.eval_metric is not None, "it is computed after each epoch", "Leave it out"),
        "callbacks": (bool(as_callbacks(estimator.callbacks)), "they are called after each epoch", "Leave them out"),
        "time_limit": (estimator.time_limit is not None, "epochs are timed on this machine", "Set max_iter instead"),
        "tune": (
            estimator.tune is not None,
            "the search trains on this machine",
            "Fit another estimator with the parameters best_settings_ of the search",
        ),
    }
    for name, (is_given, reason, remedy) in reasons.items():
        if is_given:
            raise ValueError(f"executor= cannot be combined with {name}: {reason}. {remedy}, or leave executor out.")


def refuse_without_held_out(estimator: Any) -> None:
    """Raise ValueError if a parameter needs held-out rows, of which there are none."""
    needs = {
        "calibration": TEMPERATURE,
        "net_weights": GREEDY,
        "eval_metric": estimator.eval_metric,
        "refit": True,
        "tune": estimator.tune,
    }
    for name, value in needs.items():
        if value is not None and getattr(estimator, name, None) == value:
            raise ValueError(f"{name}={value!r} needs held-out rows: set validation_fraction above 0, or leave it out.")
