"""The callbacks of scikit-learn 1.9, which estimators get by set_callbacks: one task per fit, with a subtask per epoch.

They are an experiment of scikit-learn. Earlier versions have none, and neither have the estimators there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's class."""

    def with_callbacks(method: Callable) -> Callable:
        return method


if TYPE_CHECKING:
    from ..history import History

__all__ = ["CallbackSupportMixin", "EpochTasks", "FitTasks", "with_callbacks"]


class FitTasks:
    """Task of one fit of an estimator, which tells the estimator's callbacks when it begins and ends.

    estimator : MLPClassifier or MLPRegressor
    n_subtasks : largest number of epochs, or 0 if epochs are not told one by one
    X, y : training data, as the callbacks get them
    """

    def __init__(self, estimator: Any, n_subtasks: int, X: Any, y: Any):
        self._estimator, self.data = estimator, {"X": X, "y": y}
        self.context: Any = None
        if vars(estimator).get("_skl_callbacks") or "_parent_callback_ctx" in vars(estimator):
            self.context = estimator._init_callback_context(max_subtasks=n_subtasks)

    def begin(self) -> None:
        if self.context is not None:
            self.context.call_on_fit_task_begin(estimator=self._estimator, **self.data)

    def end(self) -> None:
        if self.context is not None:
            self.context.call_on_fit_task_end(estimator=self._estimator, **self.data, reconstruction_attributes=dict)


class EpochTasks:
    """Callback of MLP.fit that makes a subtask of each epoch.

    estimator : MLPClassifier or MLPRegressor
    tasks : FitTasks with a context
    n_epochs : largest number of epochs
    """

    def __init__(self, estimator: Any, tasks: FitTasks, n_epochs: int):
        self._estimator, self._tasks, self._n_epochs = estimator, tasks, n_epochs
        self._current: Any = None
        self._begin()

    def _begin(self) -> None:
        self._current = self._tasks.context.subcontext(task_name="epoch")
        self._current.call_on_fit_task_begin(estimator=self._estimator, **self._tasks.data)

    def __call__(self, epoch: int, history: History) -> bool:
        reconstruct = lambda: {"net_": copy.copy(history.net), "n_iter_": epoch + 1}
        stops: bool = self._current.call_on_fit_task_end(
            estimator=self._estimator, **self._tasks.data, reconstruction_attributes=reconstruct
        )
        self._current = None
        if not stops and epoch + 1 < self._n_epochs:
            self._begin()
        return stops

    def fit_ended(self, history: History) -> None:
        """End the subtask of an epoch that was not trained."""
        if self._current is not None:
            self._current.call_on_fit_task_end(estimator=self._estimator)
            self._current = None
