"""The choice of a device by a worker of an executor, and Ctrl-C meanwhile. tests/cuda has workers with GPUs."""

import time
from _thread import interrupt_main
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.executors.executor_kinds import workers_of
from fastmlp.population_training import workers_device_choice
from fastmlp.population_training.workers_device_choice import FitFacts, choose_on_workers

FACTS = FitFacts("auto", MLP((2, 2, 1)).network, 4, np.dtype("float32"), 4, False, "exact", 1e3, 1e2, False, 100)


@pytest.fixture
def workers():
    with ThreadPoolExecutor(2) as pool, workers_of(pool) as found:
        yield found


def test_a_worker_says_who_has_chosen(workers):
    choice = choose_on_workers(workers, FACTS)
    assert choice.device.name == "cpu"
    assert choice.device.reason.startswith("chosen by a worker of the executor: ")


def interrupt_the_choice(monkeypatch, interrupt):
    """Patch the choice, so that it calls a function and takes its time."""
    choose = workers_device_choice.choose_here

    def interrupted(arrays, question):
        interrupt()
        time.sleep(0.1)
        return choose(arrays, question)

    monkeypatch.setattr(workers_device_choice, "choose_here", interrupted)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_a_worker_chooses_is_not_lost(workers, monkeypatch):
    """The fit would begin otherwise, since its tasks know nothing of it."""
    interrupt_the_choice(monkeypatch, interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        choose_on_workers(workers, FACTS)


def test_a_choice_of_workers_that_are_to_stop_is_the_result(workers, monkeypatch):
    """Their fit ends at once, and has a result."""
    interrupt_the_choice(monkeypatch, workers.stop.set)
    assert choose_on_workers(workers, FACTS).device.name == "cpu"
