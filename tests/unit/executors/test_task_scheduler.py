"""Tasks on workers: all are done whatever is lost, up to a limit; a request to stop ends them."""

import os
import signal
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import numpy as np
import pytest
from executor_cases import InPlace

from fastmlp.executors.executor_kinds import workers_of
from fastmlp.executors.task_scheduler import MOST_TRIES, TASKS_PER_SLOT, Task, Tasks
from fastmlp.runtime.ctrl_c import StopFlag


def double(arrays, argument):
    return arrays[0].sum() + 2 * argument


class Numbers:
    """Tasks with the numbers below n, and their results."""

    def __init__(self, n):
        self.left, self.results = list(range(n)), {}

    def cut(self, n_slots):
        return Task(number := self.left.pop(0), f"number {number}") if self.left else None

    def take(self, task, result):
        self.results[task.argument] = result

    def run(self, workers, function=double, flag=None):
        Tasks(workers, function, [np.ones(2)], self.cut, self.take, flag or StopFlag()).run()


def test_all_tasks_are_done():
    numbers = Numbers(40)
    with ThreadPoolExecutor(3) as executor, workers_of(executor) as workers:
        numbers.run(workers)
    assert numbers.results == {k: 2 + 2 * k for k in range(40)}


def test_few_tasks_are_submitted_at_a_time():
    class Never(InPlace):
        def submit(self, function, *arguments):
            self.n_submitted += 1
            if self.n_submitted > TASKS_PER_SLOT * 8:
                raise AssertionError("too many tasks wait")
            return Future()

    numbers, flag = Numbers(1000), StopFlag()
    flag.set()
    with workers_of(Never()) as workers, pytest.raises(KeyboardInterrupt):
        numbers.run(workers, flag=flag)
    assert len(numbers.left) == 1000 - TASKS_PER_SLOT * 8
    assert not numbers.results


class Loses(InPlace):
    """Executor that cancels the first tries of each task."""

    def __init__(self, n_losses):
        super().__init__()
        self.n_losses, self.tries = n_losses, {}

    def submit(self, function, /, *arguments):
        number = arguments[1]
        self.tries[number] = self.tries.get(number, 0) + 1
        if self.tries[number] > self.n_losses:
            return super().submit(function, *arguments)
        future = Future()
        future.set_exception(CancelledError())
        return future


def test_lost_tasks_are_submitted_again():
    numbers = Numbers(20)
    with workers_of(Loses(MOST_TRIES - 1)) as workers:
        numbers.run(workers)
    assert len(numbers.results) == 20


def test_a_task_is_lost_too_often():
    with workers_of(Loses(MOST_TRIES)) as workers, pytest.raises(RuntimeError, match=r"3 times .* task of number"):
        Numbers(20).run(workers)


def test_an_error_ends_all_tasks_and_names_the_task():
    def fail(arrays, argument):
        raise KeyError(argument)

    with workers_of(InPlace()) as workers, pytest.raises((KeyError, RuntimeError)) as caught:
        Numbers(20).run(workers, fail)
    assert "number 0" in str(getattr(caught.value, "__notes__", caught.value))


def test_a_second_ctrl_c_leaves_what_has_begun(ctrl_c, capsys):
    class Begun(InPlace):
        def submit(self, function, /, *arguments):
            future = Future()
            future.set_running_or_notify_cancel()
            return future

    numbers, presses = Numbers(5), []

    def press():
        presses.append("Ctrl-C")
        os.kill(os.getpid(), signal.SIGINT)

    for delay in (0.3, 0.9):
        threading.Timer(delay, press).start()
    with workers_of(Begun()) as workers, pytest.raises(KeyboardInterrupt):
        Tasks(workers, double, [], numbers.cut, numbers.take, StopFlag()).run(verbose=1)
    assert len(presses) == 2, "the first one waits"
    assert not numbers.results
    assert "A second Ctrl-C leaves them" in capsys.readouterr().err
