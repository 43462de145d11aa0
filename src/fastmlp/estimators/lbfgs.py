"""The solver "lbfgs": SciPy's L-BFGS-B minimises the objective of a net over all samples at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..fit.hooks.time_limit import TimeLimit
from ..mlp import MLP
from ..runtime.ctrl_c import stop_flag

INTERRUPTED, OUT_OF_TIME = -1, -2  # status of a run that Ctrl-C or a time limit has ended: SciPy has none for them


def minimize(estimator: Any, net: MLP, X: np.ndarray, y: np.ndarray, sample_weight: Any, scale: float) -> Any:
    """Train a net in place until no component of the gradient exceeds tol, or until the objective stops decreasing.

    Ctrl-C ends the run after an iteration with the status INTERRUPTED, the time limit before an iteration that would
    exceed it, but for the first, with the status OUT_OF_TIME.

    estimator : has the settings max_iter, max_fun, tol, verbose and time_limit
    X, y : samples (n_samples, n_features) and targets as MLP.objective takes them
    sample_weight : (n_samples,) weights, or None
    scale : factor on the objective; tol applies to the scaled gradient

    Returns
    -------
    scipy.optimize.OptimizeResult

    Source: Byrd, Lu, Nocedal, Zhu 1995, as implemented in scipy.optimize.minimize.
    """
    from scipy.optimize import minimize as scipy_minimize
    from threadpoolctl import threadpool_limits

    limit = None if estimator.time_limit is None else TimeLimit(estimator.time_limit)
    objective = net.objective(X, y, sample_weight=sample_weight)
    n_done, status = 0, None

    def scaled(params: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = objective(params)
        return scale * loss, scale * gradient.astype(np.float64)

    def note(intermediate_result: Any) -> None:
        nonlocal n_done, status
        n_done, net.params = n_done + 1, intermediate_result.x
        if estimator.verbose:
            print(f"Iteration {n_done}, loss = {intermediate_result.fun:.8f}")
        if flag.is_set():
            status = INTERRUPTED
        elif limit is not None and limit.seconds - limit.elapsed() < limit.trained() / n_done:
            status = OUT_OF_TIME  # for another iteration
        if status is not None:
            raise StopIteration

    options = {"maxiter": estimator.max_iter, "maxfun": estimator.max_fun, "gtol": estimator.tol}
    # SciPy's own steps are short: 40 us on one thread, 11 ms on two
    with stop_flag() as flag, threadpool_limits(1, "blas"):
        result = scipy_minimize(
            scaled, net.params.astype(np.float64), method="L-BFGS-B", jac=True, callback=note, options=options
        )
    result.status = result.status if status is None else status
    net.params = result.x
    return result
