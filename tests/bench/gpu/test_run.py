"""bench/gpu/run.py: its order, and its time; and fastmlp, the limits and the constants on an emulated GPU."""

import sys
from importlib import import_module
from types import SimpleNamespace

import pytest
from competitors import GPU_NETS, GPU_TRAINING, fastmlp_competitor
from gpu import constants, run
from limits.cuda import Implementation as Limit
from suite.case_lookup import ENTRIES
from suite.cases.populations import _classes as nets_of_classes
from suite.cases.training import _gpu as net_of_classes

import fastmlp
from fastmlp.commands import measure_costs, measure_gpu
from fastmlp.execution import gpu_costs
from fastmlp.execution.dispatch import choose_nets_family
from fastmlp.runtime import auto_device


def test_constants_come_first_and_the_suite_has_the_time_that_is_left(monkeypatch, tmp_path):
    started, clock = [], [0.0]

    def wait_or_stop(command, seconds):
        started.append((command, seconds))
        clock[0] += min(seconds, 200.0)
        return seconds > 200.0

    monkeypatch.setattr(run, "start", lambda command, **settings: command)
    monkeypatch.setattr(run, "wait_or_stop", wait_or_stop)
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    run.benchmarks(600.0, tmp_path / "x.json", resume=False)
    (first, share), *suite = started
    assert first[-1].endswith("constants.py")
    assert share == 150.0
    assert [(command[-1], seconds) for command, seconds in suite] == [
        ("gpu_", 450.0),
        ("large", 250.0),
        ("population", 50.0),
    ]
    assert ["--resume" in command for command, _ in suite] == [False, True, True]


def test_without_a_gpu_nothing_is_measured(monkeypatch):
    missing = SimpleNamespace(name="cuda:0", available=False, reason="no driver")
    monkeypatch.setattr(fastmlp, "devices", lambda: [missing])
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(SystemExit, match="no GPU to measure: no driver"):
        run.main()


def of_gpu(entry):
    return entry.name.startswith("gpu_")


def test_populations_of_cases_are_trained_in_step(cuda):
    """Otherwise a case would not measure what it is for, on a card, where time is short."""
    for case in (entry.build() for entry in filter(of_gpu, ENTRIES) if entry.group == "population"):
        nets = fastmlp.Population(case.layer_sizes, 2, device="cuda", precision=case.precision)
        choice = nets.network, case.n_nets, case.batch_size, nets.device, nets.dtype
        assert choose_nets_family(*choice, precision=case.precision) == "batched_gemm"


@pytest.mark.parametrize("precision", ["exact", "tf32", "bfloat16"])
@pytest.mark.parametrize("n_nets", [0, 4])
def test_fastmlp_reaches_the_reference_on_a_gpu(cuda, precision, n_nets, monkeypatch):
    monkeypatch.setattr(fastmlp_competitor, "DEVICE", "cuda")
    sizes = (6, 20, 12, 3)
    made = nets_of_classes("x", sizes, n_nets, 8, precision) if n_nets else net_of_classes("x", sizes, 8, precision)
    competitor = (GPU_NETS if n_nets else GPU_TRAINING)[0]
    implementation = import_module(competitor.module).Implementation(competitor.variant)
    part = made.verification
    implementation.prepare(part, None)
    implementation.reset()
    implementation.run(made.verify_runs)
    made.check(competitor, implementation.answer(part))
    assert implementation.notes() == {}


@pytest.mark.parametrize("precision", ["exact", "bfloat16"])
@pytest.mark.parametrize("n_nets", [0, 4])
def test_bare_products_of_a_step_are_replayed(emulated_cuda, precision, n_nets):
    sizes, n_steps = (6, 20, 3), 16
    case = SimpleNamespace(
        layer_sizes=sizes, batch_size=8, n_nets=n_nets, precision=precision, trains=True, n_steps=n_steps
    )
    limit = Limit("products")
    limit.prepare(case, 1)
    limit.run(1)
    with emulated_cuda.counting() as n:
        limit.run(1)
    assert n["launches from graphs"] == 5 * case.n_steps, "three products of each layer, two of the first"


def test_every_constant_is_measured_by_some_part(monkeypatch):
    """With invented times: 1e9 multiply-adds a second on a CPU, 10 microseconds for any step on a GPU, 2 s to start."""
    costs = {name: 2.0 * value for name, value in gpu_costs.ESTIMATED_COSTS._asdict().items()}
    of_launches = {name: costs[name] for name in ("node_seconds", "block_seconds", "block_rate", "n_blocks")}
    of_products = lambda gpu, node_seconds: {name: costs[name] for name in costs.keys() - of_launches}
    monkeypatch.setattr(measure_costs, "costs_of_launches", lambda gpu: of_launches)
    monkeypatch.setattr(measure_costs, "costs_of_products", of_products)
    job = lambda device, n: measure_gpu.Job(str(n), n, 1, lambda epochs: n / 1e9 if device == "cpu" else 1e-5)
    for name, value in {"one_net": job, "population": job, "WIDTHS": (10**3, 10**5), "NETS": (10**3, 10**5)}.items():
        monkeypatch.setattr(measure_gpu, name, value)
    monkeypatch.setattr(measure_gpu, "seconds_of_step", lambda job: job.fit(1))
    monkeypatch.setattr(measure_gpu, "seconds_to_start", {"cpu": 1.0, "cuda": 3.0}.get)
    values = {}
    for measure in constants.PARTS.values():
        values |= measure(values)
    assert values.keys() >= {*gpu_costs.GpuCosts._fields, *auto_device.WorkForGpu._fields} - {"source"}
    assert values["total"] == pytest.approx(2e9)
    assert values["at_once"] == pytest.approx(1e4)


def test_lines_to_paste_have_new_values_and_keep_those_that_are_missing():
    assert constants.to_paste({"rate of the CPU, one_net": 1e9}, "A Card, 80 GiB") == ""
    text = constants.to_paste({"node_seconds": 1.23456e-6, "n_blocks": 264.0, "at_once": float("inf")}, "A Card")
    names = {"GpuCosts": gpu_costs.GpuCosts, "WorkForGpu": auto_device.WorkForGpu}
    lines = [line.partition(" = ")[2] for line in text.splitlines() if " = " in line]
    costs, work = (eval(line, names) for line in lines)
    assert costs == gpu_costs.ESTIMATED_COSTS._replace(node_seconds=1.23e-6, n_blocks=264.0)
    assert work == auto_device.ESTIMATED_WORK._replace(at_once=float("inf"))
    assert "  node_seconds     2.2e-06 -> 1.23e-06" in text.splitlines()
    assert all((run.ROOT / place.partition(":")[0]).exists() for place in constants.TABLES)
    whole = constants.to_paste({"total": 1e9, "at_once": 1e6, "in_one_launch": 1e5}, "A Card, 80 GiB")
    assert '"measured on A Card; ' in whole
