"""Calls grow to a short time, and the number of threads follows what is measured."""

from fastmlp.training.call_autotune import LONG_CALL, SHORT_CALL, CallAutotuner


def run(pace, seconds_per_step, n_calls):
    """Calls (n_threads, n_steps) when a step takes seconds_per_step[n_threads]."""
    calls = []
    for _ in range(n_calls):
        n_threads, n_steps = pace.next()
        pace.record(n_threads, n_steps, n_steps * seconds_per_step[n_threads])
        calls.append((n_threads, n_steps))
    return calls


def test_calls_grow_to_a_short_time():
    calls = run(CallAutotuner(1, 1e6), {1: 1e-4}, 30)
    assert calls[0] == (1, 39)
    assert SHORT_CALL <= calls[-1][1] * 1e-4 <= LONG_CALL


def test_long_steps_come_one_at_a_time():
    assert run(CallAutotuner(2, 1e12), {1: 30.0, 2: 20.0}, 3)[0] == (2, 1)


def test_one_thread_where_two_are_slower():
    calls = run(CallAutotuner(2, 1e6), {1: 1e-4, 2: 5e-4}, 100)
    assert calls[0][0] == 2
    assert sum(n_steps for n_threads, n_steps in calls[50:] if n_threads == 1) > 10 * sum(
        n_steps for n_threads, n_steps in calls[50:] if n_threads == 2
    )


def test_two_threads_where_they_are_faster():
    calls = run(CallAutotuner(2, 1e6), {1: 1.9e-4, 2: 1e-4}, 100)
    steps = {n: sum(n_steps for n_threads, n_steps in calls if n_threads == n) for n in (1, 2)}
    assert steps[2] > 30 * steps[1]


def test_back_to_two_when_the_machine_is_free_again():
    pace = CallAutotuner(2, 1e6)
    run(pace, {1: 1e-4, 2: 5e-4}, 60)
    assert {n_threads for n_threads, _ in run(pace, {1: 1e-4, 2: 6e-5}, 60)[-5:]} == {2}


def test_never_more_than_one_thread_of_one():
    assert {n_threads for n_threads, _ in run(CallAutotuner(1, 1e6), {1: 1e-3}, 100)} == {1}


def test_short_steps_try_one_thread_soon():
    """A fit of a tenth of a second is over before the first second is."""
    steps = {1: 8e-5, 2: 1.3e-4}
    calls = run(CallAutotuner(2, 3e6), steps, 9)
    before = [n_steps for n_threads, n_steps in calls[: [n for n, _ in calls].index(1)]]
    assert sum(before) * steps[2] < 0.06
    assert {n_threads for n_threads, _ in calls[-3:]} == {1}
    assert 1 not in {n_threads for n_threads, _ in run(CallAutotuner(2, 1e9), {1: 0.03, 2: 0.017}, 14)}, (
        "long ones wait"
    )


def test_trials_that_are_in_vain_become_rare():
    """Each costs a step or more on one thread; they come again as soon as steps take longer."""
    pace = CallAutotuner(2, 1e9)
    n_trials = lambda n_calls, steps: [n for n, _ in run(pace, steps, n_calls)].count(1)
    steps = {1: 0.03, 2: 0.016}
    counts = [n_trials(60, steps) for _ in range(8)]  # of seconds of calls of a few steps each
    assert counts[0] >= 2
    assert sum(counts[4:]) < sum(counts[:4]) < 8
    assert n_trials(20, {1: 0.06, 2: 0.024}) >= 1, "something is different now"


def test_a_call_that_had_to_be_short_says_nothing_of_longer_ones():
    """As the last one of a fit, or those between looks."""
    pace = CallAutotuner(1, 1e6)
    for _ in range(50):
        n_threads, n_steps = pace.next()
        pace.record(n_threads, 3, 3e-4)
    assert pace.next()[1] == n_steps < 200


def test_trials_wait_for_some_steps():
    """A trial takes a step at least, which may be a long one."""
    calls = run(CallAutotuner(2, 1e12), {1: 0.6, 2: 0.3}, 90)
    assert 1 <= [n_threads for n_threads, _ in calls].count(1) <= 2


def test_calls_of_large_nets_are_longer():
    """Each begins with a copy of the parameters, and ends with a look at them."""
    steps = {1: 0.1, 2: 0.06}
    assert run(CallAutotuner(2, 1e10, n_params=10_000), steps, 9)[-1] == (2, 1)
    assert run(CallAutotuner(2, 1e10, n_params=50_000_000), steps, 9)[-1] == (2, 8)
