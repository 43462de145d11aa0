"""End of an epoch: losses are recorded, the best parameters kept, and finished nets written back from their lanes.

While all lanes do the same, which `contiguous` lanes do until a net ends early, a whole block is handled at once, and
its records are buffered: a check of each lane would cost more than an epoch of a tiny net.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ... import structs
from ...jit.decorators import helper, inline_helper, linked_helper
from ...jit.intrinsics import dereference
from ...simd.load_store import fill, load, scalar_like, store
from ...simd.reductions import any_of
from ...simd.vector import absolute, where
from ..workspace import EPOCH, NEXT_EVENT
from .gradient import final_accuracy
from .scheduler import copy_flagged, next_event, store_lane, transpose

SAFE_EVERY = 64  # epochs between copies of parameters with a finite loss, which a net that diverges later ends with


@helper
def lane_sums(p, n, lanes):
    """Return each lane's sum of the n numbers in p, which is not finite if one of them is not."""
    v = fill(p, 0.0, lanes)
    for i in range(0, n * lanes, lanes):
        v += load(p, i, lanes)
    return v


@inline_helper
def save_safe_params(nets, block, loss):
    """Copy the parameters of lanes where they and the loss that they gave are finite."""
    n, lanes = nets.n_params, block.lanes
    store(block.flags, 0, where(absolute(loss + lane_sums(block.p, n, lanes)) < np.inf, 1.0, 0.0))
    copy_flagged(block.flags, block.p, n, block.safe_params, lanes)


@inline_helper
def track_best(criteria, nets, block, value):
    """Copy the parameters, and note the epoch, of lanes whose monitored value is their best so far.

    value : (lanes,), lower is better; it must be lower than the best by more than criteria.min_delta
    """
    lanes = block.lanes
    best = load(block.best_value, 0, lanes)
    is_better = value < best - scalar_like(block.p, criteria.min_delta)
    store(block.monitored_value, 0, value)
    store(block.flags, 0, where(is_better, 1.0, 0.0))
    if any_of(is_better):
        store(block.best_value, 0, where(is_better, value, best))
        copy_flagged(block.flags, block.p, nets.n_params, block.best_params, lanes)
        for lane in range(block.n_lanes):
            if block.flags[lane] > 0:
                block.best_epoch[lane] = block.clock[EPOCH] + 1 - block.start_epoch[lane]


@helper
def store_converged(criteria, nets, block):
    """Write back the parameters of lanes that have converged, before the next step changes them."""
    for lane in range(block.n_lanes):
        has_converged = block.loss[lane] <= criteria.stop_loss or block.n_correct[lane] >= criteria.stop_n_correct
        if block.net_index[lane] >= 0 and has_converged:
            store_lane(block.p, lane, nets.n_params, nets.params, block.net_index[lane] * nets.n_params, block.lanes)


@helper
def some_net_ends(criteria, block):
    """Return whether a net has finished all its epochs."""
    ends = False
    for lane in range(block.n_lanes):
        ends |= block.net_index[lane] >= 0 and block.clock[EPOCH] - block.start_epoch[lane] == criteria.n_epochs
    return ends


@helper
def has_finite_params(nets, net_index):
    """Return whether the sum of a net's parameters in nets.params is finite."""
    total = 0.0
    for q in range(net_index * nets.n_params, (net_index + 1) * nets.n_params):
        total += nets.params[q]
    return math.isfinite(total)


@helper
def store_finite_params(criteria, nets, block, lane, status, stored_converged):
    """Write back the parameters that a net ends with, or the last finite ones if they are not finite.

    Returns the net's status, which may become DIVERGED_NET: a finite loss does not prove that the step after it
    was finite, nor that every parameter was.

    stored_converged : whether store_converged has written back the lanes that have converged
    """
    n, net_index, lanes = nets.n_params, block.net_index[lane], block.lanes
    if status != structs.DIVERGED_NET and not (status == structs.CONVERGED and stored_converged):
        store_lane(block.p, lane, n, nets.params, net_index * n, lanes)
    if status == structs.ALL_EPOCHS and not has_finite_params(nets, net_index):
        status = structs.DIVERGED_NET
    if criteria.monitor != structs.MONITOR_NONE and status != structs.CONVERGED and block.best_epoch[lane] > 0:
        store_lane(block.best_params, lane, n, nets.params, net_index * n, lanes)
    elif status == structs.DIVERGED_NET:
        store_lane(block.safe_params, lane, n, nets.params, net_index * n, lanes)
    if not has_finite_params(nets, net_index):
        store_lane(block.safe_params, lane, n, nets.params, net_index * n, lanes)
        status = structs.DIVERGED_NET
    return status


