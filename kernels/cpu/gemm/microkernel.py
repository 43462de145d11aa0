"""Micro-kernel: the innermost loop of a matrix product, written as LLVM instructions to keep accumulators in registers.

It computes a tile of C, ROWS x 2 vectors. For each k it loads two vectors of a row of B and multiplies them by ROWS
numbers of A, each broadcast: with ROWS = 8 and AVX-512, 16 independent multiply-adds for 2 vector loads and 8 scalar
loads, so that arithmetic is the bound with one multiply-add unit as with two. Measured against OpenBLAS 0.3.30 in
bench/log/README.md#gemm-tiles.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...simd.load_store import element_pointer, fetch_line
from ...simd.vector import splat
from ..workspace import ROWS, VECTOR_BYTES

I32 = ir.IntType(32)


def make_tile(n_vectors, partial, whole_rows=False, most_rows=ROWS, fetches=False):
    """Return a micro-kernel tile(rows, columns, add, a, a0, a_row, a_k, b, b0, b_k, c, c0, c_row, k, ahead, ahead_k).

    It writes C[i, j] = sum over k of A[i, k] B[k, j] for i < rows <= most_rows and j < columns, or adds to C if `add`.
    Strides are in elements; the columns of B and C are contiguous.

    n_vectors : width of the tile, in vectors
    partial : whether `columns` may end within the last vector
    whole_rows : whether `rows` is always most_rows
    most_rows : number of rows of accumulators
    fetches : whether each k prefetches the cache line at `ahead + k * ahead_k` into the second-level cache, which costs
        nothing between multiply-adds; otherwise both arguments are ignored
    """

    @intrinsic
    def tile(typing_context, rows, columns, add, a, a0, a_row, a_k, b, b0, b_k, c, c0, c_row, k, ahead, ahead_k):
        n = types.intp
        sig = types.void(n, n, add, a, n, n, n, b, n, n, c, n, n, n, ahead, n)
        lanes = VECTOR_BYTES * 8 // a.dtype.bitwidth
        align = a.dtype.bitwidth // 8

        def build(context, builder, sig, args):
            rows, columns, add, a, a0, a_row, a_k, b, b0, b_k, c, c0, c_row, k, ahead, ahead_k = args
            number = ir.FloatType() if sig.args[3].dtype == types.float32 else ir.DoubleType()
            vector, index = ir.VectorType(number, lanes), k.type
            suffix = f"v{lanes}f{8 * align}"
            const = lambda value: ir.Constant(index, value)
            zero = ir.Constant(vector, [0.0] * lanes)
            pa = element_pointer(context, builder, sig.args[3], a, a0)
            pb = element_pointer(context, builder, sig.args[7], b, b0)
            pc = element_pointer(context, builder, sig.args[10], c, c0)

            # Rows past the last repeat it: they compute the same numbers and store them to the same place.
            last = builder.sub(rows, const(1))
            pick = [
                const(i) if whole_rows else builder.select(builder.icmp_signed("<", const(i), rows), const(i), last)
                for i in range(most_rows)
            ]
            a_starts = [builder.mul(a_row, i) for i in pick]

            mask = None
            if partial:
                iota = ir.Constant(ir.VectorType(I32, lanes), list(range((n_vectors - 1) * lanes, n_vectors * lanes)))
                limit = splat(builder, builder.trunc(columns, I32), lanes)
                mask = builder.icmp_signed("<", iota, limit)

            def read(pointer, j):
                p = builder.bitcast(builder.gep(pointer, [const(j * lanes)], inbounds=True), vector.as_pointer())
                if mask is None or j < n_vectors - 1:
                    return builder.load(p, align=align)
                kind = ir.FunctionType(vector, [p.type, I32, mask.type, vector])
                f = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{suffix}.p0")
                return builder.call(f, [p, ir.Constant(I32, align), mask, zero])

            def write(value, pointer, j):
                p = builder.bitcast(builder.gep(pointer, [const(j * lanes)], inbounds=True), vector.as_pointer())
                if mask is None or j < n_vectors - 1:
                    builder.store(value, p, align=align)
                    return
                kind = ir.FunctionType(ir.VoidType(), [vector, p.type, I32, mask.type])
                f = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.{suffix}.p0")
                builder.call(f, [value, p, ir.Constant(I32, align), mask])

            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.{suffix}"
            )
            entry = builder.block
            loop, after = builder.append_basic_block("tile.loop"), builder.append_basic_block("tile.after")
            builder.branch(loop)
            builder.position_at_end(loop)
            step = builder.phi(index)
            step.add_incoming(const(0), entry)
            sums = [[builder.phi(vector) for _ in range(n_vectors)] for _ in range(most_rows)]
            ka = builder.gep(pa, [builder.mul(step, a_k)], inbounds=True)
            kb = builder.gep(pb, [builder.mul(step, b_k)], inbounds=True)
            if fetches:
                fetch_line(builder, builder.gep(ahead, [builder.mul(step, ahead_k)], inbounds=True))
            b_vectors = [read(kb, j) for j in range(n_vectors)]
            new = []
            for i in range(most_rows):
                x = builder.load(builder.gep(ka, [a_starts[i]], inbounds=True), align=align)
                x = splat(builder, x, lanes)
                new.append([builder.call(fma, [x, b_vectors[j], sums[i][j]]) for j in range(n_vectors)])
            following = builder.add(step, const(1))
            step.add_incoming(following, loop)
            for i in range(most_rows):
                for j in range(n_vectors):
                    sums[i][j].add_incoming(zero, entry)
                    sums[i][j].add_incoming(new[i][j], loop)
            builder.cbranch(builder.icmp_signed("<", following, k), loop, after)

            builder.position_at_end(after)
            c_rows = [builder.gep(pc, [builder.mul(c_row, i)], inbounds=True) for i in pick]
            with builder.if_else(builder.icmp_signed("!=", add, ir.Constant(add.type, 0))) as (then, otherwise):
                with then:  # all is read before anything is written: repeated rows add once
                    totals = [
                        [builder.fadd(new[i][j], read(c_rows[i], j)) for j in range(n_vectors)]
                        for i in range(most_rows)
                    ]
                    for i in range(most_rows):
                        for j in range(n_vectors):
                            write(totals[i][j], c_rows[i], j)
                with otherwise:
                    for i in range(most_rows):
                        for j in range(n_vectors):
                            write(new[i][j], c_rows[i], j)
            return context.get_dummy_value()

        return sig, build

    return tile


@intrinsic
def lanes_of(typing_context, array):
    """Return the number of elements of `array` in a vector of a tile."""
    lanes = VECTOR_BYTES * 8 // array.dtype.bitwidth

    def build(context, builder, sig, args):
        return context.get_constant(types.intp, lanes)

    return types.intp(array), build
