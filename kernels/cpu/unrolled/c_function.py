"""C functions of generated code, and their calls by address from kernels.

Such a function's arguments are the fields of a named tuple. An annotation of a field is a function that returns the
Numba type of the argument for the type of the nets' numbers:

    Number        a number of the nets' dtype
    Numbers       a pointer to such numbers
    Doubles       a pointer to float64 numbers
    Integers      a pointer to int64 numbers
    Count         an integer
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np.numpy_support import from_dtype

from ...jit.intrinsics import emits

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
            builder, given = emit.builder, emit.kinds[1].types
            kinds, fields = type_of(self.arguments, given[0].dtype).types, cgutils.unpack_tuple(builder, values)
            fields = [emit.context.cast(builder, *field) for field in zip(fields, given, kinds, strict=True)]
            output = ir.VoidType() if result == types.void else emit.context.get_value_type(result)
            function = ir.FunctionType(output, [field.type for field in fields])
            found = builder.call(builder.inttoptr(address, function.as_pointer()), fields)
            return None if result == types.void else found

        return call
