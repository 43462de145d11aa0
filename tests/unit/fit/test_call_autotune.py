"""Sizes of parts of a fit from measured times: steps per kernel call, threads, and nets per task of a worker."""

from types import SimpleNamespace

import pytest

from fastmlp import Population
from fastmlp.fit.hooks.steps_and_threads import LONG_CALL, SHORT_CALL, CallAutotuner
from fastmlp.fit.slices_on_workers import MOST_BYTES, TASK_SECONDS, TaskSizes


def run(autotuner, seconds_per_step, n_calls):
    """[(n_threads, n_steps)] of calls, if a step takes seconds_per_step[n_threads]."""
    calls = []
    for _ in range(n_calls):
        n_threads, n_steps = autotuner.next()
        autotuner.record(n_threads, n_steps, n_steps * seconds_per_step[n_threads])
        calls.append((n_threads, n_steps))
    return calls


def test_calls_grow_until_they_take_a_short_time():
    calls = run(CallAutotuner(1, 1e6), {1: 1e-4}, 30)
    assert calls[0] == (1, 40)
    assert SHORT_CALL <= calls[-1][1] * 1e-4 <= LONG_CALL
    assert {n_threads for n_threads, _ in calls} == {1}, "threads that are not available"
    assert run(CallAutotuner(2, 1e12), {1: 30.0, 2: 20.0}, 3)[0] == (2, 1), "a first call of long steps has one"


@pytest.mark.parametrize("one, two, best", [(1e-4, 5e-4, 1), (1.9e-4, 1e-4, 2)])
def test_the_faster_number_of_threads_is_chosen(one, two, best):
    calls = run(CallAutotuner(2, 1e6), {1: one, 2: two}, 100)
    steps = {n: sum(n_steps for n_threads, n_steps in calls[50:] if n_threads == n) for n in (1, 2)}
    assert steps[best] > 10 * steps[3 - best]


def test_two_threads_are_chosen_again_when_they_become_faster():
    autotuner = CallAutotuner(2, 1e6)
    run(autotuner, {1: 1e-4, 2: 5e-4}, 60)
    assert {n_threads for n_threads, _ in run(autotuner, {1: 1e-4, 2: 6e-5}, 60)[-5:]} == {2}


def test_unsuccessful_trials_become_rare():
    """A trial costs a step or more on one thread; trials return as soon as steps take longer."""
    autotuner = CallAutotuner(2, 1e9)
    n_trials = lambda n_calls, steps: [n for n, _ in run(autotuner, steps, n_calls)].count(1)
    counts = [n_trials(60, {1: 0.03, 2: 0.016}) for _ in range(8)]  # each covers seconds of calls of a few steps
    assert counts[0] >= 2
    assert sum(counts[4:]) < sum(counts[:4]) < 8
    assert n_trials(20, {1: 0.06, 2: 0.024}) >= 1, "no trial although steps take longer"
    assert 1 <= [n for n, _ in run(CallAutotuner(2, 1e12), {1: 0.6, 2: 0.3}, 90)].count(1) <= 2, "of long steps"


# ---- nets per task


class FakeTask:
    """What TaskSizes reads of a FitTask."""

    def __init__(self, family):
        pop = Population((2, 4, 1), 3, device="cpu")
        self.whole, self.network = SimpleNamespace(family=family), pop.network
        self.rows = SimpleNamespace(n_samples=10)
        self.work = 10.0 * self.network.layout.products


def sizes(family="one_by_one", epochs=1000, net_bytes=100):
    return TaskSizes(FakeTask(family), epochs, net_bytes)


def test_sizes_of_tasks_follow_measured_times_and_the_last_ones_are_equal_shares():
    found = sizes()
    for n_nets, seconds in ((10, 1.0), (20, 2.0)):
        found.take(n_nets, seconds)
    assert found.next(10_000, 2) == pytest.approx(TASK_SECONDS / 0.1)
    found.take(20, 20.0)  # slower now
    assert found.next(10_000, 2) < 10
    found = sizes()
    found.take(100, 0.1)
    assert [found.next(*given) for given in ((1000, 2), (1000, 1), (3, 2))] == [500, 1000, 3]


def test_tasks_fill_lanes_and_their_bytes_are_bounded():
    found = sizes("population_simd", 10**6)
    assert 0 < found.next(10_000, 2) < 10_000
    assert found.next(10_000, 2) % 16 == 0
    assert found.next(5, 2) == 5
    found = sizes(net_bytes=MOST_BYTES // 10)
    found.take(100, 1e-3)
    assert found.next(10**6, 2) == 10
    assert sizes(net_bytes=10 * MOST_BYTES).next(100, 2) == 1
