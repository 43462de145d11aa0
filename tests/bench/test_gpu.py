"""The measurements of bench/gpu.py, on sizes that say nothing about speed."""

import importlib.util
import json
import os
from pathlib import Path

import nets_in_step
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


def test_jax_trains_the_same_population(gpu, rng):
    """On the processor, where JAX is; what it is compared with is what ours is compared with."""
    pytest.importorskip("jax")
    start = rng.normal(size=(7, 9)).astype(np.float32)
    run, wait, reached = gpu.jax_population(start, gpu.CHECKED_EPOCHS, anywhere=True)
    run()
    wait()
    gpu.check_population("JAX", reached(), start)
    with pytest.raises(AssertionError, match="JAX"):
        gpu.check_population("JAX", reached() + 0.01, start)


@pytest.mark.parametrize("precision", ("exact", "tf32", "bfloat16"))
def test_single(gpu, cuda, precision):
    row = gpu.single(cuda, (6, 20, 3), 32, 2, rounds=1, precision=precision, target="none", epochs=1)
    assert row["limit"] > 0
    layers = set() if precision == "bfloat16" else {"fastmlp, by layers", "fastmlp, by layers, no graphs"}
    assert set(row["times"]) >= {"fastmlp", *(layers or {"fastmlp, no graphs"})}
    text = gpu.table({"workloads": {"small": row}})
    assert f"| {np.median(row['times']['fastmlp']):.4g} |" in text


def test_nets_in_step(gpu, cuda, monkeypatch):
    monkeypatch.setattr("fastmlp.plan.BLOCK_UP_TO_BYTES", -1)
    row = gpu.nets_in_steps(cuda, (6, 20, 12, 3), 4, 8, 3, rounds=1, epochs=1)
    assert row["limit"] > 0
    assert set(row["times"]) >= {"fastmlp", "fastmlp, no graphs"}
    monkeypatch.setattr("fastmlp.plan.BLOCK_UP_TO_BYTES", 10**9)
    with pytest.raises(AssertionError, match="not trained in step"):
        gpu.nets_in_steps(cuda, (6, 20, 12, 3), 4, 8, 3, rounds=1)


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_peers_of_nets_in_step(peer, rng):
    """On the processor: two steps of every net in an order of its own, as float64 NumPy takes them; then an epoch."""
    pytest.importorskip(peer)
    sizes, X, y = (6, 20, 12, 3), rng.normal(size=(24, 6)).astype(np.float32), rng.integers(3, size=24)
    start = (rng.normal(size=(4, 7 * 20 + 21 * 12 + 13 * 3)) * 0.3).astype(np.float32)
    orders = np.array([rng.permutation(24)[:16].reshape(2, 8) for _ in range(4)]).transpose(1, 0, 2)
    make = {"torch": lambda *job: nets_in_step.Torch(*job, "cpu"), "jax": nets_in_step.Jax}[peer]
    made = make(sizes, start, X, y)
    reached, expected = made.steps(orders), nets_in_step.numpy_steps(start, sizes, X, y, orders)
    nets_in_step.check(peer, reached, expected)
    with pytest.raises(AssertionError, match="off by"):
        nets_in_step.check(peer, reached + 1e-4, expected)
    made.epoch(8)


@pytest.mark.parametrize("peer", ["torch", "jax"])
@pytest.mark.parametrize("precision", ["exact", "tf32", "bfloat16"])
def test_peers_of_single_nets(peer, precision, rng):
    """On the processor: two steps as float64 NumPy takes them, then an epoch."""
    pytest.importorskip(peer)
    import gpu_peers

    sizes, X, y = (12, 40, 30, 3), rng.normal(size=(240, 12)).astype(np.float32), rng.integers(3, size=240)
    start = (rng.normal(size=13 * 40 + 41 * 30 + 31 * 3) * 0.2).astype(np.float32)
    batches = np.arange(240).reshape(2, 120)
    expected = nets_in_step.numpy_steps(start[None], sizes, X, y, batches[:, None])[0]
    kind = {"torch": lambda *job: gpu_peers.Torch(*job, "cpu"), "jax": gpu_peers.Jax}[peer]
    made = kind(sizes, start, X, y, precision)
    reached = made.steps(batches)
    gpu_peers.check(peer, reached, expected, start, precision)
    with pytest.raises(AssertionError, match="of their length"):
        gpu_peers.check(peer, start + 0.5 * (expected - start), expected, start, precision)
    made.epoch(80)


def test_wrong_numbers_are_not_timed(gpu, cuda, monkeypatch):
    monkeypatch.setattr(
        gpu.fastmlp.MLP, "loss_and_gradient", lambda net, X, y: (0.0, net.params + (net.device.name == "cpu"))
    )
    with pytest.raises(AssertionError, match="gradient is off"):
        gpu.single(cuda, (6, 20, 3), 32, 2, rounds=1, precision="exact", target="none")


def test_what_breaks_leaves_a_row_and_the_rest(gpu, cuda, tmp_path):
    """A broken workload costs nothing but its own figures, which are saved as they come."""
    results = {"card": "A Card, 8 GiB", "tests": "1 passed", "thresholds of auto": "2 and 1", "workloads": {}}
    for name, work in (("broken", lambda: 1 / 0), ("whole", lambda: gpu.population(cuda, 40, 1, 1, 1e12))):
        results["workloads"][name] = gpu.measured(work)
        gpu.save(results, tmp_path)
        assert name in json.loads((tmp_path / "gpu-a-card.json").read_text())["workloads"]
    table = (tmp_path / "gpu-a-card.md").read_text()
    assert "| broken | ZeroDivisionError: division by zero |" in table
    assert "| whole | us per net and epoch | fastmlp |" in table


def test_tests_of_the_card(gpu, monkeypatch):
    """Their files are there, and they do not hold up the rest."""
    assert len(gpu.DEVICE_TESTS) > 4
    assert all((gpu.ROOT / path).exists() for path in gpu.DEVICE_TESTS)
    assert gpu.run_tests(0.01) == "stopped after 0 s, before they had ended"


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
