"""The order and the results of bench/gpu/run.py."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from gpu import cases, constants, run
from gpu.constants import values_of

import fastmlp
from fastmlp.execution.gpu_costs import GpuCosts
from fastmlp.runtime.auto_device import WorkForGpu

ROW = {"unit": "us", "times": {"fastmlp": [2.0]}, "left_out": {}, "notes": {}, "limit": 1.0, "target": "x"}
CASES = list(cases.case_builders(None, True))


@pytest.fixture
def fake_run(monkeypatch, tmp_path):
    """fake_run(replies): the names and seconds of all measurements, each of which takes its whole share of the time and
    ends with the reply of its name, or an error.
    """
    asked, clock = [], [0.0]

    def answered(replies):
        def run_in_process(name, quick, seconds, known):
            asked.append((name, seconds, (tmp_path / "gpu-a-card.json").exists()))
            clock[0] += seconds if name != "devices" else 0.0
            return replies.get(name, {"error": "e"})

        monkeypatch.setattr(run, "run_in_process", run_in_process)
        monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        run.run(quick=True, output=tmp_path)
        return asked

    return answered


DEVICES = {"devices": {"gpu": "A Card, 8 GiB", "exclusive": True}}


def test_time_shares_add_up_to_the_limit(fake_run):
    """The last measurements get their share even if earlier ones use all of theirs."""
    had = {name: seconds for name, seconds, _ in fake_run(DEVICES) if name != "devices"}
    assert sum(had.values()) == pytest.approx(60 * run.MINUTES)
    assert min(had.values()) > 10
    assert sum(had[name] for name in constants.PARTS) == pytest.approx(120)


def test_constants_come_before_cases_and_competitors_last(fake_run):
    names = [name for name, *_ in fake_run(DEVICES)]
    assert names == ["devices", "limits", *constants.PARTS, *CASES, *[run.BESIDE + name for name in CASES]]


def test_results_are_saved_as_they_arrive(fake_run, tmp_path, capsys):
    """Failing measurements do not prevent the results of others."""
    xor = "population 2-2-1, XOR"
    replies = {
        **DEVICES,
        "limits": {"copy GB/s": 2.0},
        "constants of products": {"values": {"bandwidth": 2.5e12}},
        xor: ROW,
        run.BESIDE + xor: ROW | {"times": {"fastmlp": [2.0], "JAX": [4.0]}, "notes": {"graphs": "a | b"}},
    }
    assert [saved for *_, saved in fake_run(replies)] == [
        False,
        False,
        *[True] * (len(constants.PARTS) + 2 * len(CASES)),
    ]
    results = json.loads((tmp_path / "gpu-a-card.json").read_text())
    assert list(results["cases"]) == CASES
    text, printed = (tmp_path / "gpu-a-card.md").read_text(), capsys.readouterr().out
    assert "A Card, 8 GiB; tests: not run; copy GB/s 2" in text
    for shown in (text, printed):
        assert "gpu_costs.py: ESTIMATED_COSTS = GpuCosts(2.2e-06, 3e-06, 7e+10, 132, 1.6e+13, 2.5e+12, 2e+14)" in shown
        assert "  bandwidth          3e+12 -> 2.5e+12" in shown
        assert f"| {xor} | us | fastmlp | 2 | 2 to 2 | 2.00 | 1.00 | x |" in shown
        assert f"| {xor} | us | JAX | 4 | 4 to 4 | 4.00 | 2.00 | x |" in shown
        assert f"| {xor} | | graphs | a / b | | | | |" in shown
        assert f"| {CASES[-1]} | e | | | | | | |" in shown


def test_without_a_gpu_nothing_is_measured(fake_run):
    with pytest.raises(SystemExit, match="no GPU to measure: no driver"):
        fake_run({"devices": {"error": "no driver"}})


def test_tests_are_a_command_of_their_own(fake_run, monkeypatch, tmp_path):
    """It keeps what was measured before, and a later measurement keeps its result."""
    fake_run({**DEVICES, CASES[0]: ROW})
    monkeypatch.setattr(run, "run_tests", lambda seconds, exclusive: f"1 passed, {exclusive}")
    run.run_only_tests(tmp_path)
    results = json.loads((tmp_path / "gpu-a-card.json").read_text())
    assert (results["tests"], results["cases"][CASES[0]]["times"]) == ("1 passed, True", ROW["times"])
    fake_run(DEVICES)
    assert json.loads((tmp_path / "gpu-a-card.json").read_text())["tests"] == "1 passed, True"


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
            assert row["notes"]["competitors"].startswith("stopped after ")
        assert {"rounds", "ended early"}.isdisjoint(row["notes"])
        reasons = ("GPU", "CUDA", "No module", "halted")  # the last of JAX, which needs SciPy
        assert all(any(word in why for word in reasons) for why in makers.values()), row
    assert results["tests"] == "not run"
    assert set(results["limits"]) == {"copy GB/s", "sgemm GFLOP/s", "multiply-adds/s"}
    assert all("ended early" not in row and "error" not in row for row in results["constants"].values())
    assert values_of(results["constants"]).keys() >= {*GpuCosts._fields, *WorkForGpu._fields} - {"source"}
    table = (folder / "gpu-emulated-gpu.md").read_text()
    for text in (table, done.stdout):
        assert "src/fastmlp/execution/gpu_costs.py: ESTIMATED_COSTS = GpuCosts(" in text
        assert "src/fastmlp/runtime/auto_device.py: ESTIMATED_WORK = WorkForGpu(" in text
    assert table.startswith("Emulated GPU, 8 GiB")
    tests = subprocess.run([*command, "--tests"], capture_output=True, text=True, check=True)
    assert tests.stdout == "tests: not run: pytest is not installed\n"
    again = json.loads((folder / "gpu-emulated-gpu.json").read_text())
    assert again == results | {"tests": "not run: pytest is not installed"}


def test_gpu_is_described(emulated_cuda):
    assert run.describe_gpu() == {"gpu": fastmlp.devices()[1].description, "exclusive": False}
    fastmlp.devices.__globals__["_find_cuda"].cache_clear()
    emulated_cuda.settings.available = False
    assert "finds no usable NVIDIA driver" in run.describe_gpu()["error"]
