"""What MLP.fit, predict and evaluate do with data that are read piece by piece."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..callbacks import Callback
from ..console.stopwatch import Stopwatch
from ..data.validation import make_validation, validated_samples
from ..errors import counted
from ..execution.plan import Plan
from ..history import History
from ..kernels.formulas.seeds import fit_seed
from ..memory_check import format_bytes
from ..streams.blocks import Blocks
from ..streams.loading import RowsInMemory, load
from ..streams.memory_limit import checked_memory_limit
from ..streams.row_file import RowFile, as_cache
from ..streams.sources import as_source
from ..training.streamed_fit import StreamedFit
from .fit_arguments import FitArguments
from .mlp_fit import FitData, fit_options

if TYPE_CHECKING:
    from ..mlp import MLP

SHOWN_ROWS = 2000  # in history.samples


class StreamArguments(NamedTuple):
    """Arguments of MLP.fit for data that are read piece by piece."""

    memory_limit: Any
    row_cache: Any


def read_rows(net: MLP, X: Any, y: Any, arguments: StreamArguments) -> RowsInMemory | RowFile:
    """Read X and y once, check them, and return their rows."""
    cache = as_cache(arguments.row_cache)
    return load(as_source(X, y), net.network, net.dtype, checked_memory_limit(arguments.memory_limit), cache)


def refuse_arguments(**given: Any) -> None:
    """Raise ValueError if one of these arguments is given, which need all data in memory."""
    names = [name for name, value in given.items() if value is not None and value is not False and np.size(value)]
    if names:
        raise ValueError(
            f"{' and '.join(names)} cannot be used with data that are read piece by piece. Leave out what cannot be "
            "used, or pass arrays; for fit, a memory_limit that holds all rows will do."
        )


def fit_rows(
    net: MLP,
    rows: RowFile,
    arguments: FitArguments,
    stream: StreamArguments,
    validation_data: Any,
    shuffle: bool,
    callbacks: Sequence[Callback],
    optimizer_state: Any,
    schedule: Any,
    watch: Stopwatch,
) -> History:
    """Train a net on a row file; arguments are those of MLP.fit.

    watch : Stopwatch     started when the fit began
    """
    network, limit = net.network, checked_memory_limit(stream.memory_limit)
    if arguments.batch_size is None:
        raise ValueError(
            "batch_size is None, all samples in one batch, but they take more than memory_limit. Pass the number of "
            "samples in a step, such as batch_size=256."
        )
    size = arguments.batch_rows(rows.n_samples, 4)
    seed = fit_seed(net.seed, net.fits)
    blocks = Blocks(rows, size, bool(shuffle), seed, limit)
    held_out = None
    if validation_data is not None:
        held_out = make_validation(validation_data, network, net.dtype, rows.metric)
    data = FitData(rows, held_out, size, bool(shuffle), seed)  # type: ignore[arg-type]  # options read its counts alone
    options = fit_options(net, arguments, data, callbacks, (), optimizer_state, False)
    net.history = history = History(net)
    history.optimizer = options.optimizer
    history.samples = {"training": _shown_rows(rows)}
    net.fits += 1
    net._choose_device(None, options.epochs * rows.n_samples, size)
    if arguments.verbose:
        print(_notice(rows, blocks, limit), file=sys.stderr)
    with net.device.on():

        def make_plan(n: int) -> Plan:
            batch = min(size, n)
            return Plan.for_training(
                network, net.device, net.dtype, n, batch, bool(shuffle) and batch < n, precision=net.precision
            )

        validation = None if held_out is None else (net._plan_for(held_out.n_samples), held_out)
        history.settings = options.description(rows, held_out, make_plan(size).n_threads, schedule)  # type: ignore[arg-type, assignment]
        fit = StreamedFit(make_plan, blocks, rows.n_samples, rows.metric, validation, net._padded, options, history)
        try:
            fit.run()
        finally:
            history.seconds, history.compile_seconds = watch.read()
    return history


def _notice(rows: RowFile, blocks: Blocks, limit: int) -> str:
    return (
        f"Reading {rows.n_samples:,} rows from disk in each epoch, in {counted(blocks.n_blocks, 'block')}: they take "
        f"{format_bytes(rows.n_samples * rows.row_bytes)}, and memory_limit is {format_bytes(limit)}."
    )


def _shown_rows(rows: RowFile) -> tuple[np.ndarray, np.ndarray]:
    """Return evenly spaced rows, for plots."""
    n = min(rows.n_samples, SHOWN_ROWS)
    X, Y = (np.empty((n, width), rows.dtype) for width in rows.widths)
    for i, row in enumerate(np.linspace(0, rows.n_samples - 1, n).round().astype(np.int64).tolist()):
        rows.read(row, X[i : i + 1], Y[i : i + 1])
    return X, Y


def outputs_of_pieces(net: MLP, X: Any) -> np.ndarray:
    """Return the outputs (n_samples, n_outputs) for all rows of a source."""
    pieces = [net._outputs(features) for features, _ in as_source(X).pieces()]
    if not pieces:
        raise ValueError(f"X must have at least one sample, but {as_source(X).kind} has none.")
    return np.concatenate(pieces)


def scores_of_pieces(net: MLP, X: Any, y: Any) -> dict[str, float]:
    """Return MLP.evaluate's result for a source."""
    sums: dict[str, float] = {}
    n_samples = 0
    for features, targets in as_source(X, y).pieces():
        data = validated_samples(features, targets, net.network, net.dtype)
        for name, value in net.evaluate(features, targets).items():
            sums[name] = sums.get(name, 0.0) + value * data.n_samples
        n_samples += data.n_samples
    return {name: value / n_samples for name, value in sums.items()}
