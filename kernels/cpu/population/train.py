"""Training of a population: lanes take nets from a queue, train each to its end, write it back and take the next one.

So a finished net costs nothing more, no lane is idle while nets wait, and only nets in lanes need gradients and
optimiser state: memory is bounded for any number of nets. A thread has one block of lanes, which outlives a call, so a
call can end after any number of epochs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import structs
from ...formulas.update_rules import LBFGS, LEVENBERG_MARQUARDT, LOSS_COMPARING, SGD
from ...jit.decorators import inline_helper, kernel
from ...jit.intrinsics import reference
from ...simd.lanes import Lanes, with_lanes
from ...simd.load_store import as_pointers, fill, load, scalar_like, store
from ...simd.reductions import any_of
from ...structs import MONITOR_NONE, NetSpec, PopulationState, Samples, StopCriteria, TrainConfig
from ..threads.in_kernels import flush_denormals, restore_denormals
from ..unrolled.population_codegen import SUMS_EVERY_LOSS, SUMS_EVERY_STEP, SUMS_LAST_STEP, SUMS_NEVER
from ..workspace import EPOCH, NEXT_EVENT, UNROLLED_LANES, LaneBlock, NetQueue
from .epoch_end import SAFE_EVERY, EpochKind, check_nets, flush_records, save_safe_params, store_converged, track_best
from .evaluate import no_validation, validation_pass
from .gradient import BatchRequest, gradient, shuffle_lanes
from .gradient_loops import gradient_by_loops, no_gradient
from .lbfgs import line_search_step
from .parameter_update import penalties, plain_sgd_step, rule_step, settings_now
from .scheduler import CONTIGUOUS_NETS, NO_NETS, fill_free_lanes
from .second_order import damped_step, gradient_and_curvature


class TemplateArguments(NamedTuple):
    """Compile-time arguments in which the two kernels of this file differ."""

    lanes: Any  # Lanes
    gradient_by_loops: Any  # function
    validation_pass: Any  # function
    step: Any  # function: a step of the optimiser


class References(NamedTuple):
    """Structs of a Task that linked functions take, by reference."""

    net: Any
    data: Any
    config: Any
    criteria: Any
    nets: Any
    block: Any
    queue: Any


class Task(NamedTuple):
    """Arguments of a thread's training: nets, data, settings and the block of the thread."""

    net: NetSpec
    data: Samples
    config: TrainConfig
    criteria: StopCriteria
    nets: PopulationState
    held_out: Samples
    block: LaneBlock  # of this thread
    queue: NetQueue
    refs: References
    n_threads: int
    template: TemplateArguments


class Mode(NamedTuple):
    """Settings of a call that hold for all of its epochs."""

    end: int  # number of the block's epochs after this call
    n_batches: int
    one_batch: bool
    several_epochs: bool  # whether a call of unrolled code computes several epochs
    sgd_only: bool  # whether a step is SGD without penalty, decay, clipping, schedule or factors of layers
    compares_loss: bool  # whether the update rule compares objectives, of two steps or of one before and after it
    has_goal: bool  # whether the loss or correct samples of any epoch can end a net, or make its parameters the best
    inverse_n_samples: float
    stop_loss: float  # mean over samples
    stop_n_correct: float  # number of samples
    record_scale: float  # factor that makes means of buffered records, which are sums in unrolled code


@inline_helper
def mode_of_call(task, n_epochs):
    """Return the Mode of a call for up to n_epochs epochs."""
    config, criteria, nets, block, n_samples = task.config, task.criteria, task.nets, task.block, task.data.n_samples
    size = config.batch_size
    n_batches = (n_samples + size - 1) // size
    no_extras = not (nets.penalised or nets.clipped or criteria.scheduled or config.layered)
    several_epochs = (
        no_extras
        and n_batches == 1
        and block.unrolled_address != 0
        and size <= block.tile_rows
        and not config.shuffle
        and criteria.monitor == MONITOR_NONE
    )
    has_goal = criteria.monitor != MONITOR_NONE or criteria.stop_loss > -np.inf or criteria.stop_n_correct < np.inf
    inverse_n_samples = scalar_like(block.p, 1.0 / n_samples)
    return Mode(
        block.clock[EPOCH] + n_epochs,
        n_batches,
        n_batches == 1,
        several_epochs,
        config.rule == SGD and no_extras,
        config.rule == LOSS_COMPARING or config.rule == LEVENBERG_MARQUARDT or config.rule == LBFGS,
        has_goal,
        inverse_n_samples,
        scalar_like(block.p, criteria.stop_loss),
        scalar_like(block.p, criteria.stop_n_correct),
        inverse_n_samples if several_epochs else scalar_like(block.p, 1.0),
    )


