"""Parameters of a tabular estimator, checked, and its recipe: its preset with those that are given."""

from __future__ import annotations

from typing import Any

from ...devices import resolve
from ...errors import checked_count, checked_verbose
from ...network.spec import HIDDEN, Network, activation_code
from ...table_training.recipes import AUTO, OF_CLASSES, OF_NUMBERS, TEMPERATURE, Recipe, is_auto, recipe_of
from ...table_training.tuning_configurations import SPACE
from ..parameters import checked_hidden_sizes

# Parameters of the estimators whose values come from a preset, by the fields of Recipe.
PARAMETERS = {
    "hidden": "hidden_layer_sizes",
    "activation": "activation",
    "dropout": "dropout",
    "learning_rate": "learning_rate_init",
    "weight_decay": "weight_decay",
    "batch_size": "batch_size",
    "epochs": "max_iter",
    "patience": "n_iter_no_change",
    "validation_fraction": "validation_fraction",
    "n_nets": "n_nets",
    "n_folds": "n_folds",
    "numeric_encoding": "numeric_encoding",
}
OF_CLASSIFIERS = {"calibration": "calibration", "label_smoothing": "label_smoothing"}


def parameter_names(estimator: Any) -> dict[str, str]:
    """Return the names of the estimator's parameters whose values come from a preset, by the fields of Recipe."""
    return PARAMETERS | (OF_CLASSIFIERS if estimator._is_classifier else {})


def estimator_recipe(estimator: Any, has_held_out: bool = False) -> Recipe:
    """Return the recipe of an estimator: its preset with the parameters that are given, checked.

    has_held_out : whether held-out rows are given apart from the table

    Raises
    ------
    RuntimeError
        If the device is not available.
    ValueError
        If a parameter is invalid.
    """
    given = {field: getattr(estimator, name) for field, name in parameter_names(estimator).items()}
    if not is_auto(given["hidden"]):
        given["hidden"] = checked_hidden_sizes(given["hidden"])
    recipe = recipe_of(estimator.quality, given).checked(PARAMETERS)
    if recipe.n_folds > 1 and not is_auto(estimator.validation_fraction):
        raise ValueError(
            f"validation_fraction is given, but with {recipe.n_folds} folds each fold is held out in turn: leave it "
            "out, or set n_folds=1."
        )
    if estimator.tune is not None:
        checked_count("tune", estimator.tune, 2)
        if estimator.warm_start:
            raise ValueError(
                "tune searches settings for new nets, and warm_start=True goes on with those there are: set one of "
                "them, and the other to its default."
            )
        searched_settings(estimator)
    _check_nets(estimator, recipe)
    if not has_held_out and recipe.n_folds == 1 and not recipe.validation_fraction:
        for name, value in {"calibration": TEMPERATURE, "tune": estimator.tune}.items():
            if value is not None and getattr(estimator, name, None) == value:
                raise ValueError(
                    f"{name}={value!r} needs held-out rows: set validation_fraction above 0, or leave it out."
                )
    return recipe


def searched_settings(estimator: Any, is_multilabel: bool = False) -> list[str]:
    """Return the fields of Recipe that are searched: those whose parameters are "auto".

    Raises
    ------
    ValueError
        If there are none.
    """
    names = parameter_names(estimator)
    fixed = {"label_smoothing"} if is_multilabel else set()  # several labels cannot be smoothed
    is_searched = lambda field: field in names and is_auto(getattr(estimator, names[field]))
    found = [field for field in SPACE if field not in fixed and is_searched(field)]
    if not found:
        raise ValueError(f"tune={estimator.tune} has nothing to search, because all settings are given: leave one out.")
    return found


def _check_nets(estimator: Any, recipe: Recipe) -> None:
    """Raise the error of nets that cannot be made, or trained, before the table is looked at."""
    resolve(estimator.device)
    checked_verbose(estimator.verbose)
    if recipe.hidden and not is_auto(recipe.activation):
        activation_code(recipe.activation, HIDDEN, "activation")
    if all(is_auto(getattr(estimator, name, AUTO)) for name in ("activation", "dropout", "label_smoothing")):
        return
    loss = OF_CLASSES if estimator._is_classifier else OF_NUMBERS
    sizes, smoothing = (1, *(1 for _ in recipe.hidden), 2), recipe.label_smoothing_for(loss)
    Network.build(sizes, recipe.activation_for(loss), None, loss, recipe.dropout, 0.0, smoothing, {})


def check_executor(estimator: Any, recipe: Recipe) -> None:
    """Raise ValueError if an executor cannot train the nets of an estimator: one net, or nets one after another."""
    if recipe.n_nets_of_all_folds == 1:
        raise ValueError("executor= trains several nets: set n_nets above 1, or leave executor out.")
    reasons = {
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
