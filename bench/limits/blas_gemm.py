"""SciPy's BLAS inside compiled code: the limit that products are measured against.

Numba's np.dot reaches it through a C helper that takes the full BLAS argument list; called directly, it also takes
leading dimensions and offsets.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastmlp.kernels.simd.load_store import element_pointer

I8 = ir.IntType(8)


@intrinsic
def gemm(typing_context, trans_a, trans_b, m, n, k, a, a_start, lda, b, b_start, ldb, c, c_start, ldc):
    """C = op(A) @ op(B): C (m, n), op(A) (m, k), op(B) (k, n), row-major in flat memory from *_start, row lengths ld*.

    trans_a, trans_b : int    not 0: op transposes
    """
    dtype = c.dtype
    sig = types.void(
        trans_a,
        trans_b,
        types.intp,
        types.intp,
        types.intp,
        a,
        types.intp,
        types.intp,
        b,
        types.intp,
        types.intp,
        c,
        types.intp,
        types.intp,
    )

    def build(context, builder, sig, args):
        trans_a, trans_b, m, n, k, a, a_start, lda, b, b_start, ldb, c, c_start, ldc = args
        pointer = I8.as_pointer()

        def start(array_type, array, index):
            return builder.bitcast(element_pointer(context, builder, array_type, array, index), pointer)

        def flag(trans):
            is_set = builder.icmp_signed("!=", trans, ir.Constant(trans.type, 0))
            return builder.select(is_set, ir.Constant(I8, ord("t")), ir.Constant(I8, ord("n")))

        def scalar(value):
            number = context.get_constant(dtype, value)
            return builder.bitcast(cgutils.alloca_once_value(builder, number), pointer)

        size = context.get_value_type(types.intp)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(
                ir.IntType(32),
                [I8, I8, I8, size, size, size, pointer, pointer, size, pointer, size, pointer, pointer, size],
            ),
            "numba_xxgemm",
        )
        kind = ir.Constant(I8, ord("s") if dtype == types.float32 else ord("d"))
        # BLAS is column-major: what it sees is the transpose of each matrix, so it computes C' = op(B)' op(A)'.
        builder.call(
            function,
            [
                kind,
                flag(trans_b),
                flag(trans_a),
                n,
                m,
                k,
                scalar(1.0),
                start(sig.args[8], b, b_start),
                ldb,
                start(sig.args[5], a, a_start),
                lda,
                scalar(0.0),
                start(sig.args[11], c, c_start),
                ldc,
            ],
        )
        return context.get_dummy_value()

    return sig, build
