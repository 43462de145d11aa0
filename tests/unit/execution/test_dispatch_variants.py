"""Variants of kernels: copies of the weights, nets in threads or blocks of a GPU, lanes of blocks."""

import numpy as np
import pytest

import fastmlp.execution.thresholds
from fastmlp import MLP
from fastmlp.devices import Device
from fastmlp.execution.dispatch import (
    GpuNetsFit,
    choose_call,
    choose_gpu_nets_variant,
    choose_nets_variant,
    choose_own_copies,
)
from fastmlp.execution.thresholds import DATA_PARALLEL_PARAMS
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.formulas.update_rules import CODES
from fastmlp.kernels.structs import (
    HYPER,
    LARGE_NET_PARAMS,
    UNROLLED_ALWAYS,
    UNROLLED_NEVER,
    Choice,
    KernelVariant,
    TrainConfig,
)

XOR = (2, 2, 1)


def network(sizes, **settings):
    return MLP(sizes, **settings).network


XOR_FIT = GpuNetsFit(itemsize=4, n_state=2, n_samples=4, batch_size=4)


def gpu_variant(sizes, n_nets=1000, fit=XOR_FIT, **settings):
    return choose_gpu_nets_variant(network(sizes, **settings), n_nets, fit)


def test_tiny_nets_of_a_population_have_a_thread_of_a_gpu_each():
    """If there are enough to fill a block of threads, and no dropout masks to draw."""
    assert gpu_variant((2, 2, 1)).net_per_thread
    assert gpu_variant((2, 2, 1), 128).net_per_thread
    assert gpu_variant((2, 2, 1), 127) == KernelVariant()
    assert gpu_variant((2, 2, 1), dropout=0.1) == KernelVariant()


@pytest.mark.parametrize("itemsize, max_numbers", [(4, 180), (8, 75)])
@pytest.mark.parametrize("n_state", range(4))
def test_nets_in_threads_are_limited_by_registers(n_state, itemsize, max_numbers):
    """Parameters, gradients and state count; a number in float64 takes two registers."""
    fit = GpuNetsFit(itemsize, n_state, 4, 4)
    for width in range(1, 40):
        numbers = (4 * width + 1) * (2 + n_state)
        assert gpu_variant((2, width, 1), fit=fit).net_per_thread == (numbers <= max_numbers)


@pytest.mark.parametrize("rows, n_samples, unrolled", [(3, 4, 0), (4, 4, 1), (5, 4, 1), (17, 17, 1), (18, 18, 0)])
def test_loops_over_few_samples_are_unrolled_in_threads(rows, n_samples, unrolled):
    """If every batch holds all samples: 9 parameters times 17 samples are below the limit of 160."""
    variant = gpu_variant((2, 2, 1), fit=GpuNetsFit(4, 2, n_samples, rows))
    assert variant.unrolled == (UNROLLED_ALWAYS if unrolled else UNROLLED_NEVER)
    assert gpu_variant((2, 2, 1), 1, GpuNetsFit(4, 2, n_samples, rows)).unrolled == UNROLLED_NEVER


class Team:
    """A thread team whose threads' distance is known, and how often it was measured."""

    def __init__(self, share_no_cache):
        self.answer, self.measured = share_no_cache, 0

    def share_no_cache(self):
        self.measured += 1
        return self.answer


@pytest.mark.parametrize("far", (False, True))
@pytest.mark.parametrize("family", ("layerwise", "layerwise_data_parallel"))
def test_two_threads_have_copies_of_their_own_where_they_share_no_cache(family, far):
    """Small nets whatever the distance, which is not measured then; nets that no cache holds never."""
    for n_params, wanted, measured in (
        (DATA_PARALLEL_PARAMS, True, 0),
        (DATA_PARALLEL_PARAMS + 1, far, 1),
        (LARGE_NET_PARAMS, far, 1),
        (LARGE_NET_PARAMS + 1, False, 0),
    ):
        team = Team(far)
        assert choose_own_copies(family, n_params, team, 2) == wanted
        assert team.measured == measured
        assert not choose_own_copies(family, n_params, team, 1)
        assert not choose_own_copies(family, n_params, team, 3)
        assert not choose_own_copies("layerwise_batch1", n_params, team, 2)


def test_blocks_have_other_numbers_of_lanes_only_where_unrolled_code_does_all_of_the_training():
    host, gpu = Device("cpu", ""), Device("cuda:0", "")
    narrow = max(8, backend.VECTOR_BYTES // 4)
    lanes = lambda net, device=host, validates=False: choose_nets_variant(net, device, 10_000, validates, 10**9).lanes
    assert [lanes(network(XOR)), lanes(network((2, 9, 1)))] == [2 * narrow, narrow]
    others = network((3, 8, 1)), network(XOR, dropout=0.5)
    assert [lanes(net) for net in others] == [lanes(network(XOR), validates=True), lanes(network(XOR), gpu)] == [16, 16]


def test_variants(monkeypatch):
    """Of a family on the host; on a GPU there are none."""
    monkeypatch.setattr(fastmlp.execution.thresholds, "COMPILE_UNROLLED_AFTER", 0)
    f4, host, gpu = np.dtype("float32"), Device("cpu", ""), Device("cuda:0", "")
    config = TrainConfig(4, False, 0, CODES["sgd"], np.zeros(len(HYPER)), np.zeros(0), False, np.zeros(0))
    choose = lambda device, family, n_threads: choose_call(
        network(XOR), device, f4, Choice(family, 8, 4), Team(True), n_threads, config, 4, 1
    )
    assert choose(host, "batch_simd_4", 1).variant == KernelVariant(False, UNROLLED_ALWAYS)
    assert choose(host, "layerwise_data_parallel", 2).variant == KernelVariant(True, UNROLLED_NEVER)
    assert choose(host, "layerwise_data_parallel", 2).n_threads == 2
    for n_threads, own in ((1, False), (2, True), (8, True)):
        assert choose(host, "batch_simd_data_parallel", n_threads).variant == KernelVariant(own, UNROLLED_NEVER)
    assert choose(gpu, "layerwise", 1).variant == KernelVariant()