@helper
def record_all_correct(data, nets, block, lane, net_index):
    """Write nets.all_correct from the number of correct samples after the last step."""
    nets.all_correct[net_index] = np.int8(block.n_correct_at_end[lane] >= structs.FULL_ACCURACY * data.n_samples)


@helper
def keep_lane(nets, block, lane):
    """Copy a net that has trained all its epochs to its rows of nets.kept_vectors and nets.kept_numbers."""
    n, lanes, net_index = nets.n_params, block.lanes, block.net_index[lane]
    vectors, numbers = net_index * (2 + nets.n_state) * n, net_index * structs.N_KEPT_NUMBERS
    store_lane(block.p, lane, n, nets.kept_vectors, vectors, lanes)
    store_lane(block.safe_params, lane, n, nets.kept_vectors, vectors + n, lanes)
    store_lane(block.state, lane, nets.n_state * n, nets.kept_vectors, vectors + 2 * n, lanes)
    nets.kept_numbers[numbers + structs.KEPT_POWER1] = block.powers[lane]
    nets.kept_numbers[numbers + structs.KEPT_POWER2] = block.powers[lanes + lane]
    nets.kept_numbers[numbers + structs.KEPT_LAST_LOSS] = float(block.last_loss[lane])
    nets.kept_numbers[numbers + structs.KEPT_BEST_VALUE] = float(block.best_value[lane])
    nets.kept_numbers[numbers + structs.KEPT_LOSS] = float(block.loss[lane])
    nets.kept_numbers[numbers + structs.KEPT_N_CORRECT] = float(block.n_correct[lane])
    nets.kept_numbers[numbers + structs.KEPT_CLOCK] = float(block.clock[EPOCH])


@inline_helper
def status_of_lane(criteria, block, lane, epoch):
    """Return the status of a lane's net after its epoch of this number."""
    if not math.isfinite(float(block.loss[lane])):
        return structs.DIVERGED_NET
    if float(block.loss[lane]) <= criteria.stop_loss or float(block.n_correct[lane]) >= criteria.stop_n_correct:
        return structs.CONVERGED
    if criteria.monitor != structs.MONITOR_NONE and epoch - block.best_epoch[lane] >= criteria.patience:
        return structs.STOPPED_EARLY
    return structs.ALL_EPOCHS if epoch == criteria.n_epochs else structs.RUNNING


@inline_helper
def retire_lane(data, criteria, nets, block, lane, status, epoch, stored_converged, has_final_accuracy):
    """Write back a net that has ended with this status in this epoch, and free its lane."""
    net_index, loss = block.net_index[lane], float(block.loss[lane])
    if status == structs.DIVERGED_NET:
        epoch -= 1
    status = store_finite_params(criteria, nets, block, lane, status, stored_converged)
    if status == structs.DIVERGED_NET:
        loss = np.nan
    nets.status[net_index], nets.epochs[net_index] = status, epoch
    nets.loss[net_index], nets.accuracy[net_index] = loss, float(block.n_correct[lane]) / data.n_samples
    if has_final_accuracy and status == structs.ALL_EPOCHS:
        record_all_correct(data, nets, block, lane, net_index)
    if criteria.monitor != structs.MONITOR_NONE:
        nets.best_epochs[net_index], nets.best_value[net_index] = block.best_epoch[lane], float(block.best_value[lane])
    if nets.keeps_ended and status == structs.ALL_EPOCHS:
        keep_lane(nets, block, lane)
    block.net_index[lane] = -1


@helper
def retire_finished(data, criteria, nets, block, stored_converged, has_final_accuracy):
    """Record losses after an epoch, write back the nets that are finished and free their lanes.

    Returns whether a lane is now free.
    """
    has_free_lane = False
    for lane in range(block.n_lanes):
        net_index = block.net_index[lane]
        if net_index < 0:
            continue
        epoch, r = block.clock[EPOCH] - block.start_epoch[lane], block.next_record[lane]
        status = status_of_lane(criteria, block, lane, epoch)
        if r < nets.n_records and nets.record_epochs[r] == epoch:
            nets.records[r * nets.n_nets + net_index] = block.loss[lane]
            block.next_record[lane] = r + 1
        if status != structs.RUNNING:
            retire_lane(data, criteria, nets, block, lane, status, epoch, stored_converged, has_final_accuracy)
            has_free_lane = True
    return has_free_lane


