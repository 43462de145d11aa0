"""C functions of generated code: a flat argument list, called from Python through ctypes and from a kernel."""

import ctypes
from typing import NamedTuple

import numpy as np
import pytest
from numba import types

from fastmlp.kernels.cpu.unrolled import c_function
from fastmlp.kernels.cpu.unrolled.c_function import Count, Doubles, Integers, Number, Numbers
from fastmlp.kernels.jit.call import _load, call
from fastmlp.kernels.jit.compiler import machine_code_of_c
from fastmlp.kernels.jit.decorators import kernel
from fastmlp.kernels.simd.load_store import offset, scalar_like


class Arguments(NamedTuple):
    x: Numbers
    i: Count
    factor: Number
    sums: Doubles
    counts: Integers


def emit(context, builder, dtype, arguments):
    """sums[0] = factor, counts[0] = i, x[i] = factor * x[i]; the result is i."""
    place = builder.gep(arguments.x, [arguments.i])
    builder.store(builder.fmul(arguments.factor, builder.load(place)), place)
    builder.store(context.cast(builder, arguments.factor, dtype, types.float64), arguments.sums)
    builder.store(arguments.i, arguments.counts)
    return arguments.i


call_c = c_function.make_call(Arguments, types.intp)


@kernel
def call_by_address(address, x, i, factor, sums, counts, found):
    arguments = Arguments(
        x=offset(x, 0), i=i, factor=scalar_like(x, factor), sums=offset(sums, 0), counts=offset(counts, 0)
    )
    found[0] = call_c(address, arguments)


@pytest.mark.parametrize("dtype, number", [("float32", ctypes.c_float), ("float64", ctypes.c_double)])
def test_fields_are_arguments(dtype, number):
    function = c_function.make_function(types.intp, emit)
    address = _load(machine_code_of_c(function, *c_function.signature(Arguments, types.intp, np.dtype(dtype)))).address
    x, sums, counts, found = np.arange(4, dtype=dtype), np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.int64)
    pointer, count = ctypes.c_void_p, ctypes.c_ssize_t
    kind = ctypes.CFUNCTYPE(count, pointer, count, number, pointer, pointer)
    assert kind(address)(x.ctypes.data, 2, 0.5, sums.ctypes.data, counts.ctypes.data) == 2
    assert [*x, *sums, *counts] == [0, 1, 1, 3, 0.5, 2]
    call(call_by_address, np.dtype(dtype), address, x, 3, 2.0, sums, counts, found)
    assert [*x, *sums, *counts, *found] == [0, 1, 1, 6, 2, 3, 3]
