"""Tiny nets on the CPU: the straight-line program of an architecture, printed as Python with a vector of nets for every
number, compiled as a C function that per_net.gradient calls through its address.

The source is written next to the on-disk cache, so that the next process finds the compiled function there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..activations import ACTIVATIONS, SOFTMAX
from ..arguments import METRIC_ARGMAX, METRIC_MARGIN, METRIC_THRESHOLD
from ..jit import CACHE_FOLDER, compiled_c_function
from ..losses import LOSSES
from ..simd import FLAGS, Vector, absolute, any_of, llvm_type, splat, where
from ..straight_line import program

LANES = 16  # one AVX-512 register of float32, two of float64
MOST_PARAMETERS = 40  # of a net whose parameters and gradients can mostly stay in registers

NEVER, LAST_STEP, EVERY_STEP = range(3)  # for which gradients of a call losses are wanted
TOGETHER = 4  # samples; a tile has a multiple of them, the last ones perhaps of weight 0

NAMES = (
    "p", "g", "a", "y", "weight", "rate", "loss_out", "right_out", "m", "adds", "judges", "metric", "n_steps", "rows",
    "width", "c", "bound", "stop_loss", "stop_right",
)  # fmt: skip


@intrinsic
def call_straight_line(
    typing_context, address, p, g, a, y, weight, rate, loss, right, m, adds, judges, metric, n_steps, rows, width, c,
    bound, stop_loss, stop_right,
):  # fmt: skip
    """Call the function compiled from `source` at `address`. Returns how many steps it has taken."""
    n, x, pointer = types.intp, p.dtype, types.CPointer(p.dtype)

    def build(context, builder, sig, args):
        kind = ir.FunctionType(args[0].type, [value.type for value in args[1:]])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return n(n, *[pointer] * 8, *[n] * 5, *[x] * 6), build


def signature(dtype):
    """The C function's types, for NumPy's dtype."""
    x, n = types.float32 if dtype.itemsize == 4 else types.float64, types.intp
    return n(*[types.CPointer(x)] * 8, *[n] * 5, *[x] * 6)


class _Expression:
    """An LLVM vector with the operators that expressions of a program use."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _with(self, instruction, other, swapped=False):
        if isinstance(other, float):
            kind = self.value.type
            value = ir.Constant(kind, [other] * kind.count)
        else:
            value = other.value
        pair = (value, self.value) if swapped else (self.value, value)
        return _Expression(self.builder, getattr(self.builder, instruction)(*pair, flags=FLAGS))

    def __add__(self, other):
        return self._with("fadd", other)

    def __sub__(self, other):
        return self._with("fsub", other)

    def __rsub__(self, other):
        return self._with("fsub", other, swapped=True)

    def __mul__(self, other):
        return self._with("fmul", other)


def _side_is_right(a, y, bound):
    return 1.0 - absolute(where(a > bound, 1.0, 0.0) - where(y > bound, 1.0, 0.0))


def _within_bound(a, y, bound):
    return where(absolute(a - y) <= bound, 1.0, 0.0)


def _keeps_on(loss, right, stop_loss, stop_right):
    return not (any_of(~(loss > stop_loss)) or any_of(right >= stop_right))


