"""The solver "lbfgs": SciPy's L-BFGS-B drives the objective of a net, all samples at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.jit import interrupts
from ..mlp import MLP

INTERRUPTED = -1  # a status beside SciPy's


def minimize(
    net: MLP, X: np.ndarray, y: np.ndarray, *, sample_weight: Any = None, scale: float = 1.0, max_iter: int = 200,
    max_fun: int = 15000, tol: float = 1e-4, verbose: Any = False,
) -> Any:  # fmt: skip
    """Train net in place until no component of the gradient is above tol, or the objective has ceased to fall.

    Returns SciPy's result. Ctrl-C ends it at the last iterate, and the status is INTERRUPTED.

    scale : factor on the objective, which tol is compared after
    Source: Byrd, Lu, Nocedal, Zhu 1995, as scipy.optimize.minimize has it.

    >>> net = MLP((1, 1), dtype="float64", random_state=0)
    >>> result = minimize(net, np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), tol=1e-8)
    >>> net.params.round(4)
    array([2., 1.])
    """
    from scipy.optimize import OptimizeResult
    from scipy.optimize import minimize as scipy_minimize
    from threadpoolctl import threadpool_limits

    objective = net.objective(X, y, sample_weight=sample_weight)

    def scaled(params: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = objective(params)
        return scale * loss, scale * gradient.astype(np.float64)

    n_done, last = 0, net.params.astype(np.float64)

    def note(intermediate_result: Any) -> None:
        nonlocal n_done, last
        n_done, last = n_done + 1, intermediate_result.x.copy()
        if verbose:
            print(f"Iteration {n_done}, loss = {intermediate_result.fun:.8f}")

    try:
        with threadpool_limits(1, "blas"):  # SciPy's own steps are short: two threads took 11 ms for one's 40 us
            result = scipy_minimize(
                scaled,
                last,
                method="L-BFGS-B",
                jac=True,
                callback=note,
                options={"maxiter": max_iter, "maxfun": max_fun, "gtol": tol},
            )
    except KeyboardInterrupt:
        with interrupts.deferred():
            fun, gradient = scaled(last)
            result = OptimizeResult(
                x=last, fun=fun, jac=gradient, nit=n_done, nfev=n_done, status=INTERRUPTED, success=False,
                message="it was interrupted",
            )  # fmt: skip
    net.params = result.x
    return result
