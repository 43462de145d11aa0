"""Gradient of a batch for the nets of a block: by unrolled code where the architecture has it, else by loops."""

from __future__ import annotations

from typing import NamedTuple

from ...jit.decorators import helper, inline_helper
from ...simd.load_store import fill, offset, scalar_like, store
from ...structs import METRIC_ARGMAX, METRIC_MARGIN
from ..unrolled.population_codegen import SUMS_LAST_STEP, PopulationArguments, call_unrolled
from ..workspace import EPOCH, FILLED_FIRST, FILLED_N, INTERLEAVED_SAMPLES
from .tile import Tile, fill_tile


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
