"""Code generator for populations of tiny nets: unrolled code for one architecture, with nets as SIMD lanes.

The generated function runs formulas/unrolled_program.py over the samples of a tile, and over steps of an optimiser.
LLVM instructions are written one by one: through Numba's type inference the same takes four times as long. Formulas
come from the tables, compiled for a vector of nets. INTERLEAVED_SAMPLES samples go through the program together,
statement by statement: the chain of dependent operations of one sample is longer than the processor looks ahead
(bench/log/README.md#interleaved-samples). A batch of no more samples needs no loop over samples, and no gradients that
live through a loop.
"""

from __future__ import annotations

from itertools import pairwise
from math import inf

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...formulas.unrolled_program import program
from ...formulas.update_rules import RULES, SGD
from ...simd.reductions import any_of
from ...simd.vector import FLAGS, Vector, llvm_type, splat
from ...structs import METRIC_ARGMAX, METRIC_MARGIN, METRIC_THRESHOLD
from ..population.optimizer_step import make_advance
from ..workspace import INTERLEAVED_SAMPLES
from .functions import functions, largest_is_right

# Gradients of a call for which the sums of losses and of correct samples are wanted. EVERY_LOSS: losses for all
# gradients, correct samples for the last one.
NEVER, LAST_STEP, EVERY_LOSS, EVERY_STEP = range(4)
NAMES = (
    "p", "g", "a", "y", "weight", "rate", "loss_out", "right_out", "m", "adds", "judges", "metric", "n_steps", "rows",
    "width", "c", "bound", "stop_loss", "stop_right", "state", "betas", "powers", "last_loss", "epoch", "due", "losses",
)  # fmt: skip


@intrinsic
def call_unrolled(
    typing_context, address, p, g, a, y, weight, rate, loss, right, m, adds, judges, metric, n_steps, rows, width, c,
    bound, stop_loss, stop_right, state, betas, powers, last_loss, epoch, due, losses,
):  # fmt: skip
    """Call the function at `address`, which has the arguments and the result of make_train's intrinsic."""

    def build(context, builder, sig, args):
        kind = ir.FunctionType(args[0].type, [value.type for value in args[1:]])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.intp(types.intp, *kinds(p.dtype)), build


def kinds(x):
    """Return Numba's types of NAMES, for numbers of type x."""
    number, double = types.CPointer(x), types.CPointer(types.float64)
    count, whole = types.intp, types.CPointer(types.int64)
    return (*[number] * 8, *[count] * 5, *[x] * 6, number, double, double, number, count, whole, number)


def signature(dtype):
    """Return the types (result, arguments) of the C function, for a NumPy dtype."""
    return types.intp, kinds(types.float32 if dtype.itemsize == 4 else types.float64)


def python_function(architecture):
    """Return the function of NAMES that is compiled for an architecture, a tuple of make_train's arguments."""
    return function_of(NAMES, make_train(*architecture))


def function_of(names, intrinsic):
    """Return a function with arguments of these names that calls the intrinsic with them."""
    listed, scope = ", ".join(names), {"intrinsic": intrinsic}
    exec(f"def straight_line({listed}):\n    return intrinsic({listed})", scope)
    return scope["straight_line"]


