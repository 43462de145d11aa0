"""Search of the settings of a tabular estimator before its nets are trained, by table_training/tuning.py."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...interface.user_warnings import warn_user
from ...mlp import MLP
from ...table_training.recipe_fit import make_nets
from ...table_training.recipes import Recipe, is_auto
from ...table_training.rows_in_memory import Rows, first_held_out
from ...table_training.tuning import Encoded, Found, TuningTask, tuned
from ...table_training.tuning_configurations import SPACE
from ...table_training.tuning_scores import scores_of
from ..interruption import keeping_nets
from .columns import numeric_encoding_of
from .parameter_checks import parameter_names, refuse_without_held_out
from .training import RECORDS, NetsTask, train_nets
from .weights_and_calibration import calibrate

SMOOTHING = "label_smoothing"


class TrainingSample(NamedTuple):
    """What the columns of a table are learned from.

    table : data frame of the training rows
    notes : on columns that were read as numbers
    targets : (n_rows, n_outputs), on which bins depend
    """

    table: Any
    notes: tuple[str, ...]
    targets: np.ndarray


class Encodings:
    """The rows of a fit in the encodings that a search asks for; the estimator has learned the first one.

    estimator : BaseTabular
    sample : what columns are learned from
    encode : returns (rows to train on, held-out rows), encoded by the columns that the estimator has learned
    """

    def __init__(self, estimator: Any, sample: TrainingSample, encode: Callable[[], tuple[Rows, Rows | None]]):
        self._estimator, self._sample, self._encode = estimator, sample, encode
        self._learned: dict[tuple[str, int], tuple[Any, Any]] = {}  # columns_ and notes_
        self._rows: list[tuple[Any, tuple[Rows, Rows | None]]] = []  # columns, and rows in their encoding

    def begin(self, recipe: Recipe, rows: Rows, held_out: Rows | None) -> None:
        """Take what the estimator has learned, by the encoding of a recipe."""
        self._learned[_key(recipe)] = self._estimator.columns_, self._estimator.notes_
        self._rows.append((self._estimator.columns_, (rows, held_out)))

    def learn(self, recipe: Recipe) -> None:
        """Give the estimator the columns and notes of a recipe's encoding."""
        key, estimator = _key(recipe), self._estimator
        if key not in self._learned:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # problems of the columns, which the first encoding has warned of
                encoding = numeric_encoding_of(recipe, self._sample.targets, estimator._budget().trial_seconds)
                estimator._learn_columns(self._sample.table, self._sample.notes, encoding)
            self._learned[key] = estimator.columns_, estimator.notes_
        estimator.columns_, estimator.notes_ = self._learned[key]

    def rows(self, recipe: Recipe) -> tuple[int, tuple[Rows, Rows | None]]:
        """Return (number of the encoding, (rows to train on, held-out rows)); equal columns have one number."""
        self.learn(recipe)
        columns = self._estimator.columns_
        for number, (known, found) in enumerate(self._rows):
            if known == columns:
                return number, found
        self._rows.append((columns, self._encode()))
        return len(self._rows) - 1, self._rows[-1][1]


def _key(recipe: Recipe) -> tuple[str, int]:
    return recipe.numeric_encoding, recipe.n_bins


def tune_and_train(estimator: Any, task: NetsTask, recipe: Recipe, encodings: Encodings) -> None:
    """Search the settings of an estimator, train its nets with the best ones, and set its fitted attributes.

    Ctrl-C during the search ends the fit; the best net so far is kept.
    """
    if task.held_out is None and task.folds is None:
        refuse_without_held_out(estimator)
    assert isinstance(task.rows, Rows)
    encodings.begin(recipe, task.rows, task.held_out)
    names = parameter_names(estimator)
    found = tuned(search_of(estimator, task, recipe, encodings), names)
    rows, held_out = encodings.rows(found.recipe)[1]
    estimator.notes_ = (*estimator.notes_, found.note)
    if found.interrupted:
        warn_user(found.note)
        keep_best_so_far(estimator, found, part_held_out(rows, held_out, task.folds).held_out)
    else:
        if not found.trials:
            warn_user(found.note)
        train_nets(estimator, task._replace(rows=rows, held_out=held_out), found.recipe)
    as_parameters = lambda settings: {names[field]: value for field, value in settings.items()}
    estimator.tuning_results_ = [
        {"settings": as_parameters(trial.settings), "score": trial.score, "epochs": trial.epochs}
        for trial in found.trials
    ]
    estimator.best_settings_ = as_parameters(
        {field: getattr(found.recipe, field) for field in searched_settings(estimator)}
    )


def searched_settings(estimator: Any) -> list[str]:
    """Return the fields of Recipe that are searched: those whose parameters are "auto".

    Raises
    ------
    ValueError
        If there are none.
    """
    names = parameter_names(estimator)
    fixed = {SMOOTHING} if getattr(estimator, "_is_multilabel", False) else set()  # several labels cannot be smoothed
    is_searched = lambda field: field in names and is_auto(getattr(estimator, names[field]))
    found = [field for field in SPACE if field not in fixed and is_searched(field)]
    if not found:
        raise ValueError(f"tune={estimator.tune} has nothing to search, because all settings are given: leave one out.")
    return found


def search_of(estimator: Any, task: NetsTask, recipe: Recipe, encodings: Encodings) -> TuningTask:
    """Return the search of an estimator's settings."""

    def encoded(recipe: Recipe) -> Encoded:
        number, rows = encodings.rows(recipe)
        return part_held_out(*rows, task.folds)._replace(number=number)

    def make(n_features: int, recipe: Recipe, n_nets: int, seed: int) -> Any:
        encodings.learn(recipe)
        settings = {"dtype": estimator.dtype, "device": estimator.device, "random_state": seed}
        return make_nets(n_features, estimator.n_outputs_, recipe, settings | estimator._net_settings(), n_nets)

    return TuningTask(
        recipe=recipe,
        searched=searched_settings(estimator),
        n=estimator.tune,
        seed=task.seed,
        encoded=encoded,
        make_nets=make,
        score=lambda nets, held_out, recipe: scores_of(nets, held_out, recipe, estimator.eval_metric),
        budget=task.budget,
        verbose=estimator.verbose,
        title=f"tune={estimator.tune}",
    )


def part_held_out(rows: Rows, held_out: Rows | None, folds: np.ndarray | None) -> Encoded:
    """Return rows with a part that is held out: of folds, the first one."""
    if folds is not None:
        rows, held_out = first_held_out(rows, folds)
    assert held_out is not None
    return Encoded(0, rows, held_out)


def keep_best_so_far(estimator: Any, found: Found, held_out: Rows) -> None:
    """Set the fitted attributes of an estimator after Ctrl-C in its search."""
    for name in RECORDS:
        vars(estimator).pop(name, None)
    history: Any = found.net.history if isinstance(found.net, MLP) else found.net.result
    estimator.keep_net(found.net, history)
    with keeping_nets():
        calibrate(estimator, held_out, found.recipe)
    estimator.n_iter_ = int(np.max(history.epochs))
