"""Training of a population: lanes take nets from a queue, train each to its end, write it back and take the next one.

So a finished net costs nothing more, no lane is idle while nets wait, and only nets in lanes need gradients and
optimiser state: memory is bounded for any number of nets. A thread has one block of lanes, which outlives a call, so a
call can end after any number of epochs.
"""

from __future__ import annotations

import numpy as np

from ...formulas.update_rules import RPROP, RULES, SGD
from ...jit.decorators import helper, inline_helper, kernel, selector
from ...simd.load_store import as_pointers, fill, load, offset, scalar_like, store
from ...simd.reductions import any_of
from ...simd.vector import absolute, sqrt, where
from ...structs import L2, MONITOR_LOSS, MONITOR_NONE, MONITOR_RIGHT, MONITOR_VALIDATION_LOSS, MONITOR_VALIDATION_RIGHT
from ..single_net.optimizer_step import CLIP_NORM, LEARNING_RATE, make_adjust, make_update
from ..threads.denormals import flush_denormals, restore_denormals
from ..workspace import LANES, UNROLLED_LANES
from .gradient import EVERY_LOSS, EVERY_STEP, LAST_STEP, NEVER, make_gradient, make_loops, shuffle_lanes
from .optimizer_step import make_settings
from .scheduler import make_queue

SAFE_EVERY = 64  # epochs between copies of parameters with a finite loss, which a net that diverges later ends with


