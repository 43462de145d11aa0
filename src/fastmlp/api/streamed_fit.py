"""Implementation of fit of MLP and Population for data that are read piece by piece."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..callbacks import Callback, tell_end
from ..console.nets_progress import NetsInTraining, PartProgress
from ..console.progress_bar import NetLines, Progress
from ..console.stopwatch import Stopwatch
from ..data.checked_samples import make_validation, sample_for_plots
from ..data.targets import unsmoothed
from ..devices import Device, backend
from ..errors import counted, is_per_net
from ..execution.dispatch import choose_training
from ..execution.plan import Plan
from ..history import History
from ..interface.setting_checks import LateGenerator
from ..kernels.formulas.net_seeds import fit_seed
from ..kernels.structs import Samples
from ..kernels.system import interrupts
from ..network.spec import Network
from ..optimizers import settings_of
from ..population_training.result_of_histories import result_of_histories
from ..runtime.memory_check import format_bytes
from ..streams.row_file import RowFile
from ..streams.row_loading import RowsInMemory, load
from ..streams.shuffled_blocks import Blocks
from ..streams.sources import as_source
from ..training.batch_rows import takes_all
from ..training.fit_loop_on_blocks import StreamedFit
from ..training.fit_options import Options
from ..training.fit_state import Saver
from ..training.optimizer_state import checked_state
from ..training.stream_state import StreamState
from ..training.time_limit import TimeLimit
from .fit_arguments import FitArguments
from .fit_preparation import FitData, fit_options
from .net_base import NetBase
from .optional_checkpoints import random_numbers_of, stream_file
from .per_net_settings import text_of_shared_settings
from .population_base import PopulationBase
from .single_net_base import SingleNetBase
from .stream_arguments import StreamArguments, refuse_with_stream

if TYPE_CHECKING:
    from ..persistence.checkpoint_files import CheckpointFile
    from ..population_result import PopulationResult
    from .stream_checkpoints import StreamFile

SHOWN_ROWS, SHOWN_NUMBERS = 2000, 2**20  # in history.samples, at most


def read_rows(
    net: NetBase, X: Any, y: Any, stream: StreamArguments, arguments: FitArguments, others: dict[str, Any]
) -> RowsInMemory | RowFile:
    """Read X and y once, check them, and return their rows.

    others : {name: value} of the arguments of fit that need all rows in memory, which are refused before rows are
        written to disk
    """

    def before_file() -> None:
        refuse_with_stream(**others)
        if arguments.batch_size is None:
            raise ValueError(
                "batch_size is None, all samples in one batch, but they take more than memory_limit. Pass the number "
                "of samples in a step, such as batch_size=256."
            )
        if takes_all(arguments.batch_size, arguments.optimizer.rule):
            raise ValueError(
                f"{type(arguments.optimizer).__name__} needs all samples in one batch, but they take more than "
                "memory_limit. Choose an optimizer that is trained in batches, such as 'adam'."
            )

    return load(as_source(X, y), net.network, net.dtype, stream.memory_limit, stream.row_cache, before_file)


class Plans(NamedTuple):
    """Plans of a fit to blocks of rows.

    make : function (n_samples) that returns the plan of a block
    validation : plan for the held-out samples, or None
    """

    make: Callable[[int], Any]
    validation: Any


@dataclass(frozen=True)
class StreamTask:
    """Task of a fit to a row file: rows, arguments of the fit, and held-out samples."""

    rows: RowFile
    arguments: FitArguments
    stream: StreamArguments
    held_out: Samples | None
    shuffle: bool

    @classmethod
    def checked(
        cls,
        nets: NetBase,
        rows: RowFile,
        arguments: FitArguments,
        stream: StreamArguments,
        validation_data: Any,
        shuffle: bool,
    ) -> StreamTask:
        """Return the task after a check of the held-out samples, and of what early stopping monitors."""
        held_out = None
        if validation_data is not None:
            held_out = make_validation(validation_data, nets.network, nets.dtype, rows.metric)
        arguments.check_monitor(rows, held_out)  # type: ignore[arg-type]  # of the rows, their metric alone counts
        return cls(rows, arguments, stream, held_out, bool(shuffle))

    @cached_property
    def batch_size(self) -> int:
        return self.arguments.batch_rows(self.rows.n_samples, 4)

    @property
    def monitor(self) -> str | None:
        """The record that early stopping looks at, or None without early stopping."""
        if self.arguments.early_stopping is None:
            return None
        return self.arguments.early_stopping.monitor or ("loss" if self.held_out is None else "validation_loss")

    def batches_of(self, n_samples: int) -> tuple[int, bool]:
        """Return the batch size of a block of so many rows, and whether they are shuffled."""
        size = min(self.batch_size, n_samples)
        return size, self.shuffle and size < n_samples

    def choose_device(self, net: SingleNetBase) -> None:
        """Choose the device of a net, by the work of the fit."""
        net._choose_device(None, self.arguments.epochs * self.rows.n_samples, self.batch_size)

    def checkpoint_states(self, file: CheckpointFile | None, nets: NetBase, device: Device) -> StreamFile | None:
        """Return the states of nets in the file of the fit's checkpoints, or None without it."""
        further = self.rows, self.arguments, self.shuffle, self.held_out, self.stream.memory_limit
        return stream_file(file, nets, device, *further)

    def begin(
        self,
        nets: Any,
        seed: int,
        time_limit: TimeLimit | None,
        callbacks: Sequence[Callback] = (),
        optimizer_state: Any = None,
    ) -> tuple[Blocks, Options]:
        """Return the blocks of the rows and the options of the fit, and say that rows are read from disk.

        nets : MLP
        seed : of shuffling and dropout
        """
        rows, size, limit = self.rows, self.batch_size, self.stream.memory_limit
        blocks = Blocks(rows, size, self.shuffle, seed, limit)
        data = FitData(rows, self.held_out, size, self.shuffle, seed)  # type: ignore[arg-type]  # its counts are read
        options = fit_options(nets, self.arguments, data, callbacks, (), optimizer_state, False, time_limit)
        if self.arguments.verbose and self.stream.announces:
            print(_notice(rows, blocks, limit), file=sys.stderr)
        return blocks, options

    def describe(self, history: History, options: Options, n_threads: int) -> None:
        """Write the settings of the fit to its history; n_threads : of the plans"""
        described = options.description(self.rows, self.held_out, n_threads, *self.arguments.schedules)  # type: ignore[arg-type]
        limit = self.stream.memory_limit
        history.settings = lambda: {**described(), "memory_limit": limit}  # type: ignore[assignment]

    def train(
        self,
        blocks: Blocks,
        options: Options,
        plans: Plans,
        params: np.ndarray,
        history: History,
        saver: Saver[StreamState] | None = None,
    ) -> None:
        """Train parameters in place, and write records to the history.

        blocks, options : as `begin` returns them
        params : as of StreamedFit
        """
        rows = self.rows
        validation = None if self.held_out is None else (plans.validation, self.held_out)
        StreamedFit(plans.make, blocks, rows.n_samples, rows.metric, validation, params, options, history, saver).run()


