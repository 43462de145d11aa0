"""Callbacks for other programs. Those that need no code of this package's are recipes in the user guide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .callbacks import SIGNS
from .errors import checked_count, shown

if TYPE_CHECKING:
    from .history import History


class OptunaPruning:
    """Callback that lets Optuna end a fit whose record is worse than those of other trials at the same epoch.

    It reports the record to the trial, and raises optuna.TrialPruned if the study's pruner says so. The error ends the
    fit in that epoch and passes through fit to Optuna, which expects it; the net has finite parameters.

    Parameters
    ----------
    trial : optuna.Trial
        The trial that the objective function of the study gets.
    metric : str, default "validation_loss"
        Record to report, one of those that `History.record` knows, such as "validation_accuracy". What the objective
        function returns should be the same record.
    every : int, default 1
        Number of epochs between two reports; the last epoch is reported too. Without validation one kernel call trains
        the epochs in between.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    ValueError
        If `trial` is no trial, the study looks for the other direction than that in which the record is better, or
        `every` is no whole number from 1 on; in fit, if the fit has no such record.

    Examples
    --------
    >>> import fastmlp, optuna  # doctest: +SKIP
    >>> def objective(trial):  # doctest: +SKIP
    ...     net = fastmlp.MLP((20, trial.suggest_int("units", 4, 64), 1), random_state=0)
    ...     pruning = fastmlp.integrations.OptunaPruning(trial, metric="validation_loss")
    ...     history = net.fit(X, y, epochs=100, batch_size=32, validation_fraction=0.2, callbacks=[pruning])
    ...     return history.validation_loss[-1]
    >>> optuna.create_study(pruner=optuna.pruners.MedianPruner()).optimize(objective, n_trials=50)  # doctest: +SKIP
    """

    def __init__(self, trial: Any, metric: str = "validation_loss", every: int = 1):
        try:
            from optuna import TrialPruned
        except ImportError as error:
            raise ImportError("OptunaPruning needs Optuna: install the package optuna.") from error
        if not hasattr(trial, "report") or not hasattr(trial, "should_prune"):
            raise ValueError(
                f"trial must be the trial that Optuna gives to the objective function, but it is {shown(trial)}."
            )
        self._pruned = TrialPruned
        self._trial, self._metric, self._every = trial, metric, checked_count("every", every)
        self._check_direction()

    def _check_direction(self) -> None:
        study = getattr(self._trial, "study", None)  # a trial that is repeated has none
        directions = [] if study is None else [direction.name for direction in study.directions]
        better = "MAXIMIZE" if SIGNS.get(self._metric, 0.0) < 0.0 else "MINIMIZE"
        if self._metric in SIGNS and len(directions) == 1 and directions[0] != better:
            raise ValueError(
                f"The direction of the study is {directions[0].lower()!r}, but {self._metric} is better if it is "
                f"{'larger' if better == 'MAXIMIZE' else 'smaller'}: use "
                f"optuna.create_study(direction={better.lower()!r})."
            )

    def epochs_ahead(self) -> int:
        """Return after how many epochs to call again.

        Returns
        -------
        int
            The number given as `every`.
        """
        return self._every

    def __call__(self, epoch: int, history: History) -> None:
        """Report the record of each epoch that is due, and raise optuna.TrialPruned if the trial is to end."""
        if (epoch + 1) % self._every and epoch + 1 < history.settings["epochs"]:
            return  # called in each epoch, for validation or another callback
        value = float(history.record(self._metric)[-1])
        self._trial.report(value, epoch)
        if self._trial.should_prune():
            raise self._pruned(f"Pruned after epoch {epoch + 1}, with {self._metric} {value:.4g}.")
