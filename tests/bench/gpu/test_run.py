"""bench/gpu/run.py: its order, and its time; and fastmlp, the limits and the constants on an emulated GPU."""

import sys
from importlib import import_module
from math import inf
from types import SimpleNamespace

import pytest
from competitors import GPU_NETS, GPU_TRAINING, fastmlp_competitor
from gpu import constants, run
from limits.cuda import Implementation as Limit
from suite.case_lookup import ENTRIES
from suite.cases.populations import _classes as nets_of_classes
from suite.cases.training import _gpu as net_of_classes

import fastmlp
from fastmlp.execution import dispatch, gpu_costs
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


CARD = gpu_costs.GpuCosts(4e-6, 5e-6, 3e10, 80.0, 5e12, 9e11, 3e13)


def by_the_model(device, sizes, rows, n_nets=0, costs=None, precision="exact"):
    """Stand-in for `constants.step`: 1e9 multiply-adds a second on a CPU, and on a GPU the time that the model has."""
    network = fastmlp.MLP(sizes, device="cpu").network
    work = float(max(n_nets, 1) * rows * network.layout.products)
    seconds = {
        gpu_costs.IN_BLOCKS: lambda: gpu_costs.block_step_seconds(CARD, network, rows, 4, n_nets or 1),
        gpu_costs.BY_LAYERS: lambda: gpu_costs.layers_step_seconds(CARD, network, rows, 4, precision, n_nets or 1),
        None: lambda: work / 1e9 if device == "cpu" else 1e-5 if n_nets else 1e-3,
    }[costs]()
    return constants.Step(network, rows, work, seconds)


def test_constants_are_found_from_times_by_their_parts(monkeypatch):
    monkeypatch.setattr(constants, "step", by_the_model)
    monkeypatch.setattr(constants, "seconds_to_start", {"cpu": 1.0, "cuda": 3.0}.get)
    values = {}
    for measure in constants.PARTS.values():
        values |= measure(values)
    for name, value in CARD._asdict().items():
        assert values[name] == pytest.approx(value, rel=0.03), name  # other costs of a step are small, not 0
    assert values["total"] == pytest.approx(2e9)
    assert [values[name] for name in ("at_once", "in_one_launch")] == pytest.approx([1e6, 1e4], rel=0.03)


@pytest.mark.parametrize(
    "costs, sizes, n_nets, precision, family",
    [
        (gpu_costs.IN_BLOCKS, constants.SMALL, 0, "exact", "small_net"),
        (gpu_costs.BY_LAYERS, constants.DEEP, 0, "bfloat16", "layerwise"),
        (gpu_costs.IN_BLOCKS, constants.SMALL, 3, "exact", "population_simd"),
        (gpu_costs.BY_LAYERS, constants.MIDDLE, 3, "exact", "batched_gemm"),
    ],
)
def test_steps_are_measured_in_the_family_that_is_meant(cuda, costs, sizes, n_nets, precision, family, monkeypatch):
    chosen, kind = [], "choose_nets_family" if n_nets else "choose_training"
    choose = getattr(dispatch, kind)
    monkeypatch.setattr(dispatch, kind, lambda *given: chosen.append(choose(*given)) or chosen[-1])
    monkeypatch.setattr(constants, "SECONDS", 0.0)
    assert constants.step("cuda", sizes, 4, n_nets, costs, precision).seconds > 0.0
    assert {getattr(choice, "family", choice) for choice in chosen} == {family}


@pytest.mark.parametrize(
    "ratios, wanted", [((0.5, 0.5), 1.0), ((0.1, 1.0), inf), ((4.0, 0.5), 10 ** (2 / 3)), ((2, 0.5, 2, 0.5), 10**2.5)]
)
def test_crossing_is_interpolated_on_a_logarithmic_scale(ratios, wanted):
    """Between two sizes, by the logarithms of their ratios; of several crossings the last one counts."""
    assert constants.crossing([10.0**k for k in range(len(ratios))], list(ratios)) == pytest.approx(wanted)


def test_lines_to_paste_have_new_values_and_keep_those_that_are_missing():
    assert constants.to_paste({"rate of the CPU": 1e9}) == ""
    text = constants.to_paste({"node_seconds": 1.23456e-6, "n_blocks": 264.0, "at_once": float("inf")})
    names = {"GpuCosts": gpu_costs.GpuCosts, "WorkForGpu": auto_device.WorkForGpu}
    lines = [line.partition(" = ")[2] for line in text.splitlines() if " = " in line]
    costs, work = (eval(line, names) for line in lines)
    assert costs == gpu_costs.ESTIMATED_COSTS._replace(node_seconds=1.23e-6, n_blocks=264.0)
    assert work == auto_device.WORK_FOR_GPU._replace(at_once=float("inf"))
    assert "  node_seconds     2.2e-06 -> 1.23e-06" in text.splitlines()
    assert all((run.ROOT / place.partition(":")[0]).exists() for place in constants.TABLES)