def make_train(layer_sizes, activations, loss):
    """An intrinsic with the parameters of `call_straight_line`, less the address.

    Over the samples of a tile, gradients into g, and where `judges` says so, sums of losses and of the weights of
    samples that are right. With n_steps above 1, and the tile a whole batch, it goes on with steps of plain gradient
    descent, each before the next gradient, until n_steps gradients are done or some net has reached stop_loss or
    stop_right or has no finite loss. TOGETHER samples at a time, statement by statement in turn: a sample's own chain
    of dependent operations is longer than the processor looks ahead. LLVM's instructions are written here one by one:
    through Numba's type inference the same takes four times as long.
    """
    n_in, n_out, top = layer_sizes[0], layer_sizes[-1], len(activations) - 1
    n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
    steps = list(program(layer_sizes, activations, loss))

    @intrinsic
    def train(
        typing_context, p, g, a, y, weight, rate, loss_out, right_out, m, adds, judges, metric, n_steps, rows, width, c,
        bound, stop_loss, stop_right,
    ):  # fmt: skip
        vector, scalar = Vector(p.dtype, LANES), p.dtype
        sig = types.intp(
            p, g, a, y, weight, rate, loss_out, right_out, m, adds, judges, metric, n_steps, rows, width, c, bound,
            stop_loss, stop_right,
        )  # fmt: skip

        def build(context, builder, sig, args):
            given = dict(zip(NAMES, args, strict=True))
            kind = llvm_type(vector)
            count = lambda value: ir.Constant(given["m"].type, value)
            zero = ir.Constant(kind, [0.0] * LANES)

            def pointer(name, row):
                at = builder.gep(given[name], [builder.mul(row, count(LANES))], inbounds=True)
                return builder.bitcast(at, kind.as_pointer())

            align = scalar.bitwidth // 8
            read = lambda name, row: builder.load(pointer(name, row), align=align)
            write = lambda value, name, row: builder.store(value, pointer(name, row), align=align)
            is_equal = lambda name, value: builder.icmp_signed("==", given[name], count(value))
            everywhere = lambda name: splat(builder, given[name], LANES)

            def called(function, *kinds):
                """A formula as a function of _Expressions and of numbers as they come."""

                def call(*values):
                    parts = [value.value if isinstance(value, _Expression) else value for value in values]
                    return _Expression(builder, context.compile_internal(builder, function, vector(*kinds), parts))

                return call

            functions = {}
            for code in set(activations):
                row = ACTIVATIONS[code]
                functions[f"value_{row.name}"] = called(_plain(row.value, 1), vector)
                functions[f"derivative_{row.name}"] = called(_plain(row.derivative, 1), vector)
            functions["loss_delta"] = called(_plain(LOSSES[loss].delta, 3), vector, vector, scalar)
            functions["loss_value"] = called(_plain(LOSSES[loss].value, 4), vector, vector, vector, scalar)
            is_side = called(_side_is_right, vector, vector, scalar)
            is_near = called(_within_bound, vector, vector, scalar)

            # Variables that live through the loops; LLVM turns them into registers.
            variable = lambda value: cgutils.alloca_once_value(builder, value)
            p_at = [variable(read("p", count(q))) for q in range(n_params)]
            with_adds = builder.icmp_signed("!=", given["adds"], count(0))
            g_at = [variable(zero) for _ in range(n_params)]
            with builder.if_then(with_adds, likely=False):
                for q in range(n_params):
                    builder.store(read("g", count(q)), g_at[q])
            loss_at, right_at, step_at = variable(zero), variable(zero), variable(count(0))
            rates = read("rate", count(0))

            body, end = builder.append_basic_block("step"), builder.append_basic_block("end")
            builder.branch(body)
            builder.position_at_end(body)
            step = builder.load(step_at)
            with builder.if_then(builder.icmp_signed(">", step, count(0))):
                for q in range(n_params):
                    descent = builder.fmul(rates, builder.load(g_at[q]), flags=FLAGS)
                    builder.store(builder.fsub(builder.load(p_at[q]), descent, flags=FLAGS), p_at[q])
                    builder.store(zero, g_at[q])
                builder.store(zero, loss_at)
                builder.store(zero, right_at)
            is_last = builder.icmp_signed("==", builder.add(step, count(1)), given["n_steps"])
            judging = builder.or_(is_equal("judges", EVERY_STEP), builder.and_(is_equal("judges", LAST_STEP), is_last))
            with cgutils.for_range_slice(builder, count(0), given["m"], count(TOGETHER), intp=given["m"].type) as (
                s,
                _,
            ):
                scope = [dict(functions, c=given["c"]) for _ in range(TOGETHER)]
                shared = {f"p{q}": _Expression(builder, builder.load(p_at[q])) for q in range(n_params)}
                shared |= {f"g{q}": _Expression(builder, builder.load(g_at[q])) for q in range(n_params)}
                for number, own in enumerate(scope):
                    sample = builder.add(s, count(number))
                    own["w"] = _Expression(builder, read("weight", sample))
                    for i in range(n_in):
                        row = builder.add(builder.mul(count(i), given["m"]), sample)
                        own[f"x{i}"] = _Expression(builder, read("a", row))
                    for j in range(n_out):
                        row = builder.add(builder.mul(count(j), given["m"]), sample)
                        own[f"y{j}"] = _Expression(builder, read("y", row))
                for target, expression in steps:
                    for own in scope:
                        value = eval(expression, {**shared, **own})
                        (shared if target in shared else own)[target] = value
                for q in range(n_params):
                    builder.store(shared[f"g{q}"].value, g_at[q])
                with builder.if_then(judging):
                    total = _Expression(builder, builder.load(loss_at))
                    for own in scope:
                        for j in range(n_out):
                            share = own["loss_value"](own[f"z{top}_{j}"], own[f"a{top}_{j}"], own[f"y{j}"], given["c"])
                            total = total + own["w"] * share
                    builder.store(total.value, loss_at)
                    for function, condition in (
                        (is_near, is_equal("metric", METRIC_MARGIN)), (is_side, is_equal("metric", METRIC_THRESHOLD)),
                    ):  # fmt: skip
                        with builder.if_then(condition):
                            total = _Expression(builder, builder.load(right_at))
                            for own in scope:
                                for j in range(n_out):
                                    hit = function(own[f"a{top}_{j}"], own[f"y{j}"], given["bound"])
                                    total = total + own["w"] * hit
                            builder.store(total.value, right_at)
            done = builder.add(step, count(1))
            builder.store(done, step_at)
            goes_on = builder.icmp_signed("<", done, given["n_steps"])
            kinds = types.boolean(vector, vector, scalar, scalar)
            parts = [builder.load(loss_at), builder.load(right_at), given["stop_loss"], given["stop_right"]]
            keeps_on = builder.trunc(context.compile_internal(builder, _keeps_on, kinds, parts), ir.IntType(1))
            never = builder.icmp_signed("!=", given["judges"], count(EVERY_STEP))
            goes_on = builder.and_(goes_on, builder.or_(never, keeps_on))
            builder.cbranch(goes_on, body, end)

            builder.position_at_end(end)
            for q in range(n_params):
                write(builder.load(p_at[q]), "p", count(q))
                write(builder.load(g_at[q]), "g", count(q))
            several = builder.icmp_signed(">", done, count(1))
            # Weights are over rows * width: loss is a sum of means over outputs, right of shares of outputs.
            right_scale = builder.fmul(everywhere("rows"), everywhere("width"), flags=FLAGS)
            right_scale = builder.fmul(right_scale, ir.Constant(kind, [1.0 / n_out] * LANES), flags=FLAGS)
            with builder.if_then(builder.icmp_signed("!=", given["judges"], count(NEVER))):
                for name, at, scale in (
                    ("loss_out", loss_at, everywhere("rows")), ("right_out", right_at, right_scale),
                ):  # fmt: skip
                    before = builder.select(several, zero, read(name, count(0)))
                    value = builder.fmul(builder.load(at), scale, flags=FLAGS)
                    write(builder.fadd(before, value, flags=FLAGS), name, count(0))
            return done

        return sig, build

    return train


