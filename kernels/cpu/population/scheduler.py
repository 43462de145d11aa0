"""Which net is in which lane: nets begin, are watched, and leave for the next one."""

from __future__ import annotations

import math

import numpy as np

from ...jit.decorators import helper
from ...simd.load_store import broadcast, fill, load, store
from ...simd.reductions import any_of
from ...simd.vector import absolute, where
from ...structs import ALL_EPOCHS, ALL_RIGHT, CONVERGED, DIVERGED_NET, MONITOR_NONE, NET_HYPER, RUNNING, STOPPED_EARLY
from ..single_net.optimizer_step import BETA1, BETA2, EPSILON
from ..threads.barrier import fetch_add
from .gather_scatter import make_copies

SHARES, MOST_BLOCKS = 8, 8  # of the nets that are left a rank takes this share of its own one, but no more blocks


def make_queue(lanes):
    """(keep_flagged, sums, next_number, start_net, enter, keep_converged, are_alike, next_due, some_end, hand_out,
    look) for blocks of this many lanes.
    """

    fill_lane, enter_lane, leave_lane, enter_block, leave_block = make_copies(lanes)

    @helper
    def keep_flagged(flags, p, n, kept):
        """kept = p in the lanes that are flagged."""
        mask = load(flags, 0, lanes) > 0.0
        for i in range(0, n * lanes, lanes):
            store(kept, i, where(mask, load(p, i, lanes), load(kept, i, lanes)))

    @helper
    def sums(p, n):
        """Each lane's sum: not finite if one of its numbers is not."""
        v = fill(p, 0.0, lanes)
        for i in range(0, n * lanes, lanes):
            v += load(p, i, lanes)
        return v

    @helper
    def next_number(queue, n_ranks, w, n_members, n_free):
        """Which of the members is the next for one of this rank's n_free lanes; n_members or more if none is left.

        A rank takes several blocks' nets at once where many are left: ranks that write to one cache line, as those of
        neighbours do, wait for each other.
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
        """Put net `owner` into a lane, whose flag then says that its parameters are still to come; -1 empties it: all
        zero, so that nothing in it can grow.
        """
        n = nets.n_params
        w.net[lane], w.start[lane], w.record[lane], w.filled[1] = owner, w.clock[0], 0, -1
        fill_lane(w.state, lane, nets.n_state * n, 0.0)
        w.powers[lane] = w.powers[lanes + lane] = 1.0
        w.last_loss[lane] = broadcast(w.p, np.inf)
        w.best_value[lane], w.best_epoch[lane] = broadcast(w.p, np.inf), 0
        if owner < 0:
            fill_lane(w.p, lane, n, 0.0)
            fill_lane(w.hyper, lane, len(NET_HYPER), 0.0)
            w.hyper[EPSILON * lanes + lane] = broadcast(w.hyper, 1.0)
            w.betas[lane] = w.betas[lanes + lane] = 0.0
            for k in range(net.n_layers):
                w.dropout[k * lanes + lane] = 0.0
            return
        w.flags[lane] = broadcast(w.flags, 1.0)
        is_first = w.clock[0] == 0  # in this lane: what all nets share is there from the second one on
        if is_first or nets.hyper_stride != 0:
            row = owner * nets.hyper_stride
            for q in range(len(NET_HYPER)):
                w.hyper[q * lanes + lane] = broadcast(w.hyper, nets.hyper[row + q])
            w.betas[lane], w.betas[lanes + lane] = nets.hyper[row + BETA1], nets.hyper[row + BETA2]
        if is_first or nets.dropout_stride != 0:
            for k in range(net.n_layers):
                w.dropout[k * lanes + lane] = nets.dropout[owner * nets.dropout_stride + k]
        for s in range(nets.n_state):
            if initial[s] != 0:  # a setting's number plus one, whose value it is
                for q in range(n):
                    w.state[(s * n + q) * lanes + lane] = w.hyper[(initial[s] - 1) * lanes + lane]

    @helper
    def enter(nets, w, follow):
        """Parameters into the lanes that are flagged. follow : whether all are, and their nets follow each other"""
        n = nets.n_params
        if follow:
            enter_block(nets.params, w.net[0] * n, n, w.p)
        else:
            for lane in range(w.lanes):
                if w.flags[lane] > 0:
                    enter_lane(nets.params, w.net[lane] * n, n, w.p, lane)

    @helper
    def keep_converged(goal, nets, w):
        """Write back the parameters of lanes that have converged, before the step that follows."""
        for lane in range(w.lanes):
            if w.net[lane] >= 0 and (w.loss[lane] <= goal.stop_loss or w.right[lane] >= goal.stop_right):
                leave_lane(w.p, lane, nets.n_params, nets.params, w.net[lane] * nets.n_params)

    @helper
    def some_end(goal, w):
        """Whether a net has done all its epochs."""
        found = False
        for lane in range(w.lanes):
            found |= w.net[lane] >= 0 and w.clock[0] - w.start[lane] == goal.n_epochs
        return found

    @helper
    def is_finite(nets, owner):
        """Whether a net's parameters have a finite sum, where they belong."""
        total = 0.0
        for q in range(owner * nets.n_params, (owner + 1) * nets.n_params):
            total += nets.params[q]
        return math.isfinite(total)

    @helper
    def leave_finite(goal, nets, w, lane, status, was_saved):
        """Write back the parameters that a net ends with, those that are known to be finite if the others are not.
        Returns its status: a finite loss does not say that the step after it was sound, nor that every parameter of
        the net was.
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
        """After an epoch: record losses, write back the nets that are finished and empty their lanes. Returns whether
        some were."""
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
        """The block's epoch at whose end a lane records its loss or has done all its epochs."""
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
        """Whether lanes have nets whose numbers follow each other, and all of them began together: they will be due
        together too.
        """
        alike = w.net[0] >= 0
        for lane in range(w.lanes):
            alike &= w.net[lane] == w.net[0] + lane and w.start[lane] == w.start[0]
        return alike

    @helper
    def hand_out(nets, w, scale):
        """Records that lanes which are alike have kept, times scale, to where they belong."""
        for r in range(w.record[0], w.kept[0]):
            store(nets.records, r * nets.n_nets + w.net[0], load(w.records, r * lanes, lanes) * scale)
        for lane in range(w.lanes):
            w.record[lane] = w.kept[0]

    @helper
    def keep_alike(goal, nets, w):
        """What settle and next_due do for lanes that are alike, where all nets go on."""
        if nets.record_epochs[w.kept[0]] == w.clock[0] - w.start[0]:
            store(w.records, w.kept[0] * lanes, load(w.loss, 0, lanes))
            w.kept[0] += 1
        return w.start[0] + min(goal.n_epochs, nets.record_epochs[w.kept[0]])

    @helper
    def settle_alike(data, goal, nets, w, was_judged):
        """What settle does for lanes that are alike, where all nets have done all their epochs."""
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
        """After an epoch at which something is due, or something has happened to a net. Returns whether lanes are free.

        was_saved : whether keep_converged was called. was_judged : whether w.right_at_end is there
        alike : are_alike's answer, which is right as long as no net begins. scale : as hand_out takes it
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
        keep_flagged, sums, next_number, start_net, enter, keep_converged, are_alike, next_due, some_end, hand_out, look
    )  # fmt: skip
