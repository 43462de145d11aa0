"""Keywords of `fit`: one table with type, row and text of each.

Signatures, docstrings and checks of MLP.fit and Population.fit follow from it, and what a task, a checkpoint and a
history have of each keyword. Type checkers and editors read the TypedDicts (PEP 692); `Annotated` holds the rows, which
only this package reads, and the docstring of the class the texts.
"""
# No postponed annotations: the table is read from them.

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Annotated, Any, NamedTuple, TypedDict

from ..callbacks import as_callbacks, as_early_stopping
from ..convergence import Converged, as_converged
from ..errors import checked_count, checked_number, checked_verbose
from ..interface.keywords import Table, unknown_keyword
from ..optimizers import OPTIMIZERS, Adam, optimizer_from_name
from ..optimizers.batch_size import AUTO
from ..runtime.checkpoint_interval import Checkpoint, as_checkpoint
from .metric_functions import METRICS, as_metrics
from .optimizer_state import OptimizerState, checked_state


class Keyword(NamedTuple):
    """Row of a keyword.

    default : value in the signature
    check : function that checks a value and returns it as fits use it; without one, it is checked with the rows
    reason : why it is there: a library whose users know it, or FILE#FINDING in bench/log
    in_task : whether FitTask has the checked value as an attribute; of others, entry.py makes rows, weights and states
    in_identity : whether a checkpoint is one of another fit under another value; data are compared by their digests
    in_settings : whether History.settings has it
    in_lanes : whether nets can have it that kernels train together; others are trained one by one
    needs : keyword without which it has no effect, and is refused
    """

    default: Any
    check: Callable[[Any], Any] | None
    reason: str
    in_task: bool = True
    in_identity: bool = True
    in_settings: bool = True
    in_lanes: bool = True
    needs: str = ""


OfData = partial(Keyword, in_task=False, in_settings=False)  # of which rows, weights and held-out samples are made
Free = partial(Keyword, in_identity=False, in_settings=False)  # which may change when a fit goes on


def _seconds(value: Any) -> Any:
    return None if value is None else checked_number("time_limit", value, 0.0, open_low=True)


