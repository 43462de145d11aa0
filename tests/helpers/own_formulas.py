"""Own formulas for tests, and what the float64 reference needs to know of them."""

import numpy as np
import reference_net

from fastmlp import Activation, Loss

GAUSS = Activation("gauss", lambda z: np.exp(-z * z), lambda z: -2.0 * z * np.exp(-z * z), low=0.0, high=1.0)
LOGISH = Activation(  # of several functions, with branches and a power
    "logish",
    lambda z: np.where(z > 0.0, np.log1p(np.abs(z)), z / (1.0 + z**2) ** 0.5),
    lambda z: np.where(z > 0.0, 1.0 / (1.0 + np.abs(z)), 1.0 / (np.sqrt(1.0 + z * z) * (1.0 + z * z))),
)
CUBE = Activation("cube", lambda z: np.tanh(z) ** 3, lambda z: 3.0 * np.tanh(z) ** 2 * (1.0 - np.tanh(z) ** 2))
STEEP = Activation("steep", lambda z: 1.0 / (1.0 + np.exp(-z)), lambda a: a * (1.0 - a), low=0.0, high=1.0)
ACTIVATIONS = GAUSS, LOGISH, CUBE, STEEP
LOG_COSH = Loss(
    "log_cosh", lambda a, y: np.logaddexp(0.0, 2.0 * (a - y)) - (a - y) - np.log(2.0), lambda a, y: np.tanh(a - y)
)
PINBALL_FUNCTIONS = (
    lambda a, y, c: np.maximum(c * (y - a), (c - 1.0) * (y - a)),
    lambda a, y, c: np.where(y > a, -c, 1.0 - c),
)
PINBALL = Loss("pinball", *PINBALL_FUNCTIONS, constant=0.8)
LOSSES = LOG_COSH, PINBALL

REFERENCES = {  # value and derivative with respect to z
    "gauss": (lambda z: np.exp(-(z**2)), lambda z: -2 * z * np.exp(-(z**2))),
    "logish": (
        lambda z: np.where(z > 0, np.log1p(np.maximum(z, 0)), z / np.sqrt(1 + z**2)),
        lambda z: np.where(z > 0, 1 / (1 + np.maximum(z, 0)), (1 + z**2) ** -1.5),
    ),
    "cube": (lambda z: np.tanh(z) ** 3, lambda z: 3 * np.tanh(z) ** 2 / np.cosh(z) ** 2),
    "steep": (reference_net.ACTIVATIONS["sigmoid"], reference_net.DERIVATIVES["sigmoid"]),
}
LOSS_REFERENCES = {  # value and derivative with respect to a, of errors r = a - y
    "log_cosh": (lambda r, c: np.log(np.cosh(r)), lambda r, c: np.tanh(r)),
    "pinball": (lambda r, c: np.where(r < 0, -c * r, (1 - c) * r), lambda r, c: np.where(r < 0, -c, 1 - c)),
}


def add_to_reference(monkeypatch):
    """Make the float64 reference know these formulas."""
    built_in_loss, built_in_delta = reference_net.loss_per_sample, reference_net.output_delta

    def loss_per_sample(loss, z, a, y, c=1.0):
        if loss not in LOSS_REFERENCES:
            return built_in_loss(loss, z, a, y, c)
        return LOSS_REFERENCES[loss][0](a - y, c).mean(axis=1)

    def output_delta(loss, output, z, a, y, c=1.0):
        if loss not in LOSS_REFERENCES:
            return built_in_delta(loss, output, z, a, y, c)
        return LOSS_REFERENCES[loss][1](a - y, c) * reference_net.DERIVATIVES[output](z) / y.shape[1]

    for name, (value, derivative) in REFERENCES.items():
        monkeypatch.setitem(reference_net.ACTIVATIONS, name, value)
        monkeypatch.setitem(reference_net.DERIVATIVES, name, derivative)
    monkeypatch.setattr(reference_net, "loss_per_sample", loss_per_sample)
    monkeypatch.setattr(reference_net, "output_delta", output_delta)