def fit_rows(
    net: SingleNetBase,
    rows: RowFile,
    arguments: FitArguments,
    stream: StreamArguments,
    validation_data: Any,
    shuffle: bool,
    callbacks: Sequence[Callback],
    optimizer_state: Any,
    time_limit: TimeLimit | None,
    watch: Stopwatch,
    file: CheckpointFile | None = None,
) -> History:
    """Train a net on a row file; arguments are those of MLP.fit.

    time_limit : TimeLimit or None
    watch : Stopwatch     started when the fit began
    file : CheckpointFile or None     of the fit's checkpoints
    """
    task = StreamTask.checked(net, rows, arguments, stream, validation_data, shuffle)
    checked_state(optimizer_state)
    _ = arguments.optimizer.hyper  # settings of several nets are an error
    task.choose_device(net)
    with random_numbers_of(net, file):
        states = task.checkpoint_states(file, net, net.device)
    saver = None if states is None else states.of_net()
    return _fit_net(net, task, watch, saver, time_limit, callbacks, optimizer_state)


def _fit_net(
    net: SingleNetBase,
    task: StreamTask,
    watch: Stopwatch,
    saver: Saver[StreamState] | None,
    time_limit: TimeLimit | None = None,
    callbacks: Sequence[Callback] = (),
    optimizer_state: Any = None,
    part: PartProgress | None = None,
) -> History:
    """Train a net, whose device is chosen; parameters as of fit_rows.

    part : display of the fit as a part of that of a population, which then warns of divergence itself
    """
    blocks, options = task.begin(net, fit_seed(net.seed, net.fits), time_limit, callbacks, optimizer_state)
    options = replace(options, progress=part, warns=part is None)
    net.history = history = History(net)
    history.optimizer = options.optimizer
    history.samples = {
        "training": _shown_rows(net.network, task.rows),
        **sample_for_plots(net.network, {"validation": task.held_out}),
    }
    net.fits += 1
    device = net.device  # a prediction in a callback may change the net's
    of_net = net.network, device, net.dtype
    with device.on():
        _, shuffles = task.batches_of(blocks.size)
        blocks.copy_to(backend(device).block_copies(blocks.sizes, net.dtype, blocks.size if shuffles else 0))
        make_plan = lambda n: Plan.for_training(*of_net, n, *task.batches_of(n), precision=net.precision)
        task.describe(history, options, choose_training(*of_net, task.batch_size, net.precision).n_threads)
        validation_plan = None if task.held_out is None else net._plan_for(task.held_out.n_samples)
        try:
            task.train(blocks, options, Plans(make_plan, validation_plan), net._padded, history, saver)
        finally:
            if validation_plan is not None:
                validation_plan.release()
            history.seconds, history.compile_seconds = watch.read()
            tell_end(callbacks, history)
    return history


