"""The measurements of bench/gpu.py, on sizes that say nothing about speed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu
import gpu_limits
import gpu_works
import nets_in_step
import numpy as np
import pytest

import fastmlp
import fastmlp.plan

PEERS = {"PyTorch eager", "PyTorch compiled", "PyTorch captured", "PyTorch compiled and captured", "JAX"}


def test_population(cuda):
    row = gpu_works.population(cuda, 130, epochs=2, rounds=2, multiply_adds=1e12)
    assert len(row["times"]["fastmlp"]) == 2
    assert row["limit"] == pytest.approx(293e-6)
    assert len(row["times"]) + len(row["left_out"]) == 2


def test_jax_trains_the_same_population(rng):
    """On the processor, where JAX is; what it is compared with is what ours is compared with."""
    pytest.importorskip("jax")
    start = rng.normal(size=(7, 9)).astype(np.float32)
    run, wait, reached = gpu_works.jax_population(start, gpu_works.CHECKED_EPOCHS, anywhere=True)
    run()
    wait()
    gpu_works.check_population("JAX", reached(), start)
    with pytest.raises(AssertionError, match="JAX"):
        gpu_works.check_population("JAX", reached() + 0.01, start)


@pytest.mark.parametrize("precision", ("exact", "tf32", "bfloat16"))
def test_single(cuda, precision):
    row = gpu_works.single(cuda, (6, 20, 3), 32, 2, rounds=1, precision=precision, target="none", epochs=1)
    assert row["limit"] > 0
    layers = set() if precision == "bfloat16" else {"fastmlp, by layers", "fastmlp, by layers, no graphs"}
    assert set(row["times"]) >= {"fastmlp", *(layers or {"fastmlp, no graphs"})}
    assert {*row["times"], *row["left_out"]} >= PEERS
    text = gpu.table({"workloads": {"small": row}})
    assert f"| {np.median(row['times']['fastmlp']):.4g} |" in text
    assert all(f"| small | | {name} | left out: {why} |" in text for name, why in row["left_out"].items())


def test_nets_in_step(cuda, monkeypatch):
    monkeypatch.setattr("fastmlp.plan.BLOCK_UP_TO_BYTES", -1)
    row = gpu_works.nets_in_steps(cuda, (6, 20, 12, 3), 4, 8, 3, rounds=1, epochs=1)
    assert row["limit"] > 0
    assert set(row["times"]) >= {"fastmlp", "fastmlp, no graphs"}
    monkeypatch.setattr("fastmlp.plan.BLOCK_UP_TO_BYTES", 10**9)
    with pytest.raises(AssertionError, match="not trained in step"):
        gpu_works.nets_in_steps(cuda, (6, 20, 12, 3), 4, 8, 3, rounds=1)


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


@pytest.mark.parametrize("precision", ["exact", "tf32", "float16", "bfloat16"])
def test_bare_products_are_those_of_a_step(cuda, precision, monkeypatch):
    """Three of each layer but the first, which has two, of the right shapes."""
    from fastmlp.kernels.cuda.products import Products

    asked, multiply = [], Products._multiply
    run = gpu_limits.bare_products(cuda, (6, 20, 3), 8, precision)
    if precision in gpu_limits.HALVES:
        run()
        return
    monkeypatch.setattr(Products, "_multiply", lambda *job: (asked.append(sorted(job[3:6])), multiply(*job)))
    run()
    assert sorted(asked) == sorted([[6, 8, 20], [3, 8, 20], [3, 8, 20], [3, 8, 20], [6, 8, 20]])


def test_limits_of_a_card(cuda):
    found = gpu_limits.limits(cuda, size=100, n=8, repeats=1)
    assert set(found) == {"copy GB/s", "sgemm GFLOP/s", "multiply-adds/s"}
    assert all(value > 0 for value in found.values())


def test_a_peer_that_breaks_is_left_out():
    """Ours goes on; if ours breaks, there is nothing to report."""
    broken, fine = lambda: 1 / 0, lambda: None
    row = gpu_works.timed({"fastmlp": (fine, fine, 1, 1), "peer": (broken, fine, 1, 1)}, {"JAX": "not here"}, rounds=2)
    assert list(row["times"]) == ["fastmlp"]
    assert row["left_out"] == {"JAX": "not here", "peer": "ZeroDivisionError: division by zero"}
    with pytest.raises(ZeroDivisionError):
        gpu_works.timed({"fastmlp": (broken, fine, 1, 1)}, {}, rounds=2)


def test_wrong_numbers_are_not_timed(cuda, monkeypatch):
    monkeypatch.setattr(
        fastmlp.MLP, "loss_and_gradient", lambda net, X, y: (0.0, net.params + (net.device.name == "cpu"))
    )
    with pytest.raises(AssertionError, match="gradient is off"):
        gpu_works.single(cuda, (6, 20, 3), 32, 2, rounds=1, precision="exact", target="none")


@pytest.mark.parametrize(
    "program, expected",
    [
        ("open(sys.argv[sys.argv.index('--into') + 1], 'w').write('{\"limit\": 1}')", {"limit": 1}),
        ("raise ValueError('a | b')", {"error": "ValueError: a / b"}),
        ("import time; time.sleep(60)", {"error": "stopped after 2 s: 8 minutes were over"}),
    ],
    ids=["fine", "broken", "late"],
)
def test_each_workload_has_a_process(program, expected, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(f"import sys\n{program}\n")
    assert gpu.child("a work", True, 2.0, {}, program=str(path)) == expected
    assert gpu.child("a work", True, 0.0, {}) == {"error": "not measured: 8 minutes were over"}


def test_everything_is_saved_as_it_comes(monkeypatch, tmp_path, capsys):
    """Whatever breaks, the rest is there."""
    saved, row = [], {"unit": "us", "times": {"fastmlp": [2.0]}, "left_out": {"JAX": "no"}, "limit": 1.0, "target": "x"}

    def child(name, *_):
        saved.append((tmp_path / "gpu-a-card.json").exists())
        return {"limits": {"copy GB/s": 2.0}, "thresholds": {"error": "no"}}.get(
            name, row if "XOR" in name else {"error": "e"}
        )

    monkeypatch.setattr(gpu, "child", child)
    monkeypatch.setattr(gpu, "run_tests", lambda seconds: "1 passed")
    gpu.run("A Card, 8 GiB", quick=True, no_tests=False, output=tmp_path)
    names = list(gpu_works.workloads(None, True, 0.0))
    assert saved == [False, *[True] * (len(names) + 1)]
    results = json.loads((tmp_path / "gpu-a-card.json").read_text())
    assert list(results["workloads"]) == names
    text = (tmp_path / "gpu-a-card.md").read_text()
    assert "A Card, 8 GiB; tests: 1 passed; copy GB/s 2" in text
    assert "| population 2-2-1, XOR | us | fastmlp | 2 | 2 to 2 | 2.00 | 1.00 | x |" in text
    assert f"| {names[-1]} | e | | | | | | |" in text


def test_the_whole_command(emulated_cuda, tmp_path):
    """All that it does on a card but for its tests, each workload in a process of its own, in the emulator."""
    program, folder = Path(__file__).with_name("gpu_in_emulator.py"), tmp_path / "results"
    command = [sys.executable, program, "--quick", "--no-tests", "--output", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((folder / "gpu-emulated-gpu.json").read_text())
    assert list(results["workloads"]) == list(gpu_works.workloads(None, True, 0.0))
    for name, row in results["workloads"].items():
        assert len(row["times"]["fastmlp"]) == 2, (name, row)
        assert row["limit"] > 0
        assert all("card" in why or "CUDA" in why or "not installed" in why for why in row["left_out"].values()), row
        assert f"| {name} | {row['unit']} | fastmlp |" in done.stdout
    assert set(results["limits"]) == {"copy GB/s", "sgemm GFLOP/s", "multiply-adds/s"}
    assert results["thresholds of auto"]["text"].endswith("(measured, but not kept)")
    assert "Emulated GPU, 8 GiB" in (folder / "gpu-emulated-gpu.md").read_text()


def test_tests_of_the_card(monkeypatch, tmp_path):
    """Their files are there; what fails is counted and shown, what does not end is stopped."""
    assert len(gpu.DEVICE_TESTS) > 20
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert False\n@pytest.mark.skip\ndef test_c(): pass\n"
    )
    (tmp_path / "test_late.py").write_text("import time\ndef test_a(): pass\ndef test_b(): time.sleep(60)\n")
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "TEST_OPTIONS", ("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)))
    some, late = tmp_path / "test_some.py", tmp_path / "test_late.py"
    assert gpu.run_tests(30.0, [some]) == "1 passed, 1 failed, 0 error, 1 skipped"
    assert gpu.run_tests(4.0, [late]) == "1 passed, 0 failed, 0 error, 0 skipped; 1 of 1 processes stopped after 4 s"


@pytest.mark.parametrize("family", ["per_net", "per_layer"])
def test_ways_of_launching(family, emulated_cuda, monkeypatch):
    """Each is what it says, and settings are as before afterwards."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "1")
    import launches

    small = fastmlp.plan.BLOCK_UP_TO_PARAMS
    sizes = (6, 20, 3) if family == "per_net" else (6, 150, 150, 3)
    net = fastmlp.MLP(sizes, device="cuda", random_state=0)
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
    assert (os.environ["FASTMLP_CUDA_GRAPHS"], fastmlp.plan.BLOCK_UP_TO_PARAMS) == ("1", small)
