"""Noise that dropout adds to the loss and the outputs of a net, estimated from random masks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .model_under_test import ModelUnderTest

DRAWS = 32  # number of masks; the standard deviation is then known to about an eighth


class Masks(NamedTuple):
    """Effect of dropout masks on each net: arrays (n_nets,), 0 without dropout."""

    mask_noise: np.ndarray  # standard deviation over masks of the loss of all samples
    mask_share: np.ndarray  # fraction of the outputs' variance that is due to masks; the rest is due to the inputs
    mask_loss: np.ndarray  # mean loss under masks, which training lowers and records


@np.errstate(all="ignore")  # exploded nets are measured too
def draw_masks(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> Masks:
    """Estimate the effect of dropout from DRAWS random masks.

    X : (n_samples, n_features)
    Y : (n_samples, n_outputs)
    """
    if not np.any(model.dropout):
        return Masks(*np.zeros((3, model.n_nets)))
    rng = np.random.default_rng(7)
    losses, shape = [], (model.n_nets, len(Y), model.n_outputs)
    total, squares = np.zeros(shape), np.zeros(shape)
    for _ in range(DRAWS):
        zs, outputs = model.forward(X, rng=rng)
        losses.append(model.losses(zs[-1], outputs[-1], Y))
        total += outputs[-1]
        squares += outputs[-1] ** 2
    mean = total / DRAWS
    by_masks = (squares / DRAWS - mean**2).mean(axis=(1, 2)) * DRAWS / (DRAWS - 1)
    # The variance over the samples, less the contribution of the masks to the variance of the mean.
    by_inputs = np.maximum(mean.var(axis=1).mean(axis=1) - by_masks / DRAWS, 0.0)
    mask_share = by_masks / np.maximum(by_masks + by_inputs, 1e-300)
    effects = np.stack([np.std(losses, axis=0), mask_share, np.mean(losses, axis=0)])
    return Masks(*np.where(model.dropped.any(axis=1), effects, 0.0))
