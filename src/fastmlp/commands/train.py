"""The command `fastmlp train`: trains nets on the table in a file, and saves them."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..class_probabilities import outputs_of_logits
from ..devices import resolve
from ..errors import DivergenceWarning, checked_number, counted, no_file, unknown_name
from ..fit.interrupt_warnings import interrupt_message
from ..loading import load_net
from ..mlp import MLP
from ..population import subset_of
from ..runtime.ctrl_c import StopFlag, stop_flag
from ..runtime.output_files import check_output, file_beside, files_beside, left_alone
from ..table_training.fits_in_time import Budget
from ..table_training.model import TableModel
from ..table_training.recipes import recipe_of
from ..table_training.training_summary import final_figures, summary
from ..table_training.tuning import Tuning
from ..tables.features import Preprocessing
from ..tables.target import CLASSIFICATION, Target
from .printed_metrics import baseline_sentences, measure_parts, print_metrics
from .train_options import OF_RECIPE, TrainOptions
from .train_table import Log, Part, Prepared, encoded_part, read_in_pieces, read_test_part, read_training_table
from .training_split import balanced_weights, split_of

if TYPE_CHECKING:
    from rich.console import Console

OUT_OF_FOLD = "out of fold"  # name of the part of the training rows, each predicted by nets without its fold


def train(options: TrainOptions, console: Console) -> None:
    """Train nets on a table, print their metrics and save them with their preprocessing.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, with a sentence as its message. Then the output is unchanged, and the net as trained so far is in
        a file beside it.
    RuntimeError
        If the training diverged. Then the output is unchanged too, and the net is in a file beside it.
    """
    log = partial(console.print, markup=False, soft_wrap=True)
    output, saved = options.output, f"Interrupted; the net is in {str(options.output)!r}."
    with ExitStack() as opened, interrupt_message(f"Interrupted; {left_alone(output)}."):
        check_files(options)
        earlier, model = holds_net(output), model_of(options, log)
        prepared = prepare(model, options, log)
        opened.callback(prepared.data.close)
        preprocessing = preprocessing_of(model, prepared.target, options)
        test = None if options.test is None else read_test_part(preprocessing, options.test, log)
        if earlier:
            log(f"{str(output)!r} holds a net; it will be replaced when this training is done.")
        log(describe_task(preprocessing, options.device, prepared.data.training.n_rows))
        with stop_flag() as flag:
            train_prepared(model, prepared, options, flag, log)
            for note in model.notes:
                if note not in preprocessing.notes and not model.interrupted:  # of the search, or of its encoding
                    log(note)
            if stopped_by(model):
                leave_unfinished(model, options)
            model.nets.save(output)  # first: what reads the output may be gone, as in `fastmlp train ... | head`
            log(summary(model.history))
        if flag.is_set():
            raise KeyboardInterrupt(saved)
    with interrupt_message(saved):
        log(f"Saved to {output}" + (", in place of the net that was there." if earlier else "."))
        parts = {"training": prepared.sample}
        if model.data.held_out is not None:
            parts["validation"] = encoded_part(prepared.target, model.data.held_out.X, model.data.held_out.y)
        if test is not None and options.test is not None:
            chosen = model.nets.preprocessing
            is_same = chosen.columns == preprocessing.columns
            parts["test"] = test if is_same else read_test_part(chosen, options.test, lambda _: None)
        report(model, parts, prepared.by_class, console)


def report(model: TableModel, parts: dict[str, Part], by_class: np.ndarray | None, console: Console) -> None:
    """Print the metrics of parts of a table, and sentences on the baseline."""
    target, z, outputs = model.nets.preprocessing.target, model.out_of_fold, {}
    if z is not None and np.isfinite(z).all():  # not for want of time
        parts = parts | {OUT_OF_FOLD: parts["training"]}
        outputs = {OUT_OF_FOLD: outputs_of_logits(z, model.nets.network, target)}
    metrics = measure_parts(model.nets, target, parts, outputs, by_class)
    print_metrics(metrics, console)
    for sentence in baseline_sentences(metrics, target, parts["training"][1], by_class):
        console.print(sentence, markup=False, soft_wrap=True)


def model_of(options: TrainOptions, log: Log) -> TableModel:
    """Return the model of the options, before it knows the table.

    Raises
    ------
    ValueError
        If a setting is invalid, or does not go with the others.
    """
    settings = options.given_settings
    recipe = recipe_of(options.quality, settings, OF_RECIPE)
    if options.class_weight not in (None, "balanced"):
        raise unknown_name("class weight", options.class_weight, ("balanced",))
    if options.time_limit is not None:
        checked_number("time_limit", options.time_limit, 0.0, open_low=True)
    resolve(options.device)
    if options.checkpoint is not None and options.time_limit is not None:
        raise ValueError("--time-limit may shorten a training, which --checkpoint could then not go on with: drop one.")
    if options.checkpoint is not None and options.tune is not None:
        raise ValueError("--tune compares settings anew in each run, so --checkpoint does not go with it: drop one.")
    return TableModel(
        recipe,
        np.random.RandomState(options.seed),
        options.device,
        Budget(options.time_limit),
        verbose=1,
        name=repr(options.target),
        tuning=None if options.tune is None else Tuning.of(options.tune, "--tune", recipe, settings, OF_RECIPE, False),
        tell=log,
        saved=options.checkpoint_arguments,
    )


def prepare(model: TableModel, options: TrainOptions, log: Log) -> Prepared:
    """Read the table, in pieces if it takes more than the memory limit, and let the model learn its columns."""
    needs_memory = {
        f"--quality {options.quality}": model.recipe.n_folds > 1,
        "--class-weight": options.class_weight is not None,
        "--tune": options.tune is not None,
    }
    # The share of the free memory may be another one when the same command goes on from a checkpoint.
    if options.checkpoint is None or options.memory_limit is not None:
        prepared = read_in_pieces(model, options, [name for name, is_on in needs_memory.items() if is_on], log)
        if prepared is not None:
            return prepared
        model.generator = np.random.RandomState(options.seed)
    inputs, target, targets = read_training_table(options, log)
    y = targets.values
    by_class = None if options.class_weight is None else balanced_weights(y, target)
    data = model.prepare(inputs, targets, None if by_class is None else by_class[y])
    for note in model.notes:
        log(note)
    return Prepared(data, target, encoded_part(target, data.training.X, data.training.y), by_class)


def preprocessing_of(model: TableModel, target: Target, options: TrainOptions) -> Preprocessing:
    """Return the preprocessing to store with the nets of a model."""
    if target.task == CLASSIFICATION:
        target = replace(target, temperature=model.temperature)
    else:
        target = replace(target, mean=float(model.mean), std=float(model.std))
    return Preprocessing(model.columns, target, model.notes, tuple(options.ids))


def train_prepared(model: TableModel, prepared: Prepared, options: TrainOptions, flag: StopFlag, log: Log) -> None:
    """Train the nets of a model, and give them their preprocessing.

    There is no warning about divergence: the caller's error names the options of the command.
    """
    split = split_of(prepared.data, model.recipe, options.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        model.train(prepared.data, flag)
    model.nets.preprocessing = preprocessing_of(model, prepared.target, options)
    if model.data.folds is None and prepared.data.folds is not None:  # no time for a net of each fold
        split = {}
    if model.left_out is None and not (model.found is not None and model.found.interrupted):
        (model.history.settings if isinstance(model.nets, MLP) else model.history.arguments).update(split)
    elif model.left_out is not None and not model.interrupted:
        log(f"The time of the fit was over: {counted(model.n_wanted - model.left_out[1], 'net')} had not begun.")


def stopped_by(model: TableModel) -> str:
    """Return "interrupt" if Ctrl-C came during or after the fits, "divergence" if that ended one of them, else ""."""
    if model.interrupted:
        return "interrupt"
    return "divergence" if "divergence" in np.atleast_1d(model.history.stopped_by).tolist() else ""


def describe_task(preprocessing: Preprocessing, device: str, n_rows: int) -> str:
    """Return a sentence with the task, the number of rows of the training part, and the device."""
    n_features, target = len(preprocessing.feature_names), preprocessing.target
    chosen = resolve(device)
    place = "the CPU" if chosen.is_host else chosen.name  # why, `fastmlp devices` says
    size = f"{counted(n_rows, 'row')}, {counted(n_features, 'feature')}"
    return f"{target.task} of {target.name!r}: {size}, on {place}"


def holds_net(output: Path) -> bool:
    """Return whether `output` is there, and so a net.

    Raises
    ------
    FileExistsError
        If the file is not a net, and so must not be overwritten.
    """
    if not output.is_file() or not output.stat().st_size:
        return False
    try:
        load_net(output, device="cpu")
    except ValueError:
        raise FileExistsError(
            f"{str(output)!r} is there and is not a net that can be read, so it is left alone: choose another "
            "--output, or remove it first."
        ) from None
    return True


def check_files(options: TrainOptions) -> None:
    """Raise OSError or ValueError if a file cannot be written or must not be replaced, before the table is read."""
    output, test_file = options.output, options.test
    check_output(output, options.file, test_file)
    if test_file is not None and not test_file.exists():
        raise no_file(test_file)
    if options.resume and options.checkpoint is None:
        raise ValueError("--resume needs --checkpoint FILE, the file to go on from.")
    if (path := options.checkpoint) is not None:
        check_output(path, options.file, test_file)
        if path.resolve() in {other.resolve() for other in (output, *files_beside(output))}:
            raise ValueError(
                f"The checkpoint {str(path)!r} and the output, or a file beside it for what ends early, must be two "
                "files."
            )
    for beside in files_beside(output):
        check_output(beside)
        holds_net(beside)


def leave_unfinished(model: TableModel, options: TrainOptions) -> NoReturn:
    """Save the nets of an interrupted or diverged training beside the output, and raise an error that says so.

    Of several nets, those that had begun are saved. Nothing is saved if no epoch was finished.

    Raises
    ------
    KeyboardInterrupt
        If the training was interrupted.
    RuntimeError
        If the training diverged.
    """
    interrupted, output = stopped_by(model) == "interrupt", options.output
    nets: Any = model.nets
    history, n_epochs = model.history, int(np.max(model.history.epochs))  # also of a fit that has raised
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
        further = "" if options.checkpoint is None else " The same command with --resume goes on."
        raise KeyboardInterrupt(f"Interrupted {reached}.{further}")
    remedy = f"Lower --learning-rate (it is {model.recipe.learning_rate:g})."
    raise RuntimeError(f"The loss stopped being finite {reached}. {remedy}")