def _notice(rows: RowFile, blocks: Blocks, limit: int) -> str:
    return (
        f"Reading {rows.n_samples:,} rows from disk in each epoch, in {counted(blocks.n_blocks, 'block')}: they take "
        f"{format_bytes(rows.n_samples * rows.row_bytes)}, and memory_limit is {format_bytes(limit)}."
    )


def _shown_rows(network: Network, rows: RowFile) -> tuple[np.ndarray, np.ndarray]:
    """Return evenly spaced rows for plots, with targets without label smoothing."""
    n = min(rows.n_samples, SHOWN_ROWS, max(100, SHOWN_NUMBERS // sum(rows.widths)))
    X, Y = (np.empty((n, width), rows.dtype) for width in rows.widths)
    for i, row in enumerate(np.linspace(0, rows.n_samples - 1, n).round().astype(np.int64).tolist()):
        rows.read(row, X[i : i + 1], Y[i : i + 1])
    return X, unsmoothed(Y, network)


def fit_population_rows(
    pop: PopulationBase,
    rows: RowFile,
    arguments: FitArguments,
    stream: StreamArguments,
    validation_data: Any,
    shuffle: bool,
    file: CheckpointFile | None = None,
) -> PopulationResult:
    """Train the nets of a population on a row file one after another; arguments are those of Population.fit.

    Ctrl-C ends the training: nets that have not begun keep their parameters, and count no epoch.

    file : CheckpointFile or None     of the fit's checkpoints
    """
    task, first = StreamTask.checked(pop, rows, arguments, stream, validation_data, shuffle), pop.net(0)
    task.choose_device(first)
    with random_numbers_of(pop, file):
        optimizer = arguments.optimizer.for_nets(pop.n_nets, LateGenerator([pop.seed, pop.fits]))
        of_nets = replace(task, arguments=arguments._replace(optimizer=optimizer))
        states = of_nets.checkpoint_states(file, pop, first.device)
    histories: list[History] = []
    interrupted = False
    with (
        nullcontext() if states is None else states,  # which are written at the end, when the nets have their result
        _progress_of_nets(pop.n_nets, arguments.verbose, histories) as progress,
    ):
        in_training = NetsInTraining(lambda nets: progress.show(nets.done, float("nan"), nets.find_best))
        for k in range(pop.n_nets):
            history = History()
            if not interrupted:
                net = pop.net(k)
                net.device = first.device
                of_net = replace(
                    task,
                    arguments=arguments._replace(optimizer=optimizer.of_net(k)),
                    stream=stream._replace(announces=stream.announces and k == 0),
                )
                saver = None if states is None else states.of_net(k)
                part = in_training.begin(k, arguments.epochs, arguments.verbose)
                try:
                    history = _fit_net(net, of_net, Stopwatch(), saver, part=part)
                    in_training.end(k)
                    interrupted = history.stopped_by == "interrupt"
                except KeyboardInterrupt:  # before or after the epochs of this net
                    history, interrupted = net.history or history, True
                    if not any(known.epochs for known in (*histories, history)):
                        raise
                    if not history.epochs:
                        history.stopped_by = "interrupt"
                pop.params[k] = net.params
                history.samples = {}  # of each net the same rows, which nothing would show
            else:
                history.stopped_by = "interrupt"
            histories.append(history)
        with interrupts.deferred():  # Ctrl-C here must not leave trained nets without their result
            pop.fits += 1
            pop.device = first.device
            result = result_of_histories(histories, interrupted, task.monitor)
            settings = {**settings_of(optimizer), "l2": pop.l2, "dropout": pop.dropout, "init_scale": pop.init_scale}
            pop.result = result = replace(
                result,
                settings={name: value for name, value in settings.items() if is_per_net(value)},
                arguments={**result.arguments, "optimizer": text_of_shared_settings(optimizer)},
            )
    result.warn_of_divergence()
    return result


def _progress_of_nets(n_nets: int, verbose: int, histories: list[History]) -> Progress:
    """Return the display of nets that are trained one after another: a bar or, with verbose=2, lines.

    histories : of the nets that have been trained so far
    """

    def figures() -> str:
        losses = [history.loss[-1] for history in histories if history.epochs]
        return f"median loss {np.median(losses):.4g}" if losses else ""

    return NetLines(n_nets, figures) if verbose == 2 else Progress(n_nets, verbose, "net")
