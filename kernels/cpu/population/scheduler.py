"""Scheduler of a block's lanes: free lanes take nets from the queue, and a block knows its next event.

A block is a LaneBlock (workspace.py) whose field `lanes` is a simd.lanes.Lanes. `nets` is the PopulationState.
"""

from __future__ import annotations

import numpy as np

from ...jit.decorators import helper, inline_helper, linked_helper, selector
from ...jit.intrinsics import dereference
from ...simd.load_store import fill, load, scalar_like, store, transpose_square
from ...simd.vector import where
from ...structs import BETA1, BETA2, NET_DEFAULTS, NET_HYPER
from ..threads.in_kernels import fetch_add
from ..workspace import EPOCH, FILLED_N, NEXT_EVENT, RESERVED_END, RESERVED_NEXT, VECTOR_BYTES

# What a thread takes at a time from the queue: an equal share of the nets that are left, divided by SHARE_DIVISOR, but
# at most the nets of MOST_BLOCKS_TAKEN blocks.
SHARE_DIVISOR, MOST_BLOCKS_TAKEN = 8, 8
NO_NETS, ANY_NETS, CONTIGUOUS_NETS = 0, 1, 2  # in the lanes of a block (is_contiguous)


# ---- copies between nets and lanes. The parameters of adjacent nets are a matrix with a row per net, which is
# transposed in registers, square by square: element by element it would take four to eight times as many instructions,
# and later loads of whole vectors would wait for stores of single elements. p is a block's array (n, lanes).

