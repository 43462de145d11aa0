"""Code generator for training steps of one tiny net: unrolled code with the samples of a batch as lanes of one vector.

The loops of single_net/batch_simd.py spend more instructions on indices than on arithmetic when a layer has two units.
Here the program of an architecture (formulas/unrolled_program.py) is written out. Each parameter stays in a register,
repeated in all lanes, and a step takes little more time than its chain of dependent operations.

The operations and their order are those of batch_simd.py, with products and sums paired into the same multiply-adds, so
parameters and losses have the same bits. A batch of one sample fills all lanes, and nothing has to be summed.
"""

from __future__ import annotations

from itertools import pairwise

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...formulas.losses import SOFTMAX_CROSS_ENTROPY
from ...formulas.unrolled_program import program
from ...formulas.update_rules import RULES, SGD, StepSettings
from ...simd.reductions import sum_lanes
from ...simd.vector import FLAGS, I32, Vector, constant, intrinsic_name, llvm_type, splat
from ...structs import (
    DIVERGED,
    EPOCH_LOSS,
    EPOCH_RIGHT,
    LAST_LOSS,
    METRIC_ARGMAX,
    METRIC_MARGIN,
    METRIC_THRESHOLD,
    STEPS_DONE,
)
from ..single_net.optimizer_step import LEARNING_RATE, make_state_access, step_settings
from ..workspace import LANES_LARGE, LANES_SMALL, tile_size
from .functions import functions, largest_is_right
from .population_codegen import function_of

POINTERS, RECORDS, COUNTS, NUMBERS = (
    ("p", "state", "tiles"),
    ("hyper", "factors", "scalars", "epoch_loss", "epoch_right"),
    ("n_samples", "batch_size", "n_batches", "first_step", "n_steps", "n_padded", "metric"),
    ("scale", "last_scale", "c", "bound"),
)
NAMES = (*POINTERS, *RECORDS, *COUNTS, *NUMBERS)


def kinds(x):
    """Return Numba's types of NAMES, for numbers of type x."""
    number, double = types.CPointer(x), types.CPointer(types.float64)
    return (*[number] * len(POINTERS), *[double] * len(RECORDS), *[types.intp] * len(COUNTS), *[x] * len(NUMBERS))


def signature(dtype):
    """Return the types (result, arguments) of the C function, for a NumPy dtype."""
    return types.void, kinds(types.float32 if dtype.itemsize == 4 else types.float64)


def python_function(architecture):
    """Return the function of NAMES that is compiled for an architecture, a tuple of make_steps' arguments."""
    return function_of(NAMES, make_steps(*architecture))


def make_steps(layer_sizes, activations, loss, rule, single):
    """Return an intrinsic steps(*NAMES), which trains for n_steps steps.

    layer_sizes, activations, loss, rule   the architecture, and the code of the update rule
    single                        whether batches have one sample, which is in all lanes

    p, state                      (n_padded,) parameters; (n_state, n_padded) optimiser state
    tiles                         (n_batches, tile_size) inputs, targets and weights of each batch, samples as lanes
    hyper, factors                the fields of structs.TrainConfig
    scalars, epoch_loss, epoch_right       the fields of structs.TrainState
    scale, last_scale             1 / (rows * loss_width) of a batch, and of the last batch of an epoch
    c, bound                      the loss's constant; the threshold or margin of a correct output
    """

    @intrinsic
    def steps(
        typing_context,
        p,
        state,
        tiles,
        hyper,
        factors,
        scalars,
        epoch_loss,
        epoch_right,
        n_samples,
        batch_size,
        n_batches,
        first_step,
        n_steps,
        n_padded,
        metric,
        scale,
        last_scale,
        c,
        bound,
    ):
        sig = types.void(
            p,
            state,
            tiles,
            hyper,
            factors,
            scalars,
            epoch_loss,
            epoch_right,
            n_samples,
            batch_size,
            n_batches,
            first_step,
            n_steps,
            n_padded,
            metric,
            scale,
            last_scale,
            c,
            bound,
        )

        def build(context, builder, sig, args):
            given = dict(zip(NAMES, args, strict=True))
            _Emitter(context, builder, p.dtype, given, layer_sizes, activations, loss, rule, single).emit()
            return context.get_dummy_value()

        return sig, build

    return steps


