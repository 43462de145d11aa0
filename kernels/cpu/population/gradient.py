"""Gradient of a batch for the nets of a block: by unrolled code where the architecture has it, else by loops.

A batch is taken in tiles: samples, copied side by side for all nets of a block, few enough for the first-level cache.
Samples are columns, as in single_net/column_passes.py: unit u of sample s is at (u * m + s) * lanes, for the m samples
of a tile.
"""

from __future__ import annotations

from typing import NamedTuple

from ...formulas.counter_rng import permutation
from ...jit.decorators import helper, inline_helper, linked_helper
from ...jit.intrinsics import dereference
from ...simd.load_store import fill, load_scalar, offset, scalar_like, store
from ...structs import METRIC_ARGMAX, METRIC_MARGIN
from ..unrolled.population_codegen import SUMS_LAST_STEP, PopulationArguments, call_unrolled
from ..workspace import EPOCH, FILLED_FIRST, FILLED_N, INTERLEAVED_SAMPLES


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


# ---- gradient


class BatchRequest(NamedTuple):
    """Request for the gradient of a batch, and for the sums and records to compute with it."""

    batch: int
    n_batches: int
    rows: int  # samples of the batch
    sums_level: int  # one of SUMS_*: for which of n_steps gradients sums of losses and of correct samples are wanted
    n_steps: int  # above 1, unrolled code computes up to this number of gradients, with a step of the optimiser between
    stop_loss: float  # unrolled code ends at a loss of at most this, or ...
    stop_n_correct: float  # ... at this number of correct samples
    next_record: int  # index of the next record that unrolled code buffers, nets.n_records for none


@inline_helper
def padded_rows(n):
    """Return n rounded up to whole groups of the samples that unrolled code takes through a net together."""
    return (n + INTERLEAVED_SAMPLES - 1) // INTERLEAVED_SAMPLES * INTERLEAVED_SAMPLES


@helper
def gradient_unrolled(net, data, block, record_epochs, tile, request, loss, n_correct):
    """Compute the gradient of a tile with unrolled code. Returns the number of gradients computed.

    record_epochs : PopulationState.record_epochs
    loss, n_correct : (lanes,), to which the sums of losses and of correct samples are added
    """
    terms = float(request.rows * net.loss_width)
    bound = scalar_like(block.a, net.margin if data.metric == METRIC_MARGIN else net.class_threshold)
    shares = 1 if data.metric == METRIC_ARGMAX else net.sizes[net.n_layers]  # terms that a correct sample adds
    arguments = PopulationArguments(
        p=block.p,
        g=block.g,
        a=block.a,
        y=block.y,
        weight=block.weight,
        hyper=block.hyper,
        loss=loss,
        n_correct=n_correct,
        m=tile.m,
        adds=tile.row,
        sums_level=request.sums_level,
        metric=data.metric,
        n_steps=request.n_steps,
        rows=scalar_like(block.a, float(request.rows)),
        loss_width=scalar_like(block.a, net.loss_width),
        c=scalar_like(block.a, net.loss_constant),
        bound=bound,
        stop_loss=request.stop_loss,
        stop_n_correct=scalar_like(block.a, request.stop_n_correct * shares / terms),
        state=block.state,
        betas=block.betas,
        powers=block.powers,
        last_loss=block.last_loss,
        epoch=block.clock[EPOCH] - block.start_epoch[0],
        record_epochs=offset(record_epochs, request.next_record),
        records=offset(block.records, request.next_record * block.lanes),
    )
    return call_unrolled(block.unrolled_address, arguments)


@helper
def final_accuracy(net, data, nets, block):
    """Write each lane's number of correct samples to block.n_correct_at_end, if the block's tile holds all samples."""
    rows = data.n_samples
    store(block.n_correct_at_end, 0, fill(block.a, 0.0, block.lanes))
    tile = Tile(0, 0, rows, padded_rows(rows))
    request = BatchRequest(0, 1, rows, SUMS_LAST_STEP, 1, scalar_like(block.a, 0.0), 0.0, nets.n_records)
    gradient_unrolled(
        net, data, block, nets.record_epochs, tile, request, block.monitored_value, block.n_correct_at_end
    )


@inline_helper
def gradient(task, request):
    """Compute a batch's gradient in block.g; add sums of losses and of correct samples to block.loss and .n_correct.

    task : Task of train.py

    Returns the number of gradients computed.
    """
    net, data, nets, block, shuffle = task.net, task.data, task.nets, task.block, task.config.shuffle
    first, scale = request.batch * block.batch_size, 1.0 / float(request.rows * net.loss_width)
    n_steps = request.n_steps
    for row in range(0, request.rows, block.tile_rows):
        n = min(block.tile_rows, request.rows - row)
        if block.unrolled_address != 0:
            tile = Tile(first + row, row, n, padded_rows(n))
            if shuffle or block.filled[FILLED_FIRST] != tile.first or block.filled[FILLED_N] != n:
                fill_tile(net, data, nets, block, nets.own_data, shuffle, tile, scale)
            n_steps = gradient_unrolled(
                net, data, block, nets.record_epochs, tile, request, block.loss, block.n_correct
            )
        else:
            task.template.gradient_by_loops(task, request, Tile(first + row, row, n, n), scale)
    return n_steps