# Sides of the squares: from 2, since a net has at least two parameters, to the numbers of float32 in a vector.
SIDES = tuple(side for side in (2, 4, 8, 16) if side <= VECTOR_BYTES // 4)


def _make_squares(side):
    @helper
    def squares(a, a0, n_rows, n_columns, out, out0):
        """Write out[j, i] = a[i, j], where a begins at a0 and out at out0. The last squares of a row or column overlap
        those before them.
        """
        for i in range(0, n_rows, side):
            row = min(i, n_rows - side)
            for j in range(0, n_columns, side):
                column = min(j, n_columns - side)
                transpose_square(
                    a, a0 + row * n_columns + column, n_columns, out, out0 + column * n_rows + row, n_rows, side
                )

    return squares


_squares = selector([_make_squares(side) for side in SIDES], 6)


@helper
def transpose(a, a0, n_rows, n_columns, out, out0):
    """Write out[j, i] = a[i, j] for a matrix with at least two rows and two columns.

    a0, out0 : index at which the matrix begins in `a`, and its transpose in `out`
    n_rows, n_columns : each an int or a Lanes
    """
    which = -1  # index in SIDES of the largest that fits
    for side in SIDES:
        if side <= min(int(n_rows), int(n_columns)):
            which += 1
    _squares(which, a, a0, n_rows, n_columns, out, out0)


@helper
def fill_lane(p, lane, n, x, lanes):
    """Set the n numbers of one lane to x."""
    for q in range(n):
        p[q * lanes + lane] = scalar_like(p, x)


@helper
def load_lane(params, start, n, p, lane, lanes):
    """Copy one net, the n numbers in params from index `start` on, into a lane."""
    for q in range(n):
        p[q * lanes + lane] = params[start + q]


@helper
def store_lane(p, lane, n, params, start, lanes):
    """Copy a lane to the n numbers in params from index `start` on."""
    for q in range(n):
        params[start + q] = p[q * lanes + lane]


@helper
def copy_flagged(flags, p, n, target, lanes):
    """Copy the n parameters p to `target` in the lanes that are flagged."""
    mask = load(flags, 0, lanes) > 0.0
    for i in range(0, n * lanes, lanes):
        store(target, i, where(mask, load(p, i, lanes), load(target, i, lanes)))


@helper
def next_net(queue, n_threads, block, n_members, n_free):
    """Return the index in nets.members of the next net for one of this thread's n_free lanes.

    The index is n_members or more if no net is left. While many nets are left, a thread takes those of several
    blocks at once: threads that train neighbouring nets write to the same cache lines and wait for each other.

    queue : NetQueue.taken
    """
    if block.reserved[RESERVED_NEXT] == block.reserved[RESERVED_END]:
        blocks = min((n_members - queue[0]) // (SHARE_DIVISOR * n_threads * block.lanes), MOST_BLOCKS_TAKEN)
        n = max(n_free, blocks * block.lanes)
        block.reserved[RESERVED_NEXT] = fetch_add(queue, n)
        block.reserved[RESERVED_END] = block.reserved[RESERVED_NEXT] + n
    block.reserved[RESERVED_NEXT] += 1
    return block.reserved[RESERVED_NEXT] - 1


@inline_helper
def empty_lane(net, nets, block, lane):
    """Fill a lane with zeros and default hyper-parameters, so that nothing in it can grow."""
    lanes = block.lanes
    fill_lane(block.p, lane, nets.n_params, 0.0, lanes)
    for q in range(len(NET_HYPER)):
        block.hyper[q * lanes + lane] = scalar_like(block.hyper, NET_DEFAULTS[q])
    block.betas[lane] = block.betas[lanes + lane] = 0.0
    for k in range(net.n_layers):
        block.dropout[k * lanes + lane] = 0.0


@inline_helper
def load_settings(net, nets, block, lane, net_index):
    """Copy a net's hyper-parameters and dropout rates into its lane."""
    lanes = block.lanes
    is_first = block.clock[EPOCH] == 0  # a lane's later nets find the settings that all nets share
    if is_first or nets.hyper_stride != 0:
        row = net_index * nets.hyper_stride
        for q in range(len(NET_HYPER)):
            block.hyper[q * lanes + lane] = scalar_like(block.hyper, nets.hyper[row + q])
        block.betas[lane], block.betas[lanes + lane] = nets.hyper[row + BETA1], nets.hyper[row + BETA2]
    if is_first or nets.dropout_stride != 0:
        for k in range(net.n_layers):
            block.dropout[k * lanes + lane] = nets.dropout[net_index * nets.dropout_stride + k]


@helper
def start_net(net, nets, block, lane, net_index, initial):
    """Assign a net to a lane, reset the lane, and flag it: its parameters have yet to be loaded.

    net_index : index of the net, or -1 to empty the lane
    initial : NetQueue.initial
    """
    n, lanes = nets.n_params, block.lanes
    block.net_index[lane], block.start_epoch[lane], block.next_record[lane] = net_index, block.clock[EPOCH], 0
    block.filled[FILLED_N] = -1
    fill_lane(block.state, lane, nets.n_state * n, 0.0, lanes)
    block.powers[lane] = block.powers[lanes + lane] = 1.0
    block.last_loss[lane] = scalar_like(block.p, np.inf)
    block.best_value[lane], block.best_epoch[lane] = scalar_like(block.p, np.inf), 0
    if net_index < 0:
        empty_lane(net, nets, block, lane)
        return
    block.flags[lane] = scalar_like(block.flags, 1.0)
    load_settings(net, nets, block, lane, net_index)
    for s in range(nets.n_state):
        if initial[s] != 0:  # 1 + the hyper-parameter that state vector s starts from
            for q in range(n):
                block.state[(s * n + q) * lanes + lane] = block.hyper[(initial[s] - 1) * lanes + lane]


@helper
def is_contiguous(block):
    """Return whether the lanes have consecutive nets that started in the same epoch: all have the same events."""
    contiguous = block.net_index[0] >= 0
    for lane in range(block.n_lanes):
        contiguous &= (
            block.net_index[lane] == block.net_index[0] + lane and block.start_epoch[lane] == block.start_epoch[0]
        )
    return contiguous


@helper
def load_params(nets, block, whole_block):
    """Load parameters into the lanes that are flagged.

    whole_block : whether all lanes are flagged and their nets are adjacent in memory
    """
    n, lanes = nets.n_params, block.lanes
    if whole_block:
        transpose(nets.params, block.net_index[0] * n, lanes, n, block.p, 0)
    else:
        for lane in range(block.n_lanes):
            if block.flags[lane] > 0:
                load_lane(nets.params, block.net_index[lane] * n, n, block.p, lane, lanes)


@helper
def next_event(criteria, nets, block):
    """Return the block's next epoch at whose end a lane records its loss or has finished all its epochs."""
    event = np.int64(2**62)
    for lane in range(block.n_lanes):
        if block.net_index[lane] >= 0:
            r = block.next_record[lane]
            epoch = criteria.n_epochs
            if r < nets.n_records:
                epoch = min(epoch, nets.record_epochs[r])
            event = min(event, block.start_epoch[lane] + epoch)
    return event


@linked_helper(int)
def fill_free_lanes(net, criteria, nets, block, queue, n_threads):
    """Start the next nets of the queue in free lanes. Returns which nets the block has then, one of *_NETS.

    All structs are references.
    """
    net, criteria, nets = dereference(net), dereference(criteria), dereference(nets)
    block, queue = dereference(block), dereference(queue)
    lanes, n_free, n_busy = block.lanes, 0, 0
    for lane in range(block.n_lanes):
        if block.net_index[lane] < 0:
            n_free += 1
    store(block.flags, 0, fill(block.p, 0.0, lanes))
    for lane in range(block.n_lanes):
        if block.net_index[lane] < 0:
            member = next_net(queue.taken, n_threads, block, nets.n_members, n_free)
            net_index = nets.members[member] if member < nets.n_members else -1
            start_net(net, nets, block, lane, net_index, queue.initial)
        if block.net_index[lane] >= 0:
            n_busy += 1
    if n_busy == 0:
        return NO_NETS
    contiguous = is_contiguous(block)
    load_params(nets, block, contiguous and block.start_epoch[0] == block.clock[EPOCH])
    copy_flagged(block.flags, block.p, nets.n_params, block.safe_params, lanes)
    block.clock[NEXT_EVENT], block.records_end[0] = next_event(criteria, nets, block), block.next_record[0]
    return CONTIGUOUS_NETS if contiguous else ANY_NETS
