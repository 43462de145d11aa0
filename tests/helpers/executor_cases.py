"""What tests of executors share: fits of a population, schedules that do something to the worker, and executors."""

import os
import pickle
import signal
import time
from abc import ABC, abstractmethod
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from fastmlp import Converged, Population
from fastmlp.fit.slices_on_workers import train_nets

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
OWN_X = RNG.normal(size=(20, 60, 3)).astype(np.float32)

# Others are in fit_kinds.py: name -> (layer sizes, number of nets, settings of the nets, arguments of fit)
FITS = {
    "lanes": ((3, 5, 1), 40, {}, {"batch_size": 16, "epochs": 30}),
    "one by one": ((3, 90, 70, 1), 5, {}, {"batch_size": 16, "epochs": 4}),
    "restarts": ((3, 5, 1), 40, {}, {"epochs": 60, "converged": Converged(0.5, restart_after=20)}),
    "data of each net": ((3, 5, 1), 20, {}, {"X": OWN_X, "epochs": 30, "sample_weight": RNG.random((20, 60))}),
}


def fit(name, executor=None, *, n_nets=None, change=lambda pop: None, **fit):
    """Return a population of FITS after its fit, and the result.

    n_nets : number of nets, if it is to be another one
    change : what is done to the population before
    """
    sizes, n_usual, settings, arguments = FITS[name]
    pop = Population(sizes, n_nets or n_usual, loss="binary_cross_entropy", random_state=0, device="cpu", **settings)
    change(pop)
    arguments = {"X": X, "y": Y, "verbose": 0, **arguments, **fit}
    return pop, pop.fit(executor=executor, **arguments)


def assert_same_bits(name, executor):
    """Check that a fit of FITS has the same bits on the workers of an executor."""
    (expected, expected_result), (found, result) = fit(name), fit(name, executor)
    np.testing.assert_array_equal(found.params, expected.params)
    for key, values in expected_result.arrays().items():
        np.testing.assert_array_equal(result.arrays()[key], values, err_msg=key)
    assert not result.interrupted


class InPlace(Executor):
    """Executor of which nothing is known but `submit`; it calls functions at once, and counts them."""

    def __init__(self):
        self.n_submitted = 0

    def submit(self, function, /, *arguments):
        self.n_submitted += 1
        future = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future


class Interrupted(InPlace):
    """Executor that raises KeyboardInterrupt instead of taking its task number n."""

    def __init__(self, n):
        super().__init__()
        self.n = n

    def submit(self, function, /, *arguments):
        if self.n_submitted == self.n:
            raise KeyboardInterrupt
        return super().submit(function, *arguments)


class Pickled(InPlace):
    """Executor that calls functions at once, with what a process would get; `sizes` has the bytes of each call."""

    __module__ = "concurrent.futures.process"  # so that arrays are shared as with processes

    def __init__(self):
        super().__init__()
        self.sizes = []

    def submit(self, function, /, *arguments):
        sent = pickle.dumps((function, arguments))
        self.sizes.append(len(sent))
        function, arguments = pickle.loads(sent)
        return super().submit(function, *arguments)


def process_pool(n_workers):
    """Return a pool of processes that are started anew, since pytest has threads."""
    return ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"))


NOTES = "FASTMLP_TEST_NOTES"  # variable with the path of a file to which workers write what they do


def note(text):
    """Write the number of this process and a text, if NOTES names a file."""
    if path := os.environ.get(NOTES):
        with open(path, "a", encoding="utf-8") as file:  # a short line is written at once
            file.write(f"{os.getpid()} {text}\n")


def noted_train_nets(arrays, argument):
    """Train the nets of a task as train_nets does, after a note of the first one's number."""
    note(str(argument.nets.start))
    return train_nets(arrays, argument)


class Does(ABC):
    """Schedule with constant factors that does something first, as long as a file exists."""

    def __init__(self, path):
        self.path = str(path)

    def factors(self, steps, n_steps):
        if Path(self.path).exists():
            self.act()
        return np.ones(len(steps))

    @abstractmethod
    def act(self):
        """Do what the test needs, on a worker."""


class KillsWorkerOnce(Does):
    def act(self):
        os.remove(self.path)
        note("killed")
        time.sleep(0.3)  # until the results of the tasks before are where they belong
        os.kill(os.getpid(), signal.SIGKILL)


class KillsWorkers(Does):
    def act(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Fails(Does):
    def act(self):
        raise ValueError("no factors today")


class Waits(Does):
    """Makes a task take a tenth of a second."""

    def act(self):
        time.sleep(0.1)


class WaitsForAnother(Does):
    """Waits until another process has got it, too; its path is a folder, which then has a file of each of them."""

    def act(self):
        folder, end = Path(self.path), time.monotonic() + 120
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < 2:
            if time.monotonic() > end:
                raise TimeoutError("no other worker has got a task")
            time.sleep(0.02)
