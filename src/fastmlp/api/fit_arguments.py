"""Arguments of fit that MLP and Population share, checked: those that do not depend on the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..callbacks import EarlyStopping, as_early_stopping
from ..console.progress_bar import checked_verbose
from ..errors import checked_count, checked_number
from ..kernels.structs import Samples
from ..network.spec import Network
from ..optimizers import Optimizer, optimizer_from_name
from ..runtime.memory_check import check_epochs
from ..schedules import schedule_factors
from ..schedules.checked_factors import DropoutFactors, varying_factors
from ..training.batch_rows import batch_rows
from .fit_keywords import FitKeywords


class FitArguments(NamedTuple):
    """Checked arguments of fit, with the names that they have there."""

    epochs: int
    batch_size: Any  # checked by batch_rows, when the number of samples is known
    optimizer: Optimizer
    factors: Callable[[np.ndarray, int], np.ndarray]  # of the learning rate, by the schedule
    early_stopping: EarlyStopping | None
    verbose: int
    dropout_factors: Callable[[np.ndarray, int], np.ndarray] | None  # of the dropout rates; None for constant ones
    time_limit: float | None = None  # seconds
    schedules: tuple[Any, Any] = (None, None)  # schedule and dropout_schedule, as given

    @classmethod
    def checked(cls, given: FitKeywords) -> FitArguments:
        """Return the arguments after a check of each.

        given : arguments of fit

        Raises
        ------
        ValueError
            If one is invalid.
        """
        verbose, epochs = checked_verbose(given["verbose"]), checked_count("epochs", given["epochs"])
        rule, stopping = optimizer_from_name(given["optimizer"]), as_early_stopping(given["early_stopping"])
        if (time_limit := given["time_limit"]) is not None:
            time_limit = checked_number("time_limit", time_limit, 0.0, open_low=True)
        schedules = given["schedule"], given["dropout_schedule"]
        factors, of_dropout = schedule_factors(given["schedule"]), varying_factors(given["dropout_schedule"])
        return cls(epochs, given["batch_size"], rule, factors, stopping, verbose, of_dropout, time_limit, schedules)

    def for_dropout(self, network: Network) -> FitArguments:
        """Return the arguments with a schedule of the dropout rates that checks those of a network.

        Raises
        ------
        ValueError
            If there is such a schedule, and the network has no dropout.
        """
        if self.dropout_factors is None:
            return self
        if not any(network.dropout):
            raise ValueError(
                "dropout_schedule is for nets with dropout, but this net has none. Make it with dropout=0.1, for "
                "example, or leave dropout_schedule out."
            )
        return self._replace(dropout_factors=DropoutFactors(self.dropout_factors, max(network.dropout)))

    def batch_rows(self, n_samples: int, n_records: int) -> int:
        """Return the number of samples per step, and check that the records of all epochs fit into memory.

        n_records : int     number of float64 records that are kept for each epoch
        """
        rows = batch_rows(self.batch_size, n_samples, self.optimizer.rule)
        check_epochs(self.epochs, -(-n_samples // rows), n_records)
        return rows

    def check_monitor(self, data: Samples, held_out: Samples | None, metrics: Iterable[str] = ()) -> None:
        """Check that the fit has the record that early stopping monitors.

        metrics : names of the records besides loss and accuracy
        """
        if self.early_stopping is not None:
            self.early_stopping.check_monitor(data.metric, None if held_out is None else held_out.metric, metrics)
