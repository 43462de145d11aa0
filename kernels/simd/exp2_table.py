"""Table of 2**(j / STEPS) for j = 0 .. STEPS - 1: the more entries, the fewer terms needs the polynomial for the rest.

The table lies in one or two registers, from which one instruction looks up the entries of all lanes.

    half_exp2_in_steps(t)   remainder_in_steps(t)     float32 only

STEPS is 1 on processors without such an instruction; callers must not use these functions then.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from ..jit.cpu_features import FEATURES
from ..jit.intrinsics import emits
from .vector import I32, constant, map_subvectors

# Steps per factor of two: as many float32 as one instruction looks up, in two AVX-512 registers or one AVX2 register.
STEPS = 32 if FEATURES.get("avx512f") else 8 if FEATURES.get("avx2") else 1


_EXACT = 2.0 ** (np.arange(STEPS) / STEPS - 1.0)
_POWERS = _EXACT.astype(np.float32)


@emits(lambda t: t)
def half_exp2_in_steps(emit, t):
    """Return 2**(n / STEPS - 1) for t = 1.5 * 2**23 + n, in float32, for integers n with a normal number as the result.

    The low bits of n select the power in the table. They have been subtracted from the table entry's bits, so that all
    bits of n can be added to the exponent without masking.
    """
    builder, lanes, shift = emit.builder, t.type.count, 23 - (STEPS - 1).bit_length()
    n = builder.bitcast(t, ir.VectorType(I32, lanes))
    table = [int(bits) - (j << shift) for j, bits in enumerate(_POWERS.view(np.int32))]
    bits = builder.add(_chosen(emit, n, table), builder.shl(n, constant(I32, [shift] * lanes)))
    return builder.bitcast(bits, t.type)


@emits(lambda t: t)
def remainder_in_steps(emit, t):
    """Return (exact - rounded) / exact of the table's entry for half_exp2_in_steps(t).

    The caller adds it to the rest of the argument.
    """
    n = emit.builder.bitcast(t, ir.VectorType(I32, t.type.count))
    table = ((_EXACT - _POWERS) / _EXACT).astype(np.float32).view(np.int32)
    return emit.builder.bitcast(_chosen(emit, n, table.tolist()), t.type)


def _chosen(emit, n, table):
    """Return the entries of a table of STEPS numbers, in registers, that the low bits of each lane select."""
    size = 16 if STEPS == 32 else 8
    registers = [constant(I32, table[k : k + size]) for k in range(0, STEPS, size)]
    name, order = ("avx512.vpermi2var.d.512", (0, 2, 1)) if STEPS == 32 else ("avx2.permd", (0, 1))
    choose = lambda part: emit.call(f"llvm.x86.{name}", part.type, *[(*registers, part)[k] for k in order])
    return map_subvectors(emit.builder, n, size, choose)
