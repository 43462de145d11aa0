"""Code generator for training steps of one tiny net: unrolled code with the samples of a batch as lanes of one vector.

The loops of single_net/batch_simd.py spend more instructions on indices than on arithmetic when a layer has two units.
Here the program of an architecture (formulas/unrolled_program.py) is written out. Each parameter stays in a register,
repeated in all lanes, and a step takes little more time than its chain of dependent operations.

The operations and their order are those of batch_simd.py, with products and sums paired into the same multiply-adds, so
parameters and losses have the same bits. The one sample of a batch of one is repeated in all lanes, so that its lanes
need no sums.
"""

from functools import cache
from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...formulas.losses import SOFTMAX_CROSS_ENTROPY
from ...formulas.update_rules import RULES, SGD, StepSettings
from ...simd.lanes import Lanes
from ...simd.reductions import sum_lanes
from ...simd.vector import FLAGS, I32, Vector, constant, intrinsic_name
from ...structs import DIVERGED, EPOCH_LOSS, EPOCH_N_CORRECT, LAST_LOSS, METRIC_ARGMAX, STEPS_DONE
from ..single_net.optimizer_step import LEARNING_RATE, make_step, step_settings
from ..workspace import LANES_LARGE, LANES_SMALL, tile_size
from .emitter import Code, Count, Doubles, Emitter, Number, Numbers

BIT, DOUBLE = ir.IntType(1), ir.DoubleType()
WIDTH = Lanes(LANES_LARGE)


class SingleNetArguments(NamedTuple):
    """Arguments of the generated function, which trains for n_steps steps and returns nothing."""

    p: Numbers  # (n_padded,), parameters
    state: Numbers  # (n_state, n_padded), optimiser state
    tiles: Numbers  # (n_batches, tile_size), inputs, targets and weights of each batch, samples as lanes
    hyper: Doubles  # TrainConfig.hyper
    factors: Doubles  # (n_steps,), learning-rate factors of the schedule
    scalars: Doubles  # TrainState.scalars
    epoch_loss: Doubles  # TrainState.epoch_loss
    epoch_accuracy: Doubles  # TrainState.epoch_accuracy
    n_samples: Count
    batch_size: Count
    n_batches: Count
    first_step: Count
    n_steps: Count
    n_padded: Count
    metric: Count  # METRIC_*: which samples are correct
    scale: Number  # 1 / (rows * loss_width) of a batch; loss_width: number of terms of a sample's loss
    last_scale: Number  # the same for the last batch of an epoch
    c: Number  # the loss's constant
    bound: Number  # threshold or margin of a correct output


@cache  # the same function for each code generator of a rule, so that Numba compiles it once
def make_advance(row):
    """Return advance(value, gradient, state, i, stride, h) -> value: a step of one update rule for several parameters.

    value, gradient : vectors of LANES_LARGE parameters and of their gradient; the others as of make_step
    """
    step = make_step(row)

    def advance(value, gradient, state, i, stride, h):
        return step(value * h.decay, gradient, state, i, LANES_LARGE, stride, h, WIDTH)

    return advance


# Plain functions that call a helper, since Numba's compile_internal takes no decorated functions.


def _settings(rule, hyper, scalars, factor, objective, p):
    return step_settings(rule, hyper, scalars, factor, objective, p)


def _sum_of_lanes(v):
    return sum_lanes(v)


