"""The command `fastmlp train`: trains nets on the table in a file, and saves them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..devices import resolve
from ..errors import checked_count, checked_number, counted, no_file
from ..kernels.system import interrupts
from ..loading import load_net
from ..mlp import MLP
from ..network.spec import HIDDEN, activation_code
from ..population import subset_of
from ..runtime.checkpoint_interval import DEFAULT, as_interval
from ..runtime.output_files import check_output, file_beside, files_beside, left_alone
from ..schedules import schedule_factors
from ..table_training.recipe_fit import make_optimizer
from ..table_training.recipes import GREEDY, TEMPERATURE, Recipe, is_auto
from ..table_training.training_summary import final_figures, summary
from ..tables.preprocessing import Preprocessing
from ..training.interruption import interrupt_message
from .metrics_table import baseline_sentences, measure_parts, print_metrics
from .train_class_weight import checked_weight_items, weights_of_classes
from .train_continuation import load_known, recipe_to_continue
from .train_nets import HELD_OUT, OUT_OF_FOLD, Training, fit
from .train_parts import Log, encoded_parts, read_parts
from .train_settings import NO_CHECKPOINTS, Checkpoints, TrainSettings, interval_option
from .train_streams import StreamedParts, options_in_memory, read_in_pieces

if TYPE_CHECKING:
    from rich.console import Console


def train(
    file: Path,
    settings: TrainSettings,
    output: Path,
    test_file: Path | None,
    console: Console,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    continue_from: Path | None = None,
) -> None:
    """Train nets on a table, print their metrics and save them with their preprocessing.

    file : CSV or Parquet file with the training samples
    output : file of the saved nets
    test_file : another table to report metrics on, or None
    checkpoints : file and interval of checkpoints, and whether to go on from one
    continue_from : file of nets to go on with, or None

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
    if test_file is not None and not test_file.exists():
        raise no_file(test_file)
    check_checkpoints(checkpoints, file, test_file, output, *files_beside(output))
    with ExitStack() as opened, interrupt_message(f"Interrupted; {left_alone(output)}."):
        known = load_known(continue_from, settings)
        earlier = describe_earlier_net(output)
        check_files_beside(output)
        recipe = recipe_to_continue(settings, known)
        check_settings(settings, recipe, checkpoints, known is not None)
        if settings.refit:  # one fit trains all nets
            recipe = replace(recipe, own_folds=False)
        streamed = read_large(file, settings, recipe, test_file, log, checkpoints, known)
        if streamed is None:
            preprocessing, parts = read_parts(file, settings, recipe, test_file, log, known)
            recipe, rows = recipe.with_own_folds(len(parts["training"][0])), None
        else:
            preprocessing, parts, rows = streamed.preprocessing, streamed.parts, streamed.rows
            opened.callback(rows.close)
        if earlier:
            log(f"{earlier}; it will be replaced when this training is done.")
        n_rows = len(parts["training"][0]) if rows is None else rows.training.n_rows
        log(describe_task(preprocessing, settings, n_rows))
        budget = settings.budget()
        if settings.tune is not None:
            from .train_tuning import Inputs, tuned_inputs  # here: takes long to import

            read = lambda recipe: read_parts(file, settings, recipe, test_file, lambda _: None)
            first = Inputs(recipe, preprocessing, parts)
            recipe, preprocessing, parts = tuned_inputs(first, settings, read, output, budget, log)
        if recipe.n_folds > 1:
            check_checkpoints_of_nets(checkpoints, recipe.n_nets_of_all_folds, file, test_file, output)
        trained = fit(preprocessing, parts, settings, recipe, log, checkpoints, known, rows, budget)
        if trained.stopped_by:
            leave_unfinished(trained, output, checkpoints)
        save_finished(trained, output, log)
        parts = trained.parts
    with interrupt_message(f"Interrupted; the net is in {str(output)!r}."):
        log(f"Saved to {output}" + (", in place of the net that was there." if earlier else "."))
        target = trained.nets.preprocessing.target
        if OUT_OF_FOLD in trained.outputs:
            parts = {**parts, OUT_OF_FOLD: parts["training"]}
        training_y = parts["training"][1]
        by_class = weights_of_classes(settings.class_weight, training_y, target)
        found = measure_parts(trained.nets, target, parts, trained.outputs, by_class)
        print_metrics(found, console)
        if HELD_OUT in trained.outputs:
            log("The figures of the validation part are of the nets before --refit, which have not seen its rows.")
        for sentence in baseline_sentences(found, target, training_y, by_class):
            log(sentence)


def save_finished(trained: Training, path: Path, log: Log) -> None:
    """Save the nets of a finished training; Ctrl-C meanwhile is raised afterwards, with a sentence as its message."""
    saved, not_saved = f"Interrupted; the net is in {str(path)!r}.", f"Interrupted; {left_alone(path)}."
    with interrupt_message(saved), interrupts.deferred(), interrupt_message(not_saved):
        trained.nets.save(path)  # first: what reads the output may be gone, as in `fastmlp train ... | head`
        log(trained.summary or summary(trained.history))


