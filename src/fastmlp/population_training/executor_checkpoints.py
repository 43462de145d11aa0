"""Checkpoints of a fit on the workers of an executor: the nets that have ended. All others begin anew.

The nets of a finished task have ended. Those in training are on workers, and have given nothing yet.
"""

from __future__ import annotations

import numpy as np

from ..kernels.structs import RUNNING
from .checkpoint_saver import PopulationSaver
from .fit_state import ALL, OUTCOME, PopulationFitState
from .fit_with_restarts import negates_best_value
from .task_and_outcome import PopulationOutcome, PopulationTask


class EndedNetsSaver:
    """Saver of the nets that have ended, whose results in the file, if there are any, it writes to the fit.

    saver : PopulationSaver     of the file
    task, outcome, restarts : of all nets; their arrays are written, and change while tasks end
    restart_after : int or None     argument of the fit
    """

    def __init__(
        self,
        saver: PopulationSaver,
        task: PopulationTask,
        outcome: PopulationOutcome,
        restarts: np.ndarray,
        restart_after: int | None,
    ):
        self._saver, self._task, self._outcome, self._restarts = saver, task, outcome, restarts
        self._spent = np.zeros_like(restarts if restart_after is not None else restarts[:0])  # in the epochs already
        self._initial: list[tuple[slice, np.ndarray]] = []  # parameters of nets whose tasks were ended early
        if saver.start is not None:
            self._start_from(saver.start)

    def _start_from(self, start: PopulationFitState) -> None:
        self._task.params[:], self._restarts[:] = start.params, start.restarts
        for name in OUTCOME:
            getattr(self._outcome, name)[:] = start.outcome[name]
        if negates_best_value(self._task):
            self._outcome.best_value *= -1.0

    @property
    def is_due(self) -> bool:
        """Whether a checkpoint is due."""
        return self._saver.timer.seconds_are_over()

    def keep(self, nets: slice) -> None:
        """Keep the initial parameters of nets whose task was ended early, before those that they have reached."""
        self._initial.append((nets, self._task.params[nets].copy()))

    def save(self) -> None:
        """Write the nets that have ended, and the others as they were before the fit."""
        params, restarts, outcome = self._task.params, self._restarts, self._outcome
        if self._initial:
            params, restarts = params.copy(), restarts.copy()
            outcome = PopulationOutcome(**{name: getattr(outcome, name).copy() for name in OUTCOME})
            for nets, initial in self._initial:
                is_running = outcome.status[nets] == RUNNING
                params[nets][is_running], restarts[nets][is_running] = initial[is_running], 0
            outcome.forget(outcome.status == RUNNING)
        results = {name: getattr(outcome, name) for name in OUTCOME}
        if negates_best_value(self._task):
            results["best_value"] = -results["best_value"]
        self._saver.write(PopulationFitState(params, restarts, self._spent, 0, results, on_workers=ALL))
