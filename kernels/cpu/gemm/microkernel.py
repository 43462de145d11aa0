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

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_constant
from numba.extending import intrinsic, models, register_model, typeof_impl

from ...simd.load_store import element_pointer, fetch_line
from ...simd.vector import splat
from ..workspace import B_PREFETCH_ROWS, TILE_ROWS, VECTOR_BYTES

I32 = ir.IntType(32)


@dataclass(frozen=True)
class TileShape:
    """Shape of a tile: what is known of it when a kernel is compiled."""

    n_vectors: int  # width of the tile, in vectors
    most_rows: int = TILE_ROWS  # number of rows of accumulators
    has_whole_rows: bool = False  # whether the number of rows is always most_rows
    has_partial_vector: bool = False  # whether the columns may end within the last vector
    prefetches: bool = False  # whether each k prefetches a cache line


class TileShapeType(types.Type):
    """Numba type of one TileShape."""

    def __init__(self, shape: TileShape):
        self.shape = shape
        super().__init__(name=repr(shape))


@register_model(TileShapeType)
class _TileShapeModel(models.StructModel):
    """An empty struct: as an argument of a compiled function it is nothing."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, [])


@typeof_impl.register(TileShape)
def _typeof_shape(shape, context):
    return TileShapeType(shape)


@lower_constant(TileShapeType)
def _constant_shape(context, builder, kind, value):
    return ir.Constant(context.get_value_type(kind), [])


@intrinsic
def tile(typing_context, shape, rows, columns, k, add, a, b, c, prefetch):
    """Write C[i, j] = sum over k of A[i, k] B[k, j] for i < rows and j < columns, or add to C if `add`.

    shape : TileShape with at least so many rows and columns
    a : Strided
    b, c : Matrix
    prefetch : Prefetch into the second-level cache, which costs nothing between multiply-adds; ignored unless the shape
        prefetches
    """
    n = types.intp

    def build(context, builder, sig, args):
        code = _TileCode(context, builder, sig, args)
        sums = code.multiply(args[3])
        with builder.if_else(code.is_true(args[4])) as (then, otherwise):
            with then:
                code.write(code.added_to_c(sums))
            with otherwise:
                code.write(sums)
        return context.get_dummy_value()

    return types.void(shape, n, n, n, add, a, b, c, prefetch), build


class _TileCode:
    """Instructions of one tile."""

    def __init__(self, context, builder, sig, args):
        self.builder, self.shape = builder, sig.args[0].shape
        _, rows, columns, k, _, a, b, c, prefetch = args
        dtype = sig.args[5].types[0].dtype
        self.align, self.lanes = dtype.bitwidth // 8, VECTOR_BYTES * 8 // dtype.bitwidth
        self.vector = ir.VectorType(ir.FloatType() if dtype == types.float32 else ir.DoubleType(), self.lanes)
        self.suffix, self.index = f"v{self.lanes}f{8 * self.align}", k.type
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        unpacked = [cgutils.unpack_tuple(builder, x) for x in (a, b, c)]
        pointers = [
            element_pointer(context, builder, kind.types[0], data, start)
            for kind, (data, start, *_) in zip(sig.args[5:8], unpacked, strict=True)
        ]
        (self.a, self.b, self.c), ((*_, a_row, self.a_step), (*_, self.b_step), (*_, self.c_row)) = pointers, unpacked
        self.prefetch = cgutils.unpack_tuple(builder, prefetch)
        self.rows = self._rows(rows)
        self.a_starts = [builder.mul(a_row, i) for i in self.rows]
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

    def _masked(self, name, result, arguments):
        """Call the LLVM intrinsic masked.load or masked.store."""
        kind = ir.FunctionType(result, [x.type for x in arguments])
        f = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.masked.{name}.{self.suffix}.p0")
        return self.builder.call(f, arguments)

    def _read(self, row, j):
        place = self._vector_pointer(row, j)
        if self._is_masked(j):
            return self._masked("load", self.vector, [place, ir.Constant(I32, self.align), self.mask, self.zero])
        return self.builder.load(place, align=self.align)

    def _write(self, value, row, j):
        place = self._vector_pointer(row, j)
        if self._is_masked(j):
            self._masked("store", ir.VoidType(), [value, place, ir.Constant(I32, self.align), self.mask])
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
        builder = self.builder
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.vector, [self.vector] * 3), f"llvm.fma.{self.suffix}"
        )
        a = builder.gep(self.a, [builder.mul(step, self.a_step)], inbounds=True)
        b = builder.gep(self.b, [builder.mul(step, self.b_step)], inbounds=True)
        if self.shape.prefetches:
            address, line_step = self.prefetch
            fetch_line(builder, builder.gep(address, [builder.mul(step, line_step)], inbounds=True))
        if B_PREFETCH_ROWS and self.shape.most_rows > 1:  # the loop of one row has no time to spare
            ahead = builder.gep(b, [builder.mul(self.b_step, self.constant(B_PREFETCH_ROWS))], inbounds=False)
            for j in range(self.shape.n_vectors):
                fetch_line(builder, self._vector_pointer(ahead, j), cache_level=1)
        b_vectors = [self._read(b, j) for j in range(self.shape.n_vectors)]
        new = []
        for start, row in zip(self.a_starts, sums, strict=True):
            x = builder.load(builder.gep(a, [start], inbounds=True), align=self.align)
            x = splat(builder, x, self.lanes)
            new.append([builder.call(fma, [x, y, z]) for y, z in zip(b_vectors, row, strict=True)])
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


@intrinsic
def lanes_of(typing_context, array):
    """Return the number of elements of `array` in a vector of a tile."""
    lanes = VECTOR_BYTES * 8 // array.dtype.bitwidth

    def build(context, builder, sig, args):
        return context.get_constant(types.intp, lanes)

    return types.intp(array), build
