"""Tiles: samples of a batch, copied side by side for all nets of a block, few enough for the first-level cache.

Samples are columns, as in single_net/column_passes.py: unit u of sample s is at (u * m + s) * lanes, for the m samples
of a tile.
"""

from __future__ import annotations

from typing import NamedTuple

from ...formulas.counter_rng import permutation
from ...jit.decorators import helper, inline_helper, linked_helper
from ...jit.intrinsics import dereference
from ...simd.load_store import fill, load_scalar, offset, scalar_like, store
from ..workspace import EPOCH, FILLED_FIRST, FILLED_N


class Tile(NamedTuple):
    first: int  # number of its first sample in the data, or in each net's order of them
    row: int  # row of the batch at which the tile begins
    n: int  # samples
    m: int  # columns: n, rounded up to whole groups of samples for unrolled code


@inline_helper
def fill_by_lane(net, data, nets, block, shuffle, tile, scale):
    """Write samples to a tile, for nets with data, or an order of samples, of their own."""
    n_features, n_outputs, m, lanes = net.sizes[0], net.sizes[net.n_layers], tile.m, block.lanes
    zero = scalar_like(block.weight, 0.0)
    for lane in range(block.n_lanes):
        net_index = max(block.net_index[lane], 0)
        x, y, v = net_index * nets.X_stride, net_index * nets.Y_stride, net_index * nets.weight_stride
        for s in range(tile.n):
            sample = tile.first + s
            if shuffle:
                sample = block.order[lane * data.n_samples + sample]
            weight = float(data.weight[v + sample]) if data.has_weights else 1.0
            block.weight[s * lanes + lane] = scalar_like(block.weight, weight * scale)
            if weight == 0.0:
                for i in range(n_features):
                    block.a[(i * m + s) * lanes + lane] = zero
                for j in range(n_outputs):
                    block.y[(j * m + s) * lanes + lane] = zero
                continue
            for i in range(n_features):
                block.a[(i * m + s) * lanes + lane] = data.X[x + sample * n_features + i]
            if data.has_targets:
                for j in range(n_outputs):
                    block.y[(j * m + s) * lanes + lane] = data.Y[y + sample * n_outputs + j]


@inline_helper
def fill_all_lanes(net, data, block, tile, scale):
    """Write samples to a tile, the same ones for all lanes."""
    n_features, n_outputs, m, lanes = net.sizes[0], net.sizes[net.n_layers], tile.m, block.lanes
    a, y = block.a, block.y
    for s in range(tile.n):
        sample = tile.first + s
        weight = float(load_scalar(data.weight, sample)) if data.has_weights else 1.0
        if weight == 0.0:
            clear_column(net, data, block, m, s)
            continue
        store(block.weight, s * lanes, fill(block.weight, weight * scale, lanes))
        for i in range(n_features):
            store(a, (i * m + s) * lanes, fill(a, load_scalar(data.X, sample * n_features + i), lanes))
        if data.has_targets:
            for j in range(n_outputs):
                store(y, (j * m + s) * lanes, fill(y, load_scalar(data.Y, sample * n_outputs + j), lanes))


@inline_helper
def clear_column(net, data, block, m, s):
    """Write a sample of zeros and weight 0 to column s of m, for all lanes."""
    lanes, zero = block.lanes, fill(block.a, 0.0, block.lanes)
    store(block.weight, s * lanes, zero)
    for i in range(net.sizes[0]):
        store(block.a, (i * m + s) * lanes, zero)
    if data.has_targets:
        for j in range(net.sizes[net.n_layers]):
            store(block.y, (j * m + s) * lanes, zero)


@helper
def fill_tile(net, data, nets, block, own_data, shuffle, tile, scale):
    """Write samples tile.first .. tile.first + tile.n to a tile; its columns past them get zeros.

    Unrolled code computes with those, and 0 times what another pass has left there may be NaN. Samples of weight 0 are
    zeros, too: they contribute nothing, even if their outputs or losses overflow.

    own_data : whether nets have data of their own
    scale : factor on the samples' weights
    """
    if own_data or shuffle:
        fill_by_lane(net, data, nets, block, shuffle, tile, scale)
    else:
        fill_all_lanes(net, data, block, tile, scale)
    for s in range(tile.n, tile.m):
        clear_column(net, data, block, tile.m, s)
    block.filled[FILLED_FIRST], block.filled[FILLED_N] = tile.first, tile.n


@linked_helper()
def shuffle_lanes(n_samples, seeds, block):
    """Write a new order of the samples for each net: the order that the net would have if it were trained alone.

    block : reference
    """
    block = dereference(block)
    for lane in range(block.n_lanes):
        if block.net_index[lane] >= 0:
            seed, epoch = seeds[block.net_index[lane]], block.clock[EPOCH] - block.start_epoch[lane]
            permutation(n_samples, seed, epoch, block.words, offset(block.order, lane * n_samples))
