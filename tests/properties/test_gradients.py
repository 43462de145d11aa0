"""Losses, gradients and outputs in every kernel family, compared with the float64 reference and central differences."""

from itertools import product

import kernel_families
import numpy as np
import pytest
from net_cases import HIDDEN, PAIRS, assert_same_gradient, net_and_reference, targets_for

from fastmlp.execution import thresholds
from fastmlp.execution.buffer_cache import buffers
from fastmlp.execution.cpu_families import n_shards
from fastmlp.kernels.cpu.gemm.skinny_gemm import MOST_COLUMNS
from fastmlp.kernels.cpu.workspace import K_BLOCK, PACK_FROM, PACK_ROWS

each_dtype = pytest.mark.parametrize("dtype", ("float32", "float64"))


@pytest.fixture(params=kernel_families.FAMILIES)
def family(request, monkeypatch):
    """Kernel family that all nets of the test use, whatever their size."""
    kernel_families.use(request.param, monkeypatch)
    return request.param


@each_dtype
def test_every_hidden_activation_matches_the_reference(family, dtype, rng):
    for hidden in HIDDEN:
        net, reference = net_and_reference((5, 7, 19, 3), hidden, "squared_error", "identity", dtype)
        n = kernel_families.rows_for(family, 9)
        assert_same_gradient(net, reference, rng.normal(size=(n, 5)), rng.normal(size=(n, 3)), dtype, hidden)


@each_dtype
def test_every_loss_with_every_output_activation_matches_the_reference(family, dtype, rng):
    """With few outputs, and with more than a vector has lanes."""
    for (loss, output), k in product(PAIRS, (1, 3, 17)):
        k += loss == "softmax_cross_entropy" and k == 1
        net, reference = net_and_reference((4, 6, k), "tanh", loss, output, dtype)
        n = kernel_families.rows_for(family, 21)
        X, y = rng.normal(size=(n, 4)), targets_for(loss, output, n, k, rng)
        assert_same_gradient(net, reference, X, y, dtype, (loss, output, k))


def test_shapes_around_those_of_vectors_and_tiles_match_the_reference(family, rng):
    """From one weight to layers that are wider than vectors; batches of one row, and of more rows than a block has."""
    sizes = [(1, 1), (3, 2), (2, 2, 2, 1), (16, 16, 16), (33, 17, 5)]
    for (layer_sizes, n), softmax in product(product(sizes, (1, 4, 5, 16, 33)), (False, True)):
        if softmax and layer_sizes[-1] == 1:
            continue
        loss, output = ("softmax_cross_entropy", "softmax") if softmax else ("squared_error", "sigmoid")
        net, reference = net_and_reference(layer_sizes, "sigmoid", loss, output, "float64", l2=0.1)
        n = kernel_families.rows_for(family, n)
        X, y = rng.normal(size=(n, layer_sizes[0])), targets_for(loss, output, n, layer_sizes[-1], rng)
        assert_same_gradient(net, reference, X, y, "float64", (layer_sizes, n, loss))


def test_weighted_samples_match_the_reference(family, rng):
    """Some have no weight."""
    for k in (1, 4):
        net, reference = net_and_reference((3, 5, k), "gelu", "huber", "identity", "float64", huber_delta=0.3)
        n = kernel_families.rows_for(family, 37)
        X, y, w = rng.normal(size=(n, 3)), rng.normal(size=(n, k)), rng.random(n) * (rng.random(n) > 0.3)
        assert_same_gradient(net, reference, X, y, "float64", k, sample_weight=w)


def test_more_samples_than_go_through_the_net_at_a_time_match_the_reference(family, rng, monkeypatch):
    monkeypatch.setattr("fastmlp.nets.objective.ROWS", 10)
    net, reference = net_and_reference((3, 5, 2), "relu", "squared_error", "identity", "float64", l2=0.2)
    assert_same_gradient(net, reference, rng.normal(size=(37, 3)), rng.normal(size=(37, 2)), "float64")


def test_gradient_equals_central_differences(family, rng):
    net, _ = net_and_reference((3, 4, 2), "silu", "softmax_cross_entropy", "softmax", "float64", l2=0.05)
    n = kernel_families.rows_for(family, 6)
    X, y = rng.normal(size=(n, 3)), rng.integers(0, 2, n)
    _, gradient = net.loss_and_gradient(X, y)
    for i in range(len(net.params)):
        before, losses = net.params[i], []
        for shift in (1e-6, -1e-6):
            net.params[i] = before + shift
            losses.append(net.loss_and_gradient(X, y)[0])
        net.params[i] = before
        assert gradient[i] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5, abs=1e-8)


WIDE = {  # layer sizes, numbers of rows
    "several blocks of the inner dimension": ((390, 350, 331, 11), (1, 45, 601)),
    "tiles and panels": ((40, 100, 31, 32, 33), (1, 2, 7, 15, 16)),
    "few columns": ((K_BLOCK + 77, MOST_COLUMNS, 1, 2, 5), (1, 7, 130, 2 * K_BLOCK + 300)),
    "packed operands": ((K_BLOCK + 1, 2 * PACK_FROM + 17), (1, 2, PACK_ROWS, PACK_ROWS + 3)),
}


@each_dtype
@pytest.mark.parametrize("family", ("layerwise", "layerwise_data_parallel"))
def test_products_of_wide_and_narrow_layers_match_the_reference(family, dtype, threads, rng, monkeypatch):
    """On one thread and on three; widths and rows are around those at which products take their operands in parts."""
    kernel_families.use(family, monkeypatch)
    for (sizes, rows), n_threads in product(WIDE.values(), (1, 3)):
        threads(n_threads)
        for n in rows:
            net, reference = net_and_reference(sizes, "gelu", "squared_error", "tanh", dtype)
            for values in (net.params, reference.params):
                values *= 0.1
            X, y = rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))
            assert_same_gradient(net, reference, X, y, dtype, (sizes, n, n_threads))


MICRO_BATCHES = {  # rows of a micro-batch and of a batch
    "a last one that is short": (96, 250),
    "one so short that it has no second shard": (96, 195),
    "shards of two blocks of a product": (1200, 2401),  # and a last one of one row
}


@pytest.mark.parametrize("family", ("batch_simd_data_parallel", "layerwise", "layerwise_data_parallel"))
def test_batches_in_micro_batches_match_the_reference(family, threads, rng, monkeypatch):
    kernel_families.use(family, monkeypatch)
    for (rows, n), n_threads in product(MICRO_BATCHES.values(), (1, 2, 3)):
        buffers.released.clear()
        monkeypatch.setattr(thresholds, "MICRO_BATCH_ROWS", rows)
        threads(min(n_threads, n_shards(rows)) if family == "batch_simd_data_parallel" else n_threads)
        net, reference = net_and_reference(
            (20, 30, 17, 3), "tanh", "softmax_cross_entropy", "softmax", "float64", l2=0.01
        )
        X, y = rng.normal(size=(n, 20)), np.eye(3)[rng.integers(0, 3, n)]
        weight = rng.integers(0, 3, n).astype(float)
        assert_same_gradient(net, reference, X, y, "float64", (rows, n, n_threads), sample_weight=weight)
