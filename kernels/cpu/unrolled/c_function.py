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
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

Numbers = types.CPointer
Number = lambda dtype: dtype
Doubles = lambda dtype: types.CPointer(types.float64)
Integers = lambda dtype: types.CPointer(types.int64)
Count = lambda dtype: types.intp


def type_of(arguments, dtype):
    """Return Numba's type of a class of named tuples, for a Numba type of numbers."""
    return types.NamedTuple([kind(dtype) for kind in arguments.__annotations__.values()], arguments)


def signature(arguments, result, dtype):
    """Return (result, types of the arguments), as compiler.machine_code_of_c takes them.

    arguments : class of named tuples
    result : Numba type
    dtype : NumPy dtype of the nets
    """
    return result, [type_of(arguments, from_dtype(dtype))]


def make_function(result, emit):
    """Return a function of one named tuple of arguments, for compiler.machine_code_of_c.

    result : Numba type
    emit : called as emit(context, builder, dtype, arguments) with LLVM values as arguments; emits the function's body
        and returns its result, None for types.void
    """

    @intrinsic
    def generated(typing_context, arguments):
        def build(context, builder, sig, args):
            values = arguments.instance_class(*cgutils.unpack_tuple(builder, args[0]))
            found = emit(context, builder, arguments.types[0].dtype, values)
            return context.get_dummy_value() if found is None else found

        return result(arguments), build

    def unrolled(arguments):
        return generated(arguments)

    return unrolled


def make_call(arguments, result):
    """Return an intrinsic call(address, values), which calls a function that was made by make_function.

    arguments : class of the named tuple `values`, whose first field is a pointer to numbers of the nets' dtype
    result : Numba type
    """

    @intrinsic
    def call(typing_context, address, values):
        kinds = type_of(arguments, values.types[0].dtype).types

        def build(context, builder, sig, args):
            address, fields = args[0], cgutils.unpack_tuple(builder, args[1])
            fields = [context.cast(builder, *field) for field in zip(fields, values.types, kinds, strict=True)]
            output = ir.VoidType() if result == types.void else context.get_value_type(result)
            function = ir.FunctionType(output, [field.type for field in fields])
            found = builder.call(builder.inttoptr(address, function.as_pointer()), fields)
            return context.get_dummy_value() if result == types.void else found

        return result(types.intp, values), build

    return call