class _Term:
    """LLVM vector with the operators that the expressions of an unrolled program use.

    A product is kept as its two factors until it is added to something, so that both become one multiply-add.
    """

    def __init__(self, emitter, value=None, factors=None):
        self.emitter, self._value, self.factors = emitter, value, factors

    @property
    def value(self):
        if self._value is None:
            self._value = self.emitter.builder.fmul(*(factor.value for factor in self.factors), flags=FLAGS)
        return self._value

    def __mul__(self, other):
        return _Term(self.emitter, factors=(self, other))

    def __add__(self, other):
        if other.factors is None:
            return _Term(self.emitter, self.emitter.builder.fadd(self.value, other.value, flags=FLAGS))
        x, y = other.factors
        return _Term(self.emitter, self.emitter.multiply_add(x.value, y.value, self.value))

    def __sub__(self, other):
        return _Term(self.emitter, self.emitter.builder.fsub(self.value, other.value, flags=FLAGS))


def _make_advance(row):
    """Return advance(value, slope, state, i, stride, h) -> value: a step of one update rule for a vector of parameters.

    slope : the gradient
    state, i, stride : optimiser state, flat (n_state, stride), and the vector's index in a row of it
    """
    rule, (load_state, store_state) = row.update, make_state_access(row.n_state, LANES_LARGE)

    def advance(value, slope, state, i, stride, h):
        s0, s1, s2 = load_state(state, i, LANES_LARGE, stride, value)
        value, s0, s1, s2 = rule(value * h.decay, slope, s0, s1, s2, h)
        store_state(state, i, LANES_LARGE, stride, s0, s1, s2)
        return value

    return advance


def _settings(rule, hyper, scalars, factor, objective, p):
    return step_settings(rule, hyper, scalars, factor, objective, p)


def _sum_of_lanes(v):
    return sum_lanes(v)