class SingleNetEmitter(Emitter):
    """Emitter of the training steps of one net.

    arguments : SingleNetArguments of LLVM values
    """

    def __init__(self, context, builder, dtype, architecture, arguments):
        super().__init__(context, builder, dtype, LANES_SMALL, architecture)
        self.arguments, self.one_sample = arguments, architecture.small_batch
        self.loss_width = 1 if architecture.loss == SOFTMAX_CROSS_ENTROPY else self.n_outputs
        self.zero = self.in_all_lanes(0.0)

    # ---- memory and arithmetic

    def _load(self, array, i):
        """Emit a load of element i, an LLVM integer, of the array that is the argument of this name."""
        return self.builder.load(self.builder.gep(getattr(self.arguments, array), [i], inbounds=True))

    def _store(self, value, array, i):
        self.builder.store(value, self.builder.gep(getattr(self.arguments, array), [i], inbounds=True))

    def _store_scalar(self, value, which):
        self._store(value, "scalars", self.integer(which))

    def _change(self, variable, change):
        self.builder.store(change(self.builder.load(variable)), variable)

    def _to_double(self, x):
        return x if x.type == DOUBLE else self.builder.fpext(x, DOUBLE)

    def multiply_add(self, x, y, z):
        """Emit x * y + z, rounded once."""
        name = intrinsic_name("fma", Vector(self.dtype, x.type.count))
        function = ir.FunctionType(x.type, [x.type] * 3)
        fma = cgutils.get_or_insert_function(self.builder.module, function, name)
        return self.builder.call(fma, [x, y, z], fastmath=FLAGS)

    def add_product(self, total, x, y):
        return self.multiply_add(x, y, total)

    def _sum_over_samples(self, v):
        """Emit the sum over the lanes, as a number."""
        if self.one_sample:
            return self.builder.extract_element(v, ir.Constant(I32, 0))
        return self.context.compile_internal(self.builder, _sum_of_lanes, self.dtype(self.vector), [v])

    def _sum_in_all_lanes(self, v):
        """Emit the sum over the lanes, in every lane.

        Each of the two additions is of a vector and itself with its halves, or its pairs, swapped: those that
        simd.reductions.sum_lanes makes, so the sums have the same bits.
        """
        if not self.one_sample:
            for half in (LANES_SMALL // 2, LANES_SMALL // 4):
                swapped = constant(I32, [lane ^ half for lane in range(LANES_SMALL)])
                v = self.add(v, self.builder.shuffle_vector(v, v, swapped))
        return v

    # ---- the function

    def _begin(self):
        """Emit variables: parameters, counters, sums of the epoch's losses and of its correct samples."""
        b, args, zero = self.builder, self.arguments, self.integer(0)
        loads = (self._load("p", self.integer(q)) for q in range(self.n_params))
        self.p = [self.variable(self.in_all_lanes(number)) for number in loads]
        self.epoch = self.variable(b.udiv(args.first_step, args.n_batches))
        self.batch = self.variable(b.urem(args.first_step, args.n_batches))
        self.t, self.is_finite = self.variable(zero), self.variable(ir.Constant(BIT, 1))
        self.loss, self.n_correct = self.sums = [
            self.variable(self._load("scalars", self.integer(which))) for which in (EPOCH_LOSS, EPOCH_N_CORRECT)
        ]

    def _finish(self, _):
        """Emit stores of the parameters, of the epoch's sums and of the number of steps."""
        b = self.builder
        for q, variable in enumerate(self.p):
            self._store(b.extract_element(b.load(variable), ir.Constant(I32, 0)), "p", self.integer(q))
        self._store_scalar(b.load(self.loss), EPOCH_LOSS)
        self._store_scalar(b.load(self.n_correct), EPOCH_N_CORRECT)
        done = b.sitofp(b.add(self.arguments.first_step, b.load(self.t)), DOUBLE)
        with b.if_then(b.icmp_signed(">", b.load(self.t), self.integer(0))):
            self._store_scalar(done, STEPS_DONE)

    def _step(self):
        """Emit a step: the batch's gradient and sums, and the update, if the loss is finite.

        Returns (None, whether there is another step).
        """
        b, args = self.builder, self.arguments
        batch = b.load(self.batch)
        is_first = self.equals(batch, 0)
        is_last = b.icmp_signed("==", b.add(batch, self.integer(1)), args.n_batches)
        for variable in self.sums:
            self._change(variable, lambda before: b.select(is_first, ir.Constant(DOUBLE, 0.0), before))
        rows = b.sub(args.n_samples, b.mul(batch, args.batch_size))
        rows = b.sitofp(b.select(is_last, rows, args.batch_size), DOUBLE)
        variables = self._gradient(batch, b.select(is_last, args.last_scale, args.scale))
        losses = self._sample_losses(variables)
        self._add_correct(variables)
        width = ir.Constant(DOUBLE, float(self.loss_width))
        loss = b.fdiv(self._to_double(self._sum_over_samples(losses)), width)
        self._change(self.loss, lambda before: b.fadd(before, loss))
        is_finite = b.fcmp_ordered("==", b.fsub(loss, loss), ir.Constant(DOUBLE, 0.0))  # NaN of infinities and NaN
        with b.if_else(is_finite, likely=True) as (goes_on, ends):
            with goes_on:
                self._update([variables[f"g{q}"] for q in range(self.n_params)], b.fdiv(loss, rows))
                self._change(self.t, lambda t: b.add(t, self.integer(1)))
                with b.if_then(is_last):
                    self._record_epoch()
                b.store(b.select(is_last, self.integer(0), b.add(batch, self.integer(1))), self.batch)
            with ends:
                self._store_scalar(ir.Constant(DOUBLE, 1.0), DIVERGED)
                b.store(ir.Constant(BIT, 0), self.is_finite)
        return None, b.and_(b.load(self.is_finite), b.icmp_signed("<", b.load(self.t), args.n_steps))

    def _record_epoch(self):
        """Emit the end of an epoch: its mean loss and fraction of correct samples are recorded."""
        b, epoch = self.builder, self.builder.load(self.epoch)
        n = b.sitofp(self.arguments.n_samples, DOUBLE)
        self._store(b.fdiv(b.load(self.loss), n), "epoch_loss", epoch)
        self._store(b.fdiv(b.load(self.n_correct), n), "epoch_accuracy", epoch)
        b.store(b.add(epoch, self.integer(1)), self.epoch)

    # ---- gradient, loss and correct samples of a batch

    def _gradient(self, batch, scale):
        """Emit the program for one batch, and return its variables; gradients are sums over the batch in every lane."""
        first = self.builder.mul(batch, self.integer(tile_size(self.n_inputs, self.n_outputs)))
        variables = self._inputs(first)
        variables |= {"c": self.arguments.c, "w": self.multiply(variables["weight"], self.in_all_lanes(scale))}
        variables |= {f"p{q}": self.builder.load(variable) for q, variable in enumerate(self.p)}
        variables |= {f"g{q}": self.zero for q in range(self.n_params)}
        for target, operand in self.program:
            variables[target] = self.evaluate(operand, variables)
        for q in range(self.n_params):
            variables[f"g{q}"] = self._sum_in_all_lanes(variables[f"g{q}"])
        return variables

    def _inputs(self, first):
        """Return inputs, targets and weights of the batch whose tile begins at element `first`."""
        names = [*(f"x{i}" for i in range(self.n_inputs)), *(f"y{j}" for j in range(self.n_outputs)), "weight"]
        rows = (self.builder.add(first, self.integer(k * LANES_SMALL)) for k in range(len(names)))
        return {name: self.load_vector(self.arguments.tiles, row) for name, row in zip(names, rows, strict=True)}

    def _sample_losses(self, variables):
        """Emit each sample's weighted loss, a sum over outputs."""
        total = self.zero
        for loss in self.losses(variables):
            total = self.add_product(total, variables["weight"], loss)
        return total

    def _add_correct(self, variables):
        """Emit an addition of the batch's correct samples to those of the epoch."""
        args, weight = self.arguments, variables["weight"]
        for metric, scores in self.scores_of_metrics(args.metric, args.bound):
            total = self.zero
            for is_correct in scores(variables):
                total = is_correct if metric == METRIC_ARGMAX else self.add(total, is_correct)
            weighted = self.multiply(weight, total)
            if metric != METRIC_ARGMAX:
                weighted = self.multiply(weighted, self.in_all_lanes(1.0 / self.n_outputs))
            n_correct = self._to_double(self._sum_over_samples(weighted))
            self._change(self.n_correct, lambda before, n=n_correct: self.builder.fadd(before, n))

    # ---- the update

    def _update(self, gradients, objective):
        """Emit a step of the update rule: of plain SGD in every lane, of others for LANES_LARGE parameters at a time.

        gradients : vectors with the same number in all lanes
        objective : the step's loss, an LLVM double
        """
        factor = self._load("factors", self.builder.load(self.t))
        if self.rule == SGD:
            self._sgd_step(gradients, factor)
        else:
            self._rule_step(gradients, factor, objective)
        self._store_scalar(objective, LAST_LOSS)

    def _sgd_step(self, gradients, factor):
        """Emit formulas/update_rules.sgd, which is without weight decay."""
        b, number = self.builder, self.llvm_vector.element
        rate = b.fmul(self._load("hyper", self.integer(LEARNING_RATE)), factor)
        rate = self.in_all_lanes(rate if number == DOUBLE else b.fptrunc(rate, number))
        for variable, g in zip(self.p, gradients, strict=True):
            self._change(variable, lambda p, g=g: self.multiply_add(b.fneg(rate), g, p))

    def _rule_step(self, gradients, factor, objective):
        b, args, wide = self.builder, self.arguments, Vector(self.dtype, LANES_LARGE)
        kind = types.NamedUniTuple(self.dtype, len(StepSettings._fields), StepSettings)
        settings, advance = self._step_settings(kind, factor, objective), make_advance(RULES[self.rule])
        signature = wide(wide, wide, types.CPointer(self.dtype), types.intp, types.intp, kind)
        for first in range(0, self.n_params, LANES_LARGE):
            numbers = range(first, min(first + LANES_LARGE, self.n_params))
            value = self._side_by_side([b.load(self.p[q]) for q in numbers])
            gradient = self._side_by_side([gradients[q] for q in numbers])
            values = [value, gradient, args.state, self.integer(first), args.n_padded, settings]
            value = self.context.compile_internal(b, advance, signature, values)
            for lane, q in enumerate(numbers):
                b.store(b.shuffle_vector(value, value, constant(I32, [lane] * LANES_SMALL)), self.p[q])

    def _step_settings(self, kind, factor, objective):
        """Emit the update rule's settings at this step, a StepSettings whose Numba type is `kind`."""
        args, number, double = self.arguments, types.CPointer(self.dtype), types.CPointer(types.float64)
        signature = kind(types.intp, double, double, types.float64, types.float64, number)
        values = [self.integer(self.rule), args.hyper, args.scalars, factor, objective, args.p]
        return self.context.compile_internal(self.builder, _settings, signature, values)

    def _side_by_side(self, vectors):
        """Emit a vector of LANES_LARGE lanes: one lane of each of `vectors`, then zeros."""
        b = self.builder
        vectors = [*vectors, *[self.zero] * (LANES_LARGE - len(vectors))]
        pick = lambda x, y, lanes: b.shuffle_vector(x, y, constant(I32, lanes))
        pairs = [pick(x, y, [0, LANES_SMALL, 0, LANES_SMALL]) for x, y in zip(vectors[::2], vectors[1::2], strict=True)]
        parts = [pick(x, y, [0, 1, LANES_SMALL, LANES_SMALL + 1]) for x, y in zip(pairs[::2], pairs[1::2], strict=True)]
        while len(parts) > 1:
            size = parts[0].type.count
            parts = [pick(x, y, range(2 * size)) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]


CODE = Code(SingleNetArguments, types.void, SingleNetEmitter)
call_unrolled = CODE.call
