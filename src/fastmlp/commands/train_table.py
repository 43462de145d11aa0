"""The table of `fastmlp train`, read whole or, if it is larger than the memory limit, piece by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import about_arguments, counted
from ..runtime.memory_limits import checked_memory_limit
from ..streams.table_sources import read_table, surely_fits
from ..table_training.encoded_rows import EncodedRows, Targets
from ..table_training.model import TableModel
from ..table_training.recipes import OF_CLASSES, OF_NUMBERS
from ..table_training.streamed_fit import StreamedFit
from ..tables.base_column import Note
from ..tables.cells import contents, examples, read_numbers
from ..tables.features import Preprocessing, encode_columns
from ..tables.leaks import target_leaks_note
from ..tables.table_files import with_text_names
from ..tables.target import (
    CLASSIFICATION,
    MAX_CLASSES,
    Target,
    check_columns,
    class_numbers,
    find_target,
    infer_task,
    labels_of,
    no_target,
    rows_with_target,
)
from .train_options import TrainOptions

if TYPE_CHECKING:
    import pandas as pd

Part = tuple[np.ndarray, np.ndarray]  # of a table, encoded: (features, targets as Target.encode returns them)
Log = Callable[[str], Any]  # prints a sentence


class Prepared(NamedTuple):
    """Rows to train on, and what else is known of them.

    sample : rows that the training part is known by, encoded
    by_class : (n_classes,) weights of classes, or None
    """

    data: EncodedRows
    target: Target
    sample: Part
    by_class: np.ndarray | None = None


def read_training_table(options: TrainOptions, log: Log) -> tuple[pd.DataFrame, Target, Targets]:
    """Return the inputs of the whole table, the encoder of its target column, and the targets.

    log : prints a sentence on rows that are left out, and on what looks like a mistake
    """
    name = options.target
    table, notes = rows_with_target(read_table(options.file, is_training=True), name, options.task)
    table = inputs_and_target(table, options)
    for note in notes:
        log(note)
    target = Target.fit(table[name], options.task)
    is_classification = target.task == CLASSIFICATION
    if note := target_leaks_note(table, table[name].to_numpy(), is_classification, without=name):
        log(note)
    if is_classification:
        targets = Targets(target.encode(table[name]), OF_CLASSES, target.n_outputs)
    else:
        targets = Targets(read_numbers(table[name], reads_booleans=True).values, OF_NUMBERS, 1)
    return table.drop(columns=name), target, targets


def inputs_and_target(table: pd.DataFrame, options: TrainOptions) -> pd.DataFrame:
    """Return a table with its target and the input columns only; those that --categorical names hold categories."""
    target = options.target
    for option, names in (("--categorical", options.categorical), ("--drop", options.drop), ("--id", options.ids)):
        check_columns(table, names, option)
        if target in names and option != "--categorical":
            raise ValueError(f"{target!r} is the target column, which cannot be an input: leave it out of {option}.")
    table = table[[name for name in table.columns if name not in {*options.drop, *options.ids}]]
    if table.shape[1] < 2:
        raise ValueError(f"No column is left to predict {target!r} from: drop fewer.")
    for name in options.categorical:
        if name == target or name not in table.columns:
            raise ValueError(
                f"--categorical names {name!r}, which is not among the columns to learn from: leave it out of "
                "--categorical, or do not drop it."
            )
    return table.astype(dict.fromkeys(options.categorical, "category"))


def encoded_part(target: Target, X: np.ndarray, y: np.ndarray) -> Part:
    """Return rows of a net as a part; y : targets as TableModel takes them"""
    return X, y if target.task == CLASSIFICATION else y.reshape(-1, 1)


def read_test_part(preprocessing: Preprocessing, file: Path, log: Log) -> Part:
    """Return the table of --test, encoded, without rows of unknown classes; log : prints what is special in it"""
    target = preprocessing.target
    table, notes = rows_with_target(read_table(file, preprocessing.text_columns), target.name, target.task)
    for sentence in notes:
        log(f"Test table: {sentence}")
    is_known = target.knows(table[target.name])
    if (n_unknown := int(np.count_nonzero(~is_known))) and n_unknown < len(table):  # otherwise the encoder refuses them
        log(
            f"Test table: {n_unknown:,} of {counted(len(table), 'row')} {'is' if n_unknown == 1 else 'are'} left out "
            f"of the metrics, because of classes that training had not: {examples(table[target.name], ~is_known)}."
        )
        table = table[is_known]
    column_notes: list[Note] = []
    X = preprocessing.transform(table, notes=column_notes)
    for note in column_notes:
        log(f"Test part: {note.text}")
    return X, target.encode(table[target.name])


class TrainingPieces(StreamedFit):
    """Table of `fastmlp train` that is read piece by piece.

    target, notes : encoder of the target column and sentences on it, after `learn`
    """

    def __init__(self, model: TableModel, options: TrainOptions, memory_limit: int):
        super().__init__(model, options.file, None, memory_limit)
        self._options, self._labels = options, Counter[Any]()
        self.n_missing = 0
        self._cells: list[Any] = []  # one of each class
        self.target: Target
        self.notes: tuple[str, ...] = ()

    def no_rows(self) -> ValueError:
        return no_target(self._options.target) if self.n_missing else super().no_rows()

    def prepare(self, frame: Any, _: Any) -> tuple[Any, Any]:
        """Return (columns of inputs, target) of the rows whose target is known."""
        name = self._options.target
        with about_arguments():
            frame = with_text_names(frame)
            missing = find_target(frame, name).isna().to_numpy()
            frame = inputs_and_target(frame, self._options)
        frame = frame[~missing].reset_index(drop=True)
        if self.is_first_pass:
            self.n_missing += int(np.count_nonzero(missing))
            self._look_at(frame[name])
        return frame.drop(columns=name), frame[name]

    def _look_at(self, column: pd.Series) -> None:
        """Count the classes of a piece."""
        if len(self._labels) > MAX_CLASSES or not len(column):
            return
        if contents(column) == "mixed":  # lists, dictionaries or other objects, which this refuses
            infer_task(column)
        counts = column.value_counts()
        counts = counts[counts > 0]  # without categories that no row has
        for cell, label, count in zip(counts.index, labels_of(counts.index.to_series()), counts.tolist(), strict=True):
            if label not in self._labels:
                self._cells.append(cell)
            self._labels[label] += count

    def learn_targets(self, table: Any, column: pd.Series) -> tuple[Any, Targets]:
        import pandas as pd

        name, task = self._options.target, self._options.task
        cells = pd.Series([*column.tolist(), *self._cells], dtype=object, name=name).infer_objects()
        rows, notes = rows_with_target(cells.to_frame(), name, task)
        self.notes = tuple(f"In a sample of its cells: {note}" for note in notes)
        self.target, loss = Target.fit(rows[name], task), OF_CLASSES
        if self.target.task != CLASSIFICATION:
            values, loss = read_numbers(column, reads_booleans=True).values, OF_NUMBERS
            self.model.learn_scale(values[~np.isnan(values)])
        table, y = self.encode_targets(table, column)
        return table, Targets(y, loss, self.target.n_outputs)

    def encode_targets(self, table: Any, column: pd.Series) -> tuple[Any, np.ndarray]:
        """Return (table, targets) without rows whose target is no number where it should be one."""
        if self.target.task == CLASSIFICATION:
            return table, self.target.encode(column)
        values = read_numbers(column, reads_booleans=True).values
        is_number = ~np.isnan(values)
        return table[is_number], self.model.scaled(values[is_number])

    @property
    def class_counts(self) -> list[int] | None:
        if self.target.task != CLASSIFICATION:
            return None
        counts = np.zeros(self.target.n_outputs, np.int64)
        np.add.at(counts, class_numbers(list(self._labels), self.target.classes), list(self._labels.values()))
        return counts.tolist()


def read_in_pieces(model: TableModel, options: TrainOptions, refused: list[str], log: Log) -> Prepared | None:
    """Let a model learn the columns of a table piece by piece, or return None if it fits into the memory limit.

    refused : options that are given and need all rows in memory; without --memory-limit they are trained with in memory
    log : prints a sentence
    """
    file = options.file
    memory_limit = checked_memory_limit(options.memory_limit)
    if not (file.is_file() or file.is_dir()):  # read_table says what is wrong with it
        return None
    if surely_fits(file, memory_limit) or (refused and options.memory_limit is None):
        return None
    fit = TrainingPieces(model, options, memory_limit)
    n_needed = fit.learn(model.recipe.validation_fraction)
    if n_needed <= memory_limit:
        return None
    if refused:
        raise ValueError(
            f"{' and '.join(refused)} cannot be used with a table that takes more than --memory-limit: leave it out, "
            "or raise --memory-limit."
        )
    if fit.n_missing:
        log(f"{counted(fit.n_missing, 'row')} whose target {options.target!r} is missing: left out.")
    for sentence in (*fit.notes, *model.notes):
        log(sentence)
    inputs, cells = fit.drawn
    if note := target_leaks_note(inputs, cells.to_numpy(), fit.target.task == CLASSIFICATION):
        log(note)
    rows = fit.encode()
    for sentence in (fit.notice(n_needed, rows), *fit.unseen):
        log(sentence)
    inputs, y = fit.sample
    return Prepared(rows, fit.target, encoded_part(fit.target, encode_columns(model.columns, inputs), y))
