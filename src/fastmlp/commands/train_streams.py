"""Tables of `fastmlp train` that are larger than its memory limit: read piece by piece, twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..api.stream_arguments import StreamArguments
from ..errors import about_arguments, counted
from ..streams.table_sources import surely_fits
from ..table_training.recipes import Recipe
from ..table_training.streamed_table import EncodedRows, Split, StreamedTable, affordable_share, bytes_in_memory, notice
from ..tables.bins import class_indicators
from ..tables.cells import MAX_BAD_FRACTION, contents, read_numbers
from ..tables.column_summary import Moments
from ..tables.features import training_rows
from ..tables.number_columns import NumericEncoding
from ..tables.preprocessing import Preprocessing
from ..tables.table_files import with_text_names
from ..tables.table_summary import TableSummary
from ..tables.target import (
    CLASSIFICATION,
    MAX_CLASSES,
    Target,
    class_numbers,
    find_target,
    infer_task,
    labels_of,
    rows_with_target,
)
from .train_class_weight import check_options_of_classes
from .train_nets import make_net
from .train_parts import Parts, inputs_and_target
from .train_settings import TrainSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class StreamedParts:
    """A table that is trained on piece by piece.

    parts : Parts as read_parts returns them, with a sample of the rows as "training"
    rows : rows to train on and held-out ones
    """

    preprocessing: Preprocessing
    parts: Parts
    rows: EncodedRows


class TargetColumn:
    """Summary of all cells of the target column.

    labels : rows by class, up to one more class than there may be
    moments : Moments of the cells that are numbers
    """

    def __init__(self, name: str):
        self.name, self.labels, self.moments = name, Counter[Any](), Moments()
        self.n_missing = self.n_rows = self.n_bad = 0
        self._cells: list[Any] = []

    def add(self, series: pd.Series) -> None:
        """Add cells that are not missing."""
        reading = read_numbers(series, reads_booleans=True)
        self.moments.add(reading.values[~np.isnan(reading.values)])
        self.n_rows, self.n_bad = self.n_rows + len(series), self.n_bad + reading.n_bad
        if len(self.labels) > MAX_CLASSES:
            return
        if contents(series) == "mixed":  # lists, dictionaries or other objects, which this refuses
            infer_task(series)
        counts = series.value_counts()
        counts = counts[counts > 0]  # without categories that no row has
        for cell, label, count in zip(counts.index, labels_of(counts.index.to_series()), counts.tolist(), strict=True):
            if label not in self.labels:
                self._cells.append(cell)
            self.labels[label] += count

    def fit(self, sample: pd.Series, task: str) -> tuple[Target, tuple[str, ...]]:
        """Return (encoder, notes), by a sample of the cells and all classes.

        Raises
        ------
        ValueError
            If the column cannot be learned.
        """
        import pandas as pd

        cells = pd.Series([*sample.tolist(), *self._cells], dtype=object, name=self.name).infer_objects()
        known, notes = rows_with_target(cells.to_frame(), self.name, task)
        notes = tuple(f"In a sample of its cells: {note}" for note in notes)
        target = Target.fit(known[self.name], task)
        if target.task == CLASSIFICATION:
            return target, notes
        if self.n_bad > MAX_BAD_FRACTION * self.n_rows:
            raise ValueError(
                f"The target column {self.name!r} holds no numbers in {self.n_bad:,} of {self.n_rows:,} cells; correct "
                "or empty these cells, or ask for the task 'classification'."
            )
        return replace(target, mean=float(self.moments.mean), std=float(self.moments.std)), notes


class TableReader:
    """Reads a table file piece by piece, for the settings of `fastmlp train`."""

    def __init__(self, file: Path, settings: TrainSettings, stream: StreamArguments):
        self._settings, self._stream = settings, stream
        self.table = StreamedTable(file, None, self._prepare, stream)
        self.target = TargetColumn(settings.target)

    def learn(self) -> TableSummary:
        self.target = TargetColumn(self._settings.target)
        try:
            return self.table.learn(self._settings.seed, lambda _, y: self.target.add(y))
        except ValueError:
            if self.target.n_missing and not self.target.n_rows:
                raise ValueError(
                    f"All cells of the target column {self.target.name!r} are missing, so there is nothing to learn "
                    "from."
                ) from None
            raise

    def _prepare(self, frame: Any, _: Any) -> tuple[Any, Any]:
        """Return (columns of inputs, target) of the rows whose target is known."""
        name = self._settings.target
        with about_arguments():
            frame = with_text_names(frame)
            missing = find_target(frame, name).isna().to_numpy()
            frame = inputs_and_target(frame, self._settings)
        self.target.n_missing += int(np.count_nonzero(missing))
        frame = frame[~missing].reset_index(drop=True)
        return frame.drop(columns=name), frame[name]

    def preprocessing(self, summary: TableSummary, share: float, log: Callable[[str], Any]) -> Preprocessing:
        """Return the preprocessing by what the first pass has found; share : of the rows that are held out"""
        sample, y = summary.sample(1.0 - share)
        if self.target.n_missing:
            log(f"{counted(self.target.n_missing, 'row')} whose target {self.target.name!r} is missing: left out.")
        target, notes = self.target.fit(y, self._settings.task)
        check_options_of_classes(self._settings, target)
        sample, codes = self.encoded_targets(sample, y, target)
        if target.task == CLASSIFICATION:
            codes = class_indicators(codes, target.n_outputs)
        seconds = self._settings.budget().trial_seconds
        encoding = NumericEncoding(
            self._settings.scaling,
            self._settings.recipe().n_bins,
            targets=codes,
            trial_seconds=seconds,
            texts=self._settings.texts,
        )
        columns, of_columns, choices = summary.fit_columns(sample, encoding, self._settings.categorical)
        of_columns += choices
        for note in (*notes, *of_columns):
            log(note)
        if not columns:
            raise ValueError(f"No column can be used to predict {target.name!r}: {' '.join(of_columns)}")
        return Preprocessing(columns, target, (*notes, *of_columns), self._settings.ids)

    @staticmethod
    def encoded_targets(table: Any, y: Any, target: Target) -> tuple[Any, np.ndarray]:
        """Return (table, encoded targets) without rows whose target is no number where it should be one."""
        if target.task == CLASSIFICATION:
            return table, target.encode(y)
        values = read_numbers(y, reads_booleans=True).values
        known = ~np.isnan(values)
        return table[known], ((values[known] - target.mean) / target.std)[:, None]

    def encoded(
        self, preprocessing: Preprocessing, summary: TableSummary, recipe: Recipe, network: Any, dtype: np.dtype
    ) -> EncodedRows:
        target, counts = preprocessing.target, None
        if target.task == CLASSIFICATION:
            counts = np.zeros(target.n_outputs, np.int64)
            labels = self.target.labels
            np.add.at(counts, class_numbers(list(labels), target.classes), list(labels.values()))
        row_bytes = (network.n_features + network.n_outputs) * dtype.itemsize
        share = affordable_share(recipe.validation_fraction, summary.n_rows, row_bytes, self._stream.memory_limit)
        split = Split(self._settings.seed, share, counts)

        def encode(table: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
            table, targets = self.encoded_targets(table, y, target)
            return preprocessing.transform(training_rows(preprocessing.columns, table), dtype.name), targets

        content = preprocessing.columns, target, self._settings.drop, self._settings.keep
        return self.table.encoded(encode, split, summary.n_rows, network, dtype, content)


def read_in_pieces(
    file: Path, settings: TrainSettings, recipe: Recipe, refused: list[str], log: Callable[[str], Any]
) -> StreamedParts | None:
    """Return a table for training piece by piece, or None if it fits into the memory limit.

    refused : options that are given and need all rows in memory; without --memory-limit they are trained with in memory
    log : prints a sentence
    """
    stream = StreamArguments.checked(settings.memory_limit, settings.row_cache)
    if not (file.is_file() or file.is_dir()):  # read_table says what is wrong with it
        return None
    if surely_fits(file, stream.memory_limit) or (refused and settings.memory_limit is None):
        return None
    reader = TableReader(file, settings, stream)
    summary = reader.learn()
    said: list[str] = []
    preprocessing = reader.preprocessing(summary, recipe.validation_fraction, said.append)
    net = make_net(preprocessing, replace(settings, device="cpu"), replace(recipe, n_nets=1, n_folds=1))
    n_outputs = preprocessing.target.n_outputs
    needed = bytes_in_memory(summary, net.network.n_features, net.dtype.itemsize, n_outputs)
    if needed <= stream.memory_limit:
        return None
    if refused:
        raise ValueError(
            f"{' and '.join(refused)} cannot be used with a table that takes more than --memory-limit: leave it out, "
            "or raise --memory-limit."
        )
    for sentence in said:
        log(sentence)
    rows = reader.encoded(preprocessing, summary, recipe, net.network, net.dtype)
    log(notice(reader.table.source.kind, needed, rows, stream.memory_limit))
    if recipe.validation_fraction and rows.held_out is None:
        rows.close()
        raise ValueError(
            f"A validation share of {recipe.validation_fraction:g} leaves no row to validate on; raise it or "
            "--memory-limit, or switch validation off with 0."
        )
    sample, y = summary.sample(1.0 - recipe.validation_fraction)
    sample, targets = reader.encoded_targets(sample, y, preprocessing.target)
    parts: Parts = {"training": (preprocessing.transform(sample), targets)}
    if rows.held_out is not None:
        parts["validation"] = rows.held_out.X, rows.held_out.y
    return StreamedParts(preprocessing, parts, rows)


def options_in_memory(settings: TrainSettings, recipe: Recipe, known: Any) -> list[str]:
    """Return the options that are given and need all rows in memory."""
    given = {
        settings.of_folds: recipe.n_folds > 1,
        "--class-weight": settings.class_weight is not None,
        "--continue-from": known is not None,
        "--tune": settings.tune is not None,
        "--refit": settings.refit,
    }
    return [name for name, is_given in given.items() if is_given]
