"""Polynomial coefficients of kernels/simd/elementary.py.

Chebyshev interpolation in 60-digit arithmetic, within a factor of two of the minimax error. EXP_32 and SIN_32, which
have no term to spare, and the tables by steps (EXP_STEPS_32, EXPM1_STEPS_32) are minimax polynomials. All are rounded
to double.
Run: python bench/studies/polynomial_coefficients.py     (needs mpmath; prints the tables and their errors)
"""

import argparse

import mpmath as mp

mp.mp.dps = 60


def fit(function, low, high, degree, relative_to):
    """Power-basis coefficients, lowest first, of the Chebyshev interpolant of `function` on [low, high]."""
    return mp.chebyfit(function, [low, high], degree + 1)[::-1]


def minimax(function, low, high, degree, relative_to):
    """Power-basis coefficients of the minimax polynomial, by the Remez exchange algorithm.

    relative_to : weight of the error, as a function of x
    """
    n, grid = degree + 2, [mp.mpf(low) + (mp.mpf(high) - low) * k / 4000 for k in range(4001)]
    points = [(mp.mpf(low) + high) / 2 - (mp.mpf(high) - low) / 2 * mp.cos(mp.pi * k / (n - 1)) for k in range(n)]
    for _ in range(12):
        system = mp.matrix([[*(x**k for k in range(n - 1)), (-1) ** i / relative_to(x)] for i, x in enumerate(points)])
        c = list(mp.lu_solve(system, mp.matrix([function(x) for x in points])))[:-1]
        errors = [relative_to(x) * (mp.polyval(c[::-1], x) - function(x)) for x in grid]
        extrema = [max(group, key=lambda k: abs(errors[k])) for group in _sign_runs(errors)]
        if len(extrema) < n:
            break
        points = [grid[k] for k in extrema[:n]]
    return c


def _sign_runs(values):
    """Indices of the values, grouped into runs of one sign."""
    groups = [[0]]
    for k in range(1, len(values)):
        if (values[k] > 0) == (values[k - 1] > 0):
            groups[-1].append(k)
        else:
            groups.append([k])
    return groups


def show(name, function, low, high, degree, relative_to, method=fit):
    c = method(function, low, high, degree, relative_to)
    grid = [mp.mpf(low) + (mp.mpf(high) - low) * k / 2000 for k in range(2001)]
    worst = max(abs((mp.polyval(c[::-1], v) - function(v)) * relative_to(v)) for v in grid if v)
    print(f"{name} = ({', '.join(repr(float(v)) for v in c)})  # {mp.nstr(worst, 2)}")


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    edge = mp.log(2) / 2 * mp.mpf("1.0001")
    # exp(r) = 1 + r + r**2 P(r)
    p = lambda r: (mp.exp(r) - 1 - r) / r**2 if abs(r) > mp.mpf("1e-20") else mp.mpf("0.5")
    show("EXP_32", p, -edge, edge, 3, lambda r: (r**2 + mp.mpf("1e-12")) / mp.exp(r), minimax)
    for steps, degree in ((32, 1), (8, 2)):
        half_step = mp.log(2) / 2 / steps * mp.mpf("1.002")
        exp_quotient = lambda r: mp.expm1(r) / r if r else mp.mpf(1)  # exp(r) = 1 + r P(r)
        show(
            f"EXP_STEPS_32[{steps}]",
            exp_quotient,
            -half_step,
            half_step,
            degree,
            lambda r: (abs(r) + mp.mpf("1e-12")) / mp.exp(r),
            minimax,
        )
        show(f"EXPM1_STEPS_32[{steps}]", p, -half_step, half_step, degree, lambda r: abs(r) + mp.mpf("1e-12"), minimax)
    show("EXPM1_32", p, -edge, edge, 4, lambda r: r**2)
    show("EXP_64", p, -edge, edge, 9, lambda r: r**2)
    # log(m) = 2 atanh(s) = 2 s + s**3 R(s**2), s = (m - 1) / (m + 1)
    r = lambda u: 2 * (mp.atanh(mp.sqrt(u)) / mp.sqrt(u) - 1) / u if u > mp.mpf("1e-20") else mp.mpf(2) / 3
    narrow, wide = (3 - 2 * mp.sqrt(2)) ** 2, mp.mpf(1) / 9
    show("LOG_32", r, 0, narrow, 2, lambda u: u / 2)
    show("LOG_64", r, 0, narrow, 6, lambda u: u / 2)
    show("LOG1P_32", r, 0, wide, 3, lambda u: u / 2)
    show("LOG1P_64", r, 0, wide, 9, lambda u: u / 2)

    # erfc(x) = exp(-x**2) t Q(t), t = 2 / (2 + x), x >= 0
    def q(t):
        x = 2 / t - 2
        return (
            mp.exp(x * x) * mp.erfc(x) / t
            if x < 60
            else mp.hyp2f0(1, mp.mpf("0.5"), -1 / (x * x)) / (x * mp.sqrt(mp.pi) * t)
        )

    show("ERFC_32", q, mp.mpf("1e-6"), 1, 10, lambda t: 1)
    show("ERFC_64", q, mp.mpf("1e-6"), 1, 24, lambda t: 1)


if __name__ == "__main__":
    main()
