"""Implementation of fit, predict and evaluate of MLP and Population for data that are read piece by piece."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..callbacks import Callback, tell_end
from ..checks import LateGenerator
from ..console.stopwatch import Stopwatch
from ..data.validation import make_validation, on_host, sample_for_plots
from ..devices import backend
from ..errors import counted
from ..execution.plan import Plan
from ..history import History
from ..kernels.formulas.seeds import fit_seed, fit_seeds
from ..kernels.jit import interrupts
from ..kernels.structs import METRIC_NONE, METRIC_THRESHOLD, Samples, aligned_zeros
from ..memory_check import format_bytes
from ..network.shared_weights import SharedLayout
from ..population_training.from_histories import result_of_histories
from ..population_training.shared_plan import SharedPlan
from ..streams.loading import RowsInMemory, load
from ..streams.memory_limit import checked_memory_limit
from ..streams.row_cache import RowCache, as_cache
from ..streams.row_file import RowFile
from ..streams.shuffled_blocks import Blocks
from ..streams.sources import Source, as_source
from ..training.fit_state import Saver
from ..training.optimizer_state import checked_state
from ..training.stream_state import StreamState
from ..training.streamed_fit import StreamedFit
from ..training.time_limit import TimeLimit
from .checkpoints_on_demand import random_numbers_of, stream_file
from .fit_arguments import FitArguments
from .fit_preparation import FitData, fit_options
from .net_base import NetBase
from .nets_with_shared_weights import device_of_sharing
from .population_base import PopulationBase
from .single_net_base import SingleNetBase

if TYPE_CHECKING:
    from ..persistence.checkpoints import CheckpointFile
    from ..population_result import PopulationResult

SHOWN_ROWS, SHOWN_NUMBERS = 2000, 2**20  # in history.samples, at most


class StreamArguments(NamedTuple):
    """Checked arguments of MLP.fit for data that are read piece by piece."""

    memory_limit: int  # bytes
    row_cache: RowCache | None
    announces: bool = True  # whether a fit with verbose above 0 says that it reads from disk

    @classmethod
    def checked(
        cls, memory_limit: Any, row_cache: Any, file: CheckpointFile | None = None, net: NetBase | None = None
    ) -> StreamArguments:
        """Return the arguments after a check.

        file : CheckpointFile or None     of the fit, which goes on with the limit that it began with if none is given
        net : MLP or Population     of the fit; with a file
        """
        if memory_limit is None and file is not None:
            from .checkpoint_identity import memory_limit_of

            assert net is not None, "given with a file"
            row_bytes = (net.network.n_features + net.network.n_outputs) * net.dtype.itemsize
            memory_limit = memory_limit_of(file, row_bytes)
        return cls(checked_memory_limit(memory_limit), as_cache(row_cache))


def read_rows(
    net: NetBase, X: Any, y: Any, stream: StreamArguments, arguments: FitArguments, others: dict[str, Any]
) -> RowsInMemory | RowFile:
    """Read X and y once, check them, and return their rows.

    others : {name: value} of the arguments of fit that need all rows in memory, which are refused before rows are
        written to disk
    """

    def before_file() -> None:
        refuse_arguments(**others)
        if arguments.batch_size is None:
            raise ValueError(
                "batch_size is None, all samples in one batch, but they take more than memory_limit. Pass the number "
                "of samples in a step, such as batch_size=256."
            )

    return load(as_source(X, y), net.network, net.dtype, stream.memory_limit, stream.row_cache, before_file)


def refuse_arguments(**given: Any) -> None:
    """Raise ValueError if one of these arguments is given, which need all data in memory."""
    is_empty = lambda value: value is None or value is False or (hasattr(value, "__len__") and len(value) == 0)
    names = [name for name, value in given.items() if not is_empty(value)]
    if names:
        raise ValueError(
            f"{' and '.join(names)} cannot be used with data that are read piece by piece. Leave out what cannot be "
            "used, or pass arrays; for fit, a memory_limit that holds all rows will do."
        )


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
    held_out = _held_out(net, rows, arguments, validation_data)
    checked_state(optimizer_state)
    _ = arguments.optimizer.hyper  # settings of several nets are an error
    net._choose_device(None, arguments.epochs * rows.n_samples, arguments.batch_rows(rows.n_samples, 4))
    with random_numbers_of(net, file):
        states = stream_file(file, net, net.device, rows, arguments, shuffle, held_out, stream.memory_limit)
    further = callbacks, optimizer_state, time_limit, watch, None if states is None else states.of_net()
    return _fit_blocks(net, rows, arguments, stream, held_out, shuffle, *further)


def _held_out(net: NetBase, rows: RowFile, arguments: FitArguments, validation_data: Any) -> Samples | None:
    """Return the held-out samples of a fit, or None, after a check of them and of what early stopping monitors."""
    held_out = None
    if validation_data is not None:
        held_out = make_validation(validation_data, net.network, net.dtype, rows.metric)
    arguments.check_monitor(rows, held_out)  # type: ignore[arg-type]  # of the rows, their metric alone counts
    return held_out


def _fit_blocks(
    net: SingleNetBase,
    rows: RowFile,
    arguments: FitArguments,
    stream: StreamArguments,
    held_out: Samples | None,
    shuffle: bool,
    callbacks: Sequence[Callback],
    optimizer_state: Any,
    time_limit: TimeLimit | None,
    watch: Stopwatch,
    saver: Saver[StreamState] | None,
) -> History:
    """Train a net, whose device is chosen, on the blocks of a row file; parameters as of fit_rows."""
    network, limit = net.network, stream.memory_limit
    size = arguments.batch_rows(rows.n_samples, 4)
    seed = fit_seed(net.seed, net.fits)
    blocks = Blocks(rows, size, bool(shuffle), seed, limit)
    data = FitData(rows, held_out, size, bool(shuffle), seed)  # type: ignore[arg-type]  # options read its counts alone
    options = fit_options(net, arguments, data, callbacks, (), optimizer_state, False, time_limit)
    net.history = history = History(net)
    history.optimizer = options.optimizer
    history.samples = {"training": _shown_rows(rows), **sample_for_plots({"validation": held_out})}
    net.fits += 1
    if arguments.verbose and stream.announces:
        print(_notice(rows, blocks, limit), file=sys.stderr)
    device = net.device  # a prediction in a callback may change the net's
    with device.on():
        n_shuffled = blocks.size if shuffle and size < blocks.size else 0
        blocks.copy_to(backend(device).block_copies(blocks.sizes, net.dtype, n_shuffled))

        def make_plan(n: int) -> Plan:
            batch = min(size, n)
            return Plan.for_training(
                network, device, net.dtype, n, batch, bool(shuffle) and batch < n, precision=net.precision
            )

        validation = None if held_out is None else (net._plan_for(held_out.n_samples), held_out)
        described = options.description(rows, held_out, make_plan(size).n_threads, *arguments.schedules)  # type: ignore[arg-type]
        history.settings = lambda: {**described(), "memory_limit": limit}  # type: ignore[assignment]
        trained = blocks, rows.n_samples, rows.metric, validation, net._padded
        fit = StreamedFit(make_plan, *trained, options, history, saver)
        try:
            fit.run()
        finally:
            if validation is not None:
                validation[0].release()
            history.seconds, history.compile_seconds = watch.read()
            tell_end(callbacks, history)
    return history


def _notice(rows: RowFile, blocks: Blocks, limit: int) -> str:
    return (
        f"Reading {rows.n_samples:,} rows from disk in each epoch, in {counted(blocks.n_blocks, 'block')}: they take "
        f"{format_bytes(rows.n_samples * rows.row_bytes)}, and memory_limit is {format_bytes(limit)}."
    )


def _shown_rows(rows: RowFile) -> tuple[np.ndarray, np.ndarray]:
    """Return evenly spaced rows, for plots."""
    n = min(rows.n_samples, SHOWN_ROWS, max(100, SHOWN_NUMBERS // sum(rows.widths)))
    X, Y = (np.empty((n, width), rows.dtype) for width in rows.widths)
    for i, row in enumerate(np.linspace(0, rows.n_samples - 1, n).round().astype(np.int64).tolist()):
        rows.read(row, X[i : i + 1], Y[i : i + 1])
    return X, Y


def in_pieces(predict: Callable[[Any], Any], X: Any, axis: int = 0) -> np.ndarray:
    """Return what `predict` returns for all rows of a source; it is called with each piece.

    axis : that of the rows in the result
    """
    source = as_source(X)
    found = [on_host(predict(features)) for features, _ in source.pieces() if len(features)]
    if not found:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    return np.concatenate(found, axis)


def scores_of_pieces(net: NetBase, X: Any, y: Any) -> dict[str, Any]:
    """Return MLP.evaluate's or Population.evaluate's result for a source."""
    source = as_source(X, y)
    metrics = set[int]()
    found = _scores(net, source, None, metrics)
    if len(metrics) > 1 and METRIC_NONE not in metrics:  # pieces of labels that look like classes: once more, as labels
        found = _scores(net, source, METRIC_THRESHOLD, metrics)
    metric = metrics.pop() if len(metrics) == 1 else METRIC_NONE if METRIC_NONE in metrics else METRIC_THRESHOLD
    return net._scores(metric, *found)


def _scores(net: NetBase, source: Source, metric: int | None, metrics: set[int]) -> Any:
    """Return (mean loss, accuracy) over a source, of a population (n_nets,) each, and add the metrics of its pieces to
    `metrics`.

    metric : what counts as correct; by default as each piece's targets say
    """
    sums, n_samples = np.zeros(()), 0
    for features, targets in source.pieces():
        if not len(features):
            continue
        of_piece, scores = net._scores_of_piece(features, targets, metric)
        metrics.add(of_piece)
        sums = sums + len(features) * np.array(scores)
        n_samples += len(features)
    if n_samples == 0:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none, or can be read only once.")
    loss, accuracy = sums / n_samples
    return (float(loss), float(accuracy)) if sums.ndim == 1 else (loss, accuracy)


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
    held_out, first = _held_out(pop, rows, arguments, validation_data), pop.net(0)
    first._choose_device(None, arguments.epochs * rows.n_samples, arguments.batch_rows(rows.n_samples, 4))
    with random_numbers_of(pop, file):
        optimizer = arguments.optimizer.for_nets(pop.n_nets, LateGenerator([pop.seed, pop.fits]))
        of_nets = arguments._replace(optimizer=optimizer)
        states = stream_file(file, pop, first.device, rows, of_nets, shuffle, held_out, stream.memory_limit)
    histories: list[History] = []
    interrupted = False
    with nullcontext() if states is None else states:  # which are written at the end, when the nets have their result
        for k in range(pop.n_nets):
            history = History()
            if not interrupted:
                net = pop.net(k)
                net.fits, net.device = pop.fits, first.device
                of_net = arguments._replace(optimizer=optimizer.of_net(k))
                announced = stream._replace(announces=stream.announces and k == 0)
                further = (), None, None, Stopwatch(), None if states is None else states.of_net(k)
                try:
                    history = _fit_blocks(net, rows, of_net, announced, held_out, shuffle, *further)
                    interrupted = history.stopped_by == "interrupt"
                except KeyboardInterrupt:  # before or after the epochs of this net
                    history, interrupted = net.history or history, True
                    if not any(known.epochs for known in (*histories, history)):
                        raise
                    if not history.epochs:
                        history.stopped_by = "interrupt"
                pop.params[k] = net.params
            else:
                history.stopped_by = "interrupt"
            histories.append(history)
        monitor = _monitor_of(arguments, validation_data)
        with interrupts.deferred():  # Ctrl-C here must not leave trained nets without their result
            pop.fits += 1
            pop.result = result = result_of_histories(histories, interrupted, monitor)
    return result


def fit_shared_rows(
    pop: PopulationBase,
    rows: RowFile,
    arguments: FitArguments,
    stream: StreamArguments,
    validation_data: Any,
    shuffle: bool,
    watch: Stopwatch,
) -> PopulationResult:
    """Train nets with shared weights on a row file, all together; parameters as of fit_population_rows.

    Records of the training are means over the nets, those of held-out samples of their mean output.

    watch : Stopwatch     started when the fit began
    """
    held_out, device = _held_out(pop, rows, arguments, validation_data), device_of_sharing(pop)
    time_limit = None if arguments.time_limit is None else TimeLimit(arguments.time_limit, watch)
    size, seed = arguments.batch_rows(rows.n_samples, 4), int(fit_seeds(pop.seeds, pop.fits)[0])
    blocks = Blocks(rows, size, bool(shuffle), seed, stream.memory_limit)
    data = FitData(rows, held_out, size, bool(shuffle), seed)  # type: ignore[arg-type]  # options read its counts alone
    options = fit_options(pop, arguments, data, (), (), None, False, time_limit)  # type: ignore[arg-type]
    layout = SharedLayout(pop.network, pop.n_nets)
    vector = aligned_zeros(layout.n_padded, pop.dtype)
    layout.read_nets(pop.params, vector)
    plans: dict[int, SharedPlan] = {}

    def make_plan(n: int) -> SharedPlan:
        if n not in plans:
            batch = min(size, n)
            shuffles = bool(shuffle) and batch < n
            plans[n] = SharedPlan.for_training(layout, device, pop.dtype, n, batch, shuffles)
        return plans[n]

    if arguments.verbose and stream.announces:
        print(_notice(rows, blocks, stream.memory_limit), file=sys.stderr)
    validation: Any = None
    history = History()
    if held_out is not None:
        validation = SharedPlan.for_evaluation(layout, device, pop.dtype, held_out.n_samples), held_out
    described = options.description(rows, held_out, make_plan(size).n_threads, *arguments.schedules)  # type: ignore[arg-type]
    history.settings = lambda: {**described(), "memory_limit": stream.memory_limit}  # type: ignore[assignment]
    make: Any = make_plan  # of a SharedPlan, which has what a fit of blocks asks of a Plan
    try:
        StreamedFit(make, blocks, rows.n_samples, rows.metric, validation, vector, options, history).run()
    finally:
        with interrupts.deferred():  # nets of which some have their scales would be wrong ones
            layout.write_nets(vector, pop.params)
    with interrupts.deferred():
        pop.fits += 1
        monitor = _monitor_of(arguments, validation_data)
        result = result_of_histories([history] * pop.n_nets, history.stopped_by == "interrupt", monitor)
        seconds, compile_seconds = watch.read()
        pop.result = result = replace(result, seconds=seconds, compile_seconds=compile_seconds)
    return result


def _monitor_of(arguments: FitArguments, validation_data: Any) -> str | None:
    """Return the record that early stopping looks at, or None without early stopping."""
    if arguments.early_stopping is None:
        return None
    return arguments.early_stopping.monitor or ("loss" if validation_data is None else "validation_loss")
