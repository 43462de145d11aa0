"""Scheduler of a block's lanes: loads nets into free lanes, checks them after epochs, and writes finished nets back."""

from __future__ import annotations

import math

import numpy as np

from ...jit.decorators import helper
from ...simd.load_store import fill, load, scalar_like, store
from ...simd.reductions import any_of
from ...simd.vector import absolute, where
from ...structs import (
    ALL_EPOCHS,
    ALL_RIGHT,
    BETA1,
    BETA2,
    CONVERGED,
    DIVERGED_NET,
    MONITOR_NONE,
    NET_DEFAULTS,
    NET_HYPER,
    RUNNING,
    STOPPED_EARLY,
)
from ..threads.barrier import fetch_add
from .gather_scatter import make_copies

# A thread takes an eighth of its share of the nets that are left from the queue, and no more than eight blocks.
SHARES, MOST_BLOCKS = 8, 8


def make_queue(lanes):
    """Return (keep_flagged, sums, next_number, start_net, enter, keep_converged, are_alike, next_due, some_end,
    hand_out, look) for blocks of this many lanes.
    """

    fill_lane, enter_lane, leave_lane, enter_block, leave_block = make_copies(lanes)

    @helper
    def keep_flagged(flags, p, n, kept):
        """Copy the n parameters p to `kept` in the lanes that are flagged."""
        mask = load(flags, 0, lanes) > 0.0
        for i in range(0, n * lanes, lanes):
            store(kept, i, where(mask, load(p, i, lanes), load(kept, i, lanes)))

    @helper
    def sums(p, n):
        """Return each lane's sum of the n numbers in p, which is not finite if one of them is not."""
        v = fill(p, 0.0, lanes)
        for i in range(0, n * lanes, lanes):
            v += load(p, i, lanes)
        return v

    @helper
    def next_number(queue, n_ranks, w, n_members, n_free):
        """Return the index in nets.members of the next net for one of this thread's n_free lanes.

        The index is n_members or more if no net is left. While many nets are left, a thread takes those of several
        blocks at once: threads that train neighbouring nets write to the same cache lines and wait for each other.
        """
        if w.taken[0] == w.taken[1]:
            blocks = min((n_members - queue[0]) // (SHARES * n_ranks * lanes), MOST_BLOCKS)
            n = max(n_free, blocks * lanes)
            w.taken[0] = fetch_add(queue, n)
            w.taken[1] = w.taken[0] + n
        w.taken[0] += 1
        return w.taken[0] - 1

    @helper
    def start_net(net, nets, w, lane, owner, initial):
        """Assign net `owner` to a lane, reset the lane, and flag it: its parameters have yet to be loaded.

        owner : index of the net, or -1 to empty the lane: all zeros, so that nothing in it can grow
        initial : int64 (n_state,), index of the setting that a vector of the optimiser state starts from, plus one; 0
            for zeros
        """
        n = nets.n_params
        w.net[lane], w.start[lane], w.record[lane], w.filled[1] = owner, w.clock[0], 0, -1
        fill_lane(w.state, lane, nets.n_state * n, 0.0)
        w.powers[lane] = w.powers[lanes + lane] = 1.0
        w.last_loss[lane] = scalar_like(w.p, np.inf)
        w.best_value[lane], w.best_epoch[lane] = scalar_like(w.p, np.inf), 0
        if owner < 0:
            fill_lane(w.p, lane, n, 0.0)
            for q in range(len(NET_HYPER)):
                w.hyper[q * lanes + lane] = scalar_like(w.hyper, NET_DEFAULTS[q])
            w.betas[lane] = w.betas[lanes + lane] = 0.0
            for k in range(net.n_layers):
                w.dropout[k * lanes + lane] = 0.0
            return
        w.flags[lane] = scalar_like(w.flags, 1.0)
        is_first = w.clock[0] == 0  # a lane's later nets find the settings that all nets share
        if is_first or nets.hyper_stride != 0:
            row = owner * nets.hyper_stride
            for q in range(len(NET_HYPER)):
                w.hyper[q * lanes + lane] = scalar_like(w.hyper, nets.hyper[row + q])
            w.betas[lane], w.betas[lanes + lane] = nets.hyper[row + BETA1], nets.hyper[row + BETA2]
        if is_first or nets.dropout_stride != 0:
            for k in range(net.n_layers):
                w.dropout[k * lanes + lane] = nets.dropout[owner * nets.dropout_stride + k]
        for s in range(nets.n_state):
            if initial[s] != 0:
                for q in range(n):
                    w.state[(s * n + q) * lanes + lane] = w.hyper[(initial[s] - 1) * lanes + lane]

    @helper
    def enter(nets, w, follow):
        """Load parameters into the lanes that are flagged.

        follow : whether all lanes are flagged and their nets are adjacent in memory
        """
        n = nets.n_params
        if follow:
            enter_block(nets.params, w.net[0] * n, n, w.p)
        else:
            for lane in range(w.lanes):
                if w.flags[lane] > 0:
                    enter_lane(nets.params, w.net[lane] * n, n, w.p, lane)

    @helper
    def keep_converged(goal, nets, w):
        """Write back the parameters of lanes that have converged, before the next step changes them."""
        for lane in range(w.lanes):
            if w.net[lane] >= 0 and (w.loss[lane] <= goal.stop_loss or w.right[lane] >= goal.stop_right):
                leave_lane(w.p, lane, nets.n_params, nets.params, w.net[lane] * nets.n_params)

    @helper
    def some_end(goal, w):
        """Return whether a net has finished all its epochs."""
        found = False
        for lane in range(w.lanes):
            found |= w.net[lane] >= 0 and w.clock[0] - w.start[lane] == goal.n_epochs
        return found

    @helper
    def is_finite(nets, owner):
        """Return whether the sum of a net's parameters in nets.params is finite."""
        total = 0.0
        for q in range(owner * nets.n_params, (owner + 1) * nets.n_params):
            total += nets.params[q]
        return math.isfinite(total)

    @helper
    def leave_finite(goal, nets, w, lane, status, was_saved):
        """Write back the parameters that a net ends with, or the last finite ones if they are not finite.

        Returns the net's status, which may become DIVERGED_NET: a finite loss does not prove that the step after it
        was finite, nor that every parameter was.

        was_saved : whether keep_converged has written back the lanes that have converged
        """
        n, owner = nets.n_params, w.net[lane]
        if status != DIVERGED_NET and not (status == CONVERGED and was_saved):
            leave_lane(w.p, lane, n, nets.params, owner * n)
        if status == ALL_EPOCHS and not is_finite(nets, owner):
            status = DIVERGED_NET
        if goal.monitor != MONITOR_NONE and status != CONVERGED and w.best_epoch[lane] > 0:
            leave_lane(w.best, lane, n, nets.params, owner * n)
        elif status == DIVERGED_NET:
            leave_lane(w.safe, lane, n, nets.params, owner * n)
        if not is_finite(nets, owner):
            leave_lane(w.safe, lane, n, nets.params, owner * n)
            status = DIVERGED_NET
        return status

    @helper
    def say_whether_learned(data, nets, w, lane, owner):
        nets.learned[owner] = np.int8(w.right_at_end[lane] >= ALL_RIGHT * data.n_samples)

    @helper
    def settle(data, goal, nets, w, was_saved, was_judged):
        """Record losses after an epoch, write back the nets that are finished and free their lanes.

        Returns whether a lane is now free.
        """
        found = False
        for lane in range(w.lanes):
            owner = w.net[lane]
            if owner < 0:
                continue
            epoch, loss, right = w.clock[0] - w.start[lane], float(w.loss[lane]), float(w.right[lane])
            status = RUNNING
            if not math.isfinite(loss):
                status = DIVERGED_NET
            elif loss <= goal.stop_loss or right >= goal.stop_right:
                status = CONVERGED
            elif goal.monitor != MONITOR_NONE and epoch - w.best_epoch[lane] >= goal.patience:
                status = STOPPED_EARLY
            elif epoch == goal.n_epochs:
                status = ALL_EPOCHS
            r = w.record[lane]
            if r < nets.n_records and nets.record_epochs[r] == epoch:
                nets.records[r * nets.n_nets + owner] = w.loss[lane]
                w.record[lane] = r + 1
            if status == RUNNING:
                continue
            if status == DIVERGED_NET:
                epoch -= 1
            status = leave_finite(goal, nets, w, lane, status, was_saved)
            if status == DIVERGED_NET:
                loss = np.nan
            nets.status[owner], nets.epochs[owner] = status, epoch
            nets.loss[owner], nets.right[owner] = loss, right / data.n_samples
            if was_judged and status == ALL_EPOCHS:
                say_whether_learned(data, nets, w, lane, owner)
            if goal.monitor != MONITOR_NONE:
                nets.best_epochs[owner], nets.best[owner] = w.best_epoch[lane], float(w.best_value[lane])
            w.net[lane], found = -1, True
        return found

    @helper
    def next_due(goal, nets, w):
        """Return the block's next epoch at whose end a lane records its loss or has finished all its epochs."""
        due = np.int64(2**62)
        for lane in range(w.lanes):
            if w.net[lane] >= 0:
                r = w.record[lane]
                epoch = goal.n_epochs
                if r < nets.n_records:
                    epoch = min(epoch, nets.record_epochs[r])
                due = min(due, w.start[lane] + epoch)
        return due

    @helper
    def are_alike(w):
        """Return whether the lanes are alike: they have consecutive nets, which started in the same epoch and are
        therefore due in the same epochs.
        """
        alike = w.net[0] >= 0
        for lane in range(w.lanes):
            alike &= w.net[lane] == w.net[0] + lane and w.start[lane] == w.start[0]
        return alike

    @helper
    def hand_out(nets, w, scale):
        """Write the records that lanes which are alike have buffered, times scale, to nets.records."""
        for r in range(w.record[0], w.kept[0]):
            store(nets.records, r * nets.n_nets + w.net[0], load(w.records, r * lanes, lanes) * scale)
        for lane in range(w.lanes):
            w.record[lane] = w.kept[0]

    @helper
    def keep_alike(goal, nets, w):
        """Buffer a record if one is due, and return the next epoch in which the block is due.

        This is `settle` and `next_due` for lanes that are alike and whose nets all go on.
        """
        if nets.record_epochs[w.kept[0]] == w.clock[0] - w.start[0]:
            store(w.records, w.kept[0] * lanes, load(w.loss, 0, lanes))
            w.kept[0] += 1
        return w.start[0] + min(goal.n_epochs, nets.record_epochs[w.kept[0]])

    @helper
    def settle_alike(data, goal, nets, w, was_judged):
        """Write back all nets of the block and free the lanes.

        This is `settle` for lanes that are alike and whose nets have all finished all their epochs.
        """
        n, first = nets.n_params, w.net[0]
        leave_block(w.p, n, nets.params, first * n)
        for lane in range(w.lanes):
            owner = first + lane
            nets.status[owner], nets.epochs[owner] = ALL_EPOCHS, goal.n_epochs
            nets.loss[owner], nets.right[owner] = float(w.loss[lane]), float(w.right[lane]) / data.n_samples
            if was_judged:
                say_whether_learned(data, nets, w, lane, owner)
            w.net[lane] = -1

    @helper
    def look(data, goal, nets, w, was_saved, was_judged, alike, eventful, scale):
        """Handle the end of an epoch in which a lane is due or a net may have ended early.

        Returns whether a lane is now free.

        was_saved : whether keep_converged was called
        was_judged : whether w.right_at_end has been written
        alike : the result of are_alike, which holds until the next net starts
        eventful : whether a net may have ended early: converged, diverged or stopped early
        scale : factor on the records, as in hand_out
        """
        sound = not any_of(~(load(w.loss, 0, lanes) < np.inf))
        all_go_the_same_way = alike and sound and not eventful
        if all_go_the_same_way:
            w.clock[1] = keep_alike(goal, nets, w)
            if w.clock[0] < w.start[0] + goal.n_epochs:
                return False
            all_go_the_same_way = not any_of(~(absolute(sums(w.p, nets.n_params)) < np.inf))
        if alike:
            hand_out(nets, w, scale)
        if all_go_the_same_way:
            settle_alike(data, goal, nets, w, was_judged)
            return True
        found = settle(data, goal, nets, w, was_saved, was_judged)
        w.clock[1], w.kept[0] = next_due(goal, nets, w), w.record[0]
        return found

    return (
        keep_flagged,
        sums,
        next_number,
        start_net,
        enter,
        keep_converged,
        are_alike,
        next_due,
        some_end,
        hand_out,
        look,
    )
