"""Launch shapes of population kernels: net per thread or per block, tiles, shared memory, and their layout."""

import itertools

import numpy as np
import pytest

from fastmlp import MLP, Population
from fastmlp.execution.net_description import describe_net
from fastmlp.execution.thresholds import THREADS_FROM_NETS
from fastmlp.kernels.formulas.update_rules import CODES, RULES
from fastmlp.kernels.structs import METRIC_NONE, NO_UPDATE


@pytest.fixture
def per_net(cuda):
    from fastmlp.kernels.cuda.population import launch

    return launch


def architecture_of(sizes, dtype="float32", **settings):
    from fastmlp.kernels.cuda.build.net_constants import Architecture

    net = MLP(sizes, dtype=dtype, device="cpu", **settings)
    return Architecture.of(describe_net(net.network), METRIC_NONE, net.dtype)


def of_blocks(per_net, architecture, n_state=2, rows=16, limit=200_000):
    return per_net.Shape.of_blocks(architecture, n_state, rows, limit)


@pytest.mark.parametrize("n_samples, n_blocks", [(300, 5), (10**6, 264)])
def test_evaluation_has_blocks_for_all_multiprocessors(per_net, monkeypatch, n_samples, n_blocks):
    """Two blocks for each of 132 multiprocessors, if there is a tile of samples for each block."""
    from fastmlp.kernels.cuda.population import train
    from fastmlp.kernels.cuda.single_net import small_net

    grids = []
    for module in (small_net, train):
        monkeypatch.setattr(module, "launch", lambda kernel, shape, grid, *arguments, **job: grids.append(grid))
    X, y = np.zeros((n_samples, 2), np.float32), np.zeros(n_samples)
    for net in (MLP((2, 3, 1), device="cuda"), Population((2, 3, 1), 2, device="cuda")):
        net.evaluate(X, y)
    assert grids == [(n_blocks, 1), (n_blocks, 2)]


def test_a_net_per_thread_needs_no_memory_of_its_block(per_net):
    shape = per_net.Shape.of_threads()
    assert (shape.in_thread, shape.threads, shape.workspace, shape.shared) == (True, THREADS_FROM_NETS, 0, 0)


@pytest.mark.parametrize("rows, tile", [(1, 4), (4, 4), (5, 8), (16, 16), (63, 64), (64, 64), (1000, 64)])
def test_tile_is_the_batch_rounded_up_to_four(per_net, rows, tile):
    assert of_blocks(per_net, architecture_of((8, 16, 4)), rows=rows).tile == tile


def test_less_shared_memory_leads_to_smaller_tiles_then_global_memory(per_net):
    architecture = architecture_of((8, 30, 20, 4))
    tiles = []
    for limit in range(200_000, 0, -2_000):
        shape = of_blocks(per_net, architecture, rows=64, limit=limit)
        assert shape.numbers == per_net.block_numbers(architecture, shape.tile, 2)
        assert shape.in_shared == (4 * shape.numbers <= limit)
        assert (shape.shared, shape.workspace) == ((shape.numbers, 0) if shape.in_shared else (0, shape.numbers))
        if shape.in_shared:
            tiles.append(shape.tile)
        else:
            assert 4 * per_net.block_numbers(architecture, 4, 2) > limit, "no tile fits"
            assert shape.tile == 64
    assert tiles == sorted(tiles, reverse=True)
    assert {64, 4} <= set(tiles)


@pytest.mark.parametrize(
    "sizes, rows, threads",
    [((2, 2, 1), 4, 32), ((16, 30, 2), 16, 32), ((16, 30, 2), 32, 64), ((64, 64, 64), 64, 256), ((90, 9, 9), 64, 256)],
)
def test_threads_of_a_block_follow_the_largest_product(per_net, sizes, rows, threads):
    """A thread for each 4 x 4 tile of the largest product, in whole warps, up to 256 threads."""
    assert of_blocks(per_net, architecture_of(sizes), rows=rows).threads == threads


