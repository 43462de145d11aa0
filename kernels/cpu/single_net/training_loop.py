"""Training loop shared by the CPU kernel families of one net: epochs, batches, micro-batches and records.

Every thread of a team runs this loop; `thread` is the thread's index and `n_threads` the number of threads. A kernel
family passes two to four functions and two settings to make_train:

begin_call(thread, n_threads, net, state, ws)
    Prepare the workspace at the start of a call, where it needs that.
compute_gradient(thread, n_threads, net, data, config, params, grads, ws, sums, micro_batch)
    Compute the gradient of the micro-batch or, in layerwise families, the deltas from which the two functions below
    compute it, chunk by chunk of the weights. Write pairs (sum of losses, number of correct samples) to
    ws.partial: one pair at `sums`, or one for each shard or group of rows. Return the number of pairs. Shards and
    groups do not depend on the number of threads and the loop adds pairs in a fixed order, so a recorded loss has the
    same bits for any number of threads.
accumulate_gradient(thread, n_threads, net, data, config, state, ws, micro_batch)
    Add the gradient of the micro-batch to that of the batch's earlier micro-batches. Called after a barrier; not called
    for the last micro-batch of a batch. None if a batch is always one micro-batch: a step of a tiny net is then 5 %
    shorter.
apply_gradient(thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h) -> n_barriers
    Add the gradient of the batch's last micro-batch, then update the parameters unless config.rule is NO_UPDATE.
    Return the number of barriers passed so far. h: the step's StepSettings.
double_buffered : bool
    Double buffering, for families in which no thread reads what another thread's update writes: one barrier per
    micro-batch is enough. Threads are then at most one micro-batch apart, so even and odd micro-batches use different
    slots for what threads exchange.
columns : int
    Elements from one pair of sums to the next in ws.partial.
"""

from __future__ import annotations

import math

