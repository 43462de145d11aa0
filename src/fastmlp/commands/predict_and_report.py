"""The commands `fastmlp predict` and `fastmlp report`: predictions for a table, and a page about a net."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..class_probabilities import logits, outputs_of, outputs_of_logits
from ..data.npz import read_npz
from ..errors import counted
from ..history import History
from ..loading import load_net
from ..mlp import MLP
from ..population import Population
from ..runtime.output_files import check_output, replacing
from ..streams.table_sources import read_tables
from ..tables.base_column import Note
from ..tables.preprocessing import Preprocessing
from ..tables.table_files import PARQUET_ENDINGS, check_ending, import_pandas
from ..tables.target import rows_with_target
from .column_options import check_columns
from .metrics_table import evaluate
from .training_split import NetSamples, recorded_class_weights, training_split

if TYPE_CHECKING:
    import pandas as pd


def read_samples(net: MLP, file: Path, target: str | None) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """Return X, y and the names of the features from a table, or from an .npz file with the arrays X and y.

    A net of `fastmlp train` knows its columns. For any other net, all columns but the target must be numeric. The names
    are None where there are no columns, or where the net's preprocessing makes the features.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If there is no such file, it is a folder, or it does not fit the net.
    """
    if file.suffix == ".npz":
        arrays = read_npz(file, ("X", "y"))
        return arrays["X"], arrays["y"], None
    if net.preprocessing is not None:
        name = net.preprocessing.target.name
        if target not in (None, name):
            raise ValueError(f"The net was trained to predict {name!r}, but --target is {target!r}; leave it out.")
        table = read_tables(file, net.preprocessing.text_columns)
        table, _ = rows_with_target(table, name, net.preprocessing.target.task)
        return encoded(net.preprocessing, table), net.preprocessing.target.encode(table[name]), None
    table = read_tables(file)
    if target is None:
        raise ValueError("The net was not trained by `fastmlp train`, so name the column to predict with --target.")
    table, _ = rows_with_target(table, target)
    inputs = table.drop(columns=target)
    return inputs.to_numpy(), table[target].to_numpy(), [str(name) for name in inputs.columns]


def report(model: Path, file: Path | None, target: str | None, output: Path | None, device: str) -> Path:
    """Write the HTML report of a saved net, or of the best of several, and return the path of the report.

    model : file of the net or nets
    file : table or .npz file with samples to evaluate the net on, or None
    target : name of the target column; None if the net knows it
    output : path of the report; None for the name of the net with the ending .html
    device : where to compute
    """
    from ..report import write

    output = model.with_suffix(".html") if output is None else output
    check_output(output, model, file)
    net: Any = load_net(model, device=device)
    if not isinstance(net, MLP) and net.result is None:
        raise ValueError(
            f"{str(model)!r} holds {counted(net.n_nets, 'net')} without the record of a fit, so that none is known to "
            "be the best. Train them, and save them again."
        )
    if not isinstance(net, MLP) and file is None:
        raise ValueError(
            f"{str(model)!r} holds {counted(net.n_nets, 'net')}, and a report on the best of them needs a table: "
            f"fastmlp report {model} TABLE."
        )
    parts, names = None, None
    if file is not None:
        X, y, names = read_samples(net, file, target)
        samples = training_split(net, X, y)
        parts = samples.common
    title, note = None, ""
    diagnosis: Any = None
    if file is not None:
        from .diagnose import diagnosis_of  # takes longer to import than a prediction takes

        diagnosis = diagnosis_of(net, samples, y)
    if isinstance(net, MLP):
        history = net.history or History(net)
    else:
        best, nets = net.result.best, net
        parts = samples.of_net(best)
        diagnosis, net = diagnosis.net(best), nets.best()
        net.preprocessing, history = nets.preprocessing, History(net)
        title, note = f"Report on net {best}, the best of {nets.n_nets}", note_of_all(nets, samples, X, y)
    write(history, output, parts=parts, feature_names=names, title=title, diagnosis=diagnosis, note=note)
    return output


def note_of_all(nets: Population, samples: NetSamples, X: np.ndarray, y: np.ndarray) -> str:
    """Return sentences for the page about one of several nets: that it is of one, and the figures of all of them.

    samples : of the table X, y, as training_split returns them
    """
    note = f"The verdict and the pictures are of one of {nets.n_nets} nets, whose mean predicts."
    if nets.preprocessing is None:
        return note
    target, by_class = nets.preprocessing.target, recorded_class_weights(nets, y)
    if samples.folds is not None:
        place = "out of fold, each row predicted by the nets that have not seen it"
        outputs = out_of_fold(nets, samples, X)
    else:
        part, (X, y) = list(samples.common.items())[-1]
        place = "on the rows that they held out" if part else "on this table, from which they may have learned"
        outputs = outputs_of(nets, target, X)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in evaluate(target, y, outputs, by_class).items())
    return f"{note} The figures of all nets on {counted(len(y), 'row')}, {place}: {figures}."


def out_of_fold(nets: Population, samples: NetSamples, X: np.ndarray) -> np.ndarray:
    """Return outputs for the rows of the training table, of each by the nets that were trained without its fold."""
    assert samples.folds is not None
    assert nets.preprocessing is not None
    n_each = nets.n_nets // (int(samples.folds.max()) + 1)
    z = np.empty((n_each, len(X), nets.network.n_outputs), nets.dtype)
    for k in range(nets.n_nets):
        rows = np.flatnonzero(samples.folds == k // n_each)
        z[k % n_each, rows] = logits(nets.net(k), X[rows])
    return outputs_of_logits(z, nets.network, nets.preprocessing.target)


def predict(model: Path, file: Path, device: str, ids: Sequence[str] = ()) -> pd.DataFrame:
    """Return the predictions for each row of a table.

    The columns are those of `ids`, `prediction`, and the probability of each class.

    ids : columns of the table to copy into the result; if empty, the ids that the training was given
    """
    net = load_table_net(model, device)
    table, passed = read_with_ids(file, net.preprocessing, ids)
    X = encoded(net.preprocessing, table, net.dtype.name)
    return predictions_beside(net, X, passed)


def load_table_net(model: Path, device: str) -> Any:
    """Return the net or nets of a file. Raises ValueError if they know no table columns, ImportError without pandas."""
    import_pandas()
    net = load_net(model, device=device)
    if net.preprocessing is None:
        raise ValueError(
            f"{str(model)!r} should be a net saved by `fastmlp train`, but it knows no table columns; use fastmlp.load "
            "and its predict method with an array."
        )
    return net


def predictions_beside(net: Any, X: np.ndarray, passed: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `passed` and the predictions for encoded rows; passed : columns of ids, maybe none"""
    pandas, target = import_pandas(), net.preprocessing.target
    predictions = pandas.DataFrame(target.decode(outputs_of(net, target, X)))
    if both := [name for name in passed.columns if name in predictions.columns]:
        raise ValueError(f"{both[0]!r} is an id and a column of the predictions: rename it in the table.")
    return pandas.concat([passed, predictions], axis=1)


