"""Training of the nets of a tabular estimator."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..callbacks import EarlyStopping
from ..errors import counted
from ..initialization import UniformByFanIn
from ..mlp import MLP
from ..optimizers import AdamW
from ..population import Population
from .interruption import trained_nets, warn_of_interrupted_history
from .parameters import hidden_sizes

CLIP_NORM = 1.0
FULL_BATCH_SIZE, SMALLEST_BATCH, STEPS = 256, 16, 32  # batch_size="auto": bounds, and steps an epoch aimed at


def train_nets(
    estimator: Any,
    X: np.ndarray,
    y: np.ndarray,
    weights: Any,
    held_out: Any,
    seed: int,
    stopping: EarlyStopping,
    continues: bool,
) -> None:
    """Train the net or nets of an estimator, and set its fitted attributes.

    X, y, weights : training samples, encoded
    held_out : (X, y, weights) of held-out samples, or None
    seed : seed of initial parameters, order and dropout
    stopping : early stopping, if there are held-out samples
    continues : whether training goes on with the nets of the last fit
    """
    common = {
        "hidden_activation": estimator.activation,
        "dropout": estimator.dropout,
        "init": UniformByFanIn(),
        "dtype": estimator.dtype,
        "device": estimator.device,
        "random_state": seed,
        **estimator._net_settings(),
    }
    sizes = (X.shape[1], *hidden_sizes(estimator), estimator.n_outputs_)
    net: Any = MLP(sizes, **common) if estimator.n_nets == 1 else Population(sizes, estimator.n_nets, **common)
    if continues:
        _continue_from_last(estimator, net)
    further = {"callbacks": estimator.callbacks} if isinstance(net, MLP) else {}
    history = net.fit(
        X,
        y,
        epochs=estimator.max_iter,
        batch_size=batch_size_of(estimator, len(X)),
        optimizer=AdamW(estimator.learning_rate_init, weight_decay=estimator.weight_decay, clip_norm=CLIP_NORM),
        schedule=estimator.schedule,
        sample_weight=weights,
        validation_data=held_out,
        early_stopping=None if held_out is None else stopping,
        verbose=estimator.verbose,
        **further,
    )
    if isinstance(net, MLP):
        warn_of_interrupted_history(history)
    elif history.interrupted:
        net = trained_nets(net, continues)
        history = net.result
    estimator.keep_net(net, history)
    estimator.n_iter_ = int(np.max(history.epochs))
    if isinstance(net, MLP):
        keys = "loss_curve_", "validation_loss_curve_"  # absent after a fit of several nets
        before = [estimator.__dict__.get(key) if continues else None for key in keys]
        estimator.loss_curve_ = [*(before[0] or []), *history.loss.tolist()]
        estimator.validation_loss_curve_ = before[1]
        if history.validation_loss is not None:
            estimator.validation_loss_curve_ = [*(before[1] or []), *history.validation_loss.tolist()]
    else:
        estimator.__dict__.pop("loss_curve_", None)
        estimator.__dict__.pop("validation_loss_curve_", None)


def _continue_from_last(estimator: Any, net: Any) -> None:
    """Copy the parameters of the last fit into a new net or population."""
    known, size = estimator.net_, estimator.net_.params.size
    if known.network.layer_sizes != net.network.layer_sizes or size != net.params.size:
        raise ValueError(
            f"Training goes on with {_described(known)}, but the settings and data ask for "
            f"{_described(net)}. Keep them as they were, or fit anew with warm_start=False."
        )
    net.params = known.params.reshape(net.params.shape)  # an interrupted fit may have kept a population of one net
    net.fits = known.fits  # so that batches and dropout masks differ from those of the previous fits


def _described(net: Any) -> str:
    count = "" if isinstance(net, MLP) else f"{counted(net.n_nets, 'net')} of "
    return f"{count}layers {net.network.layer_sizes}"


def batch_size_of(estimator: Any, n_samples: int) -> int:
    size = estimator.batch_size
    if size != "auto":
        return size
    return min(FULL_BATCH_SIZE, max(SMALLEST_BATCH, 1 << max(0, (n_samples // STEPS).bit_length() - 1)))