@helper
def flush_records(nets, block, record_scale):
    """Write the records that contiguous lanes have buffered, times record_scale, to nets.records."""
    for r in range(block.next_record[0], block.records_end[0]):
        store(
            nets.records,
            r * nets.n_nets + block.net_index[0],
            load(block.records, r * block.lanes, block.lanes) * record_scale,
        )
    for lane in range(block.n_lanes):
        block.next_record[lane] = block.records_end[0]


@helper
def buffer_record(criteria, nets, block):
    """Buffer a record if one is due, and return the block's next event.

    This is `retire_finished` and `next_event` for contiguous lanes whose nets all go on.
    """
    lanes = block.lanes
    if nets.record_epochs[block.records_end[0]] == block.clock[EPOCH] - block.start_epoch[0]:
        store(block.records, block.records_end[0] * lanes, load(block.loss, 0, lanes))
        block.records_end[0] += 1
    return block.start_epoch[0] + min(criteria.n_epochs, nets.record_epochs[block.records_end[0]])


@helper
def retire_block(data, criteria, nets, block, has_final_accuracy):
    """Write back all nets of the block and free the lanes.

    This is `retire_finished` for contiguous lanes whose nets have all finished all their epochs.
    """
    n, first = nets.n_params, block.net_index[0]
    transpose(block.p, 0, n, block.lanes, nets.params, first * n)
    for lane in range(block.n_lanes):
        net_index = first + lane
        nets.status[net_index], nets.epochs[net_index] = structs.ALL_EPOCHS, criteria.n_epochs
        nets.loss[net_index], nets.accuracy[net_index] = (
            float(block.loss[lane]),
            float(block.n_correct[lane]) / data.n_samples,
        )
        if has_final_accuracy:
            record_all_correct(data, nets, block, lane, net_index)
        if nets.keeps_ended:
            keep_lane(nets, block, lane)
        block.net_index[lane] = -1


class EpochKind(NamedTuple):
    """Properties of an epoch, determined before its end is handled."""

    several_epochs: bool  # whether a call of unrolled code computed several epochs
    one_batch: bool  # whether store_converged was called
    contiguous: bool  # is_contiguous(block), which holds until the next net starts
    is_due: bool  # whether a record or the end of a net is due
    may_have_ended: bool  # whether a net may have ended early: converged, diverged or stopped early


@linked_helper(bool)
def check_nets(net, data, criteria, nets, block, kind, record_scale):
    """Handle the end of an epoch in which a record is due or a net may have ended early.

    Returns whether a lane is now free.

    net, data, criteria, nets, block : references
    kind : EpochKind
    record_scale : (1,), factor on buffered records
    """
    net, data, criteria = dereference(net), dereference(data), dereference(criteria)
    nets, block = dereference(nets), dereference(block)
    lanes = block.lanes
    # Whether block.n_correct_at_end is written.
    has_final_accuracy = (
        kind.several_epochs and nets.checks_final_accuracy and kind.is_due and some_net_ends(criteria, block)
    )
    if has_final_accuracy:
        final_accuracy(net, data, nets, block)
    all_finite = not any_of(~(load(block.loss, 0, lanes) < np.inf))
    all_go_the_same_way = kind.contiguous and all_finite and not kind.may_have_ended
    if all_go_the_same_way:
        block.clock[NEXT_EVENT] = buffer_record(criteria, nets, block)
        if block.clock[EPOCH] < block.start_epoch[0] + criteria.n_epochs:
            return False
        all_go_the_same_way = not any_of(~(absolute(lane_sums(block.p, nets.n_params, lanes)) < np.inf))
    if kind.contiguous:
        flush_records(nets, block, record_scale)
    if all_go_the_same_way:
        retire_block(data, criteria, nets, block, has_final_accuracy)
        return True
    has_free_lane = retire_finished(data, criteria, nets, block, kind.one_batch, has_final_accuracy)
    block.clock[NEXT_EVENT], block.records_end[0] = next_event(criteria, nets, block), block.next_record[0]
    return has_free_lane
