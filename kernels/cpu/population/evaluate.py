"""Evaluation of a population: outputs, losses and correct samples of its nets by forward passes, a block at a time."""

from __future__ import annotations

from ...jit.decorators import inline_helper, kernel
from ...jit.intrinsics import reference
from ...simd.lanes import Lanes, with_lanes
from ...simd.load_store import as_pointers, fill, load, offset, scalar_like, store
from ...structs import LANES
from ..workspace import FILLED_N
from .gradient import Tile, fill_tile
from .gradient_loops import add_losses, forward
from .scheduler import is_contiguous, load_params

WIDTH = Lanes(LANES)


@inline_helper
def validation_pass(task):
    """Return each lane's (mean loss, fraction of correct samples) over held-out samples, by forward passes alone.

    task : Task of train.py
    """
    data, block, refs = task.held_out, task.block, task.refs
    loss, n_correct = block.monitored_value, block.flags  # scratch here; epoch_end.track_best writes them next
    store(loss, 0, fill(block.a, 0.0, block.lanes))
    store(n_correct, 0, fill(block.a, 0.0, block.lanes))
    for first in range(0, data.n_samples, block.tile_rows):
        m = min(block.tile_rows, data.n_samples - first)
        tile = Tile(first, first, m, m)
        fill_tile(task.net, data, task.nets, block, False, False, tile, 1.0)
        forward(refs.net, refs.nets, refs.block, tile, 0, 1, False)
        add_losses(refs.net, refs.block, data.metric, m, 0.0, loss, n_correct)
    block.filled[FILLED_N] = -1  # training is to load its own samples again
    inverse_n_samples = scalar_like(block.a, 1.0 / data.n_samples)
    return load(loss, 0, block.lanes) * inverse_n_samples, load(n_correct, 0, block.lanes) * inverse_n_samples


@inline_helper
def no_validation(task):
    """Return zeros: nothing is validated."""
    return fill(task.block.a, 0.0, task.block.lanes), fill(task.block.a, 0.0, task.block.lanes)


@inline_helper
def load_members(nets, block, first, n):
    """Load nets.members[first : first + n] into the lanes; the last of them also into the lanes that are left."""
    for lane in range(block.n_lanes):
        block.net_index[lane] = nets.members[first + min(lane, n - 1)]
        block.flags[lane] = scalar_like(block.flags, 1.0)
    load_params(nets, block, is_contiguous(block))


@inline_helper
def write_outputs(net, data, block, tile, first, n, output):
    """Write the outputs of the first n lanes for a tile to output[first + lane, tile.first : tile.first + tile.m].

    output : flat (n_members, n_samples, n_outputs)
    """
    width, lanes = net.sizes[net.n_layers], block.lanes
    start = block.units[net.n_layers] * tile.m * lanes
    for lane in range(n):
        o = ((first + lane) * data.n_samples + tile.first) * width
        for s in range(tile.m):
            for j in range(width):
                output[o + s * width + j] = block.a[start + (j * tile.m + s) * lanes + lane]


@inline_helper
def evaluate_block(net, data, nets, block, net_ref, nets_ref, block_ref, first, n, writes, output):
    """Evaluate the n nets in the block's first lanes, which are nets.members[first : first + n].

    net_ref, nets_ref, block_ref : references to net, nets and block
    writes : whether to write outputs
    """
    store(block.loss, 0, fill(block.a, 0.0, block.lanes))
    store(block.n_correct, 0, fill(block.a, 0.0, block.lanes))
    for row in range(0, data.n_samples, block.tile_rows):
        m = min(block.tile_rows, data.n_samples - row)
        tile = Tile(row, row, m, m)
        fill_tile(net, data, nets, block, nets.own_data, False, tile, 1.0)
        forward(net_ref, nets_ref, block_ref, tile, 0, 1, False)
        if writes:
            write_outputs(net, data, block, tile, first, n, output)
        if data.has_targets:
            add_losses(net_ref, block_ref, data.metric, m, 0.0, block.loss, block.n_correct)
    if data.has_targets:
        for lane in range(n):
            nets.loss[block.net_index[lane]] = block.loss[lane] / data.n_samples
            nets.accuracy[block.net_index[lane]] = block.n_correct[lane] / data.n_samples


@kernel
def evaluate(thread, n_threads, barrier, net, data, nets, block, output):
    """Evaluate this thread's part of nets.members, as many nets at a time as there are lanes: outputs and, if data has
    targets, each net's loss and accuracy in `nets`.

    block : LaneBlock of this thread
    output : flat (n_members * n_samples * n_outputs,), written; or empty
    """
    net, data, nets = as_pointers(net), as_pointers(data), as_pointers(nets)
    block, writes, output = with_lanes(as_pointers(block), WIDTH), output.size > 0, offset(output, 0)
    lanes, net_ref, nets_ref, block_ref = int(block.lanes), reference(net), reference(nets), reference(block)
    n_blocks = (nets.n_members + lanes - 1) // lanes
    for i in range(thread * n_blocks // n_threads, (thread + 1) * n_blocks // n_threads):
        n = min(lanes, nets.n_members - i * lanes)
        load_members(nets, block, i * lanes, n)
        evaluate_block(net, data, nets, block, net_ref, nets_ref, block_ref, i * lanes, n, writes, output)
