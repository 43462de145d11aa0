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
from ..initialization import UniformByFanIn
from ..runtime.output_files import check_output, file_beside, files_beside, left_alone
from ..sweeps.search import Search
from ..sweeps.search_file import search_file
from ..table_training.recipes import OF_CLASSES, Recipe
from ..tables.target import CLASSIFICATION
from ..training.interruption import interrupt_message
from .metrics_table import baseline_sentences, measure_parts, print_metrics
from .train import (
    check_checkpoints,
    check_files_beside,
    describe_earlier_net,
    describe_task,
    leave_unfinished,
    save_finished,
)
from .train_nets import fit
from .train_parts import Parts, read_parts
from .train_settings import Checkpoints, TrainSettings, interval_option

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..tables.preprocessing import Preprocessing

SHOWN = 8  # rows of the table of the best
CONNECT_SECONDS = 20  # until a scheduler of Dask must have answered
AFTER_DIVERGENCE = (
    "The settings with the best score diverge on all rows: try more of them with --n, or others with --seed, or train "
    "with `fastmlp train`, which clips gradients."
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
        "optimizer": recipe.optimizer,
        "schedule": recipe.schedule,
        "loss": loss,
    }


def run(
    file: Path,
    settings: TrainSettings,
    limits: SearchLimits,
    output: Path,
    test_file: Path | None,
    checkpoints: Checkpoints,
    console: Console,
) -> None:
    """Search settings, train the net with the best, save it and print its metrics.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, with a sentence that says what was saved.
    """
    log = partial(console.print, markup=False, soft_wrap=True)
    check_output(output, file, test_file)
    check_checkpoints(checkpoints, output, *files_beside(output), file, test_file)
    resolve(settings.device)
    with interrupt_message(f"Interrupted; {left_alone(output)}."):
        earlier = describe_earlier_net(output)
        check_files_beside(output)
        preprocessing, parts = read_parts(file, settings, settings.recipe(), test_file, log)
        if earlier:
            log(f"{earlier}; it will be replaced when this search is done.")
        search = find(preprocessing, parts, settings, limits, checkpoints, console)
        order = search.order()
        if not order.size:
            raise KeyboardInterrupt(f"Interrupted before the first settings were scored; {left_alone(output)}.")
        log(f"Best {search.scoring} of {len(order)} settings: {settings_text(search.rows[order[0]])}")
        saved = file_beside(output, "interrupted") if search.interrupted else output
        train_best(search.rows[order[0]], preprocessing, parts, settings, (output, saved), console)
    if search.interrupted:
        raise KeyboardInterrupt(
            f"Interrupted after {len(order)} of {limits.n} settings; the net with the best of them is in "
            f"{str(saved)!r}, and {left_alone(output)}."
        )


def find(
    preprocessing: Preprocessing,
    parts: Parts,
    settings: TrainSettings,
    limits: SearchLimits,
    checkpoints: Checkpoints,
    console: Console,
) -> Search:
    """Return the finished or interrupted search on the training part; a table shows the best settings meanwhile."""
    X, y = parts["training"]
    space = search_space(preprocessing.target.task, settings.recipe())
    device, seed = settings.device, settings.seed
    search = Search(X, y, space, limits.n, limits.cv, settings.epochs, None, device, "float32", seed)
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
    preprocessing: Preprocessing,
    parts: Parts,
    settings: TrainSettings,
    files: tuple[Path, Path],
    console: Console,
) -> None:
    """Train the net with the best settings as `fastmlp train` does, save it and print its metrics.

    files : output of the command, and the file to save the net to
    """
    output, saved = files
    log = partial(console.print, markup=False, soft_wrap=True)
    settings = replace(
        settings,
        hidden=row["hidden_layer_sizes"],
        learning_rate=row["learning_rate"],
        dropout=row["dropout"],
        batch_size=row["batch_size"],
        weight_decay=row["weight_decay"],
    )
    log(describe_task(preprocessing, settings, len(parts["training"][0])))
    trained = fit(preprocessing, parts, settings, settings.recipe(), log)
    if trained.stopped_by:
        leave_unfinished(trained, output, remedy=AFTER_DIVERGENCE)
    save_finished(trained, saved, log)
    with interrupt_message(f"Interrupted; the net is in {str(saved)!r}."):
        log(f"Saved to {saved}.")
        target = trained.nets.preprocessing.target
        found = measure_parts(trained.nets, target, parts, trained.outputs)
        print_metrics(found, console)
        for sentence in baseline_sentences(found, target, parts["training"][1]):
            log(sentence)


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
