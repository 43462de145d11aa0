"""The command `fastmlp train`: trains nets on the table in a file, and saves them."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from ..class_probabilities import outputs_of_logits
from ..devices import resolve
from ..errors import DivergenceWarning, checked_count, checked_number, counted, no_file
from ..fit.interruption import interrupt_message
from ..kernels.system import interrupts
from ..loading import load_net
from ..mlp import MLP
from ..population import subset_of
from ..runtime.checkpoint_interval import DEFAULT, as_interval
from ..runtime.output_files import check_output, file_beside, files_beside, left_alone
from ..table_training.folds import predicted_rows
from ..table_training.model import Known, TableModel, Tuning
from ..table_training.recipe_fit import described, make_optimizer
from ..table_training.recipes import Recipe
from ..table_training.rows import EncodedRows, Rows
from ..table_training.training_summary import final_figures, summary
from ..table_training.tuning_configurations import SPACE
from ..tables.preprocessing import Preprocessing
from ..tables.target import CLASSIFICATION, Target
from .metrics_table import baseline_sentences, measure_parts, print_metrics
from .train_class_weight import checked_weight_items, weights_of_classes
from .train_continuation import load_known, recipe_to_continue
from .train_options import OF_RECIPE, Checkpoints, TrainOptions, interval_option
from .train_table import (
    Log,
    Part,
    TrainingTable,
    encoded_part,
    read_in_pieces,
    read_known_table,
    read_test_part,
    read_training_table,
)
from .training_split import has_same_split, record_split, split_of

if TYPE_CHECKING:
    from rich.console import Console

NO_CHECKPOINTS = Checkpoints()
OUT_OF_FOLD = "out of fold"  # name of the part of the training rows, each predicted by nets without its fold


class Prepared(NamedTuple):
    """Rows to train on, and what else is known of them.

    sample : rows that the training part is known by, encoded
    by_class : (n_classes,) weights of classes, or None
    """

    data: EncodedRows
    target: Target
    sample: Part
    by_class: np.ndarray | None = None


def train(options: TrainOptions, console: Console, checkpoints: Checkpoints = NO_CHECKPOINTS) -> None:
    """Train nets on a table, print their metrics and save them with their preprocessing.

    checkpoints : file and interval of checkpoints, and whether to go on from one

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, with a sentence as its message. Then the output is unchanged, and the net as trained so far is in
        a file beside it.
    RuntimeError
        If the training diverged. Then the output is unchanged too, and the net is in a file beside it.
    """
    log = partial(console.print, markup=False, soft_wrap=True)
    file, output, test_file = options.file, options.output, options.test
    check_output(output, file, test_file)  # before any work is done
    if test_file is not None and not test_file.exists():
        raise no_file(test_file)
    check_checkpoints(checkpoints, file, test_file, output, *files_beside(output))
    with ExitStack() as opened, interrupt_message(f"Interrupted; {left_alone(output)}."):
        known = load_known(options)
        earlier = describe_earlier_net(output)
        check_files_beside(output)
        recipe = options.recipe() if known is None else recipe_to_continue(options, known)
        check_settings(options, recipe, checkpoints)
        model = model_of(options, recipe, log, checkpoints)
        prepared = prepare(model, options, checkpoints, known, log)
        opened.callback(prepared.data.close)
        preprocessing = preprocessing_of(model, prepared.target, options)
        test = None if test_file is None else read_test_part(preprocessing, test_file, log)
        if earlier:
            log(f"{earlier}; it will be replaced when this training is done.")
        log(describe_task(preprocessing, options.device, prepared.data.training.n_rows))
        if model.recipe.n_folds > 1:
            check_checkpoints_of_nets(checkpoints, model.recipe.n_nets_of_all_folds, file, test_file, output)
        nets = train_prepared(model, prepared, options, known, log)
        for note in model.notes:
            if note not in preprocessing.notes and not model.interrupted:  # of the search, or of its encoding
                log(note)
        if stopped_by(model):
            leave_unfinished(model, output, checkpoints)
        save_finished(model, output, log)
    with interrupt_message(f"Interrupted; the net is in {str(output)!r}."):
        log(f"Saved to {output}" + (", in place of the net that was there." if earlier else "."))
        parts, outputs = {"training": prepared.sample}, {}
        if model.data.held_out is not None:
            parts["validation"] = encoded_part(prepared.target, model.data.held_out.X, model.data.held_out.y)
        if test is not None and test_file is not None:
            is_other_encoding = nets.preprocessing.columns != preprocessing.columns
            parts["test"] = read_test_part(nets.preprocessing, test_file, lambda _: None) if is_other_encoding else test
        z = model.out_of_fold
        if z is not None and len(predicted_rows(z)) == z.shape[1]:  # not for want of time
            parts[OUT_OF_FOLD] = prepared.sample
            outputs[OUT_OF_FOLD] = outputs_of_logits(z, nets.network, nets.preprocessing.target)
        report(nets, parts, outputs, prepared.by_class, console)


def report(nets: Any, parts: dict[str, Part], outputs: dict[str, np.ndarray], by_class: Any, console: Console) -> None:
    """Print the metrics of parts of a table, and sentences on the baseline; outputs : of parts that are known"""
    target = nets.preprocessing.target
    found = measure_parts(nets, target, parts, outputs, by_class)
    print_metrics(found, console)
    for sentence in baseline_sentences(found, target, parts["training"][1], by_class):
        console.print(sentence, markup=False, soft_wrap=True)


def model_of(options: TrainOptions, recipe: Recipe, log: Log, checkpoints: Checkpoints = NO_CHECKPOINTS) -> TableModel:
    """Return the model of the options, before it knows the table."""
    return TableModel(
        recipe,
        np.random.RandomState(options.seed),
        options.device,
        options.budget(),
        verbose=1,
        name=repr(options.target),
        categories=options.categorical,
        tell=log,
        tell_of_columns=lambda problems, choices: [log(note) for note in (*problems, *choices)],
        saved=checkpoints.fit_arguments,
    )


def prepare(model: TableModel, options: TrainOptions, checkpoints: Checkpoints, known: Any, log: Log) -> Prepared:
    """Read the table, in pieces if it takes more than the memory limit, let the model learn columns, and return rows.

    known : nets to go on with, or None
    """
    given = {
        f"--quality {options.preset}": model.recipe.n_folds > 1,
        "--class-weight": options.class_weight is not None,
        "--continue-from": known is not None,
        "--tune": options.tune is not None,
    }
    # The share of the free memory may be another one when the same command goes on from a checkpoint.
    if checkpoints.path is None or options.memory_limit is not None:
        found = read_in_pieces(model, options, [name for name, is_given in given.items() if is_given], log)
        if found is not None:
            return Prepared(found.rows, found.target, found.sample)
    model.generator = np.random.RandomState(options.seed)
    if known is None:
        return prepare_table(model, read_training_table(options, log), options)
    target = known.preprocessing.target
    columns, notes = known.preprocessing.columns, known.preprocessing.notes
    former = Known(known, columns, notes, np.asarray(target.mean), np.asarray(target.std))
    return prepare_table(model, read_known_table(options, known.preprocessing, log), options, former)


def prepare_table(
    model: TableModel, table: TrainingTable, options: TrainOptions, known: Known | None = None
) -> Prepared:
    """Let a model learn the columns of a table in memory, and return its rows."""
    target, y = table.target, table.targets.values
    by_class = weights_of_classes(options.class_weight, y, target)
    if options.tune is not None:
        searched = [field for field in SPACE if field not in given_settings(options, target)]
        model.tuning = Tuning(options.tune, searched, OF_RECIPE, f"--tune {options.tune}")
    data = model.prepare(table.inputs, table.targets, None if by_class is None else by_class[y], known=known)
    assert isinstance(data.training, Rows)
    sample = encoded_part(target, data.training.X, data.training.y)
    return Prepared(data, target, sample, by_class)


def given_settings(options: TrainOptions, target: Target) -> set[str]:
    """Return the fields of Recipe that are not searched, since an option gives them or they go with classes only."""
    given = {name for name in OF_RECIPE if getattr(options, name, None) is not None}
    return given if target.task == CLASSIFICATION else given | {"label_smoothing"}


def preprocessing_of(model: TableModel, target: Target, options: TrainOptions) -> Preprocessing:
    """Return the preprocessing to store with the nets of a model."""
    if target.task == CLASSIFICATION:
        target = replace(target, temperature=model.temperature)
    else:
        target = replace(target, mean=float(model.mean), std=float(model.std))
    ids = tuple(options.ids)
    if model.known is not None and not ids:
        ids = model.known.nets.preprocessing.ids
    return Preprocessing(model.columns, target, model.notes, ids)


def train_prepared(model: TableModel, prepared: Prepared, options: TrainOptions, known: Any, log: Log) -> Any:
    """Train the nets of a model, and return them with their preprocessing.

    There is no warning about divergence: the caller's error names the options of the command.
    """
    split = split_of(prepared.data, model.recipe, options.seed)
    if known is not None:
        log(f"Training goes on with {described(known)}.")
        model.keeps_better = has_same_split(known, split)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        model.train(prepared.data)
    model.nets.preprocessing = preprocessing_of(model, prepared.target, options)
    if model.data.folds is None and prepared.data.folds is not None:  # no time for a net of each fold
        split = {}
    if model.n_kept:
        their = "it keeps its" if model.n_kept == 1 else "they keep their"
        log(f"No new epoch of {counted(model.n_kept, 'net')} was better than before: {their} parameters.")
    if known is not None and not model.keeps_better:
        log(
            "The rows that are held out now are not those that the last training held out: the table has other rows, "
            "or the same in another order, or it is split in another way. These nets may have been trained on them, "
            "and early stopping, calibration and the figures of these rows are then too good. So the best of the new "
            "epochs are kept, even if their loss is higher than before."
        )
    if model.left_out is None and not (model.found is not None and model.found.interrupted):
        record_split(model.history, split, options.class_weight)
    elif model.left_out is not None and not model.interrupted:
        log(f"The time of the fit was over: {counted(model.n_wanted - model.left_out[1], 'net')} had not begun.")
    return model.nets


def stopped_by(model: TableModel) -> str:
    """Return "interrupt" if Ctrl-C came during or after the fits, "divergence" if that ended one of them, else ""."""
    if model.interrupted:
        return "interrupt"
    return "divergence" if "divergence" in np.atleast_1d(model.history.stopped_by).tolist() else ""


def save_finished(model: TableModel, path: Path, log: Log) -> None:
    """Save the nets of a finished training; Ctrl-C meanwhile is raised afterwards, with a sentence as its message."""
    saved, not_saved = f"Interrupted; the net is in {str(path)!r}.", f"Interrupted; {left_alone(path)}."
    with interrupt_message(saved), interrupts.deferred(), interrupt_message(not_saved):
        model.nets.save(path)  # first: what reads the output may be gone, as in `fastmlp train ... | head`
        log(summary(model.history))


def describe_task(preprocessing: Preprocessing, device: str, n_rows: int) -> str:
    """Return a sentence with the task, the number of rows of the training part, and the device."""
    n_features, target = len(preprocessing.feature_names), preprocessing.target
    found = resolve(device)
    place = "the CPU" if found.is_host else found.name  # why, `fastmlp devices` says
    size = f"{counted(n_rows, 'row')}, {counted(n_features, 'feature')}"
    return f"{target.task} of {target.name!r}: {size}, on {place}"


def check_files_beside(output: Path) -> None:
    """Check that files beside `output`, of trainings that end early, may be written, before any work is done.

    Raises
    ------
    FileExistsError
        If there is one that is not a net, and so must not be overwritten.
    OSError
        If one is a folder, or cannot be written.
    """
    for beside in files_beside(output):
        check_output(beside)
        describe_earlier_net(beside)


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
    kind = "a net" if isinstance(net, MLP) else counted(net.n_nets, "net")
    description = f"{kind} of {net.preprocessing.target.name!r}" if net.preprocessing else kind
    history = getattr(net, "history", None) or getattr(net, "result", None)
    figures = final_figures(history) if history is not None else ""
    return f"{str(output)!r} holds {description}" + (f" ({figures})" if figures else "")


def check_settings(options: TrainOptions, recipe: Recipe, checkpoints: Checkpoints) -> None:
    """Raise ValueError if a number is out of range, or options do not go together: before the table is read."""
    make_optimizer(recipe)
    resolve(options.device)
    if options.time_limit is not None:
        checked_number("time_limit", options.time_limit, 0.0, open_low=True)
    if options.class_weight is not None:
        checked_weight_items(options.class_weight)
    if options.time_limit is not None and checkpoints.path is not None:
        raise ValueError("--time-limit may shorten a training, which --checkpoint could then not go on with: drop one.")
    if options.tune is None:
        return
    checked_count("--tune", options.tune, 2)
    if checkpoints.path is not None:
        raise ValueError("--tune compares settings anew in each run, so --checkpoint does not go with it: drop one.")
    if options.continue_from is not None:
        raise ValueError("--tune compares settings of new nets, so --continue-from does not go with it: drop one.")
    if recipe.n_folds == 1 and not recipe.validation_fraction:
        raise ValueError(f"--tune {options.tune} needs held-out rows: set --validation above 0, or leave it out.")


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
            raise ValueError(
                f"The checkpoint {str(checkpoints.path)!r} and the output, or a file beside it for what ends early, "
                "must be two files."
            )
    elif checkpoints.resume:
        raise ValueError("--resume needs --checkpoint FILE, the file to go on from.")
    elif checkpoints.every != DEFAULT:
        raise ValueError("--every needs --checkpoint FILE, the file to write at this interval.")


def check_checkpoints_of_nets(checkpoints: Checkpoints, n_nets: int, *others: Path | None) -> None:
    """Check the files of nets that have a checkpoint each, before the first one is trained.

    others : files that must not be replaced

    Raises
    ------
    FileExistsError
        If one of them is there, and the training is not to go on.
    ValueError
        If one of them is one of the others.
    """
    for k in range(n_nets if checkpoints.path is not None else 0):
        of_net = checkpoints.of_net(k)
        check_checkpoints(of_net, *others)
        assert of_net.path is not None, "there are checkpoints"
        if of_net.path.is_file() and not checkpoints.resume:
            raise FileExistsError(
                f"There is a checkpoint {str(of_net.path)!r} already. Go on from it with --resume, or name another "
                f"file; to start anew, remove '{checkpoints.path}.*'."
            )


def leave_unfinished(
    model: TableModel, output: Path, checkpoints: Checkpoints = NO_CHECKPOINTS, remedy: str = ""
) -> NoReturn:
    """Save the nets of an interrupted or diverged training beside the output, and raise an error that says so.

    Of several nets, those that had begun are saved. Nothing is saved if no epoch was finished.

    remedy : sentence on what helps against divergence; by default the options of `fastmlp train`

    Raises
    ------
    KeyboardInterrupt
        If the training was interrupted.
    RuntimeError
        If the training diverged.
    """
    interrupted = stopped_by(model) == "interrupt"
    nets, history, n_epochs = model.nets, model.history, model.n_epochs
    beside = file_beside(output, "interrupted" if interrupted else "diverged")
    reached = f"before the end of the first epoch, so that nothing was saved; {left_alone(output)}"
    if model.found is not None and model.found.interrupted:
        nets.save(beside)
        raise KeyboardInterrupt(
            f"Interrupted while settings were compared; the best net so far is in {str(beside)!r}, and "
            f"{left_alone(output)}."
        )
    if n_epochs:
        begun = np.flatnonzero(np.atleast_1d(history.epochs))
        if not isinstance(nets, MLP) and len(begun) < nets.n_nets:
            nets = subset_of(nets, begun)
            history = nets.result
        nets.save(beside)
        figures = final_figures(history)  # empty if the kept epoch's loss is not finite
        reached = (
            f"after {counted(n_epochs, 'epoch')}; what was reached{figures and f' ({figures})'} is in "
            f"{str(beside)!r}, and {left_alone(output)}"
        )
    if interrupted:
        further = "" if checkpoints.path is None else " The same command with --resume goes on."
        raise KeyboardInterrupt(f"Interrupted {reached}.{further}")
    if not remedy:
        remedy = f"Lower --learning-rate (it is {model.recipe.learning_rate:g})."
    raise RuntimeError(f"The loss stopped being finite {reached}. {remedy}")