class _Emitter:
    def __init__(self, context, builder, dtype, given, layer_sizes, activations, loss, rule, single):
        self.context, self.builder, self.given, self.dtype = context, builder, given, dtype
        self.vector, self.wide = Vector(dtype, LANES_SMALL), Vector(dtype, LANES_LARGE)
        self.kind, self.index, self.double = llvm_type(self.vector), given["n_steps"].type, ir.DoubleType()
        self.n_in, self.n_out, self.top = layer_sizes[0], layer_sizes[-1], len(activations) - 1
        self.n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
        self.loss_width = 1 if loss == SOFTMAX_CROSS_ENTROPY else self.n_out
        self.program, self.rule, self.single = list(program(layer_sizes, activations, loss)), rule, single
        self.functions = functions(self._function, self.vector, dtype, loss, activations)

    # ---- helpers

    def _function(self, function, *kinds):
        """Return a function that emits a call of `function` with _Terms or LLVM numbers."""

        def call(*values):
            parts = [value.value if isinstance(value, _Term) else value for value in values]
            return _Term(self, self.context.compile_internal(self.builder, function, self.vector(*kinds), parts))

        return call

    def multiply_add(self, x, y, z):
        name = intrinsic_name("fma", Vector(self.dtype, x.type.count))
        f = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(x.type, [x.type] * 3), name)
        return self.builder.call(f, [x, y, z], fastmath=FLAGS)

    def _count(self, value):
        return ir.Constant(self.index, value)

    def _everywhere(self, x):
        return splat(self.builder, x, LANES_SMALL)

    def _load(self, name, i, kind=None):
        """Emit a load of element i of an array, or of the vector of type `kind` that begins there."""
        place = self.builder.gep(self.given[name], [i], inbounds=True)
        if kind is not None:
            place = self.builder.bitcast(place, kind.as_pointer())
        return self.builder.load(place, align=self.dtype.bitwidth // 8)

    def _store(self, value, name, i):
        self.builder.store(value, self.builder.gep(self.given[name], [i], inbounds=True))

    def _variable(self, value):
        """Allocate memory for a value that lives through the loop; LLVM turns it into a register."""
        return cgutils.alloca_once_value(self.builder, value)

    def _change(self, place, change):
        self.builder.store(change(self.builder.load(place)), place)

    def _to_double(self, x):
        return x if x.type == self.double else self.builder.fpext(x, self.double)

    def _sum(self, v):
        """Emit the sum over the samples' lanes, as a number."""
        if self.single:
            return self.builder.extract_element(v, ir.Constant(I32, 0))
        return self.context.compile_internal(self.builder, _sum_of_lanes, self.dtype(self.vector), [v])

    def _sum_everywhere(self, v):
        """Emit the sum over the samples' lanes in every lane: the additions of simd.reductions.sum_lanes, in both
        orders of lanes.
        """
        if not self.single:
            for half in (LANES_SMALL // 2, LANES_SMALL // 4):
                turned = self.builder.shuffle_vector(v, v, constant(I32, [lane ^ half for lane in range(LANES_SMALL)]))
                v = self.builder.fadd(v, turned, flags=FLAGS)
        return v

    # ---- the function

    def emit(self):
        b, given, zero = self.builder, self.given, self._count(0)
        self.p = [self._variable(self._everywhere(self._load("p", self._count(q)))) for q in range(self.n_params)]
        self.epoch, self.batch = (
            self._variable(build(given["first_step"], given["n_batches"])) for build in (b.udiv, b.urem)
        )
        self.t, self.running = self._variable(zero), self._variable(ir.Constant(ir.IntType(1), 1))
        self.sums = [self._variable(self._load("scalars", self._count(which))) for which in (EPOCH_LOSS, EPOCH_RIGHT)]
        body, end = b.append_basic_block("step"), b.append_basic_block("end")
        b.branch(body)

        b.position_at_end(body)
        self._step()
        more = b.and_(b.load(self.running), b.icmp_signed("<", b.load(self.t), given["n_steps"]))
        b.cbranch(more, body, end)

        b.position_at_end(end)
        for q, place in enumerate(self.p):
            lane = b.extract_element(b.load(place), ir.Constant(I32, 0))
            self._store(lane, "p", self._count(q))
        for which, place in zip((EPOCH_LOSS, EPOCH_RIGHT), self.sums, strict=True):
            self._store(b.load(place), "scalars", self._count(which))
        done = b.sitofp(b.add(given["first_step"], b.load(self.t)), self.double)
        with b.if_then(b.icmp_signed(">", b.load(self.t), zero)):
            self._store(done, "scalars", self._count(STEPS_DONE))

    def _step(self):
        b, given = self.builder, self.given
        batch = b.load(self.batch)
        is_first = b.icmp_signed("==", batch, self._count(0))
        is_last = b.icmp_signed("==", b.add(batch, self._count(1)), given["n_batches"])
        for place in self.sums:
            self._change(place, lambda before: b.select(is_first, ir.Constant(self.double, 0.0), before))
        rows = b.sub(given["n_samples"], b.mul(batch, given["batch_size"]))
        rows = b.sitofp(b.select(is_last, rows, given["batch_size"]), self.double)
        names = self._pass(batch, b.select(is_last, given["last_scale"], given["scale"]))
        loss = self._judge(names)
        self._change(self.sums[0], lambda before: b.fadd(before, loss))
        finite = b.fcmp_ordered("==", b.fsub(loss, loss), ir.Constant(self.double, 0.0))
        with b.if_else(finite, likely=True) as (goes_on, ends):
            with goes_on:
                self._update([names[f"g{q}"] for q in range(self.n_params)], b.fdiv(loss, rows))
                self._change(self.t, lambda t: b.add(t, self._count(1)))
                with b.if_then(is_last):
                    self._record()
                b.store(b.select(is_last, self._count(0), b.add(batch, self._count(1))), self.batch)
            with ends:
                self._store(ir.Constant(self.double, 1.0), "scalars", self._count(DIVERGED))
                b.store(ir.Constant(ir.IntType(1), 0), self.running)

    def _pass(self, batch, scale):
        """Emit the program for one batch, and return its variables; gradients are sums over the batch in every lane."""
        b = self.builder
        names = dict(self.functions, c=self.given["c"])
        first = b.mul(batch, self._count(tile_size(self.n_in, self.n_out)))
        rows = [*(f"x{i}" for i in range(self.n_in)), *(f"y{j}" for j in range(self.n_out)), "weight"]
        for k, name in enumerate(rows):
            names[name] = _Term(self, self._load("tiles", b.add(first, self._count(k * LANES_SMALL)), self.kind))
        names["w"] = _Term(self, b.fmul(names["weight"].value, self._everywhere(scale), flags=FLAGS))
        names |= {f"p{q}": _Term(self, b.load(place)) for q, place in enumerate(self.p)}
        nothing = ir.Constant(self.kind, [0.0] * LANES_SMALL)
        names |= {f"g{q}": _Term(self, nothing) for q in range(self.n_params)}
        for target, expression in self.program:
            names[target] = _Term(self, eval(expression, {}, names).value)
        for q in range(self.n_params):
            names[f"g{q}"] = self._sum_everywhere(names[f"g{q}"].value)
        return names

    def _judge(self, names):
        """Emit the batch's loss, summed over samples, and add its correct samples to those of the epoch."""
        b, given = self.builder, self.given
        w, outputs = names["weight"], range(self.n_out)
        z, a, y = ([names[f"{what}{j}"] for j in outputs] for what in (f"z{self.top}_", f"a{self.top}_", "y"))
        shares = _Term(self, ir.Constant(self.kind, [0.0] * LANES_SMALL))
        for j in outputs:
            shares = shares + w * names["loss_value"](z[j], a[j], y[j], given["c"])
        for metric, name in ((METRIC_THRESHOLD, "side_is_right"), (METRIC_MARGIN, "is_near")):
            with self._is_metric(metric):
                hits = _Term(self, ir.Constant(self.kind, [0.0] * LANES_SMALL))
                for j in outputs:
                    hits = hits + names[name](a[j], y[j], given["bound"])
                self._add_right(w * hits * _Term(self, ir.Constant(self.kind, [1.0 / self.n_out] * LANES_SMALL)))
        with self._is_metric(METRIC_ARGMAX):
            self._add_right(w * largest_is_right(names, a, y))
        return b.fdiv(self._to_double(self._sum(shares.value)), ir.Constant(self.double, float(self.loss_width)))

    def _is_metric(self, metric):
        return self.builder.if_then(self.builder.icmp_signed("==", self.given["metric"], self._count(metric)))

    def _add_right(self, weighted):
        right = self._to_double(self._sum(weighted.value))
        self._change(self.sums[1], lambda before: self.builder.fadd(before, right))

    def _update(self, gradients, objective):
        b, t = self.builder, self.builder.load(self.t)
        factor = self._load("factors", t)
        if self.rule == SGD:  # formulas/update_rules.sgd, in every lane
            rate = b.fmul(self._load("hyper", self._count(LEARNING_RATE)), factor)
            rate = self._everywhere(b.fptrunc(rate, self.kind.element) if self.kind.element != self.double else rate)
            for place, g in zip(self.p, gradients, strict=True):
                self._change(place, lambda p, g=g: self.multiply_add(b.fneg(rate), g, p))
        else:
            self._advance(gradients, factor, objective)
        self._store(objective, "scalars", self._count(LAST_LOSS))

    def _advance(self, gradients, factor, objective):
        """Emit a step of any other update rule, with LANES_LARGE parameters in a vector."""
        b, given, number = self.builder, self.given, types.CPointer(self.dtype)
        double = types.CPointer(types.float64)
        kind = types.NamedUniTuple(self.dtype, len(StepSettings._fields), StepSettings)
        parts = [self._count(self.rule), given["hyper"], given["scalars"], factor, objective, given["p"]]
        signature = kind(types.intp, double, double, types.float64, types.float64, number)
        settings = self.context.compile_internal(b, _settings, signature, parts)
        for first in range(0, self.n_params, LANES_LARGE):
            numbers = range(first, min(first + LANES_LARGE, self.n_params))
            value = self._side_by_side([b.load(self.p[q]) for q in numbers])
            slope = self._side_by_side([gradients[q] for q in numbers])
            signature = self.wide(self.wide, self.wide, number, types.intp, types.intp, kind)
            parts = [value, slope, given["state"], self._count(first), given["n_padded"], settings]
            value = self.context.compile_internal(b, _make_advance(RULES[self.rule]), signature, parts)
            for lane, q in enumerate(numbers):
                b.store(b.shuffle_vector(value, value, constant(I32, [lane] * LANES_SMALL)), self.p[q])

    def _side_by_side(self, vectors):
        """Emit a vector of LANES_LARGE lanes: one lane of each of `vectors`, then zeros."""
        b, zero = self.builder, ir.Constant(self.kind, [0.0] * LANES_SMALL)
        vectors = [*vectors, *[zero] * (LANES_LARGE - len(vectors))]
        pick = lambda x, y, lanes: b.shuffle_vector(x, y, constant(I32, lanes))
        pairs = [pick(x, y, [0, LANES_SMALL, 0, LANES_SMALL]) for x, y in zip(vectors[::2], vectors[1::2], strict=True)]
        parts = [pick(x, y, [0, 1, LANES_SMALL, LANES_SMALL + 1]) for x, y in zip(pairs[::2], pairs[1::2], strict=True)]
        while len(parts) > 1:
            size = parts[0].type.count
            parts = [pick(x, y, range(2 * size)) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    def _record(self):
        """Emit the end of an epoch: its mean loss and share of correct samples are recorded."""
        b, epoch = self.builder, self.builder.load(self.epoch)
        n = b.sitofp(self.given["n_samples"], self.double)
        for name, place in zip(("epoch_loss", "epoch_right"), self.sums, strict=True):
            self._store(b.fdiv(b.load(place), n), name, epoch)
        b.store(b.add(epoch, self._count(1)), self.epoch)
