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
