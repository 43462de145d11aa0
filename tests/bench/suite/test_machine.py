"""Facts of the machine that benchmarks run on, and its load by other programs."""

import json

from suite import machine as bench_machine


def test_machine_facts_are_json(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    facts = bench_machine.machine(["OMP_NUM_THREADS"])
    assert facts == json.loads(json.dumps(facts))
    assert facts["cpus"] >= 1
    assert facts["processor"]
    assert facts["cleared"] == ["OMP_NUM_THREADS"]
    assert facts["slowed_by"] == ["OPENBLAS_CORETYPE"]
    assert {"python", "numpy", "numba", "fastmlp"} <= set(facts["versions"])


def test_others_busy_is_the_share_of_busy_ticks(monkeypatch):
    ticks = iter([(1000, 900), (1100, 950)])
    monkeypatch.setattr(bench_machine, "_ticks", lambda: next(ticks))
    assert bench_machine.others_busy(0.0) == 0.5
    monkeypatch.setattr(bench_machine, "_ticks", lambda: None)
    assert bench_machine.others_busy(0.0) == 0.0


def test_come_to_rest_waits_for_idle_processors(monkeypatch):
    """Of two processors one is busy for three checks, then both are idle; without ticks the wait is the maximum."""
    ticks = iter([(0, 0), (4, 2), (8, 4), (12, 7), (16, 11), (20, 11)])
    monkeypatch.setattr(bench_machine, "_ticks", lambda: next(ticks))
    monkeypatch.setattr(bench_machine.time, "sleep", lambda seconds: None)
    bench_machine.come_to_rest(max_seconds=60.0)
    assert next(ticks) == (20, 11)
    clock = iter(range(100))
    monkeypatch.setattr(bench_machine.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(bench_machine, "_ticks", lambda: None)
    bench_machine.come_to_rest(max_seconds=5.0)
    assert next(clock) == 6
