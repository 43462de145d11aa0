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
    broadcast(array, x)                 the number x in the dtype of array
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
from numba.extending import intrinsic

from ..jit.cpu_features import IS_X86
from ..structs import LINE
from .lanes import width_of
from .vector import I32, Vector, as_vector, constant, intrinsic_name, lanes_below, llvm_type


def element_pointer(context, builder, array_type, array, i):
    """Return the address of element i of an array or a pointer."""
    is_array = isinstance(array_type, types.Array)
    data = context.make_array(array_type)(context, builder, array).data if is_array else array
    return builder.gep(data, [i], inbounds=True)


@intrinsic(prefer_literal=True)
def load(typing_context, array, i, lanes):
    """Return `lanes` elements of `array` from index i on."""
    if width_of(lanes) is None:
        return None
    vector = Vector(array.dtype, width_of(lanes))

    def build(context, builder, sig, args):
        p = element_pointer(context, builder, array, args[0], args[1])
        p = builder.bitcast(p, llvm_type(vector).as_pointer())
        return builder.load(p, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp, lanes), build


@intrinsic
def frozen(typing_context, v):
    """Return v, of which LLVM no longer knows from where it was loaded.

    Otherwise LLVM makes a masked store of `store(a, i, where(mask, x, load(a, i, lanes)))`, which takes AMD's
    processors some twenty cycles (bench/log/elementary.md#masked-stores).
    """

    def build(context, builder, sig, args):
        frozen = ir.Instruction(builder.block, args[0].type, "freeze", [args[0]])
        builder._insert(frozen)  # llvmlite has no method for this instruction
        return frozen

    return v(v), build


@intrinsic
def store(typing_context, array, i, v):
    """Store v at array[i : i + lanes]."""

    def build(context, builder, sig, args):
        p = element_pointer(context, builder, array, args[0], args[1])
        p = builder.bitcast(p, llvm_type(v).as_pointer())
        builder.store(args[2], p, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, v), build


def store_non_temporal(builder, v, pointer, n_bytes):
    """Store the vector v of n_bytes by a non-temporal store; on processors other than x86, by an ordinary store.

    pointer : start of a cache line, or of a shorter vector within one

    A line that is written completely is not read first.
    """
    written = builder.store(v, pointer, align=min(LINE, n_bytes))
    if IS_X86:
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(I32, 1)]))


@intrinsic
def store_past_caches(typing_context, array, i, v):
    """Store v at array[i : i + lanes] by store_non_temporal."""

    def build(context, builder, sig, args):
        p = builder.bitcast(element_pointer(context, builder, array, args[0], args[1]), llvm_type(v).as_pointer())
        store_non_temporal(builder, args[2], p, v.lanes * array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, v), build


