"""Tasks on the workers of an executor: a few at a time, again after the loss of a worker, cancelled by Ctrl-C.

A task is a call of a function with shared arrays and an argument of its own. Nothing says on which worker it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import counted
from ..runtime.ctrl_c import StopFlag
from ..runtime.thread_count import with_threads
from .workers import Threads, Workers, as_array

Function = Callable[[list[np.ndarray], Any], Any]
TASKS_PER_SLOT = 2  # tasks that are submitted at a time: a worker that ends one finds the next one
MOST_TRIES = 3  # of a task whose workers are lost
NOTICE = "Interrupted: waiting for the tasks that have begun. A second Ctrl-C leaves them."
NOT_SENT = "pickle", "can't get local object"  # in errors of pickle; since Python 3.13 the second stands alone
POLL = 0.2  # seconds after which new workers and a request to stop are noticed


@dataclass
class Task:
    """Task of a worker.

    argument : what the function gets beside the shared arrays
    text : what the task does, for messages, such as "nets 0 to 63"
    """

    argument: Any
    text: str
    tries: int = 0  # how often it was submitted


class Tasks:
    """Tasks of one fit or prediction, which the workers of an executor carry out.

    function : function of a module, which can be pickled; called with the list of shared arrays and a task's argument
    arrays : the shared arrays
    cut : cut(n_slots) returns the next task, or None if there is none; n_slots : number of tasks that run at a time
    take : function that gets each task with its result, soon after the task has ended
    flag : ends the tasks once it is set, as Ctrl-C does
    per_slot : tasks that are submitted at a time, if others than usual
    """

    def __init__(
        self,
        workers: Workers,
        function: Function,
        arrays: list[np.ndarray],
        cut: Callable[[int], Task | None],
        take: Callable[[Task, Any], None],
        flag: StopFlag,
        per_slot: int = 0,
    ):
        self.workers, self.function, self.arrays, self.cut, self.take = workers, function, arrays, cut, take
        self._flag, self._per_slot = flag, per_slot
        self._running: dict[Future, Task] = {}
        self._lost: list[Task] = []

    def run(self, verbose: int = 0) -> None:
        """Carry out all tasks.

        After Ctrl-C, or once the flag is set, tasks that have not begun are cancelled, and the results of the
        others are awaited and taken; a second Ctrl-C leaves them. After any other error tasks that have not begun are
        cancelled, and the results of the others are not awaited.

        verbose : whether a line on standard error says what is awaited

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C.
        Exception
            That of the first task that fails, with a note that names what the task does.
        """
        try:
            while True:
                self._submit()
                if not self._running:
                    return
                self._take_all(wait(list(self._running), POLL, FIRST_COMPLETED).done)
                if self._flag.is_set():
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            self._end(verbose)
            raise
        except BaseException:
            self.workers.cancel(list(self._running))
            raise

    def _submit(self) -> None:
        n_slots = self.workers.n_slots
        while len(self._running) < (self._per_slot or TASKS_PER_SLOT) * n_slots:
            task = self._lost.pop() if self._lost else self.cut(n_slots)
            if task is None:
                return
            task.tries += 1
            shared = [self.workers.share(array) for array in self.arrays]
            try:
                future = self.workers.submit(call, self.function, task.argument, self.workers.threads, *shared)
            except Exception as error:  # a pool that has lost a worker refuses to take tasks
                if not self.workers.is_loss(error):
                    raise
                self._lose(task, error)
            else:
                self._running[future] = task

    def _take_all(self, done: set[Future]) -> None:
        """Take the results first, and then raise what has failed: finished work is kept."""
        failed = []
        for future in [future for future in self._running if future in done]:  # in the order of their tasks
            task = self._running.pop(future)
            error = _error_of(future)
            if error is None:
                self.take(task, future.result())
            else:
                failed.append((task, error))
        for task, error in failed:
            if self.workers.is_loss(error):
                self._lose(task, error)
            elif n_losses := self.workers.losses_of(error):
                raise lost_too_often(task.text, n_losses) from error
            elif isinstance(error, KeyboardInterrupt):  # the terminal has sent it to the worker, too
                raise error
            else:
                raise named(error, task.text)

    def _lose(self, task: Task, error: BaseException) -> None:
        if task.tries >= MOST_TRIES:
            raise lost_too_often(task.text, task.tries) from error
        self.workers.replace(error)
        self._lost.append(task)

    def _end(self, verbose: int) -> None:
        """Cancel what has not begun, and take the results of the others until a second Ctrl-C."""
        begun = set(self.workers.cancel(list(self._running)))
        try:
            if begun and verbose:
                print(f"\n{NOTICE}", file=sys.stderr)
            while begun:
                done = wait(begun, POLL, FIRST_COMPLETED).done
                begun -= done
                for future in done:
                    if _error_of(future) is None:
                        self.take(self._running[future], future.result())
        except KeyboardInterrupt:
            pass
        self.workers.cancel(list(begun))


def _error_of(future: Future) -> BaseException | None:
    try:
        return future.exception()
    except BaseException as error:  # CancelledError
        return error


def call(function: Function, argument: Any, threads: Threads, *shared: Any) -> Any:
    """Call a task's function; this runs on the worker."""
    return with_threads(threads.here(), lambda: function([as_array(array) for array in shared], argument))


# ---- errors of tasks


def named(error: BaseException, text: str) -> BaseException:
    """Return an error of a task with a note that says what the task does, and how it may be avoided."""
    note = f"This is the error of the task of {text}, on a worker of the executor."
    said = f"{type(error).__name__} {error}".lower()
    if any(words in said for words in NOT_SENT):
        note += (
            " Functions and objects that are given to fit, such as a schedule, must be those of a module that the "
            "workers can import; Dask and loky also take those of the main program."
        )
    if hasattr(error, "add_note"):
        error.add_note(note)
    elif len(error.args) == 1:  # Python 3.10 has no notes: what is caught must be the error of the task there, too
        error.args = (f"{error.args[0]} {note}",)
    return error


def lost_too_often(text: str, n: int) -> RuntimeError:
    """Return the error for a task whose worker was lost each time.

    text : what the task does, such as "nets 0 to 63"
    """
    return RuntimeError(
        f"Workers were lost {counted(n, 'time')} while they had the task of {text}, so it is not tried again. A worker "
        "that is killed has often run out of memory: give each worker more of it, or train fewer or smaller nets."
    )


def version_here() -> str:
    """Return the version of this package."""
    from .. import __version__  # found out at its first use

    return __version__


def check_version(version: str) -> None:
    """Raise RuntimeError on a worker whose version of this package is not that of the program that sends its tasks."""
    if version != version_here():
        raise RuntimeError(
            f"A worker has fastmlp {version_here()}, but the program that sends its tasks has {version}. Install the "
            "same version everywhere."
        )
