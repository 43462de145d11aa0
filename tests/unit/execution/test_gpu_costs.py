"""Cost model of a GPU's kernel families: what its times depend on."""

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.devices import Device
from fastmlp.execution import gpu_costs
from fastmlp.execution.dispatch import evaluation_precision
from fastmlp.execution.gpu_costs import ESTIMATED_COSTS, block_step_seconds, layers_step_seconds

NETWORK = MLP((64, 64, 32, 10), device="cpu").network
PER_STEP = {
    "blocks": lambda rows, n_nets: block_step_seconds(ESTIMATED_COSTS, NETWORK, rows, 4, n_nets),
    "layers": lambda rows, n_nets: layers_step_seconds(ESTIMATED_COSTS, NETWORK, rows, 4, "exact", n_nets),
    "layers, bfloat16": lambda rows, n_nets: layers_step_seconds(ESTIMATED_COSTS, NETWORK, rows, 4, "bfloat16", n_nets),
}


def test_more_rows_take_longer_and_nets_share_the_gpu():
    """Up to as many nets as there are blocks take the time of one; all nets of a step share its launches."""
    for seconds in PER_STEP.values():
        times = [seconds(rows, 1) for rows in (1, 64, 20_000, 1_000_000)]
        assert times == sorted(times)
        assert times[-1] > 20 * times[0]
    assert PER_STEP["blocks"](32, 100) == PER_STEP["blocks"](32, 1) < PER_STEP["blocks"](32, 1000) / 5
    assert PER_STEP["layers"](32, 100) < 2 * PER_STEP["layers"](32, 1)


@pytest.mark.parametrize("n_layers, itemsize, fits", [(4, 4, True), (5, 4, False), (2, 8, True), (4, 8, False)])
def test_a_block_is_slower_where_shared_memory_does_not_hold_its_net(n_layers, itemsize, fits):
    """With its gradient and two vectors of state."""
    network = MLP((*n_layers * (64,), 16), device="cpu").network
    seconds = block_step_seconds(ESTIMATED_COSTS, network, 1000, itemsize) - ESTIMATED_COSTS.block_seconds
    in_shared = 1000 * network.layout.products / ESTIMATED_COSTS.block_rate
    assert seconds == pytest.approx(in_shared if fits else in_shared * gpu_costs.BEYOND_SHARED)


def test_float64_moves_twice_the_bytes_and_bfloat16_half_and_has_faster_products():
    """Half of a large batch, whose activations have most of the bytes; precision has no effect on float64."""
    moved = {key: gpu_costs.bytes_moved(NETWORK, 10**6, *key) for key in ((4, "exact"), (8, "exact"), (4, "bfloat16"))}
    assert moved[8, "exact"] == 2 * moved[4, "exact"] == pytest.approx(4 * moved[4, "bfloat16"], rel=0.01)
    seconds = lambda itemsize, precision: layers_step_seconds(ESTIMATED_COSTS, NETWORK, 10**6, itemsize, precision)
    assert seconds(4, "bfloat16") < seconds(4, "exact") / 1.5
    assert seconds(4, "tf32") == seconds(4, "exact")
    assert seconds(8, "bfloat16") == seconds(8, "exact")


@pytest.mark.parametrize("sizes", [(10, 200, 10), (10, 64, 10), (64, 100, 10), (2, 1, 1)])
def test_nets_that_a_block_trains_predict_in_float32(sizes, monkeypatch):
    """As they are trained, though larger batches would be rounded to bfloat16."""
    net, device = MLP(sizes, device="cpu"), Device("cuda", "a test")
    of = lambda precision: evaluation_precision(net.network, device, net.dtype, precision)
    assert of("bfloat16") == "exact"
    assert of("tf32") == "tf32"
    monkeypatch.setattr(gpu_costs, "ESTIMATED_COSTS", gpu_costs.BY_LAYERS)
    assert of("bfloat16") == "bfloat16"
    monkeypatch.undo()
    large = MLP((64, 512, 10), device="cpu").network
    assert evaluation_precision(large, device, np.dtype("float32"), "bfloat16") == "bfloat16"
