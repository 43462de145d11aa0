"""Measurements of bench/gpu/run.py, on tiny sizes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cuda_cases import tensor_cores_first
from gpu import cases, limits, run
from libraries import needs

import fastmlp
from fastmlp.auto_device import Thresholds
from fastmlp.commands import measure_costs, measure_gpu
from fastmlp.execution.gpu_costs import ESTIMATES

COMPETITORS = {"PyTorch eager", "PyTorch compiled", "PyTorch captured", "PyTorch compiled and captured", "JAX"}


def test_population_case_has_times_and_a_limit(cuda):
    row = cases.population(cuda, 130, epochs=2, rounds=2, multiply_adds=1e12)
    assert len(row["times"]["fastmlp"]) == 2
    assert row["limit"] == pytest.approx(293e-6)
    assert len(row["times"]) + len(row["left_out"]) == 2


def test_jax_population_passes_the_check(rng):
    """JAX on the CPU passes the check that fastmlp has to pass."""
    needs("jax", extras="bench")
    start = rng.normal(size=(7, 9)).astype(np.float32)
    run, wait, reached = cases.jax_population(start, cases.CHECKED_EPOCHS, on_any_device=True)
    run()
    wait()
    cases.check_population("JAX", reached(), start)
    with pytest.raises(AssertionError, match="JAX"):
        cases.check_population("JAX", reached() + 0.01, start)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("precision", ("exact", "tf32", "bfloat16"))
def test_single_net_case_has_times_notes_and_a_limit(cuda, precision, monkeypatch):
    tensor_cores_first(monkeypatch)
    row = cases.single(cuda, (6, 20, 3), 32, 2, epochs=16, precision=precision, target="none", rounds=1)
    assert row["limit"] > 0
    assert row["notes"]["graphs of bare products"] == "replayed, 2 recorded"
    by_layers = row["notes"].get("graphs of fastmlp, by layers", "")
    assert row["notes"]["graphs of fastmlp"].startswith("replayed, " if precision == "bfloat16" else "none ")
    assert by_layers.startswith("" if precision == "bfloat16" else "replayed, ")
    assert row["notes"]["set-up of a fit"].endswith("% of a fit of 16 epochs")
    layers = set() if precision == "bfloat16" else {"fastmlp, by layers", "fastmlp, by layers, no graphs"}
    assert set(row["times"]) >= {"fastmlp", *(layers or {"fastmlp, no graphs"})}
    assert {*row["times"], *row["left_out"]} >= COMPETITORS
    text = run.table({"cases": {"small": row}})
    assert f"| {np.median(row['times']['fastmlp']):.4g} |" in text
    assert all(f"| small | | {name} | left out: {why} |" in text for name, why in row["left_out"].items())


@pytest.mark.full
def test_batched_nets_case_has_times_and_notes(cuda, monkeypatch):
    monkeypatch.setattr("fastmlp.execution.thresholds.BLOCK_UP_TO_BYTES", -1)
    row = cases.nets_in_steps(cuda, (6, 20, 12, 3), 4, 8, 9, rounds=1, epochs=1)
    assert row["limit"] > 0
    assert row["notes"]["graphs of bare products"] == "replayed, 2 recorded"
    assert row["notes"]["graphs of fastmlp"].startswith("replayed, ")
    assert set(row["times"]) >= {"fastmlp", "fastmlp, no graphs"}
    monkeypatch.setattr("fastmlp.execution.thresholds.BLOCK_UP_TO_BYTES", 10**9)
    with pytest.raises(AssertionError, match="not trained in step"):
        cases.nets_in_steps(cuda, (6, 20, 12, 3), 4, 8, 3, epochs=1, rounds=1)


@pytest.mark.parametrize("precision", ["exact", "tf32"])
def test_bare_products_have_the_shapes_of_a_step(cuda, precision, monkeypatch):
    """Three products of each layer, two of the first, with the shapes of a step."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    asked, made, multiply = [], [], Products._multiply
    run, _ = limits.bare_products(cuda, (6, 20, 3), 8, precision)

    def noted(*job):
        asked.append(sorted(job[3:6]))
        made.append(job[8])
        multiply(*job)

    monkeypatch.setattr(Products, "_multiply", noted)
    run()
    assert made
    assert all(0.01 < float(abs(product).max()) < 100 for product in made)
    step = sorted([[6, 8, 20], [3, 8, 20], [3, 8, 20], [3, 8, 20], [6, 8, 20]])
    assert all(sorted(asked[k : k + 5]) == step for k in range(0, len(asked), 5))