def _plain(formula, n_arguments):
    """A function that calls `formula`, for compile_internal, which takes no formula itself and tells functions apart by
    their code: each has a name of its own."""
    names, name = ", ".join(f"x{k}" for k in range(n_arguments)), f"call_{formula.__name__}"
    scope = {"formula": formula}
    exec(f"def {name}({names}):\n    return formula({names})", scope)
    return scope[name]


def source(layer_sizes, activations, loss) -> str:
    """A module with the function that is compiled: a file of its own, so that Numba can keep it on disk."""
    return (
        "from fastmlp.kernels.cpu.straight_line import make_train\n\n"
        f"compiled = make_train({layer_sizes}, {activations}, {loss})\n\n\n"
        f"def train({', '.join(NAMES)}):\n    return compiled({', '.join(NAMES)})\n"
    )


@cache
def _module(layer_sizes, activations, loss):
    """The printed source as a module, from a file in the cache folder where one can be written."""
    text = source(layer_sizes, activations, loss)
    name = f"fastmlp_net_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    path = Path(CACHE_FOLDER) / "straight_line" / f"{name}.py"
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
                file.write(text)
            os.replace(file.name, path)
    except OSError:
        path = None
    if path is None:
        module = type(sys)(name)
        exec(text, module.__dict__)
        return module, False
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module, True


@cache
def _compiled(layer_sizes, activations, loss, dtype):
    module, on_disk = _module(layer_sizes, activations, loss)
    return compiled_c_function(module.train, signature(dtype), on_disk)


def straight_line_address(layer_sizes, activations, loss, metric, drops, dtype) -> int:
    """The address of an architecture's compiled gradient, 0 where the general loops are to be used."""
    n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
    general = n_params > MOST_PARAMETERS or drops or metric == METRIC_ARGMAX or activations[-1] == SOFTMAX
    return 0 if general else _compiled(tuple(layer_sizes), tuple(activations), loss, dtype).address