def make_train(layer_sizes, activations, loss, rule, lanes, loops):
    """Return an intrinsic train(*NAMES) -> number of gradients computed.

    layer_sizes, activations, loss, rule    the architecture, and the code of the update rule
    lanes                                   nets of a block
    loops                                   whether a batch may have more than INTERLEAVED_SAMPLES samples

    p, g : (n_params, lanes)                parameters; gradients, written, or added to if `adds`
    a, y : (units, m, lanes)                inputs and targets of the m samples of a tile
    weight : (m, lanes)                     weights of the samples, divided by rows * width
    loss_out, right_out : (lanes,)          sums of losses and of weights of correct samples, added to
    judges, metric, bound                   when these sums are wanted, and which samples are correct
    n_steps                                 above 1 only if the tile is a whole batch: number of gradients to compute,
        with a step of the update rule before each but the first. Fewer, if a net reaches stop_loss or stop_right or has
        no finite loss
    rate                                    all hyper-parameters of the block, learning rates first
    state, betas, powers, last_loss         of the update rule, as population/optimizer_step.make_advance takes them
    epoch, due, losses                      number of epochs before this call; numbers of the epochs whose losses are
        kept, counted from 1, ascending, ended by a number that is never reached; rows of lanes for these losses
    rows, width, c                          samples of the batch; outputs that a loss is a mean over; its constant
    """

    @intrinsic
    def train(
        typing_context, p, g, a, y, weight, rate, loss_out, right_out, m, adds, judges, metric, n_steps, rows, width, c,
        bound, stop_loss, stop_right, state, betas, powers, last_loss, epoch, due, losses,
    ):  # fmt: skip
        sig = types.intp(
            p, g, a, y, weight, rate, loss_out, right_out, m, adds, judges, metric, n_steps, rows, width, c, bound,
            stop_loss, stop_right, state, betas, powers, last_loss, epoch, due, losses,
        )  # fmt: skip

        def build(context, builder, sig, args):
            given = dict(zip(NAMES, args, strict=True))
            return _Emitter(context, builder, p.dtype, given, layer_sizes, activations, loss, rule, lanes, loops).emit()

        return sig, build

    return train


