"""Objective of a net as a function of its parameters, for solvers and gradient checks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..execution.buffer_cache import buffers
from ..execution.plan import Plan
from ..kernels.structs import DIVERGED, HYPER, NO_UPDATE, Samples, TrainConfig
from .single_net_base import SingleNetBase

ROWS = 4096  # samples per kernel call


class Objective:
    """Objective of a net over fixed samples: `objective(params) -> (loss, gradient)`, float and (n_params,).

    The loss includes the L2 penalty, and dropout is off. Data are copied to the device and buffers are allocated once.
    Each call sets the net's params to its argument. A loss that is not finite is returned as inf, with a gradient of
    zeros.
    """

    def __init__(self, net: SingleNetBase, data: Samples):
        self._net, batch_size = net, min(data.n_samples, ROWS)
        network = replace(net.network, dropout=(0.0,) * len(net.network.dropout))
        with net.device.on():
            self._plan = plan = Plan.for_training(
                network, net.device, net.dtype, data.n_samples, batch_size, False, precision=net.precision
            )
            self._data = plan.backend.place(data)
            self._state = plan.make_state(net.padded_params, np.empty(0, net.dtype), np.empty(1), np.empty(1))
        self._config = TrainConfig(
            batch_size, False, 0, NO_UPDATE, np.zeros(len(HYPER)), np.ones(1), False, np.zeros(0)
        )
        starts = np.arange(0, data.n_samples, batch_size)
        self._fractions = np.minimum(batch_size, data.n_samples - starts) / data.n_samples

    def __call__(self, params: np.ndarray) -> tuple[float, np.ndarray]:
        net, plan, state, backend = self._net, self._plan, self._state, self._plan.backend
        net.params[:] = params
        gradient = np.zeros_like(net.params)
        state.scalars[:, DIVERGED] = 0.0
        with net.device.on(), buffers.borrow_team(backend, plan.choice.n_threads) as team:
            if state.params is not net.padded_params:
                state.params[:] = backend.to_device(net.padded_params)
            for step, fraction in enumerate(self._fractions):
                plan.train(team, plan.choice.n_threads, self._data, self._config, state, step, 1)
                if state.scalars[0, DIVERGED]:
                    return float("inf"), np.zeros_like(gradient)
                gradient += backend.to_host(state.grads)[: len(gradient)] * net.dtype.type(fraction)
        loss, l2 = float(state.epoch_loss[0]), net.network.l2
        for W, dW in zip(net.weights, net.network.layout.weights(gradient), strict=True):
            loss += 0.5 * l2 * float(np.sum(W * W))
            dW += l2 * W
        return loss, gradient
