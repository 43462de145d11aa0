"""The measurements of bench/gpu.py, on sizes that say nothing about speed."""

import importlib.util
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
    row = gpu.single(cuda, (6, 20, 3), 32, 2, rounds=1, precision=precision, target="none")
    assert row["limit"] > 0
    assert set(row["times"]) >= {"fastmlp"}
    text = gpu.table({"workloads": {"small": row}})
    assert f"| {np.median(row['times']['fastmlp']):.4g} |" in text


def test_wrong_numbers_are_not_timed(gpu, cuda, monkeypatch):
    monkeypatch.setattr(
        gpu.fastmlp.MLP, "loss_and_gradient", lambda net, X, y: (0.0, net.params + (net.device.name == "cpu"))
    )
    with pytest.raises(AssertionError, match="gradient is off"):
        gpu.single(cuda, (6, 20, 3), 32, 2, rounds=1, precision="exact", target="none")
