"""Stopwatch: training time and compile time, measured separately."""

import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp.kernels.jit import compile_time
from fastmlp.kernels.jit.compile_time import add_wait


def fake_compilation(monkeypatch):
    """Pretend that kernels take 40 s to compile: the clock is advanced when a fit borrows a thread team."""
    from fastmlp.execution import buffer_cache

    clock, borrow_team = compile_time.time.perf_counter, buffer_cache.BufferCache.borrow_team
    ahead = [0.0]

    def waits(self, *arguments):
        if not ahead[0]:
            ahead[0] = 40.0
            add_wait(40.0)
        return borrow_team(self, *arguments)

    monkeypatch.setattr(buffer_cache.BufferCache, "borrow_team", waits)
    monkeypatch.setattr(compile_time.time, "perf_counter", lambda: clock() + ahead[0])


def population(sizes):
    return lambda: fastmlp.Population(sizes, 2, loss="binary_cross_entropy", random_state=0)


@pytest.mark.parametrize(
    "make",
    [lambda: fastmlp.MLP((2, 3, 1), random_state=0), population((2, 2, 1)), population((2, 100, 1))],
    ids=["net", "in lanes", "one by one"],
)
def test_records_separate_compile_time_of_a_cold_fit(make, monkeypatch):
    nets = make()
    nets.fit(XOR_X, XOR_Y, epochs=3)
    warm = nets.fit(XOR_X, XOR_Y, epochs=3)
    assert warm.compile_seconds == 0.0
    assert warm.training_seconds == warm.seconds > 0.0
    assert "compile_seconds" not in repr(warm)
    fake_compilation(monkeypatch)
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")  # nets one by one: the fit's own thread waits for them
    first = nets.fit(XOR_X, XOR_Y, epochs=3)
    assert first.compile_seconds == pytest.approx(40.0)
    assert 0.0 < first.training_seconds == first.seconds - first.compile_seconds
    assert "compile_seconds=40" in repr(first)
    if isinstance(nets, fastmlp.Population):
        assert " s\n" in warm.summary()
        assert "after 40 s of compiling, once for this kind of net" in first.summary().splitlines()[0]