@pytest.mark.thinned(6)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hidden_activation": "gelu"},
        {"dropout": 0.3},
        {"dropout": 0.3, "hidden_activation": "gelu"},
        {"loss": "softmax_cross_entropy"},
    ],
    ids=["plain", "keeps", "drops", "both", "softmax"],
)
@pytest.mark.parametrize("sizes", [(3, 2), (3, 7, 5, 2)])
def test_block_memory_layout_equals_the_kernels(per_net, cuda, settings, sizes):
    """The kernel's first offset after all arrays equals the host's number of elements."""
    from fastmlp.kernels.cuda.build.compiled_module import compiled
    from fastmlp.kernels.cuda.build.structs import JOB

    architecture = architecture_of(sizes, "float64", **settings)
    for rule, tile in itertools.product((CODES["sgd"], CODES["rprop"]), (4, 24)):
        n_state = RULES[rule].n_state
        shape = per_net.Shape(False, 32, tile, 0, True)
        header = architecture.header(
            rule,
            per_net.padded(architecture.n_params),
            SHUFFLES=False,
            WEIGHTED=False,
            SCHEDULED=False,
            PENALISED=False,
            CLIPPED=False,
            LAYERED=False,
            VALIDATES=False,
            THREADS=32,
            TILE=tile,
            PITCH=per_net.pitch_of(tile, 8),
            IN_SHARED=True,
            SAFE_EVERY=1,
            HAS_TARGETS=True,
            PARAMS_STRIDE=architecture.n_params,
            FIXED_ROWS=0,
        )
        text = per_net.text_of_shape(architecture, shape, header) + (
            'extern "C" __global__ void tell(long long* out) {'
            "  T* const start = nullptr; const Arrays m = arrays_at(start);"
            "  out[0] = (m.state - start) + N_STATE * N_PADDED;"
            "  out[1] = m.delta - m.z; out[2] = m.z - m.a; out[3] = m.g - m.p; }"
        )
        assert JOB.source in text
        out = cuda.zeros(4, np.int64)
        compiled(text)["tell"]((1,), 1, out)
        end, _, units, padded = (int(x) for x in out.get())
        assert end == per_net.block_numbers(architecture, tile, n_state)
        if architecture.keeps:
            assert units == architecture.n_units * per_net.pitch_of(tile, 8)
        assert padded == per_net.padded(architecture.n_params)


@pytest.mark.parametrize("itemsize", [4, 8])
def test_eight_neighbouring_rows_of_a_tile_use_every_bank_once(per_net, itemsize):
    for tile in range(4, per_net.LARGEST_TILE + 1, 4):
        pitch = per_net.pitch_of(tile, itemsize)
        assert tile <= pitch < tile + 16 // itemsize * 2
        starts = [row * pitch * itemsize for row in range(8)]
        assert {start % 16 for start in starts} == {0}, "vector loads are aligned"
        assert len({start // 16 % 8 for start in starts}) == 8


@pytest.mark.parametrize(
    "threads, numbers, dtype, n_blocks",
    [(256, 28_000, "float32", 2), (256, 29_000, "float32", 1), (256, 100, "float64", 1), (128, 100, "float32", 1)],
)
def test_two_large_blocks_share_a_multiprocessor_where_shared_memory_has_room(
    per_net, cuda, threads, numbers, dtype, n_blocks
):
    """More blocks of fewer threads have room anyway; float64 has too few registers."""
    assert per_net.Shape(False, threads, 4, numbers, True).blocks_at_once(np.dtype(dtype)) == n_blocks
    if threads == 256 and dtype == "float32":
        assert per_net.Shape(False, threads, 4, numbers, False).blocks_at_once(np.dtype(dtype)) == 2, "in global memory"


def test_workspace_exists_only_for_nets_in_global_memory(per_net, cuda):
    shape = per_net.Shape(False, 32, 4, 1000, False)
    assert per_net.workspace_for(shape, 7, np.dtype("float32")).shape == (7000,)
    assert per_net.workspace_for(per_net.Shape(False, 32, 4, 1000, True), 7, np.dtype("float32")) is None
    assert per_net.workspace_for(per_net.Shape(True, 128, 4, 1000, False), 7, np.dtype("float32")) is None


def test_shared_limit_leaves_room_for_static_shared_memory(per_net, cuda):
    most = cuda.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    assert 0 < per_net.shared_limit() <= most - 1024 - 256  # words of an order, parts of a sum


def test_rules_without_an_update_have_no_state(per_net):
    assert per_net.state_rows(NO_UPDATE) == 0
    assert [per_net.state_rows(rule) for rule in range(len(RULES))] == [row.n_state for row in RULES]
