"""Training loop shared by the CPU kernel families of one net: epochs, batches, micro-batches and records.

Every thread of a team runs this loop; `rank` is the thread's index and `n_ranks` the number of threads. A kernel family
passes four functions and three settings to make_loop:

prepare(rank, n_ranks, net, memory, work)
    Prepare the workspace at the start of a call.
gradient(rank, n_ranks, net, data, course, params, grads, work, share, stage)
    Compute the gradient of the micro-batch `stage`. Write pairs (sum of losses, number of correct samples) to
    work.partial: one pair at `share`, or one for each shard or group of rows. Return the number of pairs. Shards and
    groups do not depend on the number of threads and the loop adds pairs in a fixed order, so a recorded loss has the
    same bits for any number of threads.
complete(rank, n_ranks, net, data, course, memory, work, stage)
    Add the gradient of the micro-batch to that of the batch's earlier micro-batches. Called after a barrier; not called
    for the last micro-batch of a batch.
update(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h) -> meetings
    Add the gradient of the batch's last micro-batch, then update the parameters unless course.rule is NO_UPDATE.
    Return the number of barriers passed so far.
apart : bool
    Double buffering, for families in which no thread reads what another thread's update writes: one barrier per
    micro-batch is enough. Threads are then at most one micro-batch apart, so even and odd micro-batches use different
    slots for what threads exchange.
stages : bool
    Whether a batch may consist of several micro-batches. False saves tiny nets a twentieth of a step.
columns : int
    Elements from one pair of sums to the next in work.partial.
"""

from __future__ import annotations

import math

from ...formulas.counter_rng import permutation
from ...formulas.update_rules import RPROP
from ...jit.decorators import helper, inline_helper
from ...simd.load_store import as_pointers, load_scalar, offset, prefetch, scalar_like
from ...structs import DIVERGED, EPOCH_LOSS, EPOCH_RIGHT, LAST_LOSS, LINE, N_SCALARS, NO_UPDATE, STEPS_DONE
from ..gemm.microkernel import lanes_of
from ..threads.barrier import barrier_start, barrier_wait
from ..threads.denormals import flush_denormals, restore_denormals
from ..workspace import LOSS, PARTIAL_COLUMNS, RIGHT, SUMS, VECTOR_BYTES, MicroBatch
from .optimizer_step import squares, step_settings

# A shuffled fit prefetches the next batch's inputs if a batch has at most the first number of input values and the data
# have at least the second, which no second-level cache holds. Without shuffling the processor prefetches by itself.
PREFETCHED_UP_TO, PREFETCHED_FROM = 32_768, 200_000


@helper
def penalty(net, params):
    """Return l2 / 2 times the sum of the squared weights."""
    square_sum, zero = 0.0, scalar_like(params, 0.0)
    for k in range(net.n_layers):
        square_sum += squares(params, params, net.weight_offsets[k], net.bias_offsets[k], zero)
    return 0.5 * net.l2 * square_sum


@helper
def prefetch_inputs(rank, n_ranks, net, data, order, first, rows):
    """Prefetch this thread's part of the next batch's inputs.

    Shuffled rows come from anywhere in memory, and a net of a few units would finish a batch before they arrive.

    first : index in `order` of the next batch's first sample
    rows : number of samples in the next batch
    """
    width, line = net.sizes[0], lanes_of(data.X) * (LINE // VECTOR_BYTES)
    for i in range(first + rows * rank // n_ranks, first + rows * (rank + 1) // n_ranks):
        start = load_scalar(order, i) * width
        for j in range(start, start + width, line):
            prefetch(data.X, j)
        prefetch(data.X, start + width - 1)


@helper
def sums_index(part, turn, apart, columns):
    """Return the index in work.partial of the sums of one shard or group of a micro-batch's rows.

    part : index of the shard or group
    turn : number of micro-batches before this one in the call
    apart : whether even and odd micro-batches use different slots
    columns : elements from one shard or group to the next
    """
    return part * columns + (turn % 2 * SUMS if apart else 0)


def make_loop(prepare, gradient, complete, update, apart=False, stages=True, columns=PARTIAL_COLUMNS):
    @inline_helper
    def loop(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps):
        net, data, course, memory, work = (
            as_pointers(net),
            as_pointers(data),
            as_pointers(course),
            as_pointers(memory),
            as_pointers(work),
        )
        n, size = data.n_samples, course.batch_size
        n_batches = (n + size - 1) // size
        epoch = first_step // n_batches
        batch = first_step - epoch * n_batches
        if not barrier_start(barrier, n_ranks):
            return
        mode = flush_denormals()
        scalars = offset(memory.scalars, rank * N_SCALARS)
        for i in range(N_SCALARS):  # this thread may not have taken part in earlier calls
            scalars[i] = memory.scalars[i]
        prepare(rank, n_ranks, net, memory, work)
        meetings, turn = barrier_wait(barrier, n_ranks, 1), 0
        width = net.sizes[0]
        prefetches = course.shuffle and size * width <= PREFETCHED_UP_TO and n * width >= PREFETCHED_FROM
        for t in range(n_steps):
            if batch == 0:
                scalars[EPOCH_LOSS] = scalars[EPOCH_RIGHT] = 0.0
                if course.shuffle:
                    if rank == 0:
                        permutation(n, course.seed, epoch, work.words, work.order)
                    meetings = barrier_wait(barrier, n_ranks, meetings)
            first = batch * size
            rows = min(size, n - first)
            step = first_step + t
            if prefetches:
                coming = max(0, min(n - first - size, size))
                prefetch_inputs(rank, n_ranks, net, data, work.order, first + size, coming)
            loss, right, start, most = 0.0, 0.0, 0, work.rows if stages else rows
            while start < rows:  # range() with a variable step would divide
                stage = MicroBatch(turn, step, first + start, min(most, rows - start), start, rows)
                share = offset(work.partial, sums_index(rank, turn, apart, columns))
                n_sums = gradient(rank, n_ranks, net, data, course, memory.params, memory.grads, work, share, stage)
                meetings = barrier_wait(barrier, n_ranks, meetings)
                for r in range(n_sums):
                    loss += work.partial[sums_index(r, turn, apart, columns) + LOSS]
                    right += work.partial[sums_index(r, turn, apart, columns) + RIGHT]
                turn, start = turn + 1, start + most
                if start < rows:
                    complete(rank, n_ranks, net, data, course, memory, work, stage)
                    if not apart:
                        meetings = barrier_wait(barrier, n_ranks, meetings)
            if not math.isfinite(loss):
                scalars[DIVERGED] = 1.0
                break
            scalars[EPOCH_LOSS] += loss
            scalars[EPOCH_RIGHT] += right
            objective = loss / rows
            if course.rule == RPROP and net.l2 > 0.0:  # the only rule that compares objectives of two steps
                objective += penalty(net, memory.params)
            factor = course.factors[t] if course.rule != NO_UPDATE else 0.0
            h = step_settings(course.rule, course.hyper, scalars, factor, objective, memory.params)
            scalars[LAST_LOSS] = objective
            meetings = update(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h)
            if not apart:
                meetings = barrier_wait(barrier, n_ranks, meetings)
            scalars[STEPS_DONE] = step + 1.0
            batch += 1
            if batch == n_batches:
                if rank == 0:
                    memory.epoch_loss[epoch] = scalars[EPOCH_LOSS] / n
                    memory.epoch_right[epoch] = scalars[EPOCH_RIGHT] / n
                epoch += 1
                batch = 0
        restore_denormals(mode)

    return loop