class _Expression:
    """LLVM vector with the operators that the expressions of an unrolled program use."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _with(self, instruction, other, swapped=False):
        if isinstance(other, float):
            other = ir.Constant(self.value.type, [other] * self.value.type.count)
        else:
            other = other.value
        pair = (other, self.value) if swapped else (self.value, other)
        return _Expression(self.builder, getattr(self.builder, instruction)(*pair, flags=FLAGS))

    def __add__(self, other):
        return self._with("fadd", other)

    def __sub__(self, other):
        return self._with("fsub", other)

    def __rsub__(self, other):
        return self._with("fsub", other, swapped=True)

    def __mul__(self, other):
        return self._with("fmul", other)


def _goes_on(loss, right, stop_loss, stop_right):
    return not (any_of(~((loss > stop_loss) & (loss < inf))) or any_of(right >= stop_right))


class _Emitter:
    def __init__(self, context, builder, dtype, given, layer_sizes, activations, loss, rule, lanes, loops):
        self.context, self.builder, self.given, self.dtype, self.lanes = context, builder, given, dtype, lanes
        self.vector = Vector(dtype, lanes)
        self.kind, self.index = llvm_type(self.vector), given["m"].type
        self.n_in, self.n_out, self.top = layer_sizes[0], layer_sizes[-1], len(activations) - 1
        self.n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
        self.program = list(program(layer_sizes, activations, loss))
        self.rule, self.loops = rule, loops
        self.functions = functions(self._function, self.vector, dtype, loss, activations)

    # ---- helpers

    def _function(self, function, *kinds):
        """Return a function that emits a call of `function` with _Expressions or LLVM numbers."""

        def call(*values):
            parts = [value.value if isinstance(value, _Expression) else value for value in values]
            result = self.context.compile_internal(self.builder, function, self.vector(*kinds), parts)
            return _Expression(self.builder, result)

        return call

    def _count(self, value):
        return ir.Constant(self.index, value)

    def _everywhere(self, x):
        return ir.Constant(self.kind, [x] * self.lanes) if isinstance(x, float) else splat(self.builder, x, self.lanes)

    def _pointer(self, name, row):
        first = self.builder.mul(row, self._count(self.lanes))
        place = self.builder.gep(self.given[name], [first], inbounds=True)
        return self.builder.bitcast(place, self.kind.as_pointer())

    def _read(self, name, row=None):
        return self.builder.load(self._pointer(name, row or self._count(0)), align=self.dtype.bitwidth // 8)

    def _write(self, value, name, row=None):
        self.builder.store(value, self._pointer(name, row or self._count(0)), align=self.dtype.bitwidth // 8)

    def _variable(self, value):
        """Allocate memory for a value that lives through loops; LLVM turns it into a register."""
        return cgutils.alloca_once_value(self.builder, value)

    def _is(self, name, value):
        return self.builder.icmp_signed("==", self.given[name], self._count(value))

    # ---- the function

    def emit(self):
        b, zero = self.builder, self._everywhere(0.0)
        numbers = range(self.n_params)
        self.p = [self._variable(self._read("p", self._count(q))) for q in numbers]
        self.g = [self._variable(zero) for _ in numbers]
        if self.loops:
            with b.if_then(b.icmp_signed("!=", self.given["adds"], self._count(0)), likely=False):
                for q in numbers:
                    b.store(self._read("g", self._count(q)), self.g[q])
        self.loss, self.right, step_at = self._variable(zero), self._variable(zero), self._variable(self._count(0))
        self.kept, self.next_due = self._variable(self._count(0)), self._variable(b.load(self.given["due"]))
        body, end = b.append_basic_block("step"), b.append_basic_block("end")
        b.branch(body)

        b.position_at_end(body)
        step = b.load(step_at)
        with b.if_then(b.icmp_signed(">", step, self._count(0))):
            if self.rule == SGD:
                self._descend()
            else:
                self._advance()
            for place in (*self.g, self.loss, self.right):
                b.store(zero, place)
        done = b.add(step, self._count(1))
        is_last = b.icmp_signed("==", done, self.given["n_steps"])
        judging = b.or_(self._is("judges", EVERY_STEP), b.and_(b.not_(self._is("judges", NEVER)), is_last))
        is_due = b.icmp_signed("==", b.add(self.given["epoch"], done), b.load(self.next_due))
        summing = b.or_(b.or_(judging, self._is("judges", EVERY_LOSS)), is_due)
        start, stop, stride = self._count(0), self.given["m"], self._count(INTERLEAVED_SAMPLES)
        if self.loops:
            with cgutils.for_range_slice(b, start, stop, stride, intp=self.index) as (s, _):
                self._samples(s, summing, judging)
        else:
            self._samples(start, summing, judging)
        goes_on = self._variable(b.not_(is_last))
        with b.if_then(is_due, likely=False):
            self._keep_loss()
        looks = b.or_(b.or_(self._is("judges", EVERY_STEP), self._is("judges", EVERY_LOSS)), is_due)
        with b.if_then(looks):
            b.store(b.and_(b.load(goes_on), self._no_goal()), goes_on)
        b.store(done, step_at)
        b.cbranch(b.load(goes_on), body, end)

        b.position_at_end(end)
        for q in numbers:
            self._write(b.load(self.p[q]), "p", self._count(q))
            self._write(b.load(self.g[q]), "g", self._count(q))
        with b.if_then(b.not_(self._is("judges", NEVER))):
            self._hand_out_sums(b.icmp_signed(">", done, self._count(1)), zero)
        return done

    def _descend(self):
        """Emit a step of plain SGD, formulas/update_rules.sgd, in registers."""
        b, rate = self.builder, self._read("rate")
        for p, g in zip(self.p, self.g, strict=True):
            b.store(b.fsub(b.load(p), b.fmul(rate, b.load(g), flags=FLAGS), flags=FLAGS), p)

    def _advance(self):
        """Emit a step of any other update rule, as a loop over the parameters in memory."""
        b = self.builder
        for q, g in enumerate(self.g):
            self._write(b.load(g), "g", self._count(q))
        number, double = types.CPointer(self.dtype), types.CPointer(types.float64)
        kinds = types.void(number, number, number, number, double, double, number, self.vector, types.intp)
        names = ("p", "g", "state", "rate", "betas", "powers", "last_loss")
        parts = [*[self.given[name] for name in names], b.load(self.loss), self._count(self.n_params * self.lanes)]
        self.context.compile_internal(b, make_advance(RULES[self.rule], self.lanes), kinds, parts)
        for q, p in enumerate(self.p):
            b.store(self._read("p", self._count(q)), p)

    def _samples(self, s, summing, judging):
        """Emit the program for INTERLEAVED_SAMPLES samples from number s on: gradients, and sums if they are wanted.

        summing, judging : LLVM booleans, whether to add up losses, and whether to add up correct samples
        """
        b = self.builder
        shared = {f"p{q}": _Expression(b, b.load(p)) for q, p in enumerate(self.p)}
        shared |= {f"g{q}": _Expression(b, b.load(g)) for q, g in enumerate(self.g)}
        samples = [dict(self.functions, c=self.given["c"]) for _ in range(INTERLEAVED_SAMPLES)]
        for number, own in enumerate(samples):
            sample = b.add(s, self._count(number))
            own["w"] = _Expression(b, self._read("weight", sample))
            for name, array, n in (("x", "a", self.n_in), ("y", "y", self.n_out)):
                for i in range(n):
                    row = b.add(b.mul(self._count(i), self.given["m"]), sample)
                    own[f"{name}{i}"] = _Expression(b, self._read(array, row))
        for target, expression in self.program:
            for own in samples:
                value = eval(expression, {**shared, **own})
                (shared if target in shared else own)[target] = value
        for q, g in enumerate(self.g):
            b.store(shared[f"g{q}"].value, g)
        with b.if_then(summing):
            self._sum(
                self.loss, samples, lambda o, z, a, y: map(o["loss_value"], z, a, y, [o["c"]] * self.n_out)
            )  # fmt: skip
        bounds = [self.given["bound"]] * self.n_out
        with b.if_then(judging):
            for metric, name in ((METRIC_THRESHOLD, "side_is_right"), (METRIC_MARGIN, "is_near")):
                with b.if_then(self._is("metric", metric)):
                    self._sum(self.right, samples, lambda o, z, a, y, f=name: map(o[f], a, y, bounds))
            with b.if_then(self._is("metric", METRIC_ARGMAX)):
                self._sum(self.right, samples, lambda o, z, a, y: [largest_is_right(o, a, y)])

    def _sum(self, place, samples, shares):
        """Emit an addition to `place`: for each sample its weight times each term of shares(names, z, a, y).

        shares : returns the terms of a sample from its variables, and from z, a and y of the output layer
        """
        total = _Expression(self.builder, self.builder.load(place))
        for own in samples:
            outputs = (f"z{self.top}_", f"a{self.top}_", "y")
            for share in shares(own, *([own[f"{what}{j}"] for j in range(self.n_out)] for what in outputs)):
                total = total + own["w"] * share
        self.builder.store(total.value, place)

    def _keep_loss(self):
        """Emit a store of this epoch's sums of losses to the next row of `losses`, and load the next epoch of `due`."""
        b = self.builder
        row, loss = b.load(self.kept), b.load(self.loss)
        self._write(b.fmul(loss, self._everywhere(self.given["rows"]), flags=FLAGS), "losses", row)
        following = b.add(row, self._count(1))
        b.store(following, self.kept)
        b.store(b.load(b.gep(self.given["due"], [following], inbounds=True)), self.next_due)

    def _no_goal(self):
        """Emit the condition that all nets go on: no net reaches a goal or has a loss that is not finite."""
        kinds = types.boolean(self.vector, self.vector, self.dtype, self.dtype)
        parts = [*map(self.builder.load, (self.loss, self.right)), self.given["stop_loss"], self.given["stop_right"]]
        found = self.context.compile_internal(self.builder, _goes_on, kinds, parts)
        return self.builder.trunc(found, ir.IntType(1))

    def _hand_out_sums(self, several, zero):
        """Emit the addition of the sums to loss_out and right_out.

        The samples' weights are divided by rows * width. The sums are scaled so that a sample counts with the mean of
        its losses over outputs, and with the share of its outputs that are correct (0 or 1 for METRIC_ARGMAX).

        several : LLVM boolean, whether there was more than one gradient: then the sums replace what is there
        """
        b = self.builder
        rows, width = self._everywhere(self.given["rows"]), self._everywhere(self.given["width"])
        share = b.select(
            self._is("metric", METRIC_ARGMAX), self._everywhere(1.0), self._everywhere(1.0 / self.n_out)
        )  # fmt: skip
        shares = b.fmul(b.fmul(rows, width, flags=FLAGS), share, flags=FLAGS)
        for name, place, scale in (("loss_out", self.loss, rows), ("right_out", self.right, shares)):
            before = b.select(several, zero, self._read(name))
            self._write(b.fadd(before, b.fmul(b.load(place), scale, flags=FLAGS), flags=FLAGS), name)