class FitKeywords(TypedDict, total=False):
    """Keywords of MLP.fit and of Population.fit.

    Parameters
    ----------
    epochs : int, default 100
        Number of passes over the data.
    batch_size : int, "auto" or None, default "auto"
        Number of samples per step; None takes all in one batch. "auto" is min(200, n_samples), as in scikit-learn, or
        all samples for Rprop, Quickprop, LevenbergMarquardt and LBFGS.
    optimizer : str or Optimizer, default "adam"
        Name of one with its default settings, or an object such as `fastmlp.SGD(0.1)`. Names:
        {optimizers}.
    schedule : str, object or callable, optional
        Learning-rate schedule: a name, an object of fastmlp.schedules, or a function (steps, n_steps) that returns the
        factors by which the learning rate is multiplied. By default the rate is constant.
    shuffle : bool, default True
        Whether each epoch visits the samples in a new random order.
    sample_weight : array_like of shape (n_samples,), or str, optional
        Weight of each sample, scaled to mean 1; the loss of a batch is the sum of weight times loss, divided by the
        number of samples in the batch. The name of the column that holds them, where y names one.
    class_weight : dict or "balanced", optional
        Factor on the weight of each sample by its class, {class: weight}; a class that the dictionary does not name has
        weight 1. It affects training only: validation records weight samples by sample_weight alone.
    validation_data : tuple, optional
        Held-out samples, (X, y) or (X, y, sample_weight).
    validation_fraction : float, default 0.0
        Share of the samples that is held out, drawn at random, in place of validation_data; held-out samples keep their
        sample_weight.
    early_stopping : bool, int or EarlyStopping, optional
        True for the defaults of EarlyStopping, an int for this patience in epochs; the fit ends with the parameters of
        the best epoch. By default the fit trains all epochs.
    callbacks : callable or sequence of callable, default ()
        Functions (epoch, history), called after each epoch; one that returns True ends the fit. Loggers such as
        fastmlp.CSVLogger are callbacks.
    metrics : sequence of str or callable, default ()
        Records to keep besides the loss, computed after each epoch on training and held-out samples: functions
        (y_true, y_pred) that return a float, for arrays (n_samples, n_outputs); scorers of scikit-learn; or names:
        {metrics}.
        They are in `history.metrics` and `history.validation_metrics`.
    monitor : bool, default False
        Whether to watch for known failures, such as a loss that stays at the base rate; the first one found is reported
        once, as a TrainingWarning.
    memory_limit : int or str, optional
        Bytes, or text such as "300MB", that data read piece by piece may take in memory. Data that take more are read
        from disk in each epoch, block by block. By default a share of the memory that is free now or, of a fit that
        goes on from a checkpoint, the limit that it began with.
    verbose : {0, 1, 2}, default 1
        0 shows nothing; 1 shows a progress bar for long fits, with the best validation loss so far, and a notice while
        kernels compile, both in a terminal or notebook only; 2 prints a line per epoch to standard output. Both say
        after the fit if its loss still fell steeply (`history.still_falling`): 1 there, and once in a process, 2 after
        each fit, unless it has a schedule or an optimizer_state.
    time_limit : float, optional
        Seconds that this call may take, with the checks of the data and the time in which kernels compile. The fit ends
        within 5 % of it, and keeps the best epoch with early stopping; `history.stopped_by` is "time_limit". An epoch
        that takes less than 2 % of the limit is trained to its end; of a longer one, the steps done so far count,
        without a record. If compiling takes longer than the limit, a first epoch is trained after it, for up to the
        time of the limit. By default there is no limit.
    optimizer_state : OptimizerState, optional
        State that is carried from fit to fit, so that several fits continue one another. By default the fit starts with
        a new state.
    checkpoint : str, path or Checkpoint, optional
        File to which the whole state of the fit is written every five minutes, at its end and after Ctrl-C; a
        Checkpoint has another interval, or goes on from the file.
    """

    epochs: Annotated[int, Keyword(100, partial(checked_count, "epochs"), "Keras", in_identity=False)]
    batch_size: Annotated[int | str | None, Keyword(AUTO, None, "Keras")]
    optimizer: Annotated[Any, Keyword("adam", optimizer_from_name, "Keras")]
    schedule: Annotated[Any, Keyword(None, None, "lr_scheduler of PyTorch")]
    shuffle: Annotated[bool, Keyword(True, bool, "Keras")]
    sample_weight: Annotated[Any, OfData(None, None, "Keras")]
    class_weight: Annotated[Any, OfData(None, None, "Keras")]
    validation_data: Annotated[tuple[Any, Any] | None, OfData(None, None, "Keras")]
    validation_fraction: Annotated[float, OfData(0.0, None, "scikit-learn")]
    early_stopping: Annotated[Any, Keyword(None, as_early_stopping, "scikit-learn")]
    callbacks: Annotated[Any, Free((), as_callbacks, "Keras", in_lanes=False)]
    metrics: Annotated[Any, Keyword((), as_metrics, "Keras", in_settings=False, in_lanes=False)]
    monitor: Annotated[bool, Free(False, None, "estimators.md#diagnosis-accuracy", in_task=False)]
    memory_limit: Annotated[int | str | None, Free(None, None, "streams.md#ten-gigabytes", in_task=False)]
    verbose: Annotated[int, Free(1, checked_verbose, "Keras")]
    time_limit: Annotated[float | None, Free(None, _seconds, "tables.md#epochs-of-later-nets", in_task=False)]
    optimizer_state: Annotated[
        OptimizerState | None, Free(None, checked_state, "state_dict of PyTorch", in_task=False, in_lanes=False)
    ]
    checkpoint: Annotated[Any, Free(None, as_checkpoint, "BackupAndRestore of Keras", in_task=False)]


