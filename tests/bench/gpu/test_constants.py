"""The constants that bench/gpu/run.py measures on a GPU, and the lines to paste into the sources."""

import ast

import pytest
from gpu.constants import PARTS, measure, to_paste, values_of
from gpu.device_tests import ROOT

from fastmlp.commands import measure_costs, measure_gpu
from fastmlp.commands.measure_gpu import Job
from fastmlp.execution import gpu_costs
from fastmlp.runtime import auto_device

GPU = "A Card, 80 GiB"


@pytest.fixture
def invented(monkeypatch):
    """Invented times: 1e9 multiply-adds a second on a CPU, 10 microseconds for any step on a GPU, and 2 s to start."""
    costs = {name: 2.0 * value for name, value in gpu_costs.ESTIMATED_COSTS._asdict().items()}
    of_launches = {name: costs[name] for name in ("node_seconds", "block_seconds", "block_rate", "n_blocks")}
    asked = []
    monkeypatch.setattr(measure_costs, "costs_of_launches", lambda gpu: of_launches)
    monkeypatch.setattr(
        measure_costs,
        "costs_of_products",
        lambda gpu, node_seconds: asked.append(node_seconds) or {n: costs[n] for n in costs.keys() - of_launches},
    )
    job = lambda device, size: Job(str(size), size, 1, lambda epochs: size / 1e9 if device == "cpu" else 1e-5)
    for name, value in {"one_net": job, "population": job, "WIDTHS": (10**3, 10**5), "NETS": (10**3, 10**5)}.items():
        monkeypatch.setattr(measure_gpu, name, value)
    monkeypatch.setattr(measure_gpu, "seconds_of_step", lambda job: job.fit(1))
    monkeypatch.setattr(measure_gpu, "seconds_to_start", {"cpu": 1.0, "cuda": 3.0}.get)
    return asked


def test_every_constant_is_measured_by_some_part(invented):
    """Parts get what earlier ones have found; then nothing of a source's line is left but what it was before."""
    rows = {}
    for part in PARTS:
        rows[part] = measure(part, values_of(rows), lambda row: None)
        assert rows[part]["warnings"] == []
    assert invented == [2.0 * gpu_costs.ESTIMATED_COSTS.node_seconds]
    values = values_of(rows)
    assert values.keys() >= {*gpu_costs.GpuCosts._fields, *auto_device.WorkForGpu._fields} - {"source"}
    assert values["total"] == pytest.approx(2e9)
    assert values["at_once"] == pytest.approx(1e4)


def pasted(text):
    """The constants of each file, as its pasted line would make them."""
    names = {"GpuCosts": gpu_costs.GpuCosts, "WorkForGpu": auto_device.WorkForGpu, "float": float}
    lines = [line.partition(" = ") for line in text.splitlines() if " = " in line]
    return {
        place.partition(":")[0]: eval(compile(ast.parse(code, mode="eval"), place, "eval"), names)
        for place, _, code in lines
    }


def test_lines_to_paste_have_new_values_and_keep_those_that_are_missing():
    assert to_paste({"rate of the CPU, one_net": 1e9}, GPU) == ""
    text = to_paste({"node_seconds": 1.23456e-6, "n_blocks": 264.0, "at_once": float("inf")}, GPU)
    costs, work = pasted(text).values()
    assert costs == gpu_costs.ESTIMATED_COSTS._replace(node_seconds=1.23e-6, n_blocks=264.0)
    assert work == auto_device.ESTIMATED_WORK._replace(at_once=float("inf"))
    assert "  node_seconds     2.2e-06 -> 1.23e-06" in text.splitlines()
    assert all((ROOT / path).exists() for path in pasted(text))


def test_amounts_of_work_name_their_card_if_all_are_measured():
    work = pasted(to_paste({"total": 1e9, "at_once": 1e6, "in_one_launch": 1e5}, GPU))[
        "src/fastmlp/runtime/auto_device.py"
    ]
    assert work.source.startswith("measured on A Card; ")


def test_sizes_are_saved_one_by_one(invented):
    saved = []
    row = measure("threshold of a population", {}, lambda row: saved.append([name for name, *_ in row["sizes"]]))
    assert saved == [["1000"], ["1000", "100000"]]
    assert [name for name, *_ in row["sizes"]] == saved[-1]


def test_start_of_an_exclusive_gpu_is_not_measured(invented, monkeypatch):
    """A warning says so, and the threshold stays as it is."""
    monkeypatch.setattr(measure_gpu, "seconds_to_start", SECONDS_TO_START)
    monkeypatch.setattr(measure_gpu, "START", "exit('all are busy')")
    row = measure("threshold of a fit", {"rate of the CPU, one_net": 1e9}, None)
    assert row["values"] == {}
    [warning] = row["warnings"]
    assert warning.endswith("(all are busy).")


SECONDS_TO_START = measure_gpu.seconds_to_start


def test_start_without_the_rate_of_the_cpu_is_no_threshold(invented):
    assert measure("threshold of a fit", {}, None)["values"] == {"start_seconds": 2.0}
