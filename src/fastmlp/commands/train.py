"""The command `fastmlp train`: trains a net on the table in a file, and saves it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from ..callbacks import EarlyStopping
from ..console.stopwatch import format_time
from ..devices import check_name as check_device
from ..errors import DivergenceWarning, counted
from ..history import History
from ..intervals import DEFAULT, as_interval
from ..loading import load_net
from ..mlp import MLP
from ..network.spec import HIDDEN, activation_code
from ..optimizers import Optimizer, optimizer_from_name
from ..output_files import check_output
from ..schedules import schedule_factors
from ..tables.column_encoders import Note
from ..tables.column_selection import select_columns
from ..tables.held_out_rows import SEED, SHARE
from ..tables.preprocessing import Preprocessing, read_table, rows_with_target, with_numbers
from ..tables.target_encoder import CLASSIFICATION, Target
from ..training.interruption import interrupt_message
from .metrics_table import baseline_sentences, measure_parts, print_metrics
from .train_settings import NO_CHECKPOINTS, Checkpoints, TrainSettings

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

Parts = dict[str, tuple[np.ndarray, np.ndarray]]  # "training", "validation", "test" -> (X, encoded target)


def train(
    file: Path,
    settings: TrainSettings,
    output: Path,
    test_file: Path | None,
    console: Console,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> None:
    """Train a net on a table, print its metrics and save it with its preprocessing.

    file : CSV or Parquet file with the training samples
    output : file of the saved net
    test_file : another table to report metrics on, or None
    checkpoints : file and interval of checkpoints, and whether to go on from one

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, with a sentence as its message. Then `output` is unchanged, and the net as trained so far is in
        a file beside it.
    RuntimeError
        If the training diverged. Then `output` is unchanged too, and the net is in a file beside it.
    """
    log = partial(console.print, markup=False, soft_wrap=True)
    check_output(output, file, test_file)  # before any work is done
    check_checkpoints(checkpoints, file, test_file, output)
    with interrupt_message(f"Interrupted; {str(output)!r} is as it was."):
        earlier = describe_earlier_net(output)
        optimizer = make_optimizer(settings)
        check_names(settings)
        preprocessing, parts = read_parts(file, settings, test_file, log)
        net = make_net(preprocessing, settings)
        if earlier:
            log(f"{earlier}; it will be replaced when this training is done.")
        log(describe_task(net, parts))
        history = fit(net, parts, settings, optimizer, checkpoints)
        if history.stopped_by in ("interrupt", "divergence"):
            leave_unfinished(net, history, settings, output, checkpoints)
        log(summary(history))
        net.save(output)
    with interrupt_message(f"Interrupted; the net is in {str(output)!r}."):
        log(f"Saved to {output}" + (", in place of the net that was there." if earlier else "."))
        found = measure_parts(net, preprocessing.target, parts)
        print_metrics(found, console)
        for sentence in baseline_sentences(found, preprocessing.target, parts["training"][1]):
            log(sentence)


def describe_task(net: MLP, parts: Parts) -> str:
    """Return a sentence with the task, the size of the training part and the device."""
    (n_rows, n_features), target = parts["training"][0].shape, net.preprocessing.target
    place = "the CPU" if net.device.is_host else net.device.name  # why, `fastmlp devices` says
    size = f"{counted(n_rows, 'row')}, {counted(n_features, 'feature')}"
    return f"{target.task} of {target.name!r}: {size}, on {place}"


def describe_earlier_net(output: Path) -> str:
    """Return a description of the net that `output` holds and that will be replaced; empty if there is none.

    Raises
    ------
    FileExistsError
        If the file is not a net, and so must not be overwritten.
    """
    if not output.is_file() or not output.stat().st_size:
        return ""
    try:
        net = load_net(output, device="cpu")
    except ValueError:
        raise FileExistsError(
            f"{str(output)!r} is there and is not a net that can be read, so it is left alone: choose another "
            "--output, or remove it first."
        ) from None
    description = f"a net of {net.preprocessing.target.name!r}" if net.preprocessing else "a net"
    figures = final_figures(history) if (history := getattr(net, "history", None)) is not None else ""
    return f"{str(output)!r} holds {description}" + (f" ({figures})" if figures else "")


def make_optimizer(settings: TrainSettings) -> Optimizer:
    """Return the optimiser with its learning rate and gradient clipping.

    Raises
    ------
    ValueError
        If the name is unknown, or a number is out of range.
    """
    return replace(optimizer_from_name(settings.optimizer, settings.learning_rate), clip_norm=settings.clip_norm)


def check_names(settings: TrainSettings) -> None:
    """Raise ValueError if a schedule, activation or device has an unknown name: before the table is read."""
    schedule_factors(settings.schedule)
    check_device(settings.device)
    if settings.hidden:
        activation_code(settings.activation, HIDDEN, "hidden_activation")


def read_parts(
    file: Path, settings: TrainSettings, test_file: Path | None, log: partial
) -> tuple[Preprocessing, Parts]:
    """Read the table, and return the preprocessing fitted to the training part and all parts encoded by it.

    log : prints a sentence about each column or row that is left out
    """
    name = settings.target
    table, notes = rows_with_target(read_table(file), name, settings.task)
    table = select_columns(table, name, settings.drop, settings.keep, settings.ids)
    table, further_notes = with_numbers(table, name)
    for note in (*notes, *further_notes):
        log(note)
    task = Target.fit(table[name], settings.task).task  # before the split: raises if the target cannot be learned
    held_out, training = split_rows(table[name], task, settings.validation, settings.seed)
    tables = {"training": table.iloc[training]}
    if len(held_out):
        tables["validation"] = table.iloc[held_out]
    preprocessing = Preprocessing.fit(tables["training"], name, task, settings.scaling)
    preprocessing = replace(preprocessing, ids=settings.ids)
    for note in preprocessing.notes:
        log(note)
    if test_file is not None:  # read before the training, so that a mistake in the test table is found at once
        test = read_table(test_file, preprocessing.text_columns)
        tables["test"], notes = rows_with_target(test, name, task)
        for note in notes:
            log(f"Test table: {note}")
    return preprocessing, {part: _encoded(preprocessing, part, rows, log) for part, rows in tables.items()}


def _encoded(
    preprocessing: Preprocessing, part: str, rows: pd.DataFrame, log: partial
) -> tuple[np.ndarray, np.ndarray]:
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


def check_checkpoints(checkpoints: Checkpoints, *others: Path | None) -> None:
    """Check the options about checkpoints, before the table is read; others : files that must not be replaced.

    Raises
    ------
    ValueError
        If --resume lacks a file, the interval is invalid, or the file is one of the others.
    """
    as_interval(interval_option(checkpoints.every))
    if checkpoints.path is not None:
        check_output(checkpoints.path, *others)
        if checkpoints.path.resolve() in {other.resolve() for other in others if other is not None}:
            raise ValueError(f"The checkpoint {str(checkpoints.path)!r} and the output must be two files.")
    elif checkpoints.resume:
        raise ValueError("--resume needs --checkpoint FILE, the file to go on from.")
    elif checkpoints.every != DEFAULT:
        raise ValueError("--every needs --checkpoint FILE, the file to write at this interval.")


def interval_option(text: str) -> int | str:
    """Return the text of --every as fit's argument: a whole number counts epochs."""
    return int(text) if text.strip().isdecimal() else text