def read_large(
    file: Path,
    settings: TrainSettings,
    recipe: Recipe,
    test_file: Path | None,
    log: partial,
    checkpoints: Checkpoints,
    known: Any,
) -> StreamedParts | None:
    """Return a table that takes more than the memory limit, for training piece by piece, or None for another.

    known : nets to go on with, or None
    """
    if checkpoints.path is not None and settings.memory_limit is None:
        return None  # the share of the free memory may be another one when the same command goes on
    refused = options_in_memory(settings, recipe, known)
    streamed = read_in_pieces(file, settings, recipe, refused, log)
    if streamed is not None and test_file is not None:
        try:
            streamed.parts |= encoded_parts(streamed.preprocessing, {}, test_file, log)
        except BaseException:
            streamed.rows.close()
            raise
    return streamed


def describe_task(preprocessing: Preprocessing, settings: TrainSettings, n_rows: int) -> str:
    """Return a sentence with the task, the number of rows of the training part, and the device."""
    n_features, target = len(preprocessing.feature_names), preprocessing.target
    device = resolve(settings.device)
    place = "the CPU" if device.is_host else device.name  # why, `fastmlp devices` says
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


def check_settings(settings: TrainSettings, recipe: Recipe, checkpoints: Checkpoints, continues: bool = False) -> None:
    """Raise ValueError if a name is unknown, a number out of range, or options do not go together.

    Before the table is read.
    """
    make_optimizer(recipe)
    schedule_factors(recipe.schedule)
    resolve(settings.device)
    if recipe.hidden and not is_auto(recipe.activation):
        activation_code(recipe.activation, HIDDEN, "activation")
    if settings.time_limit is not None:
        checked_number("time_limit", settings.time_limit, 0.0, open_low=True)
    if settings.tune is not None:
        check_tuning(settings, recipe, checkpoints, continues)
    if settings.class_weight is not None:
        checked_weight_items(settings.class_weight)
    if recipe.net_weights == GREEDY and recipe.n_folds == 1 and not recipe.validation_fraction:
        raise ValueError("--net-weights greedy needs held-out rows: set --validation above 0, or leave it out.")
    if settings.calibration == TEMPERATURE and recipe.n_folds == 1 and not recipe.validation_fraction:
        raise ValueError("--calibration temperature needs held-out rows: set --validation above 0, or leave it out.")
    if settings.refit:
        check_refit(settings, recipe, checkpoints, continues)
    if settings.time_limit is not None and checkpoints.path is not None:
        raise ValueError("--time-limit may shorten a training, which --checkpoint could then not go on with: drop one.")


def check_refit(settings: TrainSettings, recipe: Recipe, checkpoints: Checkpoints, continues: bool) -> None:
    """Raise ValueError if --refit does not go with other options."""
    others = {
        settings.of_folds: recipe.n_folds > 1,
        "--net-weights greedy": recipe.net_weights == GREEDY,
        "--checkpoint": checkpoints.path is not None,
        "--continue-from": continues,
    }
    for option, is_given in others.items():
        if is_given:
            raise ValueError(
                f"--refit trains new nets on all rows after a training with held-out rows, which {option} does not go "
                "with: drop one of them."
            )
    if not recipe.validation_fraction:
        raise ValueError("--refit needs held-out rows: set --validation above 0, or leave it out.")


def check_tuning(settings: TrainSettings, recipe: Recipe, checkpoints: Checkpoints, continues: bool) -> None:
    """Raise ValueError if --tune does not go with other options."""
    checked_count("--tune", settings.tune, 2)
    if checkpoints.path is not None:
        raise ValueError("--tune compares settings anew in each run, so --checkpoint does not go with it: drop one.")
    if continues:
        raise ValueError("--tune compares settings of new nets, so --continue-from does not go with it: drop one.")
    if recipe.n_folds == 1 and not recipe.validation_fraction:
        raise ValueError(f"--tune {settings.tune} needs held-out rows: set --validation above 0, or leave it out.")


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
    trained: Training, output: Path, checkpoints: Checkpoints = NO_CHECKPOINTS, remedy: str = ""
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
    interrupted = trained.stopped_by == "interrupt"
    nets, recipe = trained.nets, trained.recipe
    history: Any = trained.history
    reached = f"before the end of the first epoch, so that nothing was saved; {left_alone(output)}"
    if n_epochs := int(np.max(history.epochs)):
        begun = np.flatnonzero(np.atleast_1d(history.epochs))
        if not isinstance(nets, MLP) and len(begun) < nets.n_nets:
            nets = subset_of(nets, begun)
            history = nets.result
        beside = file_beside(output, "interrupted" if interrupted else "diverged")
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
        clipping = "give --clip-norm 1" if not recipe.clip_norm else f"lower --clip-norm (it is {recipe.clip_norm:g})"
        remedy = f"Lower --learning-rate (it is {recipe.learning_rate:g}), or {clipping}."
    raise RuntimeError(f"The loss stopped being finite {reached}. {remedy}")
