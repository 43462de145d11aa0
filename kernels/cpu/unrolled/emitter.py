"""Unrolled code: an emitter turns an architecture's program into LLVM instructions on SIMD vectors, in a C function.

Instructions are emitted one by one, because compiling the same program as Python code takes Numba four times as long.
Formulas come from the tables in formulas/, compiled for vectors; names of variables are those of
formulas/unrolled_program.py.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np.numpy_support import from_dtype

from ...formulas.activations import ACTIVATIONS, SOFTMAX
from ...formulas.losses import LOSSES
from ...formulas.unrolled_program import DIFFERENCE, PRODUCT, SUM, Operation, program
from ...jit.intrinsics import emits
from ...simd.elementary import exp, log
from ...simd.vector import FLAGS, Vector, absolute, llvm_type, splat, where
from ...structs import METRIC_ARGMAX, METRIC_MARGIN, METRIC_THRESHOLD
from ..single_net.column_passes import still_correct

OUTPUT_IS_CORRECT = {METRIC_THRESHOLD: "same_side", METRIC_MARGIN: "is_near"}


# ---- functions that unrolled code calls, for SIMD vectors. From `is_as_large`, `if_larger` and `still_correct` the
# emitter makes the comparison of the largest output with the largest target, as column_passes.count_correct does.


def same_side(a, y, threshold):
    """Return 1 where a and y are on the same side of `threshold`, else 0."""
    return 1.0 - absolute(where(a > threshold, 1.0, 0.0) - where(y > threshold, 1.0, 0.0))


def is_near(a, y, margin):
    """Return 1 where a and y differ by at most `margin`, else 0."""
    return where(absolute(a - y) <= margin, 1.0, 0.0)


def is_as_large(a, b):
    """Return 1 where a >= b, else 0; is_as_large(a, a) is 0 where a is NaN."""
    return where(a >= b, 1.0, 0.0)


def if_larger(a, b, x, y):
    """Return x where a > b, else y."""
    return where(a > b, x, y)


def inverse(v):
    return 1.0 / v


# Numba's compile_internal takes plain functions, but no decorated formulas: each of the next three functions returns a
# plain function that calls a formula. Its arguments are a vector v; or the logit z, the output a, the target y and the
# loss's constant c.


def of_vector(formula):
    def call(v):
        return formula(v)

    return call


def loss_delta(formula):
    def call(a, y, c):
        return formula(a, y, c)

    return call


def loss_value(formula):
    def call(z, a, y, c):
        return formula(z, a, y, c)

    return call


def functions_of(loss, activations):
    """Return {name: function} of all functions that an unrolled program calls, also for the scores of its outputs.

    loss, activations : codes of the loss and of the layers' activations
    """
    functions = {
        "loss_delta": loss_delta(LOSSES[loss].delta),
        "loss_value": loss_value(LOSSES[loss].value),
        "same_side": same_side,
        "is_near": is_near,
        "is_as_large": is_as_large,
        "if_larger": if_larger,
        "still_correct": still_correct,
    }
    for row in (ACTIVATIONS[code] for code in set(activations)):
        functions[f"value_{row.symbol}"] = of_vector(row.value)
        functions[f"derivative_{row.symbol}"] = of_vector(row.derivative)
    if SOFTMAX in activations:
        functions |= {"exp": of_vector(exp), "log": of_vector(log), "inverse": inverse}
    return functions


class Emitter:
    """Base of the emitters for populations (a lane is a net) and for single nets (a lane is a sample).

    dtype : Numba type of the nets' numbers
    lanes : numbers in a vector
    architecture : a compiled.Architecture
    """

    def __init__(self, context, builder, dtype, lanes, architecture):
        self.context, self.builder, self.dtype, self.lanes = context, builder, dtype, lanes
        self.vector = Vector(dtype, lanes)
        self.llvm_vector, self.index = llvm_type(self.vector), context.get_value_type(types.intp)
        sizes, activations, self.rule = architecture.layer_sizes, architecture.activations, architecture.rule
        self.n_inputs, self.n_outputs = sizes[0], sizes[-1]
        self.n_params = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))
        top = len(activations) - 1
        self.outputs = [(f"z{top}_{j}", f"a{top}_{j}", f"y{j}") for j in range(self.n_outputs)]
        self.program = list(program(sizes, activations, architecture.loss))
        self.functions = functions_of(architecture.loss, activations)

    def emit(self):
        """Emit the body of the function, and return its result.

        Subclasses have _begin(), _step(), which returns (result so far, whether there is another step), and
        _finish(result).
        """
        b = self.builder
        self._begin()
        body, end = b.append_basic_block("step"), b.append_basic_block("end")
        b.branch(body)
        b.position_at_end(body)
        result, goes_on = self._step()
        b.cbranch(goes_on, body, end)
        b.position_at_end(end)
        self._finish(result)
        return result

    # ---- values

    def integer(self, value):
        return ir.Constant(self.index, value)

    def in_all_lanes(self, x):
        """Return a vector with a number in all lanes, a Python float or an LLVM value."""
        if isinstance(x, float):
            return ir.Constant(self.llvm_vector, [x] * self.lanes)
        return splat(self.builder, x, self.lanes)

    def equals(self, x, value):
        """Emit a comparison of an LLVM integer with a Python integer."""
        return self.builder.icmp_signed("==", x, self.integer(value))

    # ---- memory

    def variable(self, value):
        """Emit memory for a value that changes from one iteration to the next; LLVM makes it a register."""
        return cgutils.alloca_once_value(self.builder, value)

    def vector_pointer(self, pointer, i):
        """Return a pointer to the vector that begins at element i, an LLVM integer."""
        place = self.builder.gep(pointer, [i], inbounds=True)
        return self.builder.bitcast(place, self.llvm_vector.as_pointer())

    def load_vector(self, pointer, i):
        return self.builder.load(self.vector_pointer(pointer, i), align=self.dtype.bitwidth // 8)

    def store_vector(self, value, pointer, i):
        self.builder.store(value, self.vector_pointer(pointer, i), align=self.dtype.bitwidth // 8)

    # ---- arithmetic

    def call(self, name, *values):
        """Emit a call of the function of this name, for vectors and numbers of the nets' dtype; returns a vector."""
        kinds = [self.vector if value.type == self.llvm_vector else self.dtype for value in values]
        return self.context.compile_internal(self.builder, self.functions[name], self.vector(*kinds), values)

    def add(self, x, y):
        return self.builder.fadd(x, y, flags=FLAGS)

    def subtract(self, x, y):
        return self.builder.fsub(x, y, flags=FLAGS)

    def multiply(self, x, y):
        return self.builder.fmul(x, y, flags=FLAGS)

    def add_product(self, total, x, y):
        """Emit total + x * y, which LLVM may contract to a multiply-add."""
        return self.add(total, self.multiply(x, y))

    def evaluate(self, operand, variables):
        """Emit the value of a variable or of an operation.

        variables : {name: LLVM value}
        """
        if not isinstance(operand, Operation):
            return variables[operand]
        if operand.name == SUM:
            return self._sum(operand.operands, variables)
        values = [self.evaluate(x, variables) for x in operand.operands]
        if operand.name == PRODUCT:
            return self.multiply(*values)
        if operand.name == DIFFERENCE:
            return self.subtract(*values)
        return self.call(operand.name, *values)

    def _sum(self, terms, variables):
        total = self.evaluate(terms[0], variables)
        for term in terms[1:]:
            if isinstance(term, Operation) and term.name == PRODUCT:
                total = self.add_product(total, *[self.evaluate(x, variables) for x in term.operands])
            else:
                total = self.add(total, self.evaluate(term, variables))
        return total

    # ---- scores of a sample, from the variables of its program

    def losses(self, variables):
        """Yield the loss of each output, emitted when it is asked for."""
        for names in self.outputs:
            yield self.call("loss_value", *[variables[name] for name in names], variables["c"])

    def correct_outputs(self, metric, bound, variables):
        """Yield 1 for a correct output, else 0, emitted when it is asked for.

        metric : METRIC_THRESHOLD or METRIC_MARGIN
        """
        for _, a, y in self.outputs:
            yield self.call(OUTPUT_IS_CORRECT[metric], variables[a], variables[y], bound)

    def scores_of_metrics(self, metric, bound):
        """Yield (METRIC_*, function from the variables of a sample to its scores), each in a branch for that metric.

        metric, bound : LLVM values
        """
        for each in (METRIC_THRESHOLD, METRIC_MARGIN):
            with self.builder.if_then(self.equals(metric, each)):
                yield each, partial(self.correct_outputs, each, bound)
        with self.builder.if_then(self.equals(metric, METRIC_ARGMAX)):
            yield METRIC_ARGMAX, lambda variables: [self.largest_is_correct(variables)]

    def largest_is_correct(self, variables):
        """Emit 1 where the first largest output is at the first largest target, else 0."""
        (best, target), *others = [(variables[a], variables[y]) for _, a, y in self.outputs]
        is_correct = self.call("is_as_large", target, target)  # 1 of the first output alone, 0 of a NaN
        for output, wanted in others:
            is_correct = self.call("still_correct", is_correct, output, best, wanted, target)
            best = self.call("if_larger", output, best, output, best)
            target = self.call("if_larger", wanted, target, wanted, target)
        return is_correct


