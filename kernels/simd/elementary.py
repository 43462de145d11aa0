"""exp, expm1, log, log1p, sigmoid, softplus, tanh, normal_cdf for SIMD vectors, in float32 and float64.

llvmlite has no vector mathematics library, so `math.exp` in a loop is one library call per element. The functions here
use range reduction and a polynomial, without branches or tables in memory. Their error is up to 4 units in the last
place (in float32 sigmoid 3.9, softplus 3.8, tanh 3.2, exp 2.3, log and log1p 2.0, expm1 1.8). The exception is
normal_cdf: for |z| <= 6, up to 20 in float32, where z is near -6, and 140 in float64, where it is near 0.
tests/unit/kernels/simd/test_elementary.py measures the errors. NaN stays NaN. exp is never 0: below the smallest normal
number it returns about 2 * that number. sigmoid is never 0 either: its minimum is the smallest normal number.

Outside kernels the same names work on NumPy arrays, so that formulas can be evaluated and plotted. Coefficients:
bench/studies/polynomial_coefficients.py. Reduction: Muller, Elementary Functions, 3rd edition, chapter 11.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import overload

from ..formulas.numpy_math import exp, expm1, log, log1p, normal_cdf, normal_density, sigmoid, softplus, tanh
from ..jit.compiler import HelperCompiler
from ..jit.cpu_features import FEATURES
from ..jit.decorators import OPTIONS, helper
from ..jit.intrinsics import emits
from .vector import FLAGS, I32, Vector, absolute, constant, half_exp2, map_subvectors, split, where, with_sign

# ---- table of 2**(j / STEPS) for j = 0 .. STEPS - 1, of which one instruction looks up the entries of all lanes: the
# more entries, the fewer terms needs the polynomial for the rest. half_exp2_in_steps and remainder_in_steps are for
# float32, and must not be used where STEPS is 1: the processor has no such instruction.

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


# ---- functions

# exp needs one term fewer than expm1, whose value is small where 1 + r + ... is not. A small net's step waits for each.
EXP_32 = (0.4999923149515553, 0.16667114648959303, 0.04189015683876208, 0.008312520235198514)
EXP_STEPS_32 = {  # by steps per factor of two: exp(r) = 1 + r P(r)
    8: (1.0000000490091288, 0.5000650374393084, 0.16664288945172198), 32: (1.000014700806345, 0.4999999799333596),
}  # fmt: skip
EXPM1_32 = (0.5, 0.16666576989698775, 0.041666554617204574, 0.008363179052722578, 0.0013926183587713494)
EXP_64 = EXPM1_64 = (
    0.5, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717, 0.00019841269863053618,
    2.4801521295954376e-05, 2.7557268459997064e-06, 2.7620088445409746e-07, 2.510038549551032e-08,
)  # fmt: skip
EXPM1_STEPS_32 = {  # exp(r) = 1 + r + r * r * P(r)
    8: (0.4999999979573119, 0.1666796754474492, 0.04167036788189181), 32: (0.5000036789243776, 0.16666764806742426),
}  # fmt: skip
LOG_32 = (0.6666668503957586, 0.3998878056602198, 0.2957994939197279)
LOG_64 = (
    0.666666666666667, 0.39999999999899505, 0.28571428625975487, 0.2222221113479508, 0.18182889125261723,
    0.15331721600556042, 0.14616449685043406,
)  # fmt: skip
LOG1P_32 = (0.6666664033669923, 0.40007560644911205, 0.2823661980531048, 0.2685149802283715)
LOG1P_64 = (
    0.6666666666666666, 0.40000000000014585, 0.2857142856710876, 0.22222222717427864, 0.18181789436132859,
    0.15385570064958623, 0.13314144209654935, 0.12001072809590713, 0.08800738486144674, 0.1616404561194353,
)  # fmt: skip
ERFC_32 = (
    0.282094799652984, 0.2820928672232437, 0.24691356336688802, 0.17494857718320414, 0.09582729356234553,
    -0.06795855540474165, 0.15188570425944525, -0.4824753836065821, 0.5168999955094585, -0.2455802231757174,
    0.04535136959301954,
)  # fmt: skip
ERFC_64 = (
    0.28209479177387803, 0.2820947917740534, 0.2468329427655866, 0.1763092479019669, 0.08374675637997536,
    -0.004404044327730846, -0.05681730052170714, -0.05255641980365497, -0.012401892299927223, 0.1134301507010467,
    -0.3134926873411593, 1.6619893254547062, -6.124806193837197, 17.397747054213205, -40.25062134281152,
    74.0437995907695, -106.21231422410733, 118.17164821749249, -101.76202006757579, 67.37668642058166,
    -33.756378734966134, 12.410398006152338, -3.1648018083714597, 0.5009571264758107, -0.037119706472603875,
)  # fmt: skip


def _for(dtype, for_32, for_64):
    return for_32 if dtype == types.float32 else for_64


def _constant(for_32, for_64):
    """Return an intrinsic: the constant of x's dtype in every lane."""
    value = lambda emit, x: ir.Constant(x.type, [_for(emit.result.dtype, for_32, for_64)] * x.type.count)
    return emits(lambda x: x)(value)