@intrinsic(prefer_literal=True)
def load_partial(typing_context, array, i, n, lanes):
    """Return n elements of `array` from index i on, and zeros in the other lanes; memory past them is not touched."""
    if width_of(lanes) is None:
        return None
    vector = Vector(array.dtype, width_of(lanes))

    def build(context, builder, sig, args):
        t = llvm_type(vector)
        p = builder.bitcast(element_pointer(context, builder, array, args[0], args[1]), t.as_pointer())
        mask = lanes_below(context, builder, args[2], vector.lanes)
        function_type = ir.FunctionType(t, [p.type, I32, mask.type, t])
        name = intrinsic_name("masked.load", vector) + ".p0"
        f = cgutils.get_or_insert_function(builder.module, function_type, name)
        zero = constant(t.element, [0.0] * vector.lanes)
        return builder.call(f, [p, ir.Constant(I32, array.dtype.bitwidth // 8), mask, zero])

    return vector(array, types.intp, types.intp, lanes), build


@intrinsic
def store_partial(typing_context, array, i, n, v):
    """Store the first n lanes of v at array[i : i + n]."""

    def build(context, builder, sig, args):
        t = llvm_type(v)
        p = builder.bitcast(element_pointer(context, builder, array, args[0], args[1]), t.as_pointer())
        mask = lanes_below(context, builder, args[2], v.lanes)
        function_type = ir.FunctionType(ir.VoidType(), [t, p.type, I32, mask.type])
        name = intrinsic_name("masked.store", v) + ".p0"
        f = cgutils.get_or_insert_function(builder.module, function_type, name)
        builder.call(f, [args[3], p, ir.Constant(I32, array.dtype.bitwidth // 8), mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, v), build


def fetch_line(builder, pointer, cache_level=2):
    """Start fetching the cache line that `pointer` points to into the first-level or second-level cache."""
    place = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [place.type, I32, I32, I32])
    f = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    reads, locality, data = (ir.Constant(I32, x) for x in (0, 4 - cache_level, 1))
    builder.call(f, [place, reads, locality, data])


@intrinsic
def prefetch(typing_context, array, i):
    """Start fetching the cache line of array[i] into the second-level cache."""

    def build(context, builder, sig, args):
        fetch_line(builder, element_pointer(context, builder, array, args[0], args[1]))
        return context.get_dummy_value()

    return types.void(array, types.intp), build


@intrinsic
def load_scalar(typing_context, array, i):
    """Return array[i] for i >= 0, without Numba's test for a negative index."""

    def build(context, builder, sig, args):
        return builder.load(element_pointer(context, builder, array, args[0], args[1]))

    return array.dtype(array, types.intp), build


@intrinsic
def cast_like(typing_context, array, v):
    """Return the vector v in the dtype of `array`."""
    vector = Vector(array.dtype, v.lanes)

    def build(context, builder, sig, args):
        source, target = llvm_type(v), llvm_type(vector)
        if source == target:
            return args[1]
        narrower = vector.dtype.bitwidth < v.dtype.bitwidth
        return builder.fptrunc(args[1], target) if narrower else builder.fpext(args[1], target)

    return vector(array, v), build


@intrinsic
def offset(typing_context, pointer, i):
    """Return the pointer to element i of an array, or i elements after a pointer."""

    def build(context, builder, sig, args):
        return element_pointer(context, builder, pointer, args[0], args[1])

    return types.CPointer(pointer.dtype)(pointer, types.intp), build


@intrinsic
def scalar_like(typing_context, array, x):
    """Return the number x in the dtype of `array`."""

    def build(context, builder, sig, args):
        return context.cast(builder, args[1], x, array.dtype)

    return array.dtype(array, x), build


@intrinsic
def as_pointers(typing_context, named_tuple):
    """Return the named tuple with pointers to first elements in place of arrays. The caller keeps the arrays alive."""
    fields = [types.CPointer(t.dtype) if isinstance(t, types.Array) else t for t in named_tuple]
    result = types.NamedTuple(fields, named_tuple.instance_class)

    def build(context, builder, sig, args):
        values = cgutils.unpack_tuple(builder, args[0], len(fields))
        values = [
            context.make_array(t)(context, builder, v).data if isinstance(t, types.Array) else v
            for t, v in zip(named_tuple, values, strict=True)
        ]
        return context.make_tuple(builder, result, values)

    return result(named_tuple), build


@intrinsic(prefer_literal=True)
def fill(typing_context, array, x, lanes):
    """Return a vector with x in every lane, in the dtype of `array`."""
    if width_of(lanes) is None:
        return None
    vector = Vector(array.dtype, width_of(lanes))

    def build(context, builder, sig, args):
        return as_vector(context, builder, vector, x, args[1])

    return vector(array, x, lanes), build


def make_transpose(past_caches):
    @intrinsic(prefer_literal=True)
    def transpose(typing_context, a, a0, a_row, out, out0, out_row, lanes):
        """Write out[j, i] = a[i, j] for lanes x lanes elements, in registers.

        a0, out0 : index of the block's first element in `a` and `out`
        a_row, out_row : elements from one row to the next in `a` and `out`
        """
        if width_of(lanes) is None:
            return None
        n = types.intp
        kind, lanes = lanes, width_of(lanes)
        align = a.dtype.bitwidth // 8

        def build(context, builder, sig, args):
            a, a0, a_row, out, out0, out_row, _ = args
            number = ir.FloatType() if sig.args[0].dtype == types.float32 else ir.DoubleType()
            vector = ir.VectorType(number, lanes)

            def row(where, pointer, start, stride, i):
                index = builder.add(start, builder.mul(stride, ir.Constant(stride.type, i)))
                return builder.bitcast(element_pointer(context, builder, where, pointer, index), vector.as_pointer())

            rows = [builder.load(row(sig.args[0], a, a0, a_row, i), align=align) for i in range(lanes)]
            size = 1
            while size < lanes:  # swap the off-diagonal blocks of this size in each pair of rows
                patterns = []
                for odd in (0, 1):
                    picks = [
                        (j // size % 2 != 0) * lanes + (j // size // 2 * 2 + odd) * size + j % size
                        for j in range(lanes)
                    ]
                    patterns.append(ir.Constant(ir.VectorType(I32, lanes), picks))
                for i in range(lanes):
                    if not i & size:
                        first, second = rows[i], rows[i + size]
                        rows[i] = builder.shuffle_vector(first, second, patterns[0])
                        rows[i + size] = builder.shuffle_vector(first, second, patterns[1])
                size *= 2
            for i in range(lanes):
                place = row(sig.args[3], out, out0, out_row, i)
                if past_caches:
                    store_non_temporal(builder, rows[i], place, lanes * align)
                else:
                    builder.store(rows[i], place, align=align)
            return context.get_dummy_value()

        return types.void(a, n, n, out, n, n, kind), build

    return transpose


transpose_square, transpose_past_caches = make_transpose(False), make_transpose(True)
