"""Constants of the GPU's cost model: those from which invented times are made are found again."""

import pytest

import fastmlp
from fastmlp.commands import measure_costs
from fastmlp.execution import gpu_costs
from fastmlp.execution.gpu_costs import (
    BY_LAYERS,
    ESTIMATED_COSTS,
    IN_BLOCKS,
    GpuCosts,
    block_step_seconds,
    layers_step_seconds,
)

CARD = GpuCosts(4e-6, 5e-6, 3e10, 80.0, 5e12, 9e11, 3e13)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr("fastmlp.runtime.auto_device.base_folder", lambda: tmp_path)
    gpu_costs.forget_measured()
    yield tmp_path
    gpu_costs.forget_measured()


def by_the_model(gpu, sizes, rows, n_nets=None, precision="exact"):
    """Stand-in for `measure_costs.step`: the time that the model has for the family of the context."""
    network, costs = fastmlp.MLP(sizes, device="cpu").network, gpu_costs.costs_of(fastmlp.MLP((1, 1)).device)
    seconds = {
        IN_BLOCKS: lambda: block_step_seconds(CARD, network, rows, 4, n_nets or 1),
        BY_LAYERS: lambda: layers_step_seconds(CARD, network, rows, 4, precision, n_nets or 1),
    }[costs]()
    return measure_costs.Step(network, rows, seconds, precision)


def test_constants_are_found_from_times_and_kept(cuda, folder, monkeypatch):
    device = fastmlp.MLP((2, 1), device="cuda").device
    assert gpu_costs.costs_of(device) is ESTIMATED_COSTS
    monkeypatch.setattr(measure_costs, "step", by_the_model)
    found = measure_costs.measure_costs("cuda")
    for name, value in CARD._asdict().items():
        assert getattr(found, name) == pytest.approx(value, rel=0.03), name  # other costs of a step are small, not 0
    assert gpu_costs.costs_of(device) == found
    gpu_costs.forget_measured()
    assert gpu_costs.costs_of(device) == found, "read from the file"


@pytest.mark.parametrize("content", ["{", "[]", '{"a card | cost model": [1.0]}', '{"a card | cost model": ["x"]}'])
def test_a_damaged_file_counts_as_none(cuda, folder, content, monkeypatch):
    monkeypatch.setattr(gpu_costs, "costs_key", lambda gpu: "a card | cost model")
    (folder / "thresholds.json").write_text(content)
    assert gpu_costs.costs_of(fastmlp.MLP((2, 1), device="cuda").device) is ESTIMATED_COSTS


@pytest.mark.parametrize(
    "costs, sizes, n_nets, precision, family",
    [
        (IN_BLOCKS, measure_costs.SMALL, None, "exact", "small_net"),
        (BY_LAYERS, measure_costs.DEEP, None, "exact", "layerwise"),
        (BY_LAYERS, measure_costs.DEEP, None, "bfloat16", "layerwise"),
        (IN_BLOCKS, measure_costs.SMALL, 3, "exact", "population_simd"),
        (BY_LAYERS, measure_costs.MIDDLE, 3, "exact", "batched_gemm"),
    ],
)
def test_steps_are_measured_in_the_family_that_is_meant(cuda, costs, sizes, n_nets, precision, family, monkeypatch):
    from fastmlp.execution import dispatch

    chosen, kind = [], "choose_training" if n_nets is None else "choose_nets_family"
    choose = getattr(dispatch, kind)

    def noted(*arguments):
        chosen.append(choose(*arguments))
        return chosen[-1]

    monkeypatch.setattr(dispatch, kind, noted)
    monkeypatch.setattr(measure_costs, "seconds_of_step", lambda job: job.fit(epochs=1) and 1e-5)
    with gpu_costs.using(costs):
        step = measure_costs.step("cuda", sizes, 4, n_nets, precision)
    assert step.seconds == 1e-5
    assert {getattr(choice, "family", choice) for choice in chosen} == {family}
