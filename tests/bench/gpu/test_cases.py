"""Cases of bench/gpu/run.py on tiny sizes, and how their competitors are timed."""

import json

import numpy as np
import pytest
from gpu import cases, limits, run
from gpu.cases import Timing
from required_libraries import needs

import fastmlp
from fastmlp.execution.dispatch import choose_nets_family
from fastmlp.execution.gpu_costs import BY_LAYERS, IN_BLOCKS, using

pytestmark = pytest.mark.full

COMPETITORS = {"PyTorch eager", "PyTorch compiled", "PyTorch captured", "PyTorch compiled and captured", "JAX"}


def test_population_case_has_times_and_a_limit(cuda):
    row = cases.population(cuda, 130, epochs=2, multiply_adds=1e12, timing=Timing(2))
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
def test_single_net_case_has_times_notes_and_a_limit(cuda, precision):
    with using(BY_LAYERS if precision == "bfloat16" else IN_BLOCKS):
        row = cases.single(cuda, (6, 20, 3), 32, 2, epochs=16, precision=precision, target="none", timing=Timing(1))
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
@pytest.mark.parametrize("precision", ["exact", "bfloat16"])
def test_batched_nets_case_has_times_and_notes(cuda, precision):
    with using(BY_LAYERS):
        row = cases.nets_in_steps(cuda, (6, 20, 12, 3), 4, 8, 9, 1, precision, Timing(1))
    assert row["limit"] > 0
    assert row["notes"]["graphs of bare products"] == "replayed, 2 recorded"
    assert row["notes"]["graphs of fastmlp"].startswith("replayed, ")
    assert set(row["times"]) >= {"fastmlp", "fastmlp, no graphs"}
    with using(IN_BLOCKS), pytest.raises(AssertionError, match="not trained in step"):
        cases.nets_in_steps(cuda, (6, 20, 12, 3), 4, 8, 3, 1, precision, Timing(1))


@pytest.mark.parametrize("name", cases.POPULATIONS)
def test_populations_of_cases_are_trained_in_step(cuda, name):
    """Otherwise the case would end with an error, on a card, where time is short."""
    sizes, n_nets, batch, *_, precision = cases.POPULATIONS[name]
    nets = fastmlp.Population(sizes, 2, device="cuda", precision=precision)
    choice = nets.network, n_nets, batch, nets.device, nets.dtype
    assert choose_nets_family(*choice, precision=precision) == "batched_gemm"


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


@pytest.mark.parametrize("precision", ["exact", "tf32", "bfloat16", "exact of nets", "bfloat16 of nets"])
def test_bare_products_are_replayed(emulated_cuda, precision):
    """A run replays the stated number of steps in two graph launches."""
    import cupy

    precision, _, of_nets = precision.partition(" ")
    if of_nets:
        run, n_steps = limits.bare_products_of_nets(cupy, (6, 20, 3), 4, 8, precision)
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
        (cases.nets_in_steps, ((64, 128, 64, 10), 3, 8, 3, 1, "exact")),
    ):
        row = case(cupy, *job, Timing(1))
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
    row = cases.timed({"fastmlp": FINE}, makers, Timing(4), limit=1.0, unit="us")
    assert {name: len(times) for name, times in row["times"].items()} == {"fastmlp": 4, "c": 4}
    assert row["left_out"] == {"a": "ZeroDivisionError: division by zero", "b": "IndexError: list index out of range"}
    assert (row["pending"], row["notes"], row["limit"], row["unit"]) == ({}, {}, 1.0, "us")
    with pytest.raises(ZeroDivisionError):
        cases.timed({"fastmlp": BROKEN}, {}, Timing(2), limit=1.0)


def test_rows_are_saved_after_each_measurement():
    """fastmlp and its limit first, then each competitor, then alternating rounds; pending competitors are listed."""
    saved = []
    keep = lambda row: saved.append(json.loads(json.dumps(row)))
    ours = {"fastmlp": FINE, cases.LIMIT: FINE}
    cases.timed(ours, {"a": lambda: FINE, "b": lambda: BROKEN}, Timing(3, True, keep), notes={"graphs": "none"})
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


def test_competitors_are_built_only_beside_fastmlp():
    row = cases.timed({"fastmlp": FINE}, {"a": lambda: 1 / 0}, Timing(2, with_competitors=False), limit=1.0)
    assert (set(row["times"]), row["left_out"], row["pending"]) == ({"fastmlp"}, {}, {})


ALONE = {"times": {"fastmlp": [1.0]}, "left_out": {}, "notes": {"graphs": "replayed"}}


@pytest.mark.parametrize(
    "beside, expected",
    [
        ({"times": {"fastmlp": [2.0], "a": [3.0]}, "left_out": {}, "notes": {}}, None),
        (
            {"times": {"fastmlp": [2.0]}, "left_out": {"a": "no"}, "notes": {"ended early": "stopped"}},
            ALONE | {"left_out": {"a": "no"}, "notes": {"graphs": "replayed", "competitors": "stopped"}},
        ),
        (
            {"times": {"fastmlp": [2.0]}, "left_out": {"a": "no"}, "notes": {}},
            ALONE | {"left_out": {"a": "no"}, "notes": {"graphs": "replayed"}},
        ),
        ({"error": "e"}, ALONE | {"notes": {"graphs": "replayed", "competitors": "e"}}),
    ],
    ids=["timed", "stopped", "left out", "failed"],
)
def test_row_without_competitors_stays_unless_one_was_timed(beside, expected):
    assert cases.joined(ALONE, beside) == (expected or beside)
    assert cases.joined({"error": "none"}, beside) == beside


def test_wrong_gradient_is_not_timed(cuda, monkeypatch):
    monkeypatch.setattr(
        fastmlp.MLP, "loss_and_gradient", lambda net, X, y: (0.0, net.params + (net.device.name == "cpu"))
    )
    with pytest.raises(AssertionError, match="gradient is off"):
        cases.single(cuda, (6, 20, 3), 32, 2, epochs=1, precision="exact", target="none", timing=Timing(1))
