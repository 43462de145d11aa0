"""Code generator for populations of tiny nets: unrolled code for one architecture, with nets as SIMD lanes.

The generated function runs formulas/unrolled_program.py over the samples of a tile, and over steps of an optimiser.
INTERLEAVED_SAMPLES samples go through the program together, statement by statement: the chain of dependent operations
of one sample is longer than the processor looks ahead (bench/log/populations.md#interleaved-samples). A batch of no
more samples needs no loop over samples, and no gradients that live through a loop.
"""

from collections import ChainMap
from math import inf
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...formulas.update_rules import RULES, SGD
from ...simd.lanes import Lanes
from ...simd.reductions import any_of
from ...structs import METRIC_ARGMAX
from ..population.parameter_update import make_advance
from ..workspace import INTERLEAVED_SAMPLES
from .emitter import Code, Count, Doubles, Emitter, Integers, Number, Numbers

# Levels: for which gradients of a call the sums of losses and of correct samples are wanted, each level more than the
# one before it. SUMS_EVERY_LOSS: losses for all gradients, correct samples for the last one.
SUMS_NEVER, SUMS_LAST_STEP, SUMS_EVERY_LOSS, SUMS_EVERY_STEP = range(4)


class PopulationArguments(NamedTuple):
    """Arguments of the generated function, which returns the number of gradients that it has computed.

    Above 1, n_steps is the number of gradients to compute, with a step of the update rule before each but the first;
    the tile is then a whole batch. There are fewer steps if a net reaches stop_loss or stop_n_correct, or has no finite
    loss.
    """

    p: Numbers  # (n_params, lanes), parameters
    g: Numbers  # (n_params, lanes), gradients: written, or added to if `adds`
    a: Numbers  # (n_inputs, m, lanes), inputs of the tile's samples
    y: Numbers  # (n_outputs, m, lanes), their targets
    weight: Numbers  # (m, lanes), their weights, divided by rows * loss_width
    hyper: Numbers  # (len(NET_HYPER), lanes), hyper-parameters, learning rates first
    loss: Numbers  # (lanes,), sum of losses, added to
    n_correct: Numbers  # (lanes,), sum of the weights of correct samples, added to
    m: Count  # samples of the tile, a multiple of INTERLEAVED_SAMPLES
    adds: Count  # 0 if the tile is the first of its batch
    sums_level: Count  # one of SUMS_*
    metric: Count  # METRIC_*: which samples are correct
    n_steps: Count
    rows: Number  # samples of the batch
    loss_width: Number  # outputs that a loss is a mean over
    c: Number  # the loss's constant
    bound: Number  # threshold or margin of a correct output
    stop_loss: Number  # sum of losses, as weighted here, at which a net is finished
    stop_n_correct: Number  # sum of the weights of correct outputs at which a net is finished
    state: Numbers  # (n_state, n_params, lanes), optimiser state
    betas: Doubles  # (2, lanes), Adam's
    powers: Doubles  # (2, lanes), of the betas
    last_loss: Numbers  # (lanes,), of the last step
    epoch: Count  # number of epochs before this call
    record_epochs: Integers  # numbers of the epochs whose losses are kept, from 1, ascending; the last is never reached
    records: Numbers  # (number of these epochs, lanes), their losses


def _all_go_on(loss, n_correct, stop_loss, stop_n_correct):
    """Return whether no net reaches a stopping criterion or has a loss that is not finite, as check_losses of
    population/train.py does.
    """
    return not (any_of(~((loss > stop_loss) & (loss < inf))) or any_of(n_correct >= stop_n_correct))


