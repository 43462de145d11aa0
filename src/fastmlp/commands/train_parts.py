"""Parts of the table of `fastmlp train`: training, validation and test rows, encoded and weighted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import counted
from ..streams.table_sources import read_tables
from ..table_training.folds import fold_numbers
from ..table_training.recipes import Recipe
from ..table_training.rows_in_memory import Rows
from ..tables.base_column import Note
from ..tables.cells import examples
from ..tables.features import with_numbers
from ..tables.leaks import target_leaks_note
from ..tables.preprocessing import Preprocessing
from ..tables.target import CLASSIFICATION, Target, numbers_as_classes, rows_with_target
from .column_options import check_columns, select_columns
from .train_class_weight import check_class_weight, check_options_of_classes, weights_by_class
from .train_settings import TrainSettings

if TYPE_CHECKING:
    import pandas as pd

Parts = dict[str, tuple[np.ndarray, np.ndarray]]  # "training", "validation", "test" -> (X, encoded target)
Log = Callable[[str], Any]  # prints a sentence


def read_parts(
    file: Path, settings: TrainSettings, recipe: Recipe, test_file: Path | None, log: Log, known: Any = None
) -> tuple[Preprocessing, Parts]:
    """Read the table, and return the preprocessing fitted to the training part and all parts encoded by it.

    log : prints a sentence about each column or row that is left out
    known : nets to go on with, whose preprocessing is used, or None
    """
    if known is not None:
        return read_known_parts(file, settings, recipe, test_file, log, known.preprocessing)
    name = settings.target
    table, notes = rows_with_target(read_tables(file, is_training=True), name, settings.task)
    table = inputs_and_target(table, settings)
    table, further_notes = with_numbers(table, name)
    for note in (*notes, *further_notes):
        log(note)
    target = Target.fit(table[name], settings.task)  # before the split: raises if the target cannot be learned
    check_options_of_classes(settings, target)
    if note := numbers_as_classes(name, target.classes):
        log(note)
    is_classification = target.task == CLASSIFICATION
    if note := target_leaks_note(table, table[name].to_numpy(), is_classification, without=name):
        log(note)
    tables = split_table(table, name, target.task, recipe, settings.seed)
    encoding = recipe.numeric_encoding, recipe.n_bins, settings.budget().trial_seconds, settings.texts
    preprocessing = Preprocessing.fit(tables["training"], name, target.task, *encoding, settings.categorical)
    preprocessing = replace(preprocessing, ids=settings.ids)
    for note in preprocessing.notes:
        log(note)
    return preprocessing, encoded_parts(preprocessing, tables, test_file, log)


def inputs_and_target(table: pd.DataFrame, settings: TrainSettings) -> pd.DataFrame:
    """Return a table with its target and the input columns only; those that --categorical names hold categories."""
    check_columns(table, settings.categorical, "--categorical")
    table = select_columns(table, settings.target, settings.drop, settings.keep, settings.ids)
    for name in settings.categorical:
        if name == settings.target or name not in table.columns:
            raise ValueError(
                f"--categorical names {name!r}, which is not among the columns to learn from: leave it out of "
                "--categorical, or do not drop it."
            )
    return table.astype(dict.fromkeys(settings.categorical, "category"))


def read_known_parts(
    file: Path, settings: TrainSettings, recipe: Recipe, test_file: Path | None, log: Log, preprocessing: Preprocessing
) -> tuple[Preprocessing, Parts]:
    """Return a known preprocessing, and all parts of a table encoded by it; parameters as of read_parts."""
    name, task = preprocessing.target.name, preprocessing.target.task
    check_options_of_classes(settings, preprocessing.target)
    table, notes = rows_with_target(read_tables(file, preprocessing.text_columns), name, task)
    for note in notes:
        log(note)
    for option, names in (("--drop", settings.drop), ("--keep", settings.keep), ("--id", settings.ids)):
        check_columns(table, names, option)
    if settings.ids:
        preprocessing = replace(preprocessing, ids=tuple(settings.ids))
    tables = split_table(table, name, task, recipe, settings.seed)
    return preprocessing, encoded_parts(preprocessing, tables, test_file, log)


def split_table(table: pd.DataFrame, name: str, task: str, recipe: Recipe, seed: int) -> dict[str, pd.DataFrame]:
    """Return the rows of the training part and, without folds, of the validation part.

    name : name of the target column
    recipe : Recipe     with own_folds where each net may hold out a fold of its own
    """
    has_folds = recipe.with_own_folds(len(table)).n_folds > 1
    share = 0.0 if has_folds else recipe.validation_fraction
    held_out, training = split_rows(table[name], task, share, seed)
    tables = {"training": table.iloc[training]}
    if len(held_out):
        tables["validation"] = table.iloc[held_out]
    return tables


def encoded_parts(
    preprocessing: Preprocessing, tables: dict[str, pd.DataFrame], test_file: Path | None, log: Log
) -> Parts:
    """Return the parts encoded, with the test table; a mistake in it is found before the training."""
    if test_file is not None:
        test = read_tables(test_file, preprocessing.text_columns)
        tables["test"], notes = rows_with_target(test, preprocessing.target.name, preprocessing.target.task)
        for note in notes:
            log(f"Test table: {note}")
        tables["test"] = rows_of_known_classes(tables["test"], preprocessing.target, log)
    return {part: _encoded(preprocessing, part, rows, log) for part, rows in tables.items()}


def rows_of_known_classes(test: pd.DataFrame, target: Target, log: Log) -> pd.DataFrame:
    """Return the rows of a test table whose classes training had, and log a sentence on others.

    Without any such row, all are returned, and the encoder refuses them.
    """
    column = test[target.name]
    known = target.knows(column)
    n_unknown = int(np.count_nonzero(~known))
    if not n_unknown or n_unknown == len(test):
        return test
    log(
        f"Test table: {n_unknown:,} of {counted(len(test), 'row')} {'is' if n_unknown == 1 else 'are'} left out of the "
        f"metrics, because of classes that training had not: {examples(column, ~known)}."
    )
    return test[known]


def _encoded(preprocessing: Preprocessing, part: str, rows: pd.DataFrame, log: Log) -> tuple[np.ndarray, np.ndarray]:
    """Return one part, encoded by the preprocessing.

    Every value of a test table that is not in the training part is reported. For the validation part, only serious
    cases are, where most of a column is concerned: a few rare categories are always in no other part.
    """
    notes: list[Note] = []
    X = preprocessing.transform(rows, notes=notes)
    for note in notes:
        if part == "test" or note.is_serious:
            log(f"{part.capitalize()} part: {note.text}")
    return X, preprocessing.target.encode(rows[preprocessing.target.name])


def first_fold_apart(parts: Parts, folds: np.ndarray) -> Parts:
    """Return the parts of a table with the first fold of the training rows as the validation part.

    folds : (n_rows,) fold of each training row
    """
    X, y = parts["training"]
    is_held_out = folds == 0
    return {**parts, "training": (X[~is_held_out], y[~is_held_out]), "validation": (X[is_held_out], y[is_held_out])}


def fold_rows(y: np.ndarray, task: str, n_folds: int, seed: int) -> np.ndarray:
    """Return the fold of each row, (n_rows,): of classes, each has about the same share in each fold.

    y : encoded targets
    """
    strata = y if task == CLASSIFICATION else None
    return fold_numbers(strata, len(y), n_folds, np.random.default_rng(seed))


def split_rows(target: pd.Series, task: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split a table at random, and return the row numbers (held out, training), both ascending.

    For classification, the share applies to each class, and at least one row of each class is a training row.

    target : column of the target
    task : "classification" or "regression"
    share : fraction of the rows to hold out, from 0 to below 1
    seed : seed of the random split
    """
    import pandas as pd

    groups = pd.factorize(target)[0] if task == CLASSIFICATION else np.zeros(len(target), dtype=np.int64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]  # grouped by class, in random order within each class
    sizes = np.bincount(groups)
    place = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    is_held_out = place < np.repeat(np.minimum(np.round(share * sizes), sizes - 1), sizes)
    if share > 0 and not is_held_out.any():
        raise ValueError(
            f"A validation share of {share:g} of {counted(len(groups), 'row')} leaves none to validate on; raise it, "
            "give more rows, or switch validation off with 0."
        )
    return np.sort(order[is_held_out]), np.sort(order[~is_held_out])


def weighted_parts(network: Any, parts: Parts, target: Target, class_weight: str | None) -> tuple[Rows, Rows | None]:
    """Return (training rows, held-out rows or None), weighted by --class-weight.

    Held-out rows are weighted too, because their loss chooses the best epoch.
    """
    training, held_out = parts["training"], parts.get("validation")
    if class_weight is None:
        return Rows(*training), None if held_out is None else Rows(*held_out)
    check_class_weight(class_weight, target)
    codes = training[1] if held_out is None else np.concatenate([training[1], held_out[1]])
    weights = weights_by_class(class_weight, codes, target, network)
    n = len(training[1])
    return Rows(*training, weights[:n]), None if held_out is None else Rows(*held_out, weights[n:])