class PopulationFitKeywords(FitKeywords, total=False):
    """Keywords of Population.fit, with what others mean for nets.

    Parameters
    ----------
    epochs : int, default 100
        Number of passes over the data for each net, restarts included.
    batch_size : int, "auto" or None, default "auto"
        Number of samples per step, as for MLP.fit; where each net has its own samples, "auto" counts those of one.
    optimizer : str or Optimizer, default "adam"
        Name or object; its settings may be arrays (n_nets,) or frozen SciPy distributions, from which one number per
        net is drawn.
    schedule : str, object or callable, optional
        Learning-rate schedule of all nets, as for MLP.fit.
    shuffle : bool, default True
        Whether each epoch visits the samples in a new random order, another one for each net.
    sample_weight : array_like of shape (n_samples,) or (n_nets, n_samples), or str, optional
        Weight of each sample, for all nets or per net, see fastmlp.folds and fastmlp.bootstrap; or the name of a
        column, as for MLP.fit.
    early_stopping : bool, int or EarlyStopping, optional
        As for MLP.fit, applied to each net's own record; each net ends with the parameters of its best epoch.
    callbacks : callable or sequence of callable, default ()
        Functions (epoch, history) as for MLP.fit, called for each net, `history.net_number`; one that returns True ends
        the training of this net. The nets are trained one after another.
    metrics : sequence of str or callable, default ()
        Records as for MLP.fit, for early stopping and callbacks. The nets are trained one by one.
    monitor : bool, default False
        Whether to warn once, with a TrainingWarning, when more than half of the nets fail in a known way.
    memory_limit : int or str, optional
        Bytes that the data of a source may take in memory, as for MLP.fit. Rows that take more are read from disk in
        each epoch, and the nets are trained one after another.
    verbose : {0, 1, 2}, default 1
        As for MLP.fit; 2 prints at most one line per second: about the nets that have finished, and the best validation
        loss of all nets so far.
    time_limit : float, optional
        Seconds that this call may take, as for MLP.fit. Nets in training then end as after Ctrl-C, nets that have not
        begun keep their initial parameters, and `result.stopped_by` of both is "time_limit". Nets that are trained
        together end with an epoch.
    optimizer_state : OptimizerState, optional
        State of each net that is carried from fit to fit, as for MLP.fit. The nets are trained one by one, and a net
        that is restarted begins with a new state.
    converged : float, str or Converged, optional
        Rule by which a net has converged and stops. A number: its loss is at most this; "accuracy": all samples are
        classified correctly; "40-20-40": every output is within 40 % of the output's range of its target; or a
        Converged, which says how an epoch is judged, and when a net is restarted. By default all nets are trained for
        all epochs.
    executor : object, optional
        Where to train in tasks of some seconds, on workers that may be other machines: an executor with `submit`, such
        as `client.get_executor()` of a Dask client, `loky.get_reusable_executor()` or
        `concurrent.futures.ProcessPoolExecutor()`. On the same device, results have the same bits as without it, but
        for nets that diverge, whose last finite parameters may be those of another epoch. Ctrl-C waits for the tasks
        that have begun; a second one does not. A checkpoint has the nets of finished tasks.
    checkpoint : str, path or Checkpoint, optional
        As for MLP.fit. With a larger number of epochs, nets that have trained all epochs go on; nets that early
        stopping, convergence or divergence has ended stay as they are.
    """

    converged: Annotated[Any, Keyword(None, as_converged, "reproduction.md#quickprop-fahlman", in_settings=False)]
    executor: Annotated[Any, Free(None, None, "concurrent.futures, Dask", in_task=False)]


NAMES = {"optimizers": [f'"{name}"' for name in OPTIMIZERS], "metrics": [f'"{name}"' for name in METRICS]}
MLP_KEYWORDS, POPULATION_KEYWORDS = (
    Table.of(FitKeywords, **NAMES),
    Table.of(FitKeywords, PopulationFitKeywords, **NAMES),
)


def checked(function: Callable[..., Any], arguments: Mapping[str, Any], table: Table, owner: type) -> dict[str, Any]:
    """Return all keywords of a fit, checked.

    arguments : mapping     keywords with values of the user
    owner : type     class whose method `function` is

    Raises
    ------
    TypeError
        If fit has no keyword of that name; of a setting of optimisers, with a hint.
    ValueError
        If a value is invalid, or a keyword lacks another one that it needs.
    """
    keywords = table.defaults.copy()
    for name, value in arguments.items():
        if name not in table.rows:
            raise _unknown(function, name, owner)
        check = table.rows[name].check
        keywords[name] = value if check is None else check(value)
    for name in arguments:
        needed = table.rows[name].needs
        if needed and keywords[name] != table.defaults[name] and keywords[needed] == table.defaults[needed]:
            raise ValueError(f"{name} has no effect without {needed}: give {needed}, or leave {name} out.")
    return keywords


def _unknown(function: Callable[..., Any], name: str, owner: type) -> TypeError:
    """Return the error for a keyword that fit does not have."""
    optimizers = Adam, *OPTIMIZERS.values()
    rules: dict[str, tuple[Any, ...]]
    rules = {"optimizer": optimizers, "checkpoint": (Checkpoint,), "converged": (Converged,)}
    for keyword, kinds in rules.items():
        cls = next((kind.__name__ for kind in kinds if name in kind.__dataclass_fields__), None)
        if cls is not None and keyword in signature(function).parameters:
            return TypeError(
                f"{function.__qualname__}() got an unexpected keyword argument {name!r}. It is a setting of {keyword}: "
                f"write {keyword}=fastmlp.{cls}({name}=...)."
            )
    return unknown_keyword(function.__qualname__, name, signature(function).parameters, owner)