class PopulationEmitter(Emitter):
    """Emitter of the function for a block of nets.

    arguments : PopulationArguments of LLVM values
    """

    def __init__(self, context, builder, dtype, architecture, arguments):
        super().__init__(context, builder, dtype, architecture.lanes, architecture)
        self.arguments, self.loops, self.zero = arguments, not architecture.small_batch, self.in_all_lanes(0.0)

    # ---- memory: arrays have a vector of `lanes` numbers in each row

    def _load(self, pointer, row):
        return self.load_vector(pointer, self.builder.mul(row, self.integer(self.lanes)))

    def _store(self, value, pointer, row):
        self.store_vector(value, pointer, self.builder.mul(row, self.integer(self.lanes)))

    def _load_all(self, pointer, variables):
        for row, variable in enumerate(variables):
            self.builder.store(self._load(pointer, self.integer(row)), variable)

    # ---- the function

    def _begin(self):
        """Emit variables: parameters and gradients, sums of losses and of correct samples, counters."""
        b, args = self.builder, self.arguments
        self.p = [self.variable(self._load(args.p, self.integer(q))) for q in range(self.n_params)]
        self.g = [self.variable(self.zero) for _ in range(self.n_params)]
        if self.loops:
            with b.if_then(b.icmp_signed("!=", args.adds, self.integer(0)), likely=False):
                self._load_all(args.g, self.g)
        self.loss, self.n_correct = self.variable(self.zero), self.variable(self.zero)
        self.step, self.next_record = self.variable(self.integer(0)), self.variable(self.integer(0))
        self.record_epoch = self.variable(b.load(args.record_epochs))

    def _step(self):
        """Emit a step of the update rule but for the first gradient, and a gradient.

        Returns (number of gradients so far, whether there is another one).
        """
        b, args = self.builder, self.arguments
        step = b.load(self.step)
        with b.if_then(b.icmp_signed(">", step, self.integer(0))):
            self._update()
            for variable in (*self.g, self.loss, self.n_correct):
                b.store(self.zero, variable)
        done = b.add(step, self.integer(1))
        is_last = b.icmp_signed("==", done, args.n_steps)
        every_step = self.equals(args.sums_level, SUMS_EVERY_STEP)
        wants_correct = b.or_(every_step, b.and_(b.not_(self.equals(args.sums_level, SUMS_NEVER)), is_last))
        is_recorded = b.icmp_signed("==", b.add(args.epoch, done), b.load(self.record_epoch))
        every_loss = self.equals(args.sums_level, SUMS_EVERY_LOSS)
        wants_loss = b.or_(b.or_(wants_correct, every_loss), is_recorded)
        self._batch(wants_loss, wants_correct)
        goes_on = self.variable(b.not_(is_last))
        with b.if_then(is_recorded, likely=False):
            self._record_loss()
        with b.if_then(b.or_(b.or_(every_step, every_loss), is_recorded)):
            b.store(b.and_(b.load(goes_on), self._nets_go_on()), goes_on)
        b.store(done, self.step)
        return done, b.load(goes_on)

    def _finish(self, done):
        """Emit stores of parameters, gradients and sums; done is the number of gradients."""
        b, args = self.builder, self.arguments
        for row, (p, g) in enumerate(zip(self.p, self.g, strict=True)):
            self._store(b.load(p), args.p, self.integer(row))
            self._store(b.load(g), args.g, self.integer(row))
        with b.if_then(b.not_(self.equals(args.sums_level, SUMS_NEVER))):
            self._add_sums(b.icmp_signed(">", done, self.integer(1)))

    def _update(self):
        """Emit a step of the update rule: of plain SGD in registers, of any other as a loop over memory."""
        if self.rule == SGD:
            self._sgd_step()
        else:
            self._rule_step()

    def _sgd_step(self):
        """Emit formulas/update_rules.sgd."""
        b, rate = self.builder, self._load(self.arguments.hyper, self.integer(0))
        for p, g in zip(self.p, self.g, strict=True):
            b.store(self.subtract(b.load(p), self.multiply(rate, b.load(g))), p)

    def _rule_step(self):
        b, args = self.builder, self.arguments
        for row, g in enumerate(self.g):
            self._store(b.load(g), args.g, self.integer(row))
        number, double = types.CPointer(self.dtype), types.CPointer(types.float64)
        kinds = types.void(number, number, number, number, double, double, number, self.vector, types.intp)
        arrays = [args.p, args.g, args.state, args.hyper, args.betas, args.powers, args.last_loss]
        values = [*arrays, b.load(self.loss), self.integer(self.n_params * self.lanes)]
        self.context.compile_internal(b, make_advance(RULES[self.rule], Lanes(self.lanes)), kinds, values)
        self._load_all(args.p, self.p)

    # ---- a gradient

    def _batch(self, wants_loss, wants_correct):
        """Emit the gradient of the tile's samples.

        wants_loss, wants_correct : LLVM booleans, whether to add up losses, and whether to add up correct samples
        """
        if not self.loops:
            self._samples(self.integer(0), wants_loss, wants_correct)
            return
        stride = self.integer(INTERLEAVED_SAMPLES)
        with cgutils.for_range_slice(self.builder, self.integer(0), self.arguments.m, stride, self.index) as (first, _):
            self._samples(first, wants_loss, wants_correct)

    def _samples(self, first, wants_loss, wants_correct):
        """Emit the program for INTERLEAVED_SAMPLES samples from number `first` on: gradients, and wanted sums."""
        b = self.builder
        shared = {f"p{q}": b.load(p) for q, p in enumerate(self.p)}
        shared |= {f"g{q}": b.load(g) for q, g in enumerate(self.g)}
        samples = [ChainMap(self._inputs(first, number), shared) for number in range(INTERLEAVED_SAMPLES)]
        for target, operand in self.program:
            for variables in samples:
                value = self.evaluate(operand, variables)
                (shared if target in shared else variables)[target] = value
        for q, g in enumerate(self.g):
            b.store(shared[f"g{q}"], g)
        with b.if_then(wants_loss):
            self._add(self.loss, samples, self.losses)
        with b.if_then(wants_correct):
            for _, scores in self.scores_of_metrics(self.arguments.metric, self.arguments.bound):
                self._add(self.n_correct, samples, scores)

    def _inputs(self, first, number):
        """Return the variables of a sample that the program reads: its weight, inputs and targets."""
        b, args = self.builder, self.arguments
        sample = b.add(first, self.integer(number))
        variables = {"c": args.c, "w": self._load(args.weight, sample)}
        for letter, array, n in (("x", args.a, self.n_inputs), ("y", args.y, self.n_outputs)):
            for i in range(n):
                variables[f"{letter}{i}"] = self._load(array, b.add(b.mul(self.integer(i), args.m), sample))
        return variables

    def _add(self, sum_variable, samples, scores):
        """Emit an addition to a sum: for each sample its weight times each of its scores.

        scores : returns the scores of a sample from its variables
        """
        total = self.builder.load(sum_variable)
        for variables in samples:
            for score in scores(variables):
                total = self.add_product(total, variables["w"], score)
        self.builder.store(total, sum_variable)

    # ---- sums of losses and of correct samples

    def _record_loss(self):
        """Emit a store of the epoch's sum of losses to the next row of `records`, and load the next epoch to record."""
        b, args = self.builder, self.arguments
        row, loss = b.load(self.next_record), b.load(self.loss)
        self._store(self.multiply(loss, self.in_all_lanes(args.rows)), args.records, row)
        following = b.add(row, self.integer(1))
        b.store(following, self.next_record)
        b.store(b.load(b.gep(args.record_epochs, [following], inbounds=True)), self.record_epoch)

    def _nets_go_on(self):
        """Emit the condition that no net reaches a stopping criterion or has a loss that is not finite."""
        args = self.arguments
        kinds = types.boolean(self.vector, self.vector, self.dtype, self.dtype)
        values = [*map(self.builder.load, (self.loss, self.n_correct)), args.stop_loss, args.stop_n_correct]
        goes_on = self.context.compile_internal(self.builder, _all_go_on, kinds, values)
        return self.builder.trunc(goes_on, ir.IntType(1))

    def _add_sums(self, several):
        """Emit the addition of the sums to the arguments `loss` and `n_correct`.

        The samples' weights are divided by rows * loss_width. The sums are scaled so that a sample counts with the mean
        of its losses over outputs, and with the share of its outputs that are correct (0 or 1 for METRIC_ARGMAX).

        several : LLVM boolean, whether there was more than one gradient: then the sums replace what is there
        """
        b, args, zero = self.builder, self.arguments, self.integer(0)
        rows, width = self.in_all_lanes(args.rows), self.in_all_lanes(args.loss_width)
        one, share = self.in_all_lanes(1.0), self.in_all_lanes(1.0 / self.n_outputs)
        share = b.select(self.equals(args.metric, METRIC_ARGMAX), one, share)
        shares = self.multiply(self.multiply(rows, width), share)
        for array, variable, scale in ((args.loss, self.loss, rows), (args.n_correct, self.n_correct, shares)):
            before = b.select(several, self.zero, self._load(array, zero))
            self._store(self.add(before, self.multiply(b.load(variable), scale)), array, zero)


CODE = Code(PopulationArguments, types.intp, PopulationEmitter)
call_unrolled = CODE.call
