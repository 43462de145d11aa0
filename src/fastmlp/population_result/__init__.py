"""Result of Population.fit: one value per net, and statistics over the nets."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from ..callbacks import SIGNS
from ..console.fit_time import is_compile_time_worth_showing
from ..convergence import EpochStatistics, wilson_interval
from ..errors import DivergenceWarning, counted, install_command
from ..history import FitSettings
from ..interface.user_warnings import warn_user
from ..kernels.structs import DIVERGED_NET, RUNNING
from .stopped_by import OUT_OF_TIME, STOPPED_BY
from .summary import text_of

CLAIMS = {"rule": "converged", "all right": "have all samples right", "finite loss": "ended with a finite loss"}

NO_CLIPPING = "clip_norm=0.0"  # in the text of an optimiser


@dataclass(frozen=True, eq=False)
class PopulationResult:
    """Result of one fit of a population: arrays (n_nets,) with one value per net, and statistics over the nets.

    `Population.fit` makes it; users do not.

    Parameters
    ----------
    converged : ndarray of bool, shape (n_nets,)
        Whether the net met the rule that fit was given as `converged=`. Without a rule: whether all samples are correct
        after training or, for regression, whether training ended with a finite loss.
    epochs : ndarray of int, shape (n_nets,)
        Number of epochs trained, including those before restarts and, for a converged net, the one that met the rule;
        see Notes of Converged for its last step. For a diverged net, epochs until the divergence was detected, which
        takes up to 64 epochs in the family population_simd.
    loss : ndarray of float, shape (n_nets,)
        Mean loss over the last epoch, measured before each step's update.
    accuracy : ndarray of float, shape (n_nets,), or None
        Accuracy over the last epoch, measured like the loss; None for regression.
    monitor : str or None
        With early stopping, name of the monitored record.
    best_value : ndarray of float, shape (n_nets,), or None
        With early stopping, the best value of the monitored record.
    best_epoch : ndarray of int, shape (n_nets,), or None
        With early stopping, its epoch, counted from 0 as in History; -1 if every value was NaN.
    restarts : ndarray of int, shape (n_nets,)
        Number of restarts.
    status : ndarray of int, shape (n_nets,)
        Why training ended, as a code; `stopped_by` has names.
    record_epochs : ndarray of int, shape (n_records,)
        Epochs, counted from 1 or from the last restart, whose losses were recorded: at most 64, spaced on a logarithmic
        scale.
    records : ndarray of float, shape (n_records, n_nets)
        Losses of these epochs; NaN for nets that had stopped before.
    seconds : float
        Wall time of the fit in seconds, compiling included.
    interrupted : bool
        Whether Ctrl-C ended the fit.
    settings : dict of str to ndarray of shape (n_nets,)
        The settings that differ between nets, by name.
    judged_by : str, default "rule"
        Meaning of `converged`: "rule", "all right" or "finite loss"; success_rate and success_interval need "rule".
    compile_seconds : float, default 0.0
        Part of `seconds` in which kernels were compiled or loaded; 0.0 if all of them had been loaded before.
    arguments : dict, optional
        The arguments of fit, as numbers and text, as in History.settings. Numbers of the optimiser that differ between
        nets are in `settings` instead. Empty for a result from a file of version 0.2 or earlier.

    Attributes
    ----------
    n_nets : int
        Number of nets.
    stopped_by : ndarray of str, shape (n_nets,)
        Why each net stopped: "converged", "epochs", "early_stopping" and the others that History has.
    n_converged : int
        Number of nets that count as converged.
    n_finished : int
        Number of nets whose training neither Ctrl-C nor the time limit cut short; others are left out of success rates.
    success_rate : float or None
        Fraction of finished nets that converged; a diverged net counts as finished. NaN if no net finished, None if fit
        was given no `converged=`.
    success_interval : tuple (float, float) or None
        95 % Wilson interval of success_rate, (low, high); None if success_rate is None.
    epoch_statistics : EpochStatistics
        Statistics of the epochs to convergence: mean, sd, median, quantiles and best restart.
    best : int
        Number of the best net, the first in `order`.
    worst : int
        Number of the worst net, the last in `order`.
    claim : str
        Sentence fragment for messages, about the nets that count as converged.
    training_seconds : float
        Wall time of the fit in seconds, without compiling.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> pop = fastmlp.Population((2, 2, 1), 100, hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> result = pop.fit(X, y, epochs=300, optimizer="rprop", converged="40-20-40")
    >>> result.loss.shape, len(result.order()), result.n_converged == result.epoch_statistics.times.size
    ((100,), 100, True)
    """

    converged: np.ndarray
    epochs: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray | None
    monitor: str | None
    best_value: np.ndarray | None
    best_epoch: np.ndarray | None
    restarts: np.ndarray
    status: np.ndarray
    record_epochs: np.ndarray
    records: np.ndarray
    seconds: float
    interrupted: bool
    settings: dict[str, np.ndarray]
    judged_by: str = "rule"
    compile_seconds: float = 0.0
    arguments: Any = FitSettings()  # noqa: RUF009 (a descriptor)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "arguments": self.arguments}

    @property
    def training_seconds(self) -> float:
        """Wall time of the fit in seconds, without compiling."""
        return self.seconds - self.compile_seconds

    @property
    def n_nets(self) -> int:
        """Number of nets."""
        return len(self.loss)

    @property
    def stopped_by(self) -> np.ndarray:
        """Reason why each net stopped (n_nets,): "converged", "epochs" and so on."""
        return np.array([STOPPED_BY[code] for code in range(len(STOPPED_BY))])[self.status]

    @property
    def n_converged(self) -> int:
        """Number of nets that count as converged."""
        return int(self.converged.sum())

    @property
    def claim(self) -> str:
        """Sentence fragment for messages, about the nets that count as converged."""
        return CLAIMS[self.judged_by]

    @property
    def n_finished(self) -> int:
        """Number of nets whose training neither Ctrl-C nor the time limit cut short."""
        return int((~np.isin(self.status, (RUNNING, OUT_OF_TIME))).sum())

    @property
    def success_rate(self) -> float | None:
        """Fraction of finished nets that converged; NaN if no net finished, None if fit was given no `converged=`."""
        if self.judged_by != "rule":
            return None
        return self.n_converged / self.n_finished if self.n_finished else float("nan")

    @property
    def success_interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of success_rate (low, high); None if success_rate is None."""
        return wilson_interval(self.n_converged, self.n_finished) if self.judged_by == "rule" else None

    @cached_property
    def epoch_statistics(self) -> EpochStatistics:
        """Statistics of the epochs to convergence: mean, sd, median, quantiles and best restart."""
        return EpochStatistics(self.epochs[self.converged].astype(np.float64), self.n_finished)

    def order(self) -> np.ndarray:
        """Return the net numbers from the best net to the worst.

        Nets are sorted by the best value of the monitored record with early stopping, else by loss; nets without a
        finite value come last.

        Returns
        -------
        ndarray of int, shape (n_nets,)
        """
        values = self.loss if self.best_value is None else self.best_value
        if self.monitor is not None:
            values = SIGNS.get(self.monitor, 1.0) * values
        return np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")

    @property
    def best(self) -> int:
        """Number of the best net, the first in `order`."""
        return int(self.order()[0])

    @property
    def worst(self) -> int:
        """Number of the worst net, the last in `order`."""
        return int(self.order()[-1])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays of the result by name, for a file.

        Returns
        -------
        dict of str to ndarray
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.best_epoch is not None:  # files count epochs from 1
            values["best_epoch"] = self.best_epoch + 1
        values |= {f"settings.{name}": np.asarray(value) for name, value in self.settings.items()}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def warn_of_divergence(self) -> None:
        """Issue a DivergenceWarning if a net diverged; Population.fit calls this method."""
        n = np.count_nonzero(self.status == DIVERGED_NET)
        if n:
            optimizer = self.arguments.get("optimizer", NO_CLIPPING)  # without settings that differ between nets
            clipping = "set clip_norm=1.0" if NO_CLIPPING in optimizer else "lower clip_norm"
            warn_user(
                f"The loss of {n:,} of {counted(self.n_nets, 'net')} stopped being finite; their training ended and "
                f"parameters from before were restored. Lower the learning rate, {clipping}, or make the nets with "
                "standardize=True.",
                DivergenceWarning,
            )

    def summary(self) -> str:
        """Return the statistics as text, ready to print.

        Returns
        -------
        str
            Success rate with its interval, epochs to convergence with a histogram, final loss, restarts.
        """
        return text_of(self)

    def report(self, path: Any = None, *samples: Any, **options: Any) -> NoReturn:
        """Raise an error that says how to get a page: a result does not know its nets.

        Parameters
        ----------
        path, *samples, **options
            As of History.report; not used.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            "A report is of one net, and the result of several does not know its nets. Of an estimator of tables, save "
            "it and call `fastmlp report FILE TABLE`, which reports on the best net with the figures of all; of a "
            "population, call fastmlp.History(population.best()).report(path, X, y)."
        )

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a row per net.

        Returns
        -------
        pandas.DataFrame
            converged, epochs, loss, restarts, stopped_by, the settings that differ between nets and, where there are
            any, accuracy, best_value and best_epoch.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(f"to_frame needs pandas: {install_command('table')}.") from error
        columns: dict[str, Any] = {"converged": self.converged, "epochs": self.epochs, "loss": self.loss}
        if self.accuracy is not None:
            columns["accuracy"] = self.accuracy
        if self.best_epoch is not None:
            columns["best_value"], columns["best_epoch"] = self.best_value, self.best_epoch
        columns |= {"restarts": self.restarts, "stopped_by": self.stopped_by, **self.settings}
        return pd.DataFrame(columns, index=pd.RangeIndex(self.n_nets, name="net"))

    def __repr__(self) -> str:
        success = ""
        if self.success_rate is not None and self.success_interval is not None:
            low, high = self.success_interval
            success = f"success_rate={self.success_rate:.4g}, success_interval=({low:.4g}, {high:.4g}), "
        compiling = f", compile_seconds={self.compile_seconds:.3g}"
        if not is_compile_time_worth_showing(self.compile_seconds, self.seconds):
            compiling = ""
        return (
            f"PopulationResult(n_nets={self.n_nets}, {success}"
            f"seconds={self.seconds:.3g}{compiling}{', interrupted=True' if self.interrupted else ''})"
        )


def result_of_nets(result: PopulationResult, members: np.ndarray) -> PopulationResult:
    """Return the part of a result that belongs to some of its nets.

    members : (n_members,)     numbers of the nets
    """
    parts: dict[str, Any] = {"settings": {name: values[members] for name, values in result.settings.items()}}
    for name, values in vars(result).items():
        if isinstance(values, np.ndarray) and name != "record_epochs":  # which all nets share
            parts[name] = values[..., members]  # records have a leading axis of epochs
    return replace(result, **parts)
