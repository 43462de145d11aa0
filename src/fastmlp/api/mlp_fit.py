"""The fit of an MLP, from the user's arguments to its history."""

from __future__ import annotations

from typing import Any

from ..callbacks import as_callbacks, tell_end
from ..console.nets_progress import line_start
from ..console.progress_bar import EpochLines
from ..console.stopwatch import Stopwatch
from ..data.checked_samples import sample_for_plots
from ..execution.plan import Plan
from ..history import History
from ..kernels.structs import Samples
from ..streams.source_kinds import is_source, names_columns
from ..training.epoch_metrics import FitMetrics
from ..training.fit_loop import Fit
from ..training.interruption import trained_on
from ..training.time_limit import TimeLimit
from .fit_arguments import FitArguments
from .fit_keywords import MLPFitKeywords
from .fit_preparation import fit_data, fit_options
from .optional_checkpoints import checkpoint_file, net_saver, random_numbers_of
from .single_net_base import SingleNetBase


def fit_mlp(net: SingleNetBase, X: Any, y: Any, given: MLPFitKeywords, watch: Stopwatch) -> History:
    """Train a net and return its history.

    X, y, given : arguments of MLP.fit
    watch : Stopwatch     started when the fit began
    """
    arguments = FitArguments.checked(given).for_dropout(net.network)
    limit = None if arguments.time_limit is None else TimeLimit(arguments.time_limit, watch)
    lines = (EpochLines(arguments.epochs, line_start()),) if arguments.verbose == 2 else ()
    called, optimizer_state = (*as_callbacks(given["callbacks"]), *lines), given["optimizer_state"]
    file = checkpoint_file(given, "net", arguments.verbose)
    if is_source(X) or names_columns(X, y):
        from .stream_arguments import StreamArguments, needing_all_rows
        from .streamed_fit import RowFile, fit_rows, read_rows

        stream = StreamArguments.checked(given["memory_limit"], given["row_cache"], file, net)
        found = read_rows(net, X, y, stream, arguments, needing_all_rows(given))
        if isinstance(found, RowFile):
            of_rows = net, found, arguments, stream, given["validation_data"], given["shuffle"]
            return trained_on(found, lambda: fit_rows(*of_rows, called, optimizer_state, limit, watch, file))
        X, y = found.X, found.y
    with random_numbers_of(net, file):
        data = fit_data(net, arguments, X, y, given)
        options = fit_options(net, arguments, data, called, given["metrics"], optimizer_state, given["monitor"], limit)
        training, held_out, rows, shuffle, _ = data
        net._choose_device(X, options.epochs * training.n_samples, rows)
        schedule, _ = arguments.schedules
        saver = net_saver(file, net, data, options, schedule)
    history = History(net)
    history.optimizer = options.optimizer
    history.samples = sample_for_plots(net.network, data.parts)
    with net.device.on():
        plan = Plan.for_training(
            net.network, net.device, net.dtype, training.n_samples, rows, shuffle, precision=net.precision
        )
        history.settings = options.description(  # type: ignore[assignment]
            training, held_out, plan.n_threads, *arguments.schedules
        )
        validation = None if held_out is None else (net._plan_for(held_out.n_samples), held_out)
        try:
            fit = Fit(plan, training, validation, net._padded, options, history, saver)
        except BaseException:  # refused: the net keeps its history and its number of fits
            _release(plan, validation, options.metrics)
            raise
        net.history, net.fits = history, net.fits + 1
        try:
            fit.run()
        finally:
            _release(plan, validation, options.metrics)
            history.seconds, history.compile_seconds = watch.read()
            tell_end(called, history)
    return history


def _release(plan: Plan, validation: tuple[Plan, Samples] | None, metrics: FitMetrics | None) -> None:
    """Release the buffers of a fit that has ended to the next fit and evaluation on this thread.

    Of evaluations, only the buffers released last are kept; an equal fit first asks for those of the validation.
    """
    plan.release()
    if metrics is not None:
        metrics.release()
    if validation is not None:
        validation[0].release()