def _polynomial(for_32, for_64, evaluate=None):
    """Return an intrinsic: the polynomial with these coefficients, lowest power first.

    evaluate : _by_horner, the default, or _in_pairs
    """

    @emits(lambda x: x)
    def polynomial(emit, x):
        numbers = _for(emit.result.dtype, for_32, for_64)
        coefficients = [ir.Constant(x.type, [number] * x.type.count) for number in numbers]
        return (evaluate or _by_horner)(emit.builder, coefficients, x)

    return polynomial


def _multiply_and_add(builder, x, y, z):
    return builder.fadd(builder.fmul(x, y, flags=FLAGS), z, flags=FLAGS)


def _by_horner(builder, coefficients, x):
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = _multiply_and_add(builder, value, x, coefficient)
    return value


def _in_pairs(builder, terms, power):
    """Estrin's scheme: it has shorter chains of dependent operations. A small net's step waits for exp."""
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        rest = terms[len(terms) // 2 * 2 :]
        terms = [*(_multiply_and_add(builder, high, power, low) for low, high in pairs), *rest]
        power = builder.fmul(power, power, flags=FLAGS)
    return terms[0]


_exp_step = _polynomial(EXP_STEPS_32.get(STEPS, ()), ())
_expm1_step = _polynomial(EXPM1_STEPS_32.get(STEPS, ()), ())
_exp_tail = _polynomial(EXP_32, EXP_64, _in_pairs)
_expm1_tail = _polynomial(EXPM1_32, EXPM1_64, _in_pairs)
_log_tail = _polynomial(LOG_32, LOG_64)
_log1p_tail = _polynomial(LOG1P_32, LOG1P_64)
_erfc_tail = _polynomial(ERFC_32, ERFC_64)
_lowest = _constant(-86.6, -707.7)  # 2**k * exp(r) with k - 1 still a normal exponent
_highest = _constant(89.0, 710.0)  # overflows to inf
_most = _constant(87.33, 708.39)  # the largest z whose exp has a normal inverse
_shift = _constant(1.5 * 2**23, 1.5 * 2**52)  # adding it rounds to an integer, which is then in the low bits
_log2_high = _constant(0.693359375, 0.693145751953125)  # few bits, so that k * high is exact
_log2_low = _constant(-2.1219444005469057e-4, 1.4286068203094172e-6)
_tanh_limit = _constant(9.02, 19.1)  # tanh rounds to 1


def _compiled(function, implementation, in_single=None):
    """Register the vector implementation of `function`, whose own body is for NumPy arrays.

    in_single : a separate implementation for float32; None for none
    """

    def chosen(*x):
        if not isinstance(x[0], Vector):
            return None
        return in_single if in_single is not None and x[0].dtype == types.float32 else implementation

    overload(function, strict=False, jit_options={**OPTIONS, "pipeline_class": HelperCompiler})(chosen)


@helper
def _within(z):
    """Clip z to the range in which exp can be reduced."""
    z = where(z < _lowest(z), _lowest(z), z)
    return where(z > _highest(z), _highest(z), z)


@helper
def _reduced(z):
    """Return r, t with exp(z) = 2 half_exp2(t) exp(r) and |r| <= log(2) / 2, for z within limits."""
    t = z * 1.4426950408889634 + _shift(z)
    k = t - _shift(z)
    return (z - k * _log2_high(z)) - k * _log2_low(z), t


def _factors(z):
    return np.expm1(z), 0.5


def _vector_factors(z):
    """Return q, s with exp(z) = 2 s (1 + q), for z within limits."""
    r, t = _reduced(z)
    return r + r * r * _exp_tail(r), half_exp2(t)


def _vector_factors_by_steps(z):
    """Return q, s as _vector_factors does, from a table of powers of two: finer steps, fewer terms."""
    t = z * (STEPS * 1.4426950408889634) + _shift(z)
    n = t - _shift(z)
    r = (z - n * (_log2_high(z) * (1.0 / STEPS))) - n * (_log2_low(z) * (1.0 / STEPS))
    return r * _exp_step(r), half_exp2_in_steps(t)


def _vector_exp(z):
    q, s = _factors(_within(z))
    return (s * q + s) * 2.0


def _vector_expm1(z):
    r, t = _reduced(_within(z))
    q, s = r + r * r * _expm1_tail(r), half_exp2(t)
    return (s * q + (s - 0.5)) * 2.0


def _vector_log(x):
    m, k = split(x)
    f = m - 1.0
    s = f / (2.0 + f)
    value = k * _log2_high(x) + ((2.0 * s + s * s * s * _log_tail(s * s)) + k * _log2_low(x))
    return where(x > 0.0, value, x)  # NaN has no meaningful exponent


def _vector_log1p(t):
    s = t / (2.0 + t)
    return 2.0 * s + s * s * s * _log1p_tail(s * s)


@helper
def _complement(x):
    """Return sigmoid(-x). A separate function: if LLVM sees the minus, it makes no min and max of the limits."""
    x = where(x < _lowest(x), _lowest(x), x)
    q, s = _factors(where(x > _most(x), _most(x), x))
    return 0.5 / (s * q + (s + 0.5))  # 1 / (1 + exp(x)), in an order in which the last steps are independent


def _vector_sigmoid(z):
    return _complement(-z)


def _vector_tanh(z):
    limit = _tanh_limit(z)
    z = where(z > limit, limit, z)
    r, t = _reduced(2.0 * where(z < -limit, -limit, z))
    q, s = r + r * r * _expm1_tail(r), half_exp2(t)
    return (s * q + (s - 0.5)) / (s * q + (s + 0.5))  # e / (e + 2) for e = expm1(2z)


def _vector_tanh_by_steps(z):
    """Return tanh(z), computed for |z|, so that nothing nearly cancels.

    One constant stands for log(2) instead of two parts: |z| is small enough for that.
    """
    x = absolute(z)
    x = where(x > _tanh_limit(z), _tanh_limit(z), x)
    x = x + x
    t = x * (STEPS * 1.4426950408889634) + _shift(z)
    r = x - (t - _shift(z)) * (0.6931471805599453 / STEPS)
    q, s = r * r * _expm1_step(r) + (r + remainder_in_steps(t)), half_exp2_in_steps(t)
    half = s * q + (s - 0.5)
    return with_sign(half / (half + 1.0), z)


def _vector_softplus(z):
    return where(z < 0.0, 0.0, z) + log1p(exp(-absolute(z)))


def _vector_normal_density(z):
    return exp(-0.5 * z * z) * 0.3989422804014327


def _vector_normal_cdf(z):
    x = absolute(z) * 0.7071067811865476
    t = 2.0 / (2.0 + x)
    tail = 0.5 * exp(-0.5 * z * z) * t * _erfc_tail(t)
    return where(z < 0.0, tail, 1.0 - tail)


for _function, _implementation in (
    (exp, _vector_exp), (expm1, _vector_expm1), (sigmoid, _vector_sigmoid), (log, _vector_log), (log1p, _vector_log1p),
    (softplus, _vector_softplus), (normal_density, _vector_normal_density), (normal_cdf, _vector_normal_cdf),
):  # fmt: skip
    _compiled(_function, _implementation)
_compiled(_factors, _vector_factors, _vector_factors_by_steps if STEPS > 1 else None)
_compiled(tanh, _vector_tanh, _vector_tanh_by_steps if STEPS > 1 else None)
