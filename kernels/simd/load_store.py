"""Memory access of kernels: pointers, loads and stores of vectors, transposes in registers.

    load(array, i, lanes)               lanes elements from array[i] on
    load_partial(array, i, n, lanes)    the first n of them, 0 in the other lanes
    load_scalar(array, i)               one element, without Numba's test for a negative index
    frozen(v)                           v, which a store does not merge with the load of v
    store(array, i, v)                  a vector
    store_partial(array, i, n, v)       its first n lanes
    store_past_caches(array, i, v)      non-temporal store, for data that is not read again before it leaves the caches
    prefetch(array, i)                  starts fetching the cache line of one element, without waiting
    fill(array, x, lanes)               x in every lane, in the dtype of array
    scalar_like(array, x)               the number x in the dtype of array
    cast_like(array, v)                 the vector v in the dtype of array
    offset(pointer, i)                  the pointer to element i
    as_pointers(t)                      the named tuple t with pointers in place of its arrays
    transpose_square(...)               transposes a square block as wide as a vector
    transpose_past_caches(...)          the same block, with non-temporal stores

`array` is a C-contiguous array, read through its first element, or a pointer; nothing is checked. Kernels use pointers
throughout: Numba counts references to arrays, with an atomic operation at each use of one.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..jit.cpu_features import IS_X86
from ..jit.intrinsics import emits, nothing
from ..structs import LINE
from .lanes import width_of
from .vector import I32, Vector, as_vector, constant, intrinsic_name, lanes_below, llvm_type


def element_pointer(emit, array, i, kind=None):
    """Return the address of element i of an array or a pointer.

    kind : its Numba type; None for the first argument of the intrinsic
    """
    kind = emit.kinds[0] if kind is None else kind
    is_array = isinstance(kind, types.Array)
    data = emit.context.make_array(kind)(emit.context, emit.builder, array).data if is_array else array
    return emit.builder.gep(data, [i], inbounds=True)


def vector_pointer(emit, array, i, vector):
    """Return the address of element i of the first argument, as that of a vector of this LLVM type."""
    return emit.builder.bitcast(element_pointer(emit, array, i), vector.as_pointer())


def item_bytes(emit):
    """Return the bytes of an element of the first argument."""
    return emit.kinds[0].dtype.bitwidth // 8


def vector_of(array, lanes):
    """Return the Numba type of a vector of elements of `array`, None if the number of lanes is not part of a type."""
    return None if width_of(lanes) is None else Vector(array.dtype, width_of(lanes))


@emits(lambda array, i, lanes: vector_of(array, lanes), prefer_literal=True)
def load(emit, array, i, lanes):
    """Return `lanes` elements of `array` from index i on."""
    return emit.builder.load(vector_pointer(emit, array, i, llvm_type(emit.result)), align=item_bytes(emit))


@emits(lambda v: v)
def frozen(emit, v):
    """Return v, of which LLVM no longer knows from where it was loaded.

    Otherwise LLVM makes a masked store of `store(a, i, where(mask, x, load(a, i, lanes)))`, which takes AMD's
    processors some twenty cycles (bench/log/elementary.md#masked-stores).
    """
    frozen = ir.Instruction(emit.builder.block, v.type, "freeze", [v])
    emit.builder._insert(frozen)  # llvmlite has no method for this instruction
    return frozen


@emits(nothing)
def store(emit, array, i, v):
    """Store v at array[i : i + lanes]."""
    emit.builder.store(v, vector_pointer(emit, array, i, v.type), align=item_bytes(emit))


def store_non_temporal(builder, v, pointer, n_bytes):
    """Store the vector v of n_bytes by a non-temporal store; on processors other than x86, by an ordinary store.

    pointer : start of a cache line, or of a shorter vector within one

    A line that is written completely is not read first.
    """
    written = builder.store(v, pointer, align=min(LINE, n_bytes))
    if IS_X86:
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(I32, 1)]))


@emits(nothing)
def store_past_caches(emit, array, i, v):
    """Store v at array[i : i + lanes] by store_non_temporal."""
    store_non_temporal(emit.builder, v, vector_pointer(emit, array, i, v.type), v.type.count * item_bytes(emit))


@emits(lambda array, i, n, lanes: vector_of(array, lanes), prefer_literal=True)
def load_partial(emit, array, i, n, lanes):
    """Return n elements of `array` from index i on, and zeros in the other lanes; memory past them is not touched."""
    kind = llvm_type(emit.result)
    place, mask = vector_pointer(emit, array, i, kind), lanes_below(emit.builder, n, kind.count)
    name, zero = intrinsic_name("masked.load", emit.result) + ".p0", constant(kind.element, [0.0] * kind.count)
    return emit.call(name, kind, place, ir.Constant(I32, item_bytes(emit)), mask, zero)


@emits(nothing)
def store_partial(emit, array, i, n, v):
    """Store the first n lanes of v at array[i : i + n]."""
    place, mask = vector_pointer(emit, array, i, v.type), lanes_below(emit.builder, n, v.type.count)
    name = intrinsic_name("masked.store", emit.kinds[-1]) + ".p0"
    emit.call(name, ir.VoidType(), v, place, ir.Constant(I32, item_bytes(emit)), mask)


def fetch_line(emit, pointer, cache_level=2):
    """Start fetching the cache line that `pointer` points to into the first-level or second-level cache."""
    place = emit.builder.bitcast(pointer, ir.IntType(8).as_pointer())
    reads, locality, data = (ir.Constant(I32, x) for x in (0, 4 - cache_level, 1))
    emit.call("llvm.prefetch.p0", ir.VoidType(), place, reads, locality, data)


@emits(nothing)
def prefetch(emit, array, i):
    """Start fetching the cache line of array[i] into the second-level cache."""
    fetch_line(emit, element_pointer(emit, array, i))


@emits(lambda array, i: array.dtype)
def load_scalar(emit, array, i):
    """Return array[i] for i >= 0, without Numba's test for a negative index."""
    return emit.builder.load(element_pointer(emit, array, i))


@emits(lambda array, v: Vector(array.dtype, v.lanes))
def cast_like(emit, array, v):
    """Return the vector v in the dtype of `array`."""
    target = llvm_type(emit.result)
    if v.type == target:
        return v
    is_narrower = emit.result.dtype.bitwidth < emit.kinds[1].dtype.bitwidth
    return emit.builder.fptrunc(v, target) if is_narrower else emit.builder.fpext(v, target)


@emits(lambda pointer, i: types.CPointer(pointer.dtype))
def offset(emit, pointer, i):
    """Return the pointer to element i of an array, or i elements after a pointer."""
    return element_pointer(emit, pointer, i)


@emits(lambda array, x: array.dtype)
def scalar_like(emit, array, x):
    """Return the number x in the dtype of `array`."""
    return emit.context.cast(emit.builder, x, emit.kinds[1], emit.result)


def _with_pointers(struct):
    """Return the type of a named tuple with pointers in place of arrays."""
    fields = [types.CPointer(t.dtype) if isinstance(t, types.Array) else t for t in struct]
    return types.NamedTuple(fields, struct.instance_class)


@emits(_with_pointers)
def as_pointers(emit, struct):
    """Return the named tuple with pointers to first elements in place of arrays. The caller keeps the arrays alive."""
    context, builder, (kinds,), result = emit
    values = [
        context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(kinds, cgutils.unpack_tuple(builder, struct), strict=True)
    ]
    return context.make_tuple(builder, result, values)


@emits(lambda array, x, lanes: vector_of(array, lanes), prefer_literal=True)
def fill(emit, array, x, lanes):
    """Return a vector with x in every lane, in the dtype of `array`."""
    return as_vector(emit, emit.result, emit.kinds[1], x)


def make_transpose(past_caches):
    @emits(lambda *kinds: types.none if width_of(kinds[-1]) is not None else None, prefer_literal=True)
    def transpose(emit, a, a0, a_row, out, out0, out_row, lanes):
        """Write out[j, i] = a[i, j] for lanes x lanes elements, in registers.

        a0, out0 : index of the block's first element in `a` and `out`
        a_row, out_row : elements from one row to the next in `a` and `out`
        """
        builder, n, align = emit.builder, width_of(emit.kinds[-1]), item_bytes(emit)
        vector = llvm_type(Vector(emit.kinds[0].dtype, n))

        def row(pointer, start, stride, i, kind):
            index = builder.add(start, builder.mul(stride, ir.Constant(stride.type, i)))
            return builder.bitcast(element_pointer(emit, pointer, index, kind), vector.as_pointer())

        rows = [builder.load(row(a, a0, a_row, i, emit.kinds[0]), align=align) for i in range(n)]
        size = 1
        while size < n:  # swap the off-diagonal blocks of this size in each pair of rows
            lane = lambda j, odd, size=size: (j // size % 2 != 0) * n + (j // size // 2 * 2 + odd) * size + j % size
            low, high = (constant(I32, [lane(j, odd) for j in range(n)]) for odd in (0, 1))
            for i in range(n):
                if not i & size:
                    pair = rows[i], rows[i + size]
                    rows[i], rows[i + size] = builder.shuffle_vector(*pair, low), builder.shuffle_vector(*pair, high)
            size *= 2
        for i in range(n):
            place = row(out, out0, out_row, i, emit.kinds[3])
            if past_caches:
                store_non_temporal(builder, rows[i], place, n * align)
            else:
                builder.store(rows[i], place, align=align)

    return transpose


transpose_square, transpose_past_caches = make_transpose(False), make_transpose(True)
