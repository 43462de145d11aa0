"""Elementary functions of SIMD vectors: errors in units in the last place (ulp) are at most the documented ones.

Vectors are 16 float32 and 4 float64: wider and narrower than a register.

float32 is measured against float64 (NumPy, SciPy), float64 against NumPy's long double and, for normal_cdf, against its
series and continued fraction, summed here in long double.
"""

import re
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy import special

from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd import elementary
from fastmlp.kernels.simd.elementary import exp, expm1, log, log1p, normal_cdf, sigmoid, softplus, tanh
from fastmlp.kernels.simd.load_store import load, store

NAMES = ("exp", "expm1", "log", "log1p", "sigmoid", "softplus", "tanh", "normal_cdf")
VECTORS = pytest.mark.parametrize("dtype", (np.float32, np.float64), ids=["16 float32", "4 float64"])
LANES = {np.float32: 16, np.float64: 4}
# Of normal_cdf, in units of relative rounding, after what its exponent has rounded. In float64 it sums a polynomial of
# 25 terms, with coefficients up to 118 that nearly cancel where z is near 0.
NORMAL_CDF_ERRORS = {np.float32: 4, np.float64: 70}
NORMAL_CDF_RANGE = 6.0  # up to which the errors of normal_cdf are documented
WIDE_LIMIT = {np.float32: 86.0, np.float64: 707.0}  # exp is exact to the last places from -limit to +limit


@cache
def driver(lanes):
    @numba.njit(**OPTIONS)
    def run(x, out):
        n = x.size
        for i in range(0, n, lanes):
            v = load(x, i, lanes)
            store(out, i, exp(v))
            store(out, n + i, expm1(v))
            store(out, 2 * n + i, log(v))
            store(out, 3 * n + i, log1p(v))
            store(out, 4 * n + i, sigmoid(v))
            store(out, 5 * n + i, softplus(v))
            store(out, 6 * n + i, tanh(v))
            store(out, 7 * n + i, normal_cdf(v))

    return run


def compiled(name, x):
    """name(x) as kernels compute it; x of any length."""
    lanes = LANES[x.dtype.type]
    padded = np.concatenate([x, np.ones(-len(x) % lanes, x.dtype)])
    out = np.empty((len(NAMES), len(padded)), x.dtype)
    driver(lanes)(padded, out.reshape(-1))
    return out[NAMES.index(name), : len(x)]


def normal_cdf_long(z):
    """Abramowitz and Stegun 26.2.10 (series, where |z| < 3) and 26.2.14 (continued fraction)."""
    z = z.astype(np.longdouble)
    x = np.abs(z)
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.longdouble(np.pi) + 2 * np.longdouble(1.2246467991473532e-16))
    term, series = x.copy(), x.copy()
    for k in range(1, 100):
        term = term * np.minimum(x, 3) ** 2 / (2 * k + 1)
        series = series + term
    fraction = np.maximum(x, 3)
    for k in range(200, 0, -1):
        fraction = np.maximum(x, 3) + k / fraction
    below = np.where(x < 3, 0.5 - density * series, density / fraction)
    return np.where(z < 0, below, 1 - below)


def exact(name, x):
    """name(x) in a longer format than x's."""
    x = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
    if x.dtype == np.float64 and name in ("sigmoid", "normal_cdf"):
        return (special.expit if name == "sigmoid" else special.ndtr)(x)
    with np.errstate(over="ignore"):
        return {
            "exp": np.exp,
            "expm1": np.expm1,
            "log": np.log,
            "log1p": np.log1p,
            "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
            "softplus": lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
            "tanh": np.tanh,
            "normal_cdf": normal_cdf_long,
        }[name](x)


def arguments(name, dtype):
    """Dense in value, and dense in exponent down to the smallest normal numbers, over the function's whole range."""
    n = 200_000 if dtype == np.float32 else 30_000  # float64 is compared with long double, which is slow
    limit = WIDE_LIMIT[dtype]
    tiny = np.log10(np.finfo(dtype).tiny) + 0.3
    powers = 10.0 ** np.linspace(tiny, np.log10(limit), 8000)
    if name == "log":
        return 10.0 ** np.linspace(tiny, -tiny, n).astype(dtype)
    if name == "log1p":
        return np.concatenate([np.linspace(0, 1, n), powers[powers <= 1]]).astype(dtype)
    if name == "normal_cdf":
        limit = 12.0 if dtype == np.float32 else 37.0
        powers = powers[powers <= limit]
    return np.concatenate([np.linspace(-limit, limit, n), powers, -powers]).astype(dtype)