@pytest.mark.parametrize("precision", ["exact", "tf32", "bfloat16", "of nets"])
def test_bare_products_are_replayed(emulated_cuda, precision):
    """A run replays the stated number of steps in two graph launches."""
    import cupy

    if precision == "of nets":
        run, n_steps = limits.bare_products_of_nets(cupy, (6, 20, 3), 4, 8)
    else:
        run, n_steps = limits.bare_products(cupy, (6, 20, 3), 8, precision)
    run()
    with emulated_cuda.counting() as n:
        run()
    assert n["launches from graphs"] == 5 * n_steps
    assert n["graph_launches"] == 2


@pytest.mark.thinned(2)
@pytest.mark.parametrize("why", ["no C interface", "refused"])
def test_bare_products_are_timed_without_graphs(emulated_cuda, why, monkeypatch):
    """Products are timed without graphs, and the row notes that."""
    import cupy

    if why == "refused":
        monkeypatch.setattr(cupy.cuda.Stream, "begin_capture", lambda stream: [][0])
    emulated_cuda.settings.cublas = why == "refused"
    for case, job in (
        (cases.single, ((6, 20, 3), 32, 2, 2, "exact", "none")),
        (cases.nets_in_steps, ((64, 128, 64, 10), 3, 8, 3, 1)),
    ):
        row = case(cupy, *job, 1)
        assert row["limit"] > 0
        note = "launched one by one: IndexError: list index out of range" if why == "refused" else "none recorded"
        assert row["notes"]["graphs of bare products"] == note


@pytest.mark.parametrize("precision", ["exact", "tf32", "bfloat16"])
def test_products_are_timed_on_random_numbers(cuda, precision):
    """Zeros would save power, and large numbers would overflow; numbers have the dtype of the precision."""
    values = limits.numbers(cuda, precision, 4, 50, 60).get()
    if precision == "bfloat16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    assert values.shape == (4, 50, 60)
    assert values.std() * np.sqrt(50) == pytest.approx(1.0, abs=0.05)
    assert abs(values.mean()) < 0.01


def test_limits_of_a_gpu_are_positive(cuda):
    found = limits.limits(cuda, size=100, n=8, repeats=1)
    assert set(found) == {"copy GB/s", "sgemm GFLOP/s", "multiply-adds/s"}
    assert all(value > 0 for value in found.values())


FINE = (lambda: None), (lambda: None), 1, 1.0
BROKEN = (lambda: 1 / 0), (lambda: None), 1, 1.0


def test_failing_competitor_is_left_out():
    """A competitor may fail at its construction or in its run; a failure of fastmlp ends the case."""
    makers = {"a": lambda: BROKEN, "b": lambda: [][0], "c": lambda: FINE}
    row = cases.timed({"fastmlp": FINE}, makers, 4, limit=1.0, unit="us")
    assert {name: len(times) for name, times in row["times"].items()} == {"fastmlp": 4, "c": 4}
    assert row["left_out"] == {"a": "ZeroDivisionError: division by zero", "b": "IndexError: list index out of range"}
    assert (row["pending"], row["notes"], row["limit"], row["unit"]) == ({}, {}, 1.0, "us")
    with pytest.raises(ZeroDivisionError):
        cases.timed({"fastmlp": BROKEN}, {}, 2, limit=1.0)


