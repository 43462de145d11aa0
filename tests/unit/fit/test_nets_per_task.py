"""Sizes of tasks: lanes are filled, workers get equal shares, and tasks come to last some seconds."""

import numpy as np
import pytest

from fastmlp.fit.nets_per_task import MOST_BYTES, MOST_BYTES_THERE, TASK_SECONDS, TaskSizes


class FakeTask:
    """What TaskSizes reads of a FitTask."""

    def __init__(self, family):
        from fastmlp import Population

        pop = Population((2, 4, 1), 3, device="cpu")
        self.family, self.network = family, pop.network
        self.rows = type("Rows", (), {"n_samples": 10})


def sizes(family="one_by_one", epochs=1000, net_bytes=100, bytes_there=0):
    return TaskSizes(FakeTask(family), epochs, net_bytes, bytes_there)


def test_sizes_follow_measured_times():
    found = sizes()
    for n_nets, seconds in ((10, 1.0), (20, 2.0)):
        found.take(n_nets, seconds)
    assert found.next(10_000, 2) == pytest.approx(TASK_SECONDS / 0.1)
    found.take(20, 20.0)  # slower now
    assert found.next(10_000, 2) < 10


def test_the_last_tasks_are_equal_shares():
    found = sizes()
    found.take(100, 0.1)
    assert found.next(1000, 2) == 500
    assert found.next(1000, 1) == 1000
    assert found.next(3, 2) == 3, "tasks of a few milliseconds are not cut"


def test_lanes_are_filled():
    found = sizes("population_simd", 10**6)
    assert 0 < found.next(10_000, 2) < 10_000
    assert found.next(10_000, 2) % 16 == 0
    assert found.next(5, 2) == 5
    found.take(16, 1000.0)
    assert found.next(100, 2) == 16, "at least"


def test_the_bytes_of_a_task_are_bounded():
    found = sizes(net_bytes=MOST_BYTES // 10)
    found.take(100, 1e-3)
    assert found.next(10**6, 2) == 10
    assert sizes(net_bytes=10 * MOST_BYTES).next(100, 2) == 1
    assert sizes(bytes_there=10 * MOST_BYTES_THERE).next(100, 2) == 1


def test_every_net_is_in_a_task():
    found, left = sizes("population_simd"), 12_345
    while left:
        n = found.next(left, 3)
        assert 0 < n <= left
        left -= n
        found.take(n, n * np.random.default_rng(left).random() * 0.1)
