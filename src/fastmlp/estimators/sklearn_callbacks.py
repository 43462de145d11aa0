"""The callbacks of scikit-learn 1.9, which estimators get by set_callbacks: a fit is a task with subtasks.

The subtasks of a fit are its epochs, the iterations of "lbfgs", or, of a tabular estimator, trainings of nets one after
another. They are an experiment of scikit-learn. Earlier versions have none, and neither have the estimators there.
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
    from ..mlp import MLP

__all__ = ["CallbackSupportMixin", "EpochTasks", "ObservedTask", "epoch_tasks", "with_callbacks"]


class ObservedTask:
    """A task that an estimator's callbacks are told of: when it begins and when it ends.

    estimator : an estimator
    data : X, y and metadata as the callbacks get them
    context : scikit-learn's context of the task, or None as long as nobody is to be told
    """

    def __init__(self, estimator: Any, data: dict[str, Any], context: Any = None):
        self.estimator, self._data, self._context = estimator, data, context

    @classmethod
    def fit(cls, estimator: Any, X: Any, y: Any, sample_weight: Any) -> ObservedTask:
        """Return the task of a whole fit, to which `begin_fit` belongs; X, y and sample_weight as the user gave them.

        Callbacks compute scores of X, which must therefore have its column names.
        """
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        return cls(estimator, {"X": X, "y": y, "metadata": metadata})

    @property
    def is_observed(self) -> bool:
        return self._context is not None

    def begin_fit(self, n_subtasks: int) -> None:
        """Begin the task of a whole fit if the estimator has callbacks or is part of a Pipeline or search.

        n_subtasks : largest number of subtasks; 0 for none
        """
        if vars(self.estimator).get("_skl_callbacks") or "_parent_callback_ctx" in vars(self.estimator):
            self._context = self.estimator._init_callback_context(max_subtasks=n_subtasks)
            self._begin()

    def begin_subtask(self, name: str, n_subtasks: int = 0) -> ObservedTask:
        """Begin a subtask and return it."""
        if self._context is None:
            return self
        task = ObservedTask(
            self.estimator, self._data, self._context.subcontext(task_name=name, max_subtasks=n_subtasks)
        )
        task._begin()
        return task

    def _begin(self) -> None:
        self._context.call_on_fit_task_begin(estimator=self.estimator, **self._data)

    def end(self, attributes: Callable[[], dict[str, Any]] | None = None) -> bool:
        """End the task. Return whether a callback wants the fit, or the training of this net, to stop.

        attributes : returns the attributes with which the estimator predicts as it would after this task; None if there
            is nothing to predict with
        """
        if self._context is None:
            return False
        stops: bool = self._context.call_on_fit_task_end(
            estimator=self.estimator, **self._data, reconstruction_attributes=attributes
        )
        return stops


class EpochTasks:
    """Callback of MLP.fit that makes a subtask of each epoch; of lbfgs, `end_one` makes one of each iteration.

    task : the task of the fit, or of the training of one net in it, which is observed
    n_epochs : largest number of epochs
    name : name of the subtasks
    """

    def __init__(self, task: ObservedTask, n_epochs: int, name: str = "epoch"):
        self._task, self._n_epochs, self._name = task, n_epochs, name
        self._current: ObservedTask | None = None
        self._begin()

    def _begin(self) -> None:
        self._current = self._task.begin_subtask(self._name)

    def __call__(self, epoch: int, history: History) -> bool:
        return self.end_one(history.net, epoch + 1)

    def end_one(self, net: MLP, n_done: int) -> bool:
        """End the subtask of an epoch, after which there are n_done. Return whether a callback wants to stop."""
        if self._current is None:  # SciPy has gone on beyond the last iteration
            return False
        further = self._task.estimator._attributes_while_training
        current, self._current = self._current, None  # before it ends: Ctrl-C in a callback must not end it twice
        stops = current.end(lambda: {"net_": copy.copy(net), "n_iter_": n_done, **further})
        if not stops and n_done < self._n_epochs:
            self._begin()
        return stops

    def fit_ended(self, history: History | None = None) -> None:
        """End the subtask of an epoch that was not trained."""
        if self._current is not None:
            self._current.end()
            self._current = None


def epoch_tasks(task: ObservedTask, n_epochs: int, name: str = "epoch") -> list[EpochTasks]:
    """Return EpochTasks as callbacks of MLP.fit: none unless the task is observed."""
    return [EpochTasks(task, n_epochs, name)] if task.is_observed else []