def ulps(value, true, dtype):
    """Distance in units in the last place of the true value, or of the smallest normal number if that is larger."""
    _, exponent = np.frexp(np.maximum(np.abs(true), np.finfo(dtype).tiny))
    return np.abs(value - true) / np.ldexp(float(np.finfo(dtype).eps), exponent - 1)


def documented_errors(dtype):
    """Return {name: largest error} by the docstring of the module and docs/explanation/performance.md, in ulp."""
    text = " ".join(elementary.__doc__.split())
    stated = re.search(r"error is up to (\d+) units in the last place \(in float32 (.*?)\)", text)
    in_general, in_single = stated.groups()
    found = dict.fromkeys(NAMES, float(in_general))
    for names, figure in [part.rsplit(" ", 1) for part in in_single.split(", ")]:
        assert {*names.split(" and ")} <= {*NAMES}
        if dtype == np.float32:
            found |= dict.fromkeys(names.split(" and "), float(figure))
    of_normal_cdf = re.search(r"<= 6, up to (\d+) in float32, .*? and (\d+) in float64", text).groups()
    found["normal_cdf"] = float(of_normal_cdf[dtype == np.float64])
    page = Path(__file__).parents[4] / "docs" / "explanation" / "performance.md"
    sentence = "errors of up to two (log), three (exp) or four (tanh) units in the last place"
    assert sentence in " ".join(page.read_text(encoding="utf-8").split())
    return found | {name: min(found[name], figure) for name, figure in (("log", 2.0), ("exp", 3.0), ("tanh", 4.0))}


@VECTORS
def test_errors_are_at_most_the_documented_ones(dtype):
    found, documented = {}, documented_errors(dtype)
    for name in NAMES:
        x = arguments(name, dtype)
        if name == "normal_cdf":
            x = x[np.abs(x) <= NORMAL_CDF_RANGE]
        if name == "sigmoid":
            x = x[x >= -WIDE_LIMIT[dtype]]  # below, exp(-z) overflows before sigmoid(z) is below the smallest number
        found[name] = float(ulps(compiled(name, x), exact(name, x), dtype).max())
    assert {name: error for name, error in found.items() if error > documented[name]} == {}


@VECTORS
def test_normal_cdf_far_below_zero_is_as_exact_as_its_exponent(dtype):
    """exp(-z*z/2) magnifies the rounding of its argument, half a unit, by z*z/2."""
    x = arguments("normal_cdf", dtype)
    true = exact("normal_cdf", x)
    error = np.abs(compiled("normal_cdf", x) - true) / (np.finfo(dtype).eps * true)
    assert (error - np.minimum(x, 0.0) ** 2 / 4).max() <= NORMAL_CDF_ERRORS[dtype]


def test_functions_accept_numpy_arrays():
    """Outside kernels, the functions work on NumPy arrays."""
    for name in NAMES:
        x = arguments(name, np.float64)
        np.testing.assert_allclose(getattr(elementary, name)(x), exact(name, x).astype(float), rtol=1e-12, atol=1e-16)


LIMITS = {  # at -inf, -1e4, -50, -0, 0, 50, 1e4, inf
    "exp": (0, 0, np.exp(-50), 1, 1, np.exp(50), np.inf, np.inf),
    "expm1": (-1, -1, -1, -0.0, 0, np.exp(50), np.inf, np.inf),
    "sigmoid": (0, 0, np.exp(-50), 0.5, 0.5, 1, 1, 1),
    "softplus": (0, 0, np.exp(-50), np.log(2), np.log(2), 50, 1e4, np.inf),
    "tanh": (-1, -1, -1, -0.0, 0, 1, 1, 1),
    "normal_cdf": (0, 0, special.ndtr(-50), 0.5, 0.5, 1, 1, 1),
}


@VECTORS
def test_values_at_infinities_zeros_and_nan(dtype):
    """exp is never 0, as divisions by sums of exp and logarithms of such sums need."""
    x, real = np.array([-np.inf, -1e4, -50, -0.0, 0.0, 50, 1e4, np.inf], dtype), np.finfo(dtype)
    for name, limits in LIMITS.items():  # exp never falls below 2 to 3 times the smallest normal number
        np.testing.assert_allclose(compiled(name, x), limits, rtol=4 * real.eps, atol=3 * real.tiny, err_msg=name)
    for name in NAMES:
        found = compiled(name, np.array([1.0, np.nan, 0.5, -np.nan], dtype))
        assert np.isnan(found).tolist() == [False, True, False, True], name
    assert (compiled("exp", np.array([-90, -104, -745, -800, -1e30, -np.inf], dtype)) >= real.tiny).all()
    assert (compiled("exp", np.array([89.5, 711, 1e30], dtype))[-2:] == np.inf).all()