def test_rows_are_saved_after_each_measurement():
    """fastmlp and its limit first, then each competitor, then alternating rounds; pending competitors are listed."""
    saved = []
    keep = lambda row: saved.append(json.loads(json.dumps(row)))
    ours = {"fastmlp": FINE, cases.LIMIT: FINE}
    cases.timed(ours, {"a": lambda: FINE, "b": lambda: BROKEN}, 3, keep, notes={"graphs": "none"})
    assert [{name: len(times) for name, times in row["times"].items()} for row in saved] == [
        {"fastmlp": 1},
        {"fastmlp": 2},
        {"fastmlp": 2},
        {"fastmlp": 2, "a": 2},
        {"fastmlp": 2, "a": 2},
        {"fastmlp": 2, "a": 2},
        {"fastmlp": 2, "a": 2},
        {"fastmlp": 3, "a": 3},
    ]
    assert [row["pending"] for row in saved[1:6]] == [
        {"a": "not reached", "b": "not reached"},
        {"a": "not ready", "b": "not reached"},
        {"b": "not reached"},
        {"b": "not ready"},
        {},
    ]
    assert all(row["limit"] > 0 and row["notes"]["graphs"] == "none" for row in saved)
    assert ["rounds" in row["notes"] for row in saved] == [True] * 6 + [False] * 2


def test_wrong_gradient_is_not_timed(cuda, monkeypatch):
    monkeypatch.setattr(
        fastmlp.MLP, "loss_and_gradient", lambda net, X, y: (0.0, net.params + (net.device.name == "cpu"))
    )
    with pytest.raises(AssertionError, match="gradient is off"):
        cases.single(cuda, (6, 20, 3), 32, 2, epochs=1, precision="exact", target="none", rounds=1)


REPORTED = {"times": {"fastmlp": [2.0]}, "left_out": {"a": "no"}, "pending": {"b": "not ready"}, "notes": {}}
REPORTS = f"pathlib.Path(sys.argv[sys.argv.index('--into') + 1]).write_text('{json.dumps(REPORTED)}')"


def row_ended_early(why):
    """REPORTED, where the process has ended for this reason."""
    return {
        "times": REPORTED["times"],
        "left_out": {"a": "no", "b": f"not ready: {why}"},
        "notes": {"ended early": why},
    }


STOPPED = "stopped after 3 s, its share of 8 minutes"


@pytest.mark.thinned(2)
@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "program, expected",
    [
        (REPORTS.replace('"b": "not ready"', ""), {name: REPORTED[name] for name in ("times", "left_out", "notes")}),
        ("raise ValueError('a | b')", {"error": "ValueError: a / b"}),
        (f"{REPORTS}; raise ValueError('a | b')", row_ended_early("ValueError: a / b")),
        (f"{REPORTS}; os._exit(3)", row_ended_early("ended with 3")),
        ("time.sleep(60)", {"error": STOPPED}),
        pytest.param(f"{REPORTS}; time.sleep(60)", row_ended_early(STOPPED), marks=pytest.mark.full),
        # What holds its output open and lives on would be waited for, if that were a pipe.
        ("subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)", {"error": STOPPED}),
    ],
    ids=["fine", "broken", "broken later", "dead", "late", "late with ours", "late with another"],
)
def test_each_case_runs_in_a_separate_process(program, expected, tmp_path):
    """Results reported before a process ends are saved."""
    path, begun, seconds = tmp_path / "program.py", time.monotonic(), 3.0 if "sleep" in program else 60.0
    path.write_text(f"import os, pathlib, subprocess, sys, time\n{program}\n")
    assert run.run_in_process("a work", True, seconds, {}, program=str(path)) == expected
    assert run.run_in_process("a work", True, 0.0, {}) == {"error": "not measured: 8 minutes were over"}
    assert time.monotonic() - begun < 50


