"""The command `fastmlp sweep`: searches settings for a net on the table in a file, and saves the best net."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..devices import resolve
from ..errors import install_command
from ..fit.interruption import interrupt_message
from ..initialization import UniformByFanIn
from ..runtime.output_files import check_output, file_beside, files_beside, left_alone
from ..sweeps.search import Search
from ..sweeps.search_file import search_file
from ..table_training.recipe_fit import SCHEDULE
from ..table_training.recipes import OF_CLASSES, Recipe
from ..tables.target import CLASSIFICATION
from .train import (
    Prepared,
    check_checkpoints,
    check_files_beside,
    describe_earlier_net,
    describe_task,
    leave_unfinished,
    model_of,
    prepare_table,
    preprocessing_of,
    report,
    save_finished,
    stopped_by,
    train_prepared,
)
from .train_options import Checkpoints, TrainOptions, interval_option
from .train_table import encoded_part, read_test_part, read_training_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..table_training.model import TableModel

SHOWN = 8  # rows of the table of the best
CONNECT_SECONDS = 20  # until a scheduler of Dask must have answered
AFTER_DIVERGENCE = (
    "The settings with the best score diverge on all rows: try more of them with --n, or others with --seed, or train "
    "with `fastmlp train`."
)


class SearchLimits(NamedTuple):
    """How much is searched, and where; as the options of the command."""

    n: int
    cv: int
    workers: int | None = None
    dask: str | None = None


def search_space(task: str, recipe: Recipe) -> dict[str, Any]:
    """Return the settings that are searched, with their choices, as sweep takes them.

    task : "classification" or "regression"
    recipe : of the net that is trained with the best of them, which has the other settings, as all nets here
    """
    from scipy.stats import loguniform

    loss = OF_CLASSES if task == CLASSIFICATION else "squared_error"
    return {
        "hidden_layer_sizes": [(64,), (64, 64), (128, 128), (256, 256), (256, 128, 64)],
        "learning_rate": loguniform(3e-4, 3e-2),
        "weight_decay": loguniform(1e-5, 1e-1),
        "dropout": [0.0, 0.1, 0.2, 0.4],
        "batch_size": [64, 256],
        "hidden_activation": recipe.activation_for(loss),
        "label_smoothing": recipe.label_smoothing_for(loss),
        "init": UniformByFanIn(),
        "optimizer": "adamw",
        "schedule": SCHEDULE,
        "loss": loss,
    }


def run(
    options: TrainOptions, recipe: Recipe, limits: SearchLimits, checkpoints: Checkpoints, console: Console
) -> None:
    """Search settings, train the net with the best, save it and print its metrics.

    options, recipe : of the nets, but for what is searched

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, with a sentence that says what was saved.
    """
    file, output, test_file = options.file, options.output, options.test
    log = partial(console.print, markup=False, soft_wrap=True)
    check_output(output, file, test_file)
    check_checkpoints(checkpoints, output, *files_beside(output), file, test_file)
    resolve(options.device)
    with interrupt_message(f"Interrupted; {left_alone(output)}."):
        earlier = describe_earlier_net(output)
        check_files_beside(output)
        model = model_of(options, recipe, log)
        prepared = prepare_table(model, read_training_table(options, log), options)
        parts = {"training": prepared.sample}
        if prepared.data.held_out is not None:
            held_out = prepared.data.held_out
            parts["validation"] = encoded_part(prepared.target, held_out.X, held_out.y)
        if test_file is not None:
            parts["test"] = read_test_part(preprocessing_of(model, prepared.target, options), test_file, log)
        if earlier:
            log(f"{earlier}; it will be replaced when this search is done.")
        search = find(prepared, recipe, options, limits, checkpoints, console)
        order = search.order()
        if not order.size:
            raise KeyboardInterrupt(f"Interrupted before the first settings were scored; {left_alone(output)}.")
        log(f"Best {search.scoring} of {len(order)} settings: {settings_text(search.rows[order[0]])}")
        saved = file_beside(output, "interrupted") if search.interrupted else output
        train_best(search.rows[order[0]], model, prepared, parts, options, saved, console)
    if search.interrupted:
        raise KeyboardInterrupt(
            f"Interrupted after {len(order)} of {limits.n} settings; the net with the best of them is in "
            f"{str(saved)!r}, and {left_alone(output)}."
        )


def find(
    prepared: Prepared,
    recipe: Recipe,
    options: TrainOptions,
    limits: SearchLimits,
    checkpoints: Checkpoints,
    console: Console,
) -> Search:
    """Return the finished or interrupted search on the training part; a table shows the best settings meanwhile."""
    X, y = prepared.sample
    space = search_space(prepared.target.task, recipe)
    search = Search(X, y, space, limits.n, limits.cv, recipe.epochs, None, options.device, "float32", options.seed)
    file = search_file(checkpoints.path, interval_option(checkpoints.every), checkpoints.resume, 1)
    with executor_of(limits) as executor:
        if not console.is_terminal:
            search.run(0, executor, file=file)
            console.print(best_table(search))
            return search
        from rich.live import Live

        with Live(best_table(search), console=console, refresh_per_second=4) as live:
            search.run(0, executor, lambda: live.update(best_table(search)), file)
            live.update(best_table(search))
    return search


def best_table(search: Search) -> Table:
    """Return the table of the best settings so far."""
    from rich.table import Table

    order = search.order()
    table = Table(title=f"{len(order)} of {len(search.rows)} settings")
    table.add_column(search.scoring, justify="right")
    table.add_column("SD", justify="right")
    table.add_column("settings")
    for k in order[:SHOWN]:
        scores = search.fold_scores[k]
        table.add_row(f"{scores.mean():.4f}", f"{scores.std(ddof=1):.4f}", settings_text(search.rows[k]))
    return table


def settings_text(row: dict[str, Any]) -> str:
    """Return the settings that are searched as text, without those that are the same for all nets."""
    shown = ("hidden_layer_sizes", "learning_rate", "weight_decay", "dropout", "batch_size")
    texts = {name: f"{row[name]:.3g}" if isinstance(row[name], float) else str(row[name]) for name in shown}
    return ", ".join(f"{name.removesuffix('_layer_sizes')} {text}" for name, text in texts.items())


def train_best(
    row: dict[str, Any],
    model: TableModel,
    prepared: Prepared,
    parts: dict[str, Any],
    options: TrainOptions,
    saved: Path,
    console: Console,
) -> None:
    """Train the net with the best settings as `fastmlp train` does, save it and print its metrics.

    saved : file to save the net to
    """
    log = partial(console.print, markup=False, soft_wrap=True)
    names = {"hidden": "hidden_layer_sizes"}
    fields = "hidden", "learning_rate", "dropout", "batch_size", "weight_decay"
    model.recipe = replace(model.recipe, **{name: row[names.get(name, name)] for name in fields})
    preprocessing = preprocessing_of(model, prepared.target, options)
    log(describe_task(preprocessing, options.device, prepared.data.training.n_rows))
    nets = train_prepared(model, prepared, options, None, log)
    if stopped_by(model):
        leave_unfinished(model, options.output, remedy=AFTER_DIVERGENCE)
    save_finished(model, saved, log)
    with interrupt_message(f"Interrupted; the net is in {str(saved)!r}."):
        log(f"Saved to {saved}.")
        report(nets, parts, {}, None, console)


@contextmanager
def executor_of(limits: SearchLimits) -> Iterator[Any]:
    """Context with the executor that the options name, or None.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ConnectionError
        If the scheduler of the Dask cluster does not answer.
    """
    if limits.workers is not None:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        # Workers are started anew, since a forked one would have this process's threads half; Ctrl-C is for this one.
        pool = ProcessPoolExecutor(limits.workers, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return
    with nullcontext() if limits.dask is None else _dask_client(limits.dask) as client:
        yield client


def _dask_client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(f"--dask needs distributed: {install_command('dask')}.") from error
    try:
        return Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"The Dask scheduler {address!r} does not answer: {error}. Start one with `dask scheduler`, and give the "
            "address that it prints."
        ) from error
