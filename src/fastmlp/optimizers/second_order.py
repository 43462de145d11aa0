"""Optimisers whose steps use second derivatives of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import checked_setting
from ..interface.docstrings import with_entries_of
from .base import Optimizer


def _refuse_unused(optimizer: Optimizer) -> None:
    """Raise ValueError if an optimiser has settings that steps which the loss decides on have no use for."""
    for name in ("weight_decay", "clip_norm", "learning_rate_factors"):
        given = getattr(optimizer, name)
        if given is not None and (not isinstance(given, (int, float)) or given != 0.0):
            raise ValueError(
                f"{type(optimizer).__name__} has no use for {name}: the loss decides on its steps. Leave {name} out; "
                "the setting l2 of the net is a penalty that it minimises."
            )


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class LevenbergMarquardt(Optimizer):
    """Levenberg-Marquardt: damped Gauss-Newton steps, for nets of up to some 3,000 parameters. For full batches.

    Near a minimum with a small error few steps suffice, where first-order rules take thousands. A step takes the time
    of n_params / 4 or more gradients. The loss must have a second derivative above 0: squared_error,
    binary_cross_entropy, softmax_cross_entropy or poisson.

    Parameters
    ----------
    learning_rate : float, default 1.0
        Factor on the steps, above 0.
    damping : float, default 1e-3
        Initial damping, above 0; each net adapts its own. A larger one begins with shorter steps.

    Notes
    -----
    With the gradient g and the Gauss-Newton matrix H of the mean loss, L2 penalty included::

        (H + damping I) step = g
        if the loss of params - step is lower:
            params = params - step
            damping = damping * max(1 / 3, 1 - (2 ratio - 1)**3)
        otherwise:
            damping = damping * 2, 4, 8, ... at each further step that is not made

    where step is multiplied by the learning rate and the factor of the schedule, and ratio is the fall of the loss,
    divided by the fall that the quadratic model expects. weight_decay, clip_norm and learning_rate_factors are refused.

    Nets that are trained one by one are computed in float64, with the threads of BLAS, which FASTMLP_NUM_THREADS does
    not set; float64 nets reach lower losses. Steps are for the CPU alone.

    References
    ----------
    Marquardt 1963, "An algorithm for least-squares estimation of nonlinear parameters". Hagan and Menhaj 1994,
    "Training feedforward networks with the Marquardt algorithm". Nielsen 1999, "Damping parameter in Marquardt's
    method".

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 3, 1), hidden_activation="tanh", random_state=0)
    >>> history = net.fit(X, y, epochs=50, optimizer=fastmlp.LevenbergMarquardt())
    >>> bool(history.loss[-1] < 1e-6)
    True
    """

    learning_rate: float = 1.0
    damping: float = 1e-3

    def __post_init__(self):
        super().__post_init__()
        checked_setting("damping", self.damping, 0.0, open_low=True)
        _refuse_unused(self)


@with_entries_of(Optimizer)
@dataclass(frozen=True, repr=False)
class LBFGS(Optimizer):
    """L-BFGS: quasi-Newton steps with a line search. For full batches.

    It reaches low losses in far fewer steps than first-order rules, for nets of any size; small nets reach them sooner
    by LevenbergMarquardt. A step takes the time of one and a third to two gradients.

    Parameters
    ----------
    learning_rate : float, default 1.0
        Factor on the steps, above 0.

    Notes
    -----
    With the gradient g of the mean loss, L2 penalty included::

        step = length * H g
        if the loss of params - step is lower by at least 1e-4 * step^T g:
            params, length = params - step, 1
        otherwise:
            length = length * (0.1 to 0.5), by a parabola

    where H, an estimate of the inverse of the second derivatives, comes from the last ten steps and changes of the
    gradient; before the first, step = length * g / norm(g). A step is multiplied by the learning rate and the factor of
    the schedule. An epoch is a step, also one that is not made. batch_size, dropout, weight_decay, clip_norm and
    learning_rate_factors are refused. Steps are for the CPU alone. Losses that are close to each other are compared,
    for which float64 is better than float32.

    `solver="lbfgs"` of estimators is SciPy's L-BFGS-B, whose line search is another one.

    References
    ----------
    Nocedal 1980, "Updating quasi-Newton matrices with limited storage". Liu and Nocedal 1989, "On the limited memory
    BFGS method for large scale optimization".

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 3, 1), hidden_activation="tanh", random_state=0)
    >>> history = net.fit(X, y, epochs=100, optimizer="lbfgs")
    >>> bool(history.loss[-1] < 1e-6)
    True
    """

    learning_rate: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        _refuse_unused(self)
