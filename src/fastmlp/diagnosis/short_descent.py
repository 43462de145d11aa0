"""Short descent from where training has ended: does it lower the loss of samples that it does not use?

Training may come to rest because of its steps, and not because the data show no more: a schedule has ended, or Adam
circles in a narrow valley. Some steps of L-BFGS (Liu and Nocedal 1989), which follow curvature, go on from there. They
lower the loss of their own samples in any case, if only by learning the noise. Other samples tell the two apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .data_checks import MIN_SAMPLES
from .model_under_test import ModelUnderTest, sample_rows

STEPS = 100
FLOPS = 3e9  # largest cost of all gradients; limits the number of samples
MAX_ROWS = 4000  # largest number of samples
FEW_ROWS = 200  # number of samples for a net that is too large for more
LEAST_ROWS = 20  # smallest number of samples, and of those that are not used
VALIDATION = "validation samples"


class Descent(NamedTuple):
    """Losses before and after the steps, without the L2 penalty."""

    n_samples: int  # whose loss is minimised
    others: str  # name of the samples that are not used
    before: float
    after: float
    others_before: float
    others_after: float
    others_are_right: bool  # whether the classes of all samples that are not used were right before


def short_descent(
    model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, held_out: tuple[np.ndarray, np.ndarray] | None
) -> Descent | None:
    """Return the result of STEPS of L-BFGS on the samples of one net, or None if the net is too large for it.

    X : (n_samples, n_features)
    Y : (n_samples, n_outputs)
    held_out : (X, Y) that are not used, or None to use half of the samples for the steps and not the other half
    """
    if not model.has_weights:
        return None
    rows = sample_rows(len(X), MAX_ROWS)
    used, others = X[rows], held_out
    targets = Y[rows]
    if held_out is None:
        others, used, targets = (used[1::2], targets[1::2]), used[::2], targets[::2]
    assert others is not None
    most = int(FLOPS / (6.0 * STEPS * max(1, model.params.shape[1])))
    if most < min(len(used), FEW_ROWS) or min(len(used), len(others[0])) < LEAST_ROWS or len(X) < MIN_SAMPLES:
        return None
    chosen = sample_rows(len(used), most)
    used, targets = used[chosen], targets[chosen]
    params = _minimised(model, used, targets)
    losses_of = lambda A, B: (_loss(model, A, B, model.params), _loss(model, A, B, params))
    (before, after), (others_before, others_after) = losses_of(used, targets), losses_of(*others)
    if not np.isfinite([before, after, others_before, others_after]).all():
        return None
    name = "the others" if held_out is None else VALIDATION
    return Descent(
        n_samples=len(used),
        others=name,
        before=before,
        after=after,
        others_before=others_before,
        others_after=others_after,
        others_are_right=_all_right(model, *others),
    )


def _minimised(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize  # slow to import, so only here

    start = float(model.objective(X, Y, model.params)[0])
    scale = 1.0 / max(abs(start), 1e-300)  # so that a small loss is not taken for a minimum

    def loss_and_gradient(params: np.ndarray) -> tuple[float, np.ndarray]:
        nets = params[None]
        return scale * float(model.objective(X, Y, nets)[0]), scale * model.gradient(X, Y, nets)[0]

    options = {"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": 0.0, "gtol": 0.0}
    return minimize(loss_and_gradient, model.params[0], jac=True, method="L-BFGS-B", options=options).x[None]


def _all_right(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> bool:
    if model.loss.name not in ("binary_cross_entropy", "softmax_cross_entropy"):
        return False
    outputs = model.forward(X)[1][-1][0]
    if model.is_softmax:
        return bool((outputs.argmax(axis=1) == Y.argmax(axis=1)).all())
    return bool(((outputs > 0.5) == (Y > 0.5)).all())


def _loss(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, params: np.ndarray) -> float:
    zs, outputs = model.forward(X, params)
    return float(model.losses(zs[-1], outputs[-1], Y)[0])
