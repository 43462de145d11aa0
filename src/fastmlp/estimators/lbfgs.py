"""The solver "lbfgs": SciPy's L-BFGS-B minimises the objective of a net over all samples at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..fit.hooks.time_limit import TimeLimit
from ..kernels.system import interrupts
from ..mlp import MLP

INTERRUPTED, OUT_OF_TIME = -1, -2  # status of a run that Ctrl-C or a time limit has ended: SciPy has none for them


def minimize(
    net: MLP,
    X: np.ndarray,
    y: np.ndarray,
    *,
    sample_weight: Any = None,
    scale: float = 1.0,
    max_iter: int = 200,
    max_fun: int = 15000,
    tol: float = 1e-4,
    verbose: Any = False,
    time_limit: float | None = None,
) -> Any:
    """Train a net in place until no component of the gradient exceeds tol, or until the objective stops decreasing.

    Ctrl-C ends the run with the last iterate and the status INTERRUPTED, the time limit with the status OUT_OF_TIME.

    X, y : samples (n_samples, n_features) and targets as MLP.objective takes them
    sample_weight : (n_samples,) weights, or None
    scale : factor on the objective; tol applies to the scaled gradient
    max_iter : largest number of iterations
    max_fun : largest number of evaluations of the objective
    verbose : whether to print the loss after each iteration
    time_limit : seconds or None; the run ends before an iteration that would exceed them, but for the first

    Returns
    -------
    scipy.optimize.OptimizeResult

    Source: Byrd, Lu, Nocedal, Zhu 1995, as implemented in scipy.optimize.minimize.

    >>> net = MLP((1, 1), dtype="float64", random_state=0)
    >>> result = minimize(net, np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), tol=1e-8)
    >>> net.params.round(4)
    array([2., 1.])
    """
    from scipy.optimize import OptimizeResult
    from scipy.optimize import minimize as scipy_minimize
    from threadpoolctl import threadpool_limits

    limit = None if time_limit is None else TimeLimit(time_limit)
    objective = net.objective(X, y, sample_weight=sample_weight)

    def scaled(params: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = objective(params)
        return scale * loss, scale * gradient.astype(np.float64)

    n_done, last, out_of_time = 0, net.params.astype(np.float64), False

    def note(intermediate_result: Any) -> None:
        nonlocal n_done, last, out_of_time
        n_done, last = n_done + 1, intermediate_result.x.copy()
        if verbose:
            print(f"Iteration {n_done}, loss = {intermediate_result.fun:.8f}")
        if limit is not None and limit.seconds - limit.elapsed() < limit.trained() / n_done:
            out_of_time = True  # for another iteration
            raise StopIteration

    try:
        with threadpool_limits(1, "blas"):  # SciPy's own steps are short: 40 us on one thread, 11 ms on two
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
                x=last, fun=fun, jac=gradient, nit=n_done, nfev=n_done, status=INTERRUPTED, success=False
            )
    if out_of_time:
        result.status = OUT_OF_TIME
    net.params = result.x
    return result