def test_rows_are_written_atomically(tmp_path):
    for row in ({"a": 1}, {"a": 2}):
        run.write(row, tmp_path / "row.json")
        assert json.loads((tmp_path / "row.json").read_text()) == row
    assert [path.name for path in tmp_path.iterdir()] == ["row.json"]


def test_time_shares_add_up_to_the_limit():
    """The last steps get their share even if earlier ones use all of theirs; unused time passes to later steps."""
    names, seconds, had = ["limits", *cases.case_builders(None, True, 0.0), "thresholds"], 300.0, {}
    for k, name in enumerate(names):
        had[name] = run.time_share(names[k:], seconds)
        seconds -= had[name]
    assert seconds == pytest.approx(0.0)
    assert min(had.values()) > 15
    assert had["thresholds"] > 45
    assert run.time_share(names[-1:], 100.0) == 100.0


def test_results_are_saved_as_they_arrive(monkeypatch, tmp_path, capsys):
    """Failing steps do not prevent the results of others."""
    saved, row = [], {"unit": "us", "times": {"fastmlp": [2.0]}, "left_out": {"JAX": "no"}, "limit": 1.0, "target": "x"}
    replies = {
        "devices": {"gpu": "A Card, 8 GiB", "exclusive": True},
        "limits": {"copy GB/s": 2.0},
        "thresholds": {"error": "no"},
        "population 2-2-1, XOR": row | {"notes": {"graphs": "a | b"}},
    }

    def run_in_process(name, *_):
        saved.append((tmp_path / "gpu-a-card.json").exists())
        return replies.get(name, {"error": "e"})

    monkeypatch.setattr(run, "run_in_process", run_in_process)
    monkeypatch.setattr(run, "run_tests", lambda seconds, exclusive: f"1 passed, {exclusive}")
    run.run(quick=True, no_tests=False, output=tmp_path)
    names = list(cases.case_builders(None, True, 0.0))
    assert saved == [False, False, *[True] * (len(names) + 1)]
    results = json.loads((tmp_path / "gpu-a-card.json").read_text())
    assert list(results["cases"]) == names
    text = (tmp_path / "gpu-a-card.md").read_text()
    assert "A Card, 8 GiB; tests: 1 passed, True; copy GB/s 2" in text
    assert "| population 2-2-1, XOR | us | fastmlp | 2 | 2 to 2 | 2.00 | 1.00 | x |" in text
    assert "| population 2-2-1, XOR | | graphs | a / b | | | | |" in text
    assert f"| {names[-1]} | e | | | | | | |" in text
    replies["devices"] = {"error": "no driver"}
    with pytest.raises(SystemExit, match="no GPU to measure: no driver"):
        run.run(quick=True, no_tests=False, output=tmp_path)


