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