def make_training(lanes, has_loops):
    """Return (train, evaluate) for blocks of this many lanes.

    has_loops : False leaves out the loops for nets without unrolled code and for validation. There is much less to
        compile then, and no use for evaluate
    """

    (
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
    ) = make_queue(lanes)
    _, _, fill_tile, forward, judge, by_loops = make_loops(lanes)
    settings_now = make_settings(lanes)
    update, adjust = selector([make_update(row, lanes) for row in RULES], 7), make_adjust(lanes)
    if not has_loops:

        @inline_helper
        def by_loops(net, data, nets, w, mixed, shuffle, first, tile, n, batch, n_batches, judges, scale):
            pass

    gradient, judge_end = make_gradient(lanes, fill_tile, by_loops)

    @inline_helper
    def step_settings(course, nets, goal, w, n_batches, batch, objective):
        """Return the update rule's settings at this step, one number per lane."""
        p = w.p
        factor = fill(p, 1.0, lanes)
        if goal.scheduled:
            for lane in range(w.lanes):
                step = (w.clock[0] - w.start[lane]) * n_batches + batch
                w.factor[lane] = scalar_like(p, course.factors[min(step, goal.n_epochs * n_batches - 1)])
            factor = load(w.factor, 0, lanes)
        loss_increased = where(objective > load(w.last_loss, 0, lanes), 1.0, 0.0)
        return settings_now(w.hyper, w.betas, w.powers, factor, nets.bias_correction, loss_increased)

    @helper
    def squares(p, g, first, last, l2):
        """Return each lane's sum of (g + l2 p)**2 over parameters first <= q < last."""
        sums = fill(g, 0.0, lanes)
        for i in range(first * lanes, last * lanes, lanes):
            slope = load(g, i, lanes) + load(p, i, lanes) * l2
            sums += slope * slope
        return sums

    @helper
    def steepest(p, g, first, last, l2, most):
        """Return each lane's largest |g + l2 p| over parameters first <= q < last, or `most` if that is larger."""
        for i in range(first * lanes, last * lanes, lanes):
            slope = absolute(load(g, i, lanes) + load(p, i, lanes) * l2)
            most = where(slope > most, slope, most)
        return most

    @helper
    def shrunk_squares(p, g, first, last, l2, shrink):
        """Return `squares` of gradients times shrink**2, which are at most 1.

        shrink**2 by itself may be too small for a floating-point number, so the gradient is multiplied twice.
        """
        sums = fill(g, 0.0, lanes)
        for i in range(first * lanes, last * lanes, lanes):
            slope = (load(g, i, lanes) + load(p, i, lanes) * l2) * shrink * shrink
            sums += slope * slope
        return sums

    @helper
    def clip_by_steepest(n_layers, sizes, weight_offsets, bias_offsets, p, g, l2, norm):
        """Return the factor that scales each lane's gradient to `norm`, for lanes whose sum of squares overflows."""
        zero, one = fill(p, 0.0, lanes), fill(p, 1.0, lanes)
        most = total = zero
        for k in range(n_layers):
            first, middle = weight_offsets[k], bias_offsets[k]
            most = steepest(p, g, first, middle, l2, most)
            most = steepest(p, g, middle, middle + sizes[k + 1], zero, most)
        shrink = one / sqrt(where(most > 1.0, most, one))
        for k in range(n_layers):
            first, middle = weight_offsets[k], bias_offsets[k]
            total += shrunk_squares(p, g, first, middle, l2, shrink)
            total += shrunk_squares(p, g, middle, middle + sizes[k + 1], zero, shrink)
        factor = norm * shrink * shrink / sqrt(where(total > 0.0, total, one))
        return where(factor > 1.0, one, factor)

    @inline_helper
    def apply(net, course, nets, w, h):
        """Make one step of the optimiser for all lanes."""
        n = nets.n_params
        one, zero = fill(w.p, 1.0, lanes), fill(w.p, 0.0, lanes)
        l2, clip = load(w.hyper, L2 * lanes, lanes), one
        if nets.clipped:
            total = zero
            for k in range(net.n_layers):
                first, middle = net.weight_offsets[k], net.bias_offsets[k]
                total += squares(w.p, w.g, first, middle, l2)
                total += squares(w.p, w.g, middle, middle + net.sizes[k + 1], zero)
            norm = load(w.hyper, CLIP_NORM * lanes, lanes)
            too_long = (norm > 0.0) & (total > norm * norm)
            overflows = (norm > 0.0) & ~(total < np.inf)
            clip = where(too_long & ~overflows, norm / sqrt(where(too_long & ~overflows, total, 1.0)), 1.0)
            if any_of(overflows):
                by_steepest = clip_by_steepest(
                    net.n_layers, net.sizes, net.weight_offsets, net.bias_offsets, w.p, w.g, l2, norm
                )
                clip = where(overflows, by_steepest, clip)
        in_parts = nets.penalised or course.layered
        for part in range(2 * net.n_layers if in_parts else 1):
            first, last, decay, penalty, factor = 0, n, one, zero, clip
            if in_parts:
                first, last, decay, penalty = net.weight_offsets[part // 2], net.bias_offsets[part // 2], h.decay, l2
                if part % 2 == 1:
                    first, last, decay, penalty = last, last + net.sizes[part // 2 + 1], one, zero
            if course.layered:
                factor = clip * scalar_like(w.p, course.layer_factors[part])
            if in_parts or nets.clipped:
                adjust(w.p, w.g, first * lanes, last * lanes, decay, penalty, factor)
            update(course.rule, w.p, w.g, w.state, first * lanes, last * lanes, n * lanes, h)

    @helper
    def descend(p, g, n, rate):
        """Make one step of plain SGD, formulas/update_rules.sgd, for all lanes."""
        for i in range(0, n * lanes, lanes):
            store(p, i, load(p, i, lanes) - rate * load(g, i, lanes))

    @helper
    def penalties(net_layers, weight_offsets, bias_offsets, p, l2):
        """Return each lane's l2 / 2 times the sum of its squared weights."""
        sums, zero = fill(p, 0.0, lanes), fill(p, 0.0, lanes)
        for k in range(net_layers):
            sums += squares(p, p, weight_offsets[k], bias_offsets[k], zero)
        return 0.5 * l2 * sums

    @inline_helper
    def watch(w, n, value, min_delta):
        """Keep the parameters and the epoch of lanes whose monitored value is their best so far.

        value : (lanes,), lower is better
        min_delta : improvement below which a value does not count as better
        """
        best = load(w.best_value, 0, lanes)
        better = value < best - scalar_like(w.p, min_delta)
        store(w.watched, 0, value)
        store(w.flags, 0, where(better, 1.0, 0.0))
        if any_of(better):
            store(w.best_value, 0, where(better, value, best))
            keep_flagged(w.flags, w.p, n, w.best)
            for lane in range(w.lanes):
                if w.flags[lane] > 0:
                    w.best_epoch[lane] = w.clock[0] + 1 - w.start[lane]

    @inline_helper
    def watch_training(goal, w, n, loss, right):
        if goal.monitor == MONITOR_LOSS:
            watch(w, n, loss, goal.min_delta)
        elif goal.monitor == MONITOR_RIGHT:
            watch(w, n, -right, goal.min_delta)

    @inline_helper
    def judge_data(net, data, nets, w, params, mixed):
        """Return each lane's (mean loss, share of correct samples) over data, by forward passes alone."""
        loss, right = fill(w.a, 0.0, lanes), fill(w.a, 0.0, lanes)
        for first in range(0, data.n_samples, w.rows):
            m = min(w.rows, data.n_samples - first)
            w.filled[1] = -1
            fill_tile(net, data, nets, w, mixed, False, first, m, m, 1.0)
            forward(net, nets, w, params, m, first, 0, 1, False)
            tile_loss, tile_right = judge(net, data.metric, w, m, 0.0)
            loss += tile_loss
            right += tile_right
        w.filled[1] = -1
        share = scalar_like(w.a, 1.0 / data.n_samples)
        return loss * share, right * share

    if not has_loops:

        @inline_helper
        def judge_data(net, data, nets, w, params, mixed):
            return fill(w.a, 0.0, lanes), fill(w.a, 0.0, lanes)

    @inline_helper
    def _train(n_ranks, net, data, course, goal, nets, held_out, w, initial, queue, n_epochs):
        n, n_samples, size = nets.n_params, data.n_samples, course.batch_size
        n_batches = (n_samples + size - 1) // size
        validates = goal.monitor == MONITOR_VALIDATION_LOSS or goal.monitor == MONITOR_VALIDATION_RIGHT
        single = n_batches == 1
        inverse, stop_loss, stop_right = (
            scalar_like(w.p, 1.0 / n_samples),
            scalar_like(w.p, goal.stop_loss),
            scalar_like(w.p, goal.stop_right),
        )
        compares = course.rule == RPROP  # the only rule that compares objectives of two steps
        has_goal = goal.monitor != MONITOR_NONE or goal.stop_loss > -np.inf or goal.stop_right < np.inf
        always_judges = compares or has_goal
        simple = not (nets.penalised or nets.clipped or goal.scheduled or course.layered)
        plain = course.rule == SGD and simple
        zero = fill(w.p, 0.0, lanes)
        runs = (
            simple
            and single
            and w.straight_line != 0
            and size <= w.rows
            and not course.shuffle
            and goal.monitor == MONITOR_NONE
        )
        has_room, alike, last = True, False, w.clock[0] + n_epochs
        attention = eventful = remembers = keeps = False
        scale = inverse if runs else scalar_like(w.p, 1.0)  # unrolled code records sums
        while w.clock[0] < last:
            if has_room:
                free = 0
                for lane in range(w.lanes):
                    if w.net[lane] < 0:
                        free += 1
                busy = 0
                store(w.flags, 0, zero)
                for lane in range(w.lanes):
                    if w.net[lane] < 0:
                        taken = next_number(queue, n_ranks, w, nets.n_members, free)
                        start_net(net, nets, w, lane, nets.members[taken] if taken < nets.n_members else -1, initial)
                    if w.net[lane] >= 0:
                        busy += 1
                if busy == 0:
                    return
                has_room, alike = False, are_alike(w)
                enter(nets, w, alike and w.start[0] == w.clock[0])
                keep_flagged(w.flags, w.p, n, w.safe)
                w.clock[1], w.kept[0] = next_due(goal, nets, w), w.record[0]
                keeps = runs and alike  # unrolled code buffers the records: no check at each
                if keeps:
                    w.clock[1] = w.start[0] + goal.n_epochs
            if course.shuffle:
                shuffle_lanes(w.lanes, n_samples, nets.seeds, w.net, w.start, w.clock[0], w.words, w.order)
            n_steps = 1
            if runs:  # up to the next epoch that needs a check
                clock = w.clock[0]
                remembering = (clock + SAFE_EVERY - 1) // SAFE_EVERY * SAFE_EVERY
                n_steps = min(min(w.clock[1], last), remembering + 1) - clock
            epoch = w.clock[0] + n_steps - 1
            judges = EVERY_STEP if has_goal else EVERY_LOSS if compares else NEVER
            if not always_judges and (keeps or epoch + 1 >= w.clock[1] or epoch % SAFE_EVERY == 0):
                judges = LAST_STEP
            if judges != NEVER:
                store(w.loss, 0, zero)
                store(w.right, 0, zero)
            for batch in range(n_batches):
                rows = min(size, n_samples - batch * size)
                before = load(w.loss, 0, lanes)
                w.clock[0] += (
                    gradient(
                        net,
                        data,
                        nets,
                        w,
                        nets.mixed,
                        course.shuffle,
                        batch,
                        n_batches,
                        rows,
                        judges,
                        n_steps,
                        stop_loss,
                        goal.stop_right,
                        w.kept[0] if keeps else nets.n_records,
                    )
                    - 1
                )
                if keeps:
                    while nets.record_epochs[w.kept[0]] <= w.clock[0] + 1 - w.start[0]:
                        w.kept[0] += 1
                is_due, remembers = w.clock[0] + 1 >= w.clock[1], w.clock[0] % SAFE_EVERY == 0
                eventful = goal.monitor != MONITOR_NONE
                attention = is_due or eventful
                objective = zero
                if compares:
                    objective = (load(w.loss, 0, lanes) - before) * scalar_like(w.p, 1.0 / rows)
                if judges != NEVER and batch == n_batches - 1:
                    loss, right = load(w.loss, 0, lanes) * inverse, load(w.right, 0, lanes)
                    store(w.loss, 0, loss)
                    eventful |= any_of(~((loss > stop_loss) & (loss < np.inf))) or any_of(right >= stop_right)
                    attention = is_due or eventful
                    if single and remembers:  # these parameters gave this loss
                        store(w.flags, 0, where(absolute(loss + sums(w.p, n)) < np.inf, 1.0, 0.0))
                        keep_flagged(w.flags, w.p, n, w.safe)
                    if single and attention:
                        if has_goal:
                            keep_converged(goal, nets, w)
                        watch_training(goal, w, n, loss, right * inverse)
                if compares and nets.penalised:
                    objective += penalties(
                        net.n_layers, net.weight_offsets, net.bias_offsets, w.p, load(w.hyper, L2 * lanes, lanes)
                    )
                if plain:
                    descend(w.p, w.g, n, load(w.hyper, LEARNING_RATE * lanes, lanes))
                else:
                    h = step_settings(course, nets, goal, w, n_batches, batch, objective)
                    apply(net, course, nets, w, h)
                if compares:
                    store(w.last_loss, 0, objective)
            if not single and judges != NEVER:
                loss = load(w.loss, 0, lanes)
                if remembers:
                    store(w.flags, 0, where(absolute(loss + sums(w.p, n)) < np.inf, 1.0, 0.0))
                    keep_flagged(w.flags, w.p, n, w.safe)
                watch_training(goal, w, n, loss, load(w.right, 0, lanes) * inverse)
            if validates:
                held_loss, held_right = judge_data(net, held_out, nets, w, w.p, False)
                watch(w, n, held_loss if goal.monitor == MONITOR_VALIDATION_LOSS else -held_right, goal.min_delta)
            w.clock[0] += 1
            if attention:
                checks_end = runs and nets.judges_ends and is_due and some_end(goal, w)
                if checks_end:
                    judge_end(net, data, nets, w)
                has_room = look(data, goal, nets, w, single, checks_end, alike, eventful, scale)
        if alike:
            hand_out(nets, w, scale)

    @inline_helper
    def _evaluate(rank, n_ranks, net, data, nets, w, writes, output):
        width = net.sizes[net.n_layers]
        n_blocks = (nets.n_members + lanes - 1) // lanes
        for block in range(rank * n_blocks // n_ranks, (rank + 1) * n_blocks // n_ranks):
            count = min(lanes, nets.n_members - block * lanes)
            for lane in range(w.lanes):
                w.net[lane] = nets.members[block * lanes + min(lane, count - 1)]
                w.flags[lane] = scalar_like(w.flags, 1.0)
            enter(nets, w, are_alike(w))
            loss, right = fill(w.a, 0.0, lanes), fill(w.a, 0.0, lanes)
            for first in range(0, data.n_samples, w.rows):
                m = min(w.rows, data.n_samples - first)
                if nets.mixed:
                    w.filled[1] = -1
                fill_tile(net, data, nets, w, nets.mixed, False, first, m, m, 1.0)
                forward(net, nets, w, w.p, m, first, 0, 1, False)
                if writes:
                    start = w.units[net.n_layers] * m * lanes
                    for lane in range(count):
                        o = ((block * lanes + lane) * data.n_samples + first) * width
                        for s in range(m):
                            for j in range(width):
                                output[o + s * width + j] = w.a[start + (j * m + s) * lanes + lane]
                if data.has_targets:
                    tile_loss, tile_right = judge(net, data.metric, w, m, 0.0)
                    loss += tile_loss
                    right += tile_right
            if data.has_targets:
                store(w.loss, 0, loss)
                store(w.right, 0, right)
                for lane in range(count):
                    nets.loss[w.net[lane]] = w.loss[lane] / data.n_samples
                    nets.right[w.net[lane]] = w.right[lane] / data.n_samples

    return _train, _evaluate


_train, _evaluate = make_training(LANES, True)
_train_straight, _ = make_training(UNROLLED_LANES, False)


@kernel
def train(rank, n_ranks, barrier, net, data, course, goal, nets, held_out, block, initial, queue, n_epochs):
    """Train this thread's block for up to n_epochs epochs.

    queue : int64 (1,), number of nets.members that threads have taken so far; written
    """
    before = flush_denormals()
    _train(
        n_ranks,
        as_pointers(net),
        as_pointers(data),
        as_pointers(course),
        goal,
        as_pointers(nets),
        as_pointers(held_out),
        as_pointers(block),
        offset(initial, 0),
        queue,
        n_epochs,
    )
    restore_denormals(before)


@kernel
def train_unrolled(rank, n_ranks, barrier, net, data, course, goal, nets, held_out, block, initial, queue, n_epochs):
    """Train this thread's block of UNROLLED_LANES nets for up to n_epochs epochs, with unrolled code and no validation.

    queue : int64 (1,), number of nets.members that threads have taken so far; written
    """
    before = flush_denormals()
    _train_straight(
        n_ranks,
        as_pointers(net),
        as_pointers(data),
        as_pointers(course),
        goal,
        as_pointers(nets),
        as_pointers(held_out),
        as_pointers(block),
        offset(initial, 0),
        queue,
        n_epochs,
    )
    restore_denormals(before)


@kernel
def evaluate(rank, n_ranks, barrier, net, data, nets, block, output):
    """Evaluate nets.members: outputs and, if data has targets, each net's loss and share of correct samples in `nets`.

    output : flat (n_members * n_samples * n_outputs,), written; or empty
    """
    _evaluate(
        rank,
        n_ranks,
        as_pointers(net),
        as_pointers(data),
        as_pointers(nets),
        as_pointers(block),
        output.size > 0,
        offset(output, 0),
    )
