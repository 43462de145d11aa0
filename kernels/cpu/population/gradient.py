"""Gradient of a batch for the nets of a block: by unrolled code where the architecture has it, else by loops."""

from __future__ import annotations

from typing import NamedTuple

from ...jit.decorators import helper, inline_helper
from ...simd.load_store import fill, offset, scalar_like, store
from ...structs import METRIC_ARGMAX, METRIC_MARGIN
from ..unrolled.population_codegen import LAST_STEP, call_unrolled
from ..workspace import INTERLEAVED_SAMPLES
from .tile import Tile, fill_tile


class BatchRequest(NamedTuple):
    """What is to be computed for a batch."""

    batch: int
    n_batches: int
    rows: int  # samples of the batch
    wants_loss: int  # for which of n_steps gradients sums are wanted: NEVER, LAST_STEP, EVERY_LOSS or EVERY_STEP
    n_steps: int  # above 1, unrolled code computes up to this number of gradients, with a step of the optimiser between
    stop_loss: float  # unrolled code ends at a loss of at most this, or ...
    stop_n_correct: float  # ... at this number of correct samples
    record: int  # index of the next record that unrolled code buffers, nets.n_records for none


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
    return call_unrolled(
        block.straight_line,
        block.p,
        block.g,
        block.a,
        block.y,
        block.weight,
        block.hyper,
        loss,
        n_correct,
        tile.m,
        tile.row,
        request.wants_loss,
        data.metric,
        request.n_steps,
        scalar_like(block.a, float(request.rows)),
        scalar_like(block.a, net.loss_width),
        scalar_like(block.a, net.loss_constant),
        bound,
        request.stop_loss,
        scalar_like(block.a, request.stop_n_correct * shares / terms),
        block.state,
        block.betas,
        block.powers,
        block.last_loss,
        block.clock[0] - block.start[0],
        offset(record_epochs, request.record),
        offset(block.records, request.record * block.lanes),
    )


@helper
def final_accuracy(net, data, nets, block):
    """Write each lane's number of correct samples to block.right_at_end, where the block's tile holds all samples."""
    rows = data.n_samples
    store(block.right_at_end, 0, fill(block.a, 0.0, block.lanes))
    tile = Tile(0, 0, rows, padded_rows(rows))
    request = BatchRequest(0, 1, rows, LAST_STEP, 1, scalar_like(block.a, 0.0), 0.0, nets.n_records)
    gradient_unrolled(net, data, block, nets.record_epochs, tile, request, block.watched, block.right_at_end)


@inline_helper
def gradient(net, data, nets, block, shuffle, request, gradient_by_loops):
    """Compute a batch's gradient in block.g; add its sums of losses and of correct samples to block.loss and .right.

    gradient_by_loops : function of gradient_loops.py, for nets that have no unrolled code

    Returns the number of gradients computed.
    """
    first, scale = request.batch * block.train_rows, 1.0 / float(request.rows * net.loss_width)
    n_steps = request.n_steps
    for row in range(0, request.rows, block.rows):
        n = min(block.rows, request.rows - row)
        if block.straight_line != 0:
            tile = Tile(first + row, row, n, padded_rows(n))
            if shuffle or block.filled[0] != tile.first or block.filled[1] != n:
                fill_tile(net, data, nets, block, nets.mixed, shuffle, tile, scale)
            n_steps = gradient_unrolled(net, data, block, nets.record_epochs, tile, request, block.loss, block.right)
        else:
            tile = Tile(first + row, row, n, n)
            gradient_by_loops(
                net, data, nets, block, shuffle, tile, request.batch, request.n_batches, request.wants_loss, scale
            )
    return n_steps
