"""The search of `fastmlp train --tune`: settings of the nets are compared on held-out rows before the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ..runtime.output_files import file_beside, left_alone
from ..table_training.recipe_fit import make_nets
from ..table_training.recipes import Recipe
from ..table_training.rows_in_memory import first_held_out
from ..table_training.time_budget import Budget
from ..table_training.tuning import Encoded, Found, TuningTask, tuned
from ..table_training.tuning_configurations import SPACE
from ..table_training.tuning_scores import scores_of
from ..tables.preprocessing import Preprocessing
from ..tables.target import CLASSIFICATION, Target
from .train_nets import calibrate_on, net_arguments
from .train_parts import Log, Parts, fold_rows, weighted_parts
from .train_settings import TrainSettings


class Inputs(NamedTuple):
    """A recipe, and the table in the encoding that it asks for."""

    recipe: Recipe
    preprocessing: Preprocessing
    parts: Parts


class Encodings:
    """The parts of a table in the encodings that a search asks for.

    first : of the preset
    settings : of the command
    read : returns (preprocessing, parts) of the table for a recipe
    """

    def __init__(self, first: Inputs, settings: TrainSettings, read: Callable[[Recipe], tuple[Preprocessing, Parts]]):
        self._settings, self._read, self._recipe = settings, read, first.recipe
        self._numbers = {_key(first.recipe): 0}
        self._found = [first]

    def inputs(self, recipe: Recipe) -> Inputs:
        """Return a recipe with the table in its encoding."""
        return self._found[self._number(recipe)]._replace(recipe=recipe)

    def rows(self, recipe: Recipe) -> Encoded:
        """Return rows to train on and rows that are held out: of folds, the first one."""
        number, settings = self._number(recipe), self._settings
        _, preprocessing, parts = self._found[number]
        arguments = net_arguments(preprocessing, settings, settings.seed)
        n_features, n_outputs = len(preprocessing.feature_names), preprocessing.target.n_outputs
        network = make_nets(n_features, n_outputs, recipe, arguments, 1).network
        rows, held_out = weighted_parts(network, parts, preprocessing.target, settings.class_weight)
        if self._recipe.n_folds > 1:
            folds = fold_rows(rows.y, preprocessing.target.task, self._recipe.n_folds, settings.seed)
            rows, held_out = first_held_out(rows, folds)
        assert held_out is not None
        return Encoded(number, rows, held_out)

    def _number(self, recipe: Recipe) -> int:
        key = _key(recipe)
        if key not in self._numbers:
            of_table = replace(self._recipe, numeric_encoding=recipe.numeric_encoding, n_bins=recipe.n_bins)
            found = Inputs(recipe, *self._read(of_table))  # with the folds that a trial of one net does not have
            equal = [k for k, known in enumerate(self._found) if known[1].columns == found[1].columns]
            if not equal:
                self._found.append(found)
            self._numbers[key] = equal[0] if equal else len(self._found) - 1
        return self._numbers[key]


def _key(recipe: Recipe) -> tuple[str, int]:
    return recipe.numeric_encoding, recipe.n_bins


def tuned_inputs(
    first: Inputs,
    settings: TrainSettings,
    read: Callable[[Recipe], tuple[Preprocessing, Parts]],
    output: Path,
    budget: Budget,
    log: Log,
) -> Inputs:
    """Search the settings that are not given, and return the best recipe with the table in its encoding.

    first : the preset, with the table in its encoding
    read : returns (preprocessing, parts) of the table for another recipe
    output : file of the saved nets

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, with a sentence as its message; the best net so far is in a file beside `output`.
    """
    target, encodings = first.preprocessing.target, Encodings(first, settings, read)

    def make(n_features: int, recipe: Recipe, n_nets: int, seed: int) -> Any:
        arguments = net_arguments(encodings.inputs(recipe).preprocessing, settings, seed)
        return make_nets(n_features, target.n_outputs, recipe, arguments, n_nets)

    assert settings.tune is not None
    task = TuningTask(
        recipe=first.recipe,
        searched=searched_settings(settings, target),
        n=settings.tune,
        seed=settings.seed,
        encoded=encodings.rows,
        make_nets=make,
        score=scores_of,
        budget=budget,
        verbose=1,
        title=f"--tune {settings.tune}",
    )
    names = {name: f"--{name.replace('_', '-')}" for name in vars(settings)} | {
        "numeric_encoding": "--numeric-encoding"
    }
    found = tuned(task, names)
    chosen = encodings.inputs(found.recipe)
    preprocessing = replace(chosen.preprocessing, notes=(*chosen.preprocessing.notes, found.note))
    for note in preprocessing.notes:
        if note not in first.preprocessing.notes:
            log(note)
    chosen = chosen._replace(preprocessing=preprocessing)
    if found.interrupted:
        leave_best_so_far(found, chosen, encodings.rows(found.recipe), output)
    return chosen


def searched_settings(settings: TrainSettings, target: Target) -> list[str]:
    """Return the fields of Recipe that are searched: those that no option gives."""
    fixed = {name for name, value in vars(settings).items() if value is not None}
    if settings.scaling != "auto":
        fixed |= {"numeric_encoding", "n_bins"}
    if target.task != CLASSIFICATION:
        fixed.add("label_smoothing")
    return [name for name in SPACE if name not in fixed]


def leave_best_so_far(found: Found, chosen: Inputs, rows: Encoded, output: Path) -> NoReturn:
    """Save the best net of an interrupted search beside the output, and raise KeyboardInterrupt that says so."""
    net = found.net
    net.preprocessing = chosen.preprocessing
    calibrate_on(net, rows.held_out, found.recipe)
    beside = file_beside(output, "interrupted")
    net.save(beside)
    raise KeyboardInterrupt(
        f"Interrupted while settings were compared; the best net so far is in {str(beside)!r}, "
        f"and {left_alone(output)}."
    )
