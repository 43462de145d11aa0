"""SciPy's BLAS inside compiled code: the limit that matrix products are measured against.

Numba's np.dot reaches it through a C helper, numba_xxgemm, which takes the argument list of BLAS's gemm. Called
directly, the helper multiplies without np.dot's checks of shapes.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I8, I32 = ir.IntType(8), ir.IntType(32)
POINTER = I8.as_pointer()


@intrinsic
def gemm(typing_context, trans_a, trans_b, m, n, k, a, b, c):
    """C = op(A) @ op(B), with C (m, n), op(A) (m, k) and op(B) (k, n).

    trans_a, trans_b : int    not 0: op transposes
    a, b, c : flat arrays of one dtype; the matrices are C-contiguous
    """
    sig = types.void(trans_a, trans_b, types.intp, types.intp, types.intp, a, b, c)

    def build(context, builder, sig, args):
        trans_a, trans_b, m, n, k, *arrays = args
        dtype = c.dtype
        a_start, b_start, c_start = (
            _start(context, builder, array_type, array) for array_type, array in zip(sig.args[5:], arrays, strict=True)
        )
        row_length_a = builder.select(_is_set(builder, trans_a), m, k)
        row_length_b = builder.select(_is_set(builder, trans_b), k, n)
        kind = ir.Constant(I8, ord("s") if dtype == types.float32 else ord("d"))
        one, zero = (_number(context, builder, dtype, value) for value in (1.0, 0.0))
        # BLAS is column-major and sees the transpose of each matrix, so it is asked for C' = op(B)' op(A)'.
        flags = _flag(builder, trans_b), _flag(builder, trans_a)
        operands = b_start, row_length_b, a_start, row_length_a
        builder.call(_helper(context, builder), [kind, *flags, n, m, k, one, *operands, zero, c_start, n])
        return context.get_dummy_value()

    return sig, build


def _helper(context, builder):
    """numba_xxgemm(kind, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)."""
    size = context.get_value_type(types.intp)
    arguments = [I8, I8, I8, size, size, size, POINTER, POINTER, size, POINTER, size, POINTER, POINTER, size]
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(I32, arguments), "numba_xxgemm")


def _start(context, builder, array_type, array):
    """A pointer to the array's first element."""
    return builder.bitcast(context.make_array(array_type)(context, builder, array).data, POINTER)


def _number(context, builder, dtype, value):
    """A pointer to a number on the stack."""
    return builder.bitcast(cgutils.alloca_once_value(builder, context.get_constant(dtype, value)), POINTER)


def _is_set(builder, trans):
    return builder.icmp_signed("!=", trans, ir.Constant(trans.type, 0))


def _flag(builder, trans):
    return builder.select(_is_set(builder, trans), ir.Constant(I8, ord("t")), ir.Constant(I8, ord("n")))