# ---- C functions, which kernels call by address. The arguments of such a function are the fields of a named tuple. An
# annotation of a field is a function that returns the Numba type of the argument for the type of the nets' numbers:
#
#     Number        a number of the nets' dtype
#     Numbers       a pointer to such numbers
#     Doubles       a pointer to float64 numbers
#     Integers      a pointer to int64 numbers
#     Count         an integer

Numbers = types.CPointer
Number = lambda dtype: dtype
Doubles = lambda dtype: types.CPointer(types.float64)
Integers = lambda dtype: types.CPointer(types.int64)
Count = lambda dtype: types.intp


def type_of(arguments, dtype):
    """Return Numba's type of a class of named tuples, for a Numba type of numbers."""
    return types.NamedTuple([kind(dtype) for kind in arguments.__annotations__.values()], arguments)


class Code:
    """Generated code of a C function, for architectures of nets.

    arguments : class of named tuples whose fields are the function's arguments, the first of them a pointer to numbers
        of the nets' dtype
    result : Numba type
    emitter : called as emitter(context, builder, dtype, architecture, arguments) with LLVM values as arguments; emit()
        of what it returns emits the function's body and returns the result, None for types.void
    """

    def __init__(self, arguments, result, emitter):
        self.arguments, self.result, self.emitter = arguments, result, emitter
        self.call = self._make_call()

    def signature(self, dtype):
        """Return (result, types of the arguments) for a NumPy dtype, as compiler.library_of_c takes them."""
        return self.result, [type_of(self.arguments, from_dtype(dtype))]

    def function(self, architecture):
        """Return the Python function of an architecture, of one named tuple, for compiler.library_of_c."""

        @emits(lambda arguments: self.result)
        def generated(emit, arguments):
            (kind,) = emit.kinds
            values = self.arguments(*cgutils.unpack_tuple(emit.builder, arguments))
            return self.emitter(emit.context, emit.builder, kind.types[0].dtype, architecture, values).emit()

        def unrolled(arguments):
            return generated(arguments)

        return unrolled

    def _make_call(self):
        """Return an intrinsic call(address, values), which calls the function of an architecture."""
        result = self.result

        @emits(lambda address, values: result)
        def call(emit, address, values):
            builder, passed = emit.builder, emit.kinds[1].types
            kinds, fields = type_of(self.arguments, passed[0].dtype).types, cgutils.unpack_tuple(builder, values)
            fields = [emit.context.cast(builder, *field) for field in zip(fields, passed, kinds, strict=True)]
            output = ir.VoidType() if result == types.void else emit.context.get_value_type(result)
            function = ir.FunctionType(output, [field.type for field in fields])
            output = builder.call(builder.inttoptr(address, function.as_pointer()), fields)
            return None if result == types.void else output

        return call
