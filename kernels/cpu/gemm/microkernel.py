"""Micro-kernel: the innermost loop of a matrix product, written as LLVM instructions to keep accumulators in registers.

It computes a tile of C, TILE_ROWS x 2 vectors. For each k it loads two vectors of a row of B and multiplies them by
TILE_ROWS numbers of A, each broadcast: with TILE_ROWS = 8 and AVX-512, 16 independent multiply-adds for 2 vector loads
and 8 scalar loads, so that arithmetic is the bound with one multiply-add unit as with two. Measured against OpenBLAS
0.3.30 in bench/log/gemm.md#gemm-tiles.

The shape of a tile is a `TileShape`, which is a type of its own for Numba: `tile` is compiled for each shape that it is
called with, and the shape is no argument at run time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import typeof_impl

from ...jit.intrinsics import emits, nothing
from ...simd.lanes import StaticType
from ...simd.load_store import element_pointer, fetch_line
from ...simd.vector import I32, Vector, llvm_type, splat
from ..workspace import B_PREFETCH_ROWS, TILE_ROWS, VECTOR_BYTES

# ---- operands: where a matrix lies in a flat array. Strides are in elements.


class Matrix(NamedTuple):
    """Row-major matrix; its columns are contiguous."""

    data: Any  # array or pointer
    start: int  # index of the first element
    stride: int  # from one row to the next; 0 for a matrix in panels (gemm.py)


class Strided(NamedTuple):
    """Matrix or transposed matrix."""

    data: Any
    start: int
    row_stride: int
    column_stride: int


class Panels(NamedTuple):
    """Row-major matrix that is read in vertical panels, each as wide as a tile."""

    data: Any
    start: int
    stride: int  # from one row of a panel to the next
    panel_stride: int  # from one panel to the next


class Prefetch(NamedTuple):
    """Cache lines to prefetch, one for each column of A that a tile multiplies."""

    address: Any  # pointer into the first cache line
    step: int  # from one line to the next; 0 to prefetch none


@dataclass(frozen=True)
class TileShape:
    """Shape of a tile: what is known of it when a kernel is compiled."""

    n_vectors: int  # width of the tile, in vectors
    most_rows: int = TILE_ROWS  # number of rows of accumulators
    has_whole_rows: bool = False  # whether the number of rows is always most_rows
    has_partial_vector: bool = False  # whether the columns may end within the last vector
    prefetches: bool = False  # whether each k prefetches a cache line


typeof_impl.register(TileShape)(lambda shape, context: StaticType(shape))


@emits(nothing)
def tile(emit, shape, rows, columns, k, add, a, b, c, prefetch):
    """Write C[i, j] = sum over k of A[i, k] B[k, j] for i < rows and j < columns, or add to C if `add`.

    shape : TileShape with at least so many rows and columns
    a : Strided
    b, c : Matrix
    prefetch : Prefetch into the second-level cache, which costs nothing between multiply-adds; ignored unless the shape
        prefetches
    """
    code = _TileCode(emit, rows, columns, (a, b, c), prefetch)
    sums = code.multiply(k)
    with emit.builder.if_else(code.is_true(add)) as (then, otherwise):
        with then:
            code.write(code.added_to_c(sums))
        with otherwise:
            code.write(sums)


class _TileCode:
    """Instructions of one tile."""

    def __init__(self, emit, rows, columns, operands, prefetch):
        self.emit, self.builder, self.shape = emit, emit.builder, emit.kinds[0].value
        kinds = [kind.types[0] for kind in emit.kinds[5:8]]
        dtype = kinds[0].dtype
        self.align, self.lanes = dtype.bitwidth // 8, VECTOR_BYTES * 8 // dtype.bitwidth
        self.vector = llvm_type(Vector(dtype, self.lanes))
        self.suffix, self.index = f"v{self.lanes}f{8 * self.align}", rows.type
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        unpacked = [cgutils.unpack_tuple(emit.builder, x) for x in operands]
        pointers = [
            element_pointer(emit, data, start, kind) for kind, (data, start, *_) in zip(kinds, unpacked, strict=True)
        ]
        (self.a, self.b, self.c), ((*_, a_row, self.a_step), (*_, self.b_step), (*_, self.c_row)) = pointers, unpacked
        self.prefetch = cgutils.unpack_tuple(emit.builder, prefetch)
        self.rows = self._rows(rows)
        self.a_starts = [emit.builder.mul(a_row, i) for i in self.rows]
        self.mask = self._mask(columns) if self.shape.has_partial_vector else None

    def constant(self, value):
        return ir.Constant(self.index, value)

    def is_true(self, flag):
        return self.builder.icmp_signed("!=", flag, ir.Constant(flag.type, 0))

    def _rows(self, rows):
        """Return the indices of the tile's rows. Rows past the last repeat it: they compute the same numbers and store
        them to the same place.
        """
        builder, constant = self.builder, self.constant
        last = builder.sub(rows, constant(1))
        if self.shape.has_whole_rows:
            return [constant(i) for i in range(self.shape.most_rows)]
        return [
            builder.select(builder.icmp_signed("<", constant(i), rows), constant(i), last)
            for i in range(self.shape.most_rows)
        ]

    def _mask(self, columns):
        """Return which lanes of a row's last vector are columns."""
        n, lanes = self.shape.n_vectors, self.lanes
        lane_columns = ir.Constant(ir.VectorType(I32, lanes), list(range((n - 1) * lanes, n * lanes)))
        limit = splat(self.builder, self.builder.trunc(columns, I32), lanes)
        return self.builder.icmp_signed("<", lane_columns, limit)

    def _vector_pointer(self, row, j):
        """Return the address of vector j of a row."""
        place = self.builder.gep(row, [self.constant(j * self.lanes)], inbounds=True)
        return self.builder.bitcast(place, self.vector.as_pointer())

    def _is_masked(self, j):
        return self.mask is not None and j == self.shape.n_vectors - 1

    def _masked(self, name, result, *arguments):
        """Call the LLVM intrinsic masked.load or masked.store."""
        return self.emit.call(f"llvm.masked.{name}.{self.suffix}.p0", result, *arguments)

    def _read(self, row, j):
        place = self._vector_pointer(row, j)
        if self._is_masked(j):
            return self._masked("load", self.vector, place, ir.Constant(I32, self.align), self.mask, self.zero)
        return self.builder.load(place, align=self.align)

    def _write(self, value, row, j):
        place = self._vector_pointer(row, j)
        if self._is_masked(j):
            self._masked("store", ir.VoidType(), value, place, ir.Constant(I32, self.align), self.mask)
        else:
            self.builder.store(value, place, align=self.align)

    def multiply(self, k):
        """Emit the loop over k. Return the sums, vectors of the tile's rows."""
        builder, entry = self.builder, self.builder.block
        loop, after = builder.append_basic_block("tile.loop"), builder.append_basic_block("tile.after")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(self.index)
        step.add_incoming(self.constant(0), entry)
        tile_rows, vectors = range(self.shape.most_rows), range(self.shape.n_vectors)
        sums = [[builder.phi(self.vector) for _ in vectors] for _ in tile_rows]
        new = self._multiply_adds(step, sums)
        following = builder.add(step, self.constant(1))
        step.add_incoming(following, loop)
        for i in tile_rows:
            for j in vectors:
                sums[i][j].add_incoming(self.zero, entry)
                sums[i][j].add_incoming(new[i][j], loop)
        builder.cbranch(builder.icmp_signed("<", following, k), loop, after)
        builder.position_at_end(after)
        self.c_rows = [builder.gep(self.c, [builder.mul(self.c_row, i)], inbounds=True) for i in self.rows]
        return new

    def _multiply_adds(self, step, sums):
        """Emit the multiply-adds of one k, the loop's number `step`."""
        builder, fma = self.builder, f"llvm.fma.{self.suffix}"
        a = builder.gep(self.a, [builder.mul(step, self.a_step)], inbounds=True)
        b = builder.gep(self.b, [builder.mul(step, self.b_step)], inbounds=True)
        if self.shape.prefetches:
            address, line_step = self.prefetch
            fetch_line(self.emit, builder.gep(address, [builder.mul(step, line_step)], inbounds=True))
        if B_PREFETCH_ROWS and self.shape.most_rows > 1:  # the loop of one row has no time to spare
            ahead = builder.gep(b, [builder.mul(self.b_step, self.constant(B_PREFETCH_ROWS))], inbounds=False)
            for j in range(self.shape.n_vectors):
                fetch_line(self.emit, self._vector_pointer(ahead, j), cache_level=1)
        b_vectors = [self._read(b, j) for j in range(self.shape.n_vectors)]
        new = []
        for start, row in zip(self.a_starts, sums, strict=True):
            x = builder.load(builder.gep(a, [start], inbounds=True), align=self.align)
            x = splat(builder, x, self.lanes)
            new.append([self.emit.call(fma, self.vector, x, y, z) for y, z in zip(b_vectors, row, strict=True)])
        return new

    def added_to_c(self, sums):
        """Return C plus the sums. All is read before anything is written: repeated rows add once."""
        return [
            [self.builder.fadd(sums[i][j], self._read(row, j)) for j in range(self.shape.n_vectors)]
            for i, row in enumerate(self.c_rows)
        ]

    def write(self, values):
        """Write the values to C."""
        for row, vectors in zip(self.c_rows, values, strict=True):
            for j, value in enumerate(vectors):
                self._write(value, row, j)


@emits(lambda array: types.intp)
def lanes_of(emit, array):
    """Return the number of elements of `array` in a vector of a tile."""
    return emit.context.get_constant(types.intp, VECTOR_BYTES * 8 // emit.kinds[0].dtype.bitwidth)
