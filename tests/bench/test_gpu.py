"""The measurements of bench/gpu.py, on sizes that say nothing about speed."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def gpu(cuda):
    spec = importlib.util.spec_from_file_location("gpu", Path(__file__).parents[2] / "bench" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_population(gpu, cuda):
    row = gpu.population(cuda, 130, epochs=2, rounds=2, rate=1e12)
    assert len(row["times"]["fastmlp"]) == 2
    assert row["limit"] == pytest.approx(293e-6)


@pytest.mark.parametrize("precision", ("exact", "tf32", "bfloat16"))
def test_single(gpu, cuda, precision):
    row = gpu.single(cuda, (6, 20, 3), 32, 2, rounds=1, precision=precision, target="none", epochs=1)
    assert row["limit"] > 0
    layers = set() if precision == "bfloat16" else {"fastmlp, by layers", "fastmlp, by layers, no graphs"}
    assert set(row["times"]) >= {"fastmlp", *(layers or {"fastmlp, no graphs"})}
    text = gpu.table({"workloads": {"small": row}})
    assert f"| {np.median(row['times']['fastmlp']):.4g} |" in text


def test_wrong_numbers_are_not_timed(gpu, cuda, monkeypatch):
    monkeypatch.setattr(
        gpu.fastmlp.MLP, "loss_and_gradient", lambda net, X, y: (0.0, net.params + (net.device.name == "cpu"))
    )
    with pytest.raises(AssertionError, match="gradient is off"):
        gpu.single(cuda, (6, 20, 3), 32, 2, rounds=1, precision="exact", target="none")


@pytest.mark.parametrize("family", ["per_net", "per_layer"])
def test_ways_of_launching(gpu, family, emulated_cuda, monkeypatch):
    """Each is what it says, and settings are as before afterwards."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "1")
    import launches

    small = gpu.fastmlp.plan.BLOCK_UP_TO_PARAMS
    sizes = (6, 20, 3) if family == "per_net" else (6, 150, 150, 3)
    net = gpu.fastmlp.MLP(sizes, device="cuda", random_state=0)
    X, y = np.ones((30, 6)), np.ones((30, 3))
    found = {}
    for name, run in launches.ways(lambda: net.fit(X, y, epochs=3, batch_size=10, verbose=0), family).items():
        with emulated_cuda.counting() as n:
            run()
        found[name] = bool(n["launches of judge"]), bool(n["graph_launches"])
    expected = {"fastmlp": (family == "per_layer", family == "per_layer")}
    if family == "per_net":
        expected |= {"fastmlp, by layers": (True, True), "fastmlp, by layers, no graphs": (True, False)}
    else:
        expected |= {"fastmlp, no graphs": (True, False)}
    assert found == expected
    assert (os.environ["FASTMLP_CUDA_GRAPHS"], gpu.fastmlp.plan.BLOCK_UP_TO_PARAMS) == ("1", small)