def fit(
    net: MLP, parts: Parts, settings: TrainSettings, optimizer: Optimizer, checkpoints: Checkpoints = NO_CHECKPOINTS
) -> History:
    """Train the net without the warning about divergence: the caller's error names the options of the command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        history = net.fit(
            *parts["training"],
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            optimizer=optimizer,
            schedule=settings.schedule,
            validation_data=parts.get("validation"),
            early_stopping=EarlyStopping(settings.patience) if "validation" in parts else None,
            checkpoint=checkpoints.path,
            every=interval_option(checkpoints.every),
            resume=checkpoints.resume,
        )
    history.settings.update({SHARE: settings.validation, SEED: settings.seed})  # for held_out_rows.training_split
    return history


def leave_unfinished(
    net: MLP, history: History, settings: TrainSettings, output: Path, checkpoints: Checkpoints = NO_CHECKPOINTS
) -> NoReturn:
    """Save the net of an interrupted or diverged training beside the output, and raise an error that says so.

    Nothing is saved if no epoch was finished.

    Raises
    ------
    KeyboardInterrupt
        If the training was interrupted.
    RuntimeError
        If the training diverged.
    """
    interrupted = history.stopped_by == "interrupt"
    reached = f"before the end of the first epoch; {str(output)!r} is as it was, and nothing was saved"
    if history.epochs:
        beside = output.with_name(f"{output.name}.{'interrupted' if interrupted else 'diverged'}")
        net.save(beside)
        figures = final_figures(history)  # empty if the kept epoch's loss is not finite
        reached = (
            f"after {counted(history.epochs, 'epoch')}; what was reached{figures and f' ({figures})'} is in "
            f"{str(beside)!r}, and {str(output)!r} is as it was"
        )
    if interrupted:
        further = "" if checkpoints.path is None else " The same command with --resume goes on."
        raise KeyboardInterrupt(f"Interrupted {reached}.{further}")
    clipping = "give --clip-norm 1" if not settings.clip_norm else f"lower --clip-norm (it is {settings.clip_norm:g})"
    raise RuntimeError(
        f"The loss stopped being finite {reached}. Lower --learning-rate (it is {settings.learning_rate:g}), or "
        f"{clipping}."
    )


def make_net(preprocessing: Preprocessing, settings: TrainSettings) -> MLP:
    """Return an untrained net for these features and this target: a softmax over the classes, or one linear output."""
    is_classification = preprocessing.target.task == CLASSIFICATION
    net = MLP(
        (len(preprocessing.feature_names), *settings.hidden, preprocessing.target.n_outputs),
        hidden_activation=settings.activation,
        loss="softmax_cross_entropy" if is_classification else "squared_error",
        dropout=settings.dropout,
        device=settings.device,
        random_state=settings.seed,
    )
    net.preprocessing = preprocessing
    return net


def final_epoch(history: History) -> int:
    """Return the index of the epoch whose parameters the net has."""
    return history.epochs - 1 if history.best_epoch is None else history.best_epoch


def final_figures(history: History) -> str:
    """Return the loss and accuracy of the epoch whose parameters were kept, as text.

    They are those of the validation part if there is one, else those of the training part.
    """
    validated = history.validation_loss is not None and len(history.validation_loss) > 0
    loss = history.validation_loss if validated else history.loss
    accuracy = history.validation_accuracy if validated else history.accuracy
    epoch = final_epoch(history)
    if loss is None or not 0 <= epoch < len(loss) or not np.isfinite(loss[epoch]):
        return ""
    figures = f"{'validation' if validated else 'training'} loss {loss[epoch]:.4g}"
    if accuracy is not None and epoch < len(accuracy):
        figures += f", accuracy {accuracy[epoch]:.4f}"
    return f"{figures} in epoch {epoch + 1}"


def summary(history: History) -> str:
    """Return one sentence on the training: number of epochs, time, and final loss and accuracy."""
    end = ", until there was no more improvement" if history.stopped_by == "early_stopping" else ""
    time = format_time(history.seconds, history.compile_seconds, ".1f")
    text = f"Trained {counted(history.epochs, 'epoch')} in {time}{end}"
    if history.best_epoch is None:
        return f"{text}: {final_figures(history)}."
    return f"{text}; the best parameters on the validation part are kept: {final_figures(history)}."