def encoded(preprocessing: Preprocessing, table: pd.DataFrame, dtype: str = "float32") -> np.ndarray:
    """Return the features of a table; warn of each column with values that the training part did not have."""
    notes: list[Note] = []
    X = preprocessing.transform(table, dtype, notes)
    for note in notes:
        warnings.warn(note.text, stacklevel=3)
    return X


def read_with_ids(
    file: Path, preprocessing: Preprocessing, ids: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a table as the preprocessing needs it, and its id columns, whose cells stay as they are."""
    only_ids = unused_ids(preprocessing, ids)
    table = read_tables(file, preprocessing.text_columns, only_ids)
    wanted = present_ids(table, preprocessing, ids)
    read_apart = lambda: read_tables(file, unchanged=wanted)
    return table, passed_columns(table if set(wanted) <= set(only_ids) else read_apart(), wanted)


def unused_ids(preprocessing: Preprocessing, ids: Sequence[str]) -> list[str]:
    """Return the id columns that the net does not use."""
    used = {preprocessing.target.name, *(column.name for column in preprocessing.columns)}
    return [name for name in ids or preprocessing.ids if name not in used]


def present_ids(table: pd.DataFrame, preprocessing: Preprocessing, ids: Sequence[str]) -> list[str]:
    """Return the id columns of a table; warn of one of the training that it lacks. ids : the user's"""
    wanted = list(dict.fromkeys(ids or preprocessing.ids))
    if ids:
        check_columns(table, ids, "--id")
    elif absent := [name for name in wanted if name not in table.columns]:
        wanted = [name for name in wanted if name not in absent]
        names = " or ".join(map(repr, absent))
        warnings.warn(
            f"The table has no column {names}, which training was told is an id, so predictions go without it.",
            stacklevel=2,
        )
    return wanted


def passed_columns(table: pd.DataFrame, ids: list[str]) -> pd.DataFrame:
    """Return the columns of ids as they are put beside predictions."""
    passed = table[ids]
    numbers = [name for name in ids if passed[name].dtype.kind == "f"]  # as objects: as_csv would round them
    return passed.astype(dict.fromkeys(numbers, object)).reset_index(drop=True)


def as_csv(table: pd.DataFrame, file: Any = None, name: str = "", header: bool = True) -> str | None:
    """Return a table as CSV text, or write it to a binary file.

    name : name of the file, whose ending decides the separator and the compression
    header : whether the names of the columns come first
    """
    return table.to_csv(
        file,
        sep="\t" if name.endswith((".tsv", ".tsv.gz")) else ",",
        compression="gzip" if name.endswith(".gz") else None,
        index=False,
        header=header,
        float_format="%.9g",
        lineterminator="\n",
        mode="w" if file is None else "wb",
    )


def check_table_path(path: Path, *inputs: Path) -> None:
    """Raise an error if write_table could not write to this path, or if it is one of the inputs or part of a folder."""
    check_output(path, *inputs, else_leave_out="--output for a CSV on standard output")
    check_ending(path)
    for folder in inputs:
        if folder.is_dir() and path.name.lower().endswith(".parquet") and path.resolve().parent == folder.resolve():
            raise ValueError(
                f"The output {str(path)!r} would be a table of the folder {str(folder)!r}: choose another folder."
            )


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table to a file, completely or not at all: as Parquet if its ending says so, else as CSV."""
    name = path.name.lower()
    with replacing(path) as file:
        if name.endswith(PARQUET_ENDINGS):
            table.to_parquet(file, index=False)
        else:
            as_csv(table, file, name)
