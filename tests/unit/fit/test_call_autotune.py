"""`CallAutotuner`: steps per kernel call, and the number of threads, from measured times."""

from fastmlp.fit.hooks.tuned_calls import LONG_CALL, SHORT_CALL, CallAutotuner


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
    assert calls[0] == (1, 39)
    assert SHORT_CALL <= calls[-1][1] * 1e-4 <= LONG_CALL


def test_first_call_of_long_steps_has_one_step():
    assert run(CallAutotuner(2, 1e12), {1: 30.0, 2: 20.0}, 3)[0] == (2, 1)


def test_one_thread_is_chosen_if_two_are_slower():
    calls = run(CallAutotuner(2, 1e6), {1: 1e-4, 2: 5e-4}, 100)
    assert calls[0][0] == 2
    assert sum(n_steps for n_threads, n_steps in calls[50:] if n_threads == 1) > 10 * sum(
        n_steps for n_threads, n_steps in calls[50:] if n_threads == 2
    )


def test_two_threads_are_chosen_if_faster():
    calls = run(CallAutotuner(2, 1e6), {1: 1.9e-4, 2: 1e-4}, 100)
    steps = {n: sum(n_steps for n_threads, n_steps in calls if n_threads == n) for n in (1, 2)}
    assert steps[2] > 30 * steps[1]


def test_two_threads_are_chosen_again_when_they_become_faster():
    autotuner = CallAutotuner(2, 1e6)
    run(autotuner, {1: 1e-4, 2: 5e-4}, 60)
    assert {n_threads for n_threads, _ in run(autotuner, {1: 1e-4, 2: 6e-5}, 60)[-5:]} == {2}


def test_one_available_thread_is_never_exceeded():
    assert {n_threads for n_threads, _ in run(CallAutotuner(1, 1e6), {1: 1e-3}, 100)} == {1}


def test_one_thread_is_tried_early_for_short_steps():
    """A fit that takes a tenth of a second would end before a trial after a second."""
    steps = {1: 8e-5, 2: 1.3e-4}
    calls = run(CallAutotuner(2, 3e6), steps, 9)
    before = [n_steps for n_threads, n_steps in calls[: [n for n, _ in calls].index(1)]]
    assert sum(before) * steps[2] < 0.06
    assert {n_threads for n_threads, _ in calls[-3:]} == {1}
    assert 1 not in {n_threads for n_threads, _ in run(CallAutotuner(2, 1e9), {1: 0.03, 2: 0.017}, 14)}, (
        "long steps were tried on one thread early"
    )


def test_unsuccessful_trials_become_rare():
    """A trial costs a step or more on one thread; trials return as soon as steps take longer."""
    autotuner = CallAutotuner(2, 1e9)
    n_trials = lambda n_calls, steps: [n for n, _ in run(autotuner, steps, n_calls)].count(1)
    steps = {1: 0.03, 2: 0.016}
    counts = [n_trials(60, steps) for _ in range(8)]  # each count covers seconds of calls of a few steps
    assert counts[0] >= 2
    assert sum(counts[4:]) < sum(counts[:4]) < 8
    assert n_trials(20, {1: 0.06, 2: 0.024}) >= 1, "no trial although steps take longer"


def test_short_calls_do_not_change_the_planned_length():
    """Such calls are the last one of a fit, or those that end at a callback's epoch."""
    autotuner = CallAutotuner(1, 1e6)
    for _ in range(50):
        n_threads, n_steps = autotuner.next()
        autotuner.record(n_threads, 3, 3e-4)
    assert autotuner.next()[1] == n_steps < 200


def test_trials_of_long_steps_are_limited():
    """A trial takes at least one step, which may be long."""
    calls = run(CallAutotuner(2, 1e12), {1: 0.6, 2: 0.3}, 90)
    assert 1 <= [n_threads for n_threads, _ in calls].count(1) <= 2


def test_large_nets_have_more_steps_per_call():
    """A call copies the parameters at its start and checks them at its end, which long calls amortise."""
    steps = {1: 0.1, 2: 0.06}
    assert run(CallAutotuner(2, 1e10, n_params=10_000), steps, 9)[-1] == (2, 1)
    assert run(CallAutotuner(2, 1e10, n_params=50_000_000), steps, 9)[-1] == (2, 8)