from ...formulas.counter_rng import permutation
from ...formulas.update_rules import LOSS_COMPARING
from ...jit.decorators import helper, inline_helper, kernel, linked_helper
from ...simd.load_store import as_pointers, load_scalar, offset, prefetch, scalar_like
from ...structs import DIVERGED, EPOCH_LOSS, EPOCH_N_CORRECT, LAST_LOSS, LINE, N_SCALARS, STEPS_DONE
from ..gemm.microkernel import lanes_of
from ..threads.in_kernels import barrier_start, barrier_wait, flush_denormals, restore_denormals
from ..workspace import LOSS_COLUMN, N_CORRECT_COLUMN, PARTIAL_COLUMNS, SUMS, VECTOR_BYTES, MicroBatch
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
def prefetch_inputs(thread, n_threads, net, data, order, first, rows):
    """Prefetch this thread's part of the next batch's inputs.

    Shuffled rows come from anywhere in memory, and a net of a few units would finish a batch before they arrive.

    first : index in `order` of the next batch's first sample
    rows : number of samples in the next batch
    """
    width, line = net.sizes[0], lanes_of(data.X) * (LINE // VECTOR_BYTES)
    for i in range(first + rows * thread // n_threads, first + rows * (thread + 1) // n_threads):
        start = load_scalar(order, i) * width
        for j in range(start, start + width, line):
            prefetch(data.X, j)
        prefetch(data.X, start + width - 1)


@helper
def sums_index(slot, index, double_buffered, columns):
    """Return the index in ws.partial of the sums of one shard or group of a micro-batch's rows.

    slot : index of the shard or group
    index : number of micro-batches before this one in the call
    double_buffered : whether even and odd micro-batches use different slots
    columns : elements from one shard or group to the next
    """
    return slot * columns + (index % 2 * SUMS if double_buffered else 0)


@linked_helper()
def shuffle(n, seed, epoch, words, order):
    """Write the order of an epoch's samples: in a loop as long as `train` LLVM does not make vectors of it."""
    permutation(n, seed, epoch, words, order)


@inline_helper
def _nothing_to_begin(thread, n_threads, net, state, ws):
    pass


@inline_helper
def _never(thread, n_threads, net, data, config, state, ws, micro_batch):
    pass


def make_train(
    compute_gradient,
    apply_gradient,
    accumulate_gradient=None,
    begin_call=_nothing_to_begin,
    double_buffered=False,
    columns=PARTIAL_COLUMNS,
):
    """Return the kernel train(thread, n_threads, barrier, net, data, config, state, ws, first_step, n_steps).

    It trains for n_steps steps, from step number first_step on. All results are in `state` and `ws`.
    """
    has_micro_batches, accumulate = accumulate_gradient is not None, accumulate_gradient or _never

    @kernel
    def train(thread, n_threads, barrier, net, data, config, state, ws, first_step, n_steps):
        net, data, config, state, ws = (
            as_pointers(net),
            as_pointers(data),
            as_pointers(config),
            as_pointers(state),
            as_pointers(ws),
        )
        n, size = data.n_samples, config.batch_size
        n_batches = (n + size - 1) // size
        epoch = first_step // n_batches
        batch = first_step - epoch * n_batches
        if not barrier_start(barrier, n_threads):  # called off: thread 0 was interrupted
            return
        before = flush_denormals()
        scalars = offset(state.scalars, thread * N_SCALARS)
        for i in range(N_SCALARS):  # this thread may not have taken part in earlier calls
            scalars[i] = state.scalars[i]
        begin_call(thread, n_threads, net, state, ws)
        n_barriers, index = barrier_wait(barrier, n_threads, 1), 0
        width = net.sizes[0]
        prefetches = config.shuffle and size * width <= PREFETCHED_UP_TO and n * width >= PREFETCHED_FROM
        for t in range(n_steps):
            if batch == 0:
                scalars[EPOCH_LOSS] = scalars[EPOCH_N_CORRECT] = 0.0
                if config.shuffle:
                    if thread == 0:
                        shuffle(n, config.seed, epoch, ws.words, ws.order)
                    n_barriers = barrier_wait(barrier, n_threads, n_barriers)
            first = batch * size
            rows = min(size, n - first)
            step = first_step + t
            if prefetches:
                n_coming = max(0, min(n - first - size, size))
                prefetch_inputs(thread, n_threads, net, data, ws.order, first + size, n_coming)
            # Only rules that compare objectives of two steps need the penalty. It is computed before the barrier
            # below: beyond it, faster threads change the parameters.
            penalises = config.rule == LOSS_COMPARING and net.l2 > 0.0
            objective = penalty(net, state.params) if penalises else 0.0
            loss, n_correct, start, largest = 0.0, 0.0, 0, ws.rows if has_micro_batches else rows
            while start < rows:  # range() with a variable step would divide
                micro_batch = MicroBatch(index, step, first + start, min(largest, rows - start), start, rows)
                sums = offset(ws.partial, sums_index(thread, index, double_buffered, columns))
                n_sums = compute_gradient(
                    thread, n_threads, net, data, config, state.params, state.grads, ws, sums, micro_batch
                )
                n_barriers = barrier_wait(barrier, n_threads, n_barriers)
                for r in range(n_sums):
                    loss += ws.partial[sums_index(r, index, double_buffered, columns) + LOSS_COLUMN]
                    n_correct += ws.partial[sums_index(r, index, double_buffered, columns) + N_CORRECT_COLUMN]
                index, start = index + 1, start + largest
                if start < rows:
                    accumulate(thread, n_threads, net, data, config, state, ws, micro_batch)
                    if not double_buffered:
                        n_barriers = barrier_wait(barrier, n_threads, n_barriers)
            if not math.isfinite(loss):
                scalars[DIVERGED] = 1.0
                break
            scalars[EPOCH_LOSS] += loss
            scalars[EPOCH_N_CORRECT] += n_correct
            objective += loss / rows
            h = step_settings(config.rule, config.hyper, scalars, config.factors[t], objective, state.params)
            scalars[LAST_LOSS] = objective
            # micro_batch is the last one of the batch.
            n_barriers = apply_gradient(
                thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h
            )
            if not double_buffered:
                n_barriers = barrier_wait(barrier, n_threads, n_barriers)
            scalars[STEPS_DONE] = step + 1.0
            batch += 1
            if batch == n_batches:
                if thread == 0:
                    state.epoch_loss[epoch] = scalars[EPOCH_LOSS] / n
                    state.epoch_accuracy[epoch] = scalars[EPOCH_N_CORRECT] / n
                epoch += 1
                batch = 0
        restore_denormals(before)

    return train