@pytest.mark.full
def test_whole_command_runs_in_the_emulator(emulated_cuda, tmp_path):
    """The command on a machine with a GPU, each case in a separate process with the emulator; one process is stopped
    while a competitor blocks. Only required packages can be imported.
    """
    program, folder = Path(__file__).with_name("run_in_emulator.py"), tmp_path / "results"
    command = [sys.executable, program, "--quick", "--output", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((folder / "gpu-emulated-gpu.json").read_text())
    assert list(results["cases"]) == list(cases.case_builders(None, True, 0.0))
    for name, row in results["cases"].items():
        assert len(row["times"]["fastmlp"]) == 2, (name, row)
        assert row["limit"] > 0
        assert f"| {name} | {row['unit']} | fastmlp |" in done.stdout
        assert "set-up of a fit" in row["notes"]
        assert row["notes"].get("graphs of bare products") == (None if "XOR" in name else "replayed, 2 recorded")
        assert "pending" not in row
        makers = dict(row["left_out"])
        if "tf32" in name:
            assert makers.pop("JAX").startswith("not ready: stopped after ")
            for competitor in ("PyTorch compiled", "PyTorch compiled and captured"):
                assert makers.pop(competitor).startswith("not reached: stopped after ")
            assert row["notes"]["rounds"] == cases.NOT_INTERLEAVED
            assert row["notes"]["ended early"].startswith("stopped after ")
        else:
            assert {"rounds", "ended early"}.isdisjoint(row["notes"])
        reasons = ("GPU", "CUDA", "No module", "halted")  # the last of JAX, which needs SciPy
        assert all(any(word in why for word in reasons) for why in makers.values()), row
    assert results["tests"] == "not run: pytest is not installed"
    assert "tests: not run: pytest is not installed" in done.stdout
    assert set(results["limits"]) == {"copy GB/s", "sgemm GFLOP/s", "multiply-adds/s"}
    text = results["thresholds of auto"]["text"]
    assert "(measured, but not stored); ESTIMATES of execution/gpu_costs.py: GpuCosts(node_seconds=" in text
    assert "Emulated GPU, 8 GiB" in (folder / "gpu-emulated-gpu.md").read_text()


@pytest.mark.parametrize("processors, exclusive, n", [(1, False, 2), (4, False, 4), (64, False, 8), (64, True, 1)])
def test_number_of_test_processes_is_limited(processors, exclusive, n, monkeypatch):
    monkeypatch.setattr(run, "n_threads_available", lambda: processors)
    assert run.n_test_processes(30, exclusive) == n
    assert run.n_test_processes(1, exclusive) == 1


def test_thresholds_are_measured_without_start_times_on_exclusive_gpus(cuda, monkeypatch):
    """Thresholds are measured, with a warning about the start times."""
    small = {"WIDTHS": (2,), "NETS": (3,), "BATCH": 8, "BATCHES": 2, "SECONDS": 0.0, "START": "exit('all are busy')"}
    for name, value in small.items():
        monkeypatch.setattr(measure_gpu, name, value)
    monkeypatch.setattr(measure_gpu, "store", lambda gpu, processor, *found: Thresholds(*found, "not saved"))
    monkeypatch.setattr(measure_costs, "measure_costs", lambda gpu: ESTIMATES)
    row = run.measure("thresholds", True, {}, None)
    assert row["text"].startswith("5e+10 multiply-adds in all and ")
    assert row["text"].endswith(f"ESTIMATES of execution/gpu_costs.py: {ESTIMATES!r}")
    assert [name for name, *_ in row["rows"]] == ["64-2-2-10", "3 of 2-2-1"]
    [warning] = row["warnings"]
    assert warning.endswith("(all are busy).")


def test_gpu_is_described(emulated_cuda):
    assert run.describe_gpu() == {"gpu": fastmlp.devices()[1].description, "exclusive": False}
    fastmlp.devices.__globals__["_find_cuda"].cache_clear()
    emulated_cuda.settings.available = False
    assert "finds no usable NVIDIA driver" in run.describe_gpu()["error"]


@pytest.mark.parametrize("missing", ["pytest", "scipy"])
def test_missing_test_packages_are_reported(missing, monkeypatch):
    """The report must not read "0 passed", as if tests had run."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert run.run_tests(30.0) == f"not run: {missing} is not installed"


@pytest.mark.full
def test_test_results_are_counted_and_slow_tests_stopped(monkeypatch, tmp_path):
    """Failures are counted, and processes that take too long are stopped."""
    assert len(run.DEVICE_TESTS) > 20
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_passes(): pass\ndef test_fails(): assert False\n"
        "@pytest.mark.skip\ndef test_skipped(): pass\n"
    )
    (tmp_path / "test_late.py").write_text(
        "import time\ndef test_passes(): pass\ndef test_takes_a_minute(): time.sleep(60)\n"
    )
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "TEST_OPTIONS", ("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)))
    some, late = tmp_path / "test_some.py", tmp_path / "test_late.py"
    assert run.run_tests(30.0, files=[some]) == "1 passed, 1 failed, 0 error, 1 skipped"
    assert (
        run.run_tests(4.0, files=[late]) == "1 passed, 0 failed, 0 error, 0 skipped; 1 of 1 processes stopped after 4 s"
    )