@inline_helper
def epochs_until_check(block, mode):
    """Return the number of epochs up to the next one that needs a check; one call of unrolled code may compute them."""
    if not mode.several_epochs:
        return 1
    clock = block.clock[EPOCH]
    next_safe = (clock + SAFE_EVERY - 1) // SAFE_EVERY * SAFE_EVERY
    # The losses that say whether parameters are safe are those of the last epoch of a call.
    return min(min(block.clock[NEXT_EVENT], mode.end), next_safe + 1) - clock


@inline_helper
def choose_sums_level(block, mode, n_steps, buffers_records):
    """Return for which of the next n_steps gradients sums of losses are wanted, and whether to check them.

    The former is one of SUMS_*. Sums of a call's last epoch are wanted, since the fit may be ended after it, but not
    checked: in which epoch a net diverges must not depend on the lengths of calls.
    """
    if mode.has_goal:
        return SUMS_EVERY_STEP, True
    if mode.compares_loss:
        return SUMS_EVERY_LOSS, True
    epoch = block.clock[EPOCH] + n_steps - 1
    if buffers_records or epoch + 1 >= block.clock[NEXT_EVENT] or epoch % SAFE_EVERY == 0:
        return SUMS_LAST_STEP, True
    return SUMS_LAST_STEP if epoch + 1 >= mode.end else SUMS_NEVER, False


@inline_helper
def compute_gradient(task, mode, batch, sums_level, n_steps, buffers_records):
    """Compute a batch's gradient, or those of up to n_steps epochs with steps between them; advance the clock."""
    config, nets, block = task.config, task.nets, task.block
    record = block.records_end[0] if buffers_records else nets.n_records
    rows = min(config.batch_size, task.data.n_samples - batch * config.batch_size)
    request = BatchRequest(
        batch, mode.n_batches, rows, sums_level, n_steps, mode.stop_loss, task.criteria.stop_n_correct, record
    )
    n_done = gradient(task, request)
    block.clock[EPOCH] += n_done - 1
    if buffers_records:
        while nets.record_epochs[block.records_end[0]] <= block.clock[EPOCH] + 1 - block.start_epoch[0]:
            block.records_end[0] += 1
    return rows


@inline_helper
def check_losses(task, mode):
    """Write the epoch's mean losses to block.loss. Returns whether a net has converged or diverged.

    Unrolled code has the same condition in population_codegen._all_go_on.
    """
    block = task.block
    loss = load(block.loss, 0, block.lanes) * mode.inverse_n_samples
    store(block.loss, 0, loss)
    n_correct = load(block.n_correct, 0, block.lanes)
    return any_of(~((loss > mode.stop_loss) & (loss < np.inf))) or any_of(n_correct >= mode.stop_n_correct)


@inline_helper
def keep_params(task, mode, needs_check):
    """Copy the block's present parameters, which gave the losses of this epoch, for lanes that may return to them.

    needs_check : whether check_nets follows: a record or an end is due, or a net may have ended
    """
    criteria, nets, block = task.criteria, task.nets, task.block
    loss = load(block.loss, 0, block.lanes)
    if block.clock[EPOCH] % SAFE_EVERY == 0:
        save_safe_params(nets, block, loss)
    if needs_check and mode.has_goal and mode.one_batch:
        store_converged(criteria, nets, block)
    accuracy = load(block.n_correct, 0, block.lanes) * mode.inverse_n_samples
    if criteria.monitor == structs.MONITOR_LOSS:
        track_best(criteria, nets, block, loss)
    elif criteria.monitor == structs.MONITOR_ACCURACY:
        track_best(criteria, nets, block, -accuracy)


@inline_helper
def step_of_rule(task, mode, batch, rows, objective):
    """Make one step of a first-order rule for all lanes.

    rows : number of samples in the batch
    objective : (lanes,) mean loss of the batch, if the update rule compares it with the last one
    """
    config, nets, block = task.config, task.nets, task.block
    if mode.compares_loss and nets.penalised:
        objective += penalties(task.net, block, load(block.hyper, structs.L2 * block.lanes, block.lanes))
    if mode.sgd_only:
        plain_sgd_step(nets, block)
    else:
        h = settings_now(config, task.criteria, nets, block, batch, mode.n_batches, objective)
        rule_step(task, h)
    if mode.compares_loss:
        store(block.last_loss, 0, objective)


@inline_helper
def second_order_step(task, mode, batch, rows, objective):
    """Make one step of a second-order rule for all lanes, as step_of_rule does."""
    if task.config.rule == LBFGS:
        line_search_step(task, mode, batch, rows, objective)
    else:
        damped_step(task, mode, batch, rows, objective)


WITH_LOOPS = TemplateArguments(Lanes(structs.LANES), gradient_by_loops, validation_pass, step_of_rule)
# There is much less to compile without validation, and without the loops for nets that have no unrolled code.
UNROLLED = TemplateArguments(Lanes(UNROLLED_LANES), no_gradient, no_validation, step_of_rule)
SECOND_ORDER = TemplateArguments(Lanes(structs.LANES), gradient_and_curvature, validation_pass, second_order_step)


