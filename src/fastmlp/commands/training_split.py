"""The split that `fastmlp train` made, training and held-out rows of its nets: its record, and its reconstruction."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import counted
from ..streams.table_sources import read_table
from ..table_training.encoded_rows import EncodedRows, Rows, fold_numbers, held_out_rows
from ..table_training.recipes import Recipe
from ..tables.base_column import Note
from ..tables.target import CLASSIFICATION, Target, rows_with_target

# Keys of History.settings and PopulationResult.arguments: how `fastmlp train` split the table, and a checksum of the
# targets that it trained on.
SHARE, FOLDS, SEED, CHECKSUM = "validation_share", "validation_folds", "validation_seed", "targets_checksum"
Parts = dict[str, tuple[np.ndarray, np.ndarray]]  # samples (X, y) by part
MOST_ROWS = 10_000  # of each part of each net, where nets have parts of their own


class NetSamples(NamedTuple):
    """Samples (X, y) of the table that nets were trained on, in their parts.

    common : samples by part, if all nets hold out the same rows: "training" and "validation", or "" for all of them
    of_nets : samples by part that each net has, (n_nets, n, ...), if each holds out other rows; else None
    folds : (n_rows,) fold of each row of the table, if each net holds out one; else None
    """

    common: Parts
    of_nets: Parts | None = None
    folds: np.ndarray | None = None

    def of_net(self, k: int) -> Parts:
        """Return the samples by part of net k."""
        return self.common if self.of_nets is None else {name: (X[k], y[k]) for name, (X, y) in self.of_nets.items()}

    @property
    def of_all(self) -> Parts:
        """Samples by part of all nets, as diagnose takes them."""
        return self.common if self.of_nets is None else self.of_nets


def read_samples(net: Any, file: Path, target: str | None) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """Return X, y and the names of the features from a table.

    A net of `fastmlp train` knows its columns. For any other net, all columns but the target must be numeric. The names
    are None where there are no columns, or where the net's preprocessing makes the features.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If there is no such file, it is a folder, or it does not fit the net.
    """
    preprocessing = net.preprocessing
    if preprocessing is not None:
        if target not in (None, preprocessing.target.name):
            raise ValueError(
                f"The net was trained to predict {preprocessing.target.name!r}, not {target!r}: leave --target out."
            )
        table = read_table(file, preprocessing.text_columns)
        table, _ = rows_with_target(table, preprocessing.target.name, preprocessing.target.task)
        notes: list[Note] = []
        X = preprocessing.transform(table, notes=notes)
        for note in notes:
            warnings.warn(note.text, stacklevel=2)
        return X, preprocessing.target.encode(table[preprocessing.target.name]), None
    if target is None:
        raise ValueError("The net was not trained by `fastmlp train`, so name the column to predict with --target.")
    table, _ = rows_with_target(read_table(file), target)
    inputs, n_features = table.drop(columns=target), net.network.n_features
    if text := [name for name in inputs.columns if inputs[name].dtype.kind not in "biuf"]:
        raise ValueError(f"The net takes numbers, but the column {text[0]!r} holds text: encode or drop it.")
    if inputs.shape[1] != n_features:
        columns = counted(inputs.shape[1], "column")
        raise ValueError(f"The net has {counted(n_features, 'input')}, but the table has {columns} besides {target!r}.")
    return inputs.to_numpy(np.float64), table[target].to_numpy(), [str(name) for name in inputs.columns]


def training_split(net: Any, X: np.ndarray, y: np.ndarray) -> NetSamples:
    """Return the parts of the table that nets were trained on; of another table, all of it as one part.

    The rows are split again with the recorded share, or folds, and seed. The table is taken for the training table only
    if its targets to train on have the recorded checksum.

    net : MLP with the History of its fit, or Population with its result
    X, y : features (n_rows, n_features) and encoded targets of the table
    """
    undivided = NetSamples({"": (X, y)})
    history, result = getattr(net, "history", None), getattr(net, "result", None)
    settings = result.arguments if result is not None else {} if history is None else history.settings
    if CHECKSUM not in settings:
        return undivided
    classes = y if net.preprocessing.target.classes else None
    generator = np.random.RandomState(settings[SEED])
    if n_folds := settings.get(FOLDS):
        n_each, remainder = divmod(getattr(net, "n_nets", 1), n_folds)
        if not n_each or remainder or checksum(y) != settings[CHECKSUM]:  # some of the nets, by themselves
            return undivided
        folds = fold_numbers(classes, len(y), n_folds, generator)
        return NetSamples({"": (X, y)}, _parts_of_nets(X, y, folds, n_each), folds)
    training, held_out = held_out_rows(classes, len(y), settings[SHARE], generator)
    if not len(held_out) or checksum(y[training]) != settings[CHECKSUM]:
        return undivided
    return NetSamples({"training": (X[training], y[training]), "validation": (X[held_out], y[held_out])})


def checksum(y: np.ndarray) -> str:
    """Return the CRC-32 of targets, as eight hexadecimal digits."""
    return f"{zlib.crc32(y.tobytes()):08x}"


def balanced_weights(codes: np.ndarray, target: Target) -> np.ndarray:
    """Return the weight of each class, (n_classes,), with which all classes count the same.

    codes : (n_rows,) class numbers
    """
    if target.task != CLASSIFICATION:
        raise ValueError(f"--class-weight is given, but {target.name!r} is predicted as a number.")
    counts = np.bincount(codes, minlength=target.n_outputs)
    weights: np.ndarray = len(codes) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return weights


def _parts_of_nets(X: np.ndarray, y: np.ndarray, folds: np.ndarray, n_each: int) -> Parts:
    """Return the samples of the nets of folds, of each the same number: evenly spaced ones of many.

    folds : (n_rows,) fold of each row
    n_each : number of nets of each fold
    """
    n_folds = int(folds.max()) + 1
    parts = {}
    for name, rows_of in (("training", lambda k: folds != k), ("validation", lambda k: folds == k)):
        rows = [np.flatnonzero(rows_of(k)) for k in range(n_folds)]
        n = min(MOST_ROWS, *(len(of_fold) for of_fold in rows))
        places = np.stack([of_fold[np.linspace(0, len(of_fold) - 1, n).astype(np.intp)] for of_fold in rows])
        places = np.repeat(places, n_each, axis=0)
        parts[name] = X[places], y[places]
    return parts


def split_of(data: EncodedRows, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Return what training_split needs, as the records of a fit have it; nothing for rows in pieces."""
    if not isinstance(data.training, Rows):
        return {}
    of_rows = {SHARE: recipe.validation_fraction} if data.folds is None else {FOLDS: recipe.n_folds}
    return {**of_rows, SEED: seed, CHECKSUM: checksum(data.training.y)}