@inline_helper
def validate(task):
    """Call track_best if the loss or accuracy on held-out samples is monitored."""
    criteria, nets, block = task.criteria, task.nets, task.block
    if criteria.monitor == structs.MONITOR_VALIDATION_LOSS or criteria.monitor == structs.MONITOR_VALIDATION_ACCURACY:
        loss, accuracy = task.template.validation_pass(task)
        track_best(criteria, nets, block, loss if criteria.monitor == structs.MONITOR_VALIDATION_LOSS else -accuracy)


@inline_helper
def run_epoch(task, mode, sums_level, is_checked, n_steps, buffers_records):
    """Train the block for one epoch, or up to n_steps epochs of one batch each.

    sums_level, is_checked : as choose_sums_level returns them

    Returns (whether a record or a net's last epoch is due, whether a net may have ended early).
    """
    block, lanes = task.block, task.block.lanes
    zero = fill(block.p, 0.0, lanes)
    is_due, may_have_ended = False, False
    if sums_level != SUMS_NEVER:
        store(block.loss, 0, zero)
        store(block.n_correct, 0, zero)
    for batch in range(mode.n_batches):
        loss_before, objective = load(block.loss, 0, lanes), zero
        rows = compute_gradient(task, mode, batch, sums_level, n_steps, buffers_records)
        is_due, may_have_ended = (
            block.clock[EPOCH] + 1 >= block.clock[NEXT_EVENT],
            task.criteria.monitor != MONITOR_NONE,
        )
        if mode.compares_loss:
            objective = (load(block.loss, 0, lanes) - loss_before) * scalar_like(block.p, 1.0 / rows)
        if sums_level != SUMS_NEVER and batch == mode.n_batches - 1:
            has_ended = check_losses(task, mode)
            may_have_ended |= is_checked and has_ended
            if is_checked and mode.one_batch:
                keep_params(task, mode, is_due or may_have_ended)
        task.template.step(task, mode, batch, rows, objective)
    if is_checked and not mode.one_batch:
        keep_params(task, mode, is_due or may_have_ended)
    validate(task)
    return is_due, may_have_ended


@inline_helper
def run_epochs(net, data, config, criteria, nets, held_out, block, queue, n_threads, n_epochs, template):
    """Train a block for up to n_epochs epochs. All structs have pointers in place of arrays."""
    refs = References(
        reference(net),
        reference(data),
        reference(config),
        reference(criteria),
        reference(nets),
        reference(block),
        reference(queue),
    )
    task = Task(net, data, config, criteria, nets, held_out, block, queue, refs, n_threads, template)
    mode = mode_of_call(task, n_epochs)
    has_free_lane, contiguous, buffers_records = True, False, False
    while block.clock[EPOCH] < mode.end:
        if has_free_lane:
            nets_in_lanes = fill_free_lanes(refs.net, refs.criteria, refs.nets, refs.block, refs.queue, n_threads)
            if nets_in_lanes == NO_NETS:
                return
            contiguous, has_free_lane = nets_in_lanes == CONTIGUOUS_NETS, False
            buffers_records = mode.several_epochs and contiguous
            if buffers_records:  # unrolled code buffers the records: no check at each
                block.clock[NEXT_EVENT] = block.start_epoch[0] + criteria.n_epochs
        if config.shuffle:
            shuffle_lanes(data.n_samples, nets.seeds, refs.block)
        n_steps = epochs_until_check(block, mode)
        sums_level, is_checked = choose_sums_level(block, mode, n_steps, buffers_records)
        is_due, may_have_ended = run_epoch(task, mode, sums_level, is_checked, n_steps, buffers_records)
        block.clock[EPOCH] += 1
        if is_due or may_have_ended:
            kind = EpochKind(mode.several_epochs, mode.one_batch, contiguous, is_due, may_have_ended)
            has_free_lane = check_nets(
                refs.net, refs.data, refs.criteria, refs.nets, refs.block, kind, mode.record_scale
            )
    if contiguous:
        flush_records(nets, block, mode.record_scale)


def _make_train(template):
    @kernel
    def train(thread, n_threads, barrier, net, data, config, criteria, nets, held_out, block, queue, n_epochs):
        """Train this thread's block for up to n_epochs epochs, with denormal numbers as zeros.

        barrier : not used; every kernel of a team has it
        """
        before = flush_denormals()
        net, data, config, nets = as_pointers(net), as_pointers(data), as_pointers(config), as_pointers(nets)
        held_out, queue = as_pointers(held_out), as_pointers(queue)
        block = with_lanes(as_pointers(block), template.lanes)
        run_epochs(net, data, config, criteria, nets, held_out, block, queue, n_threads, n_epochs, template)
        restore_denormals(before)

    return train


train = _make_train(WITH_LOOPS)
train_unrolled = _make_train(UNROLLED)  # blocks of UNROLLED_LANES nets, unvalidated
train_second_order = _make_train(SECOND_ORDER)
