"""Fits whose options change the code of CUDA kernels, and the families that train them."""

from typing import NamedTuple

import numpy as np
from cuda_cases import OPTIMIZERS, own
from net_cases import HIDDEN, targets_for

from fastmlp import MLP, SGD, AdamW, Population, Quickprop
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.schedules import Cosine

ROWS = 20


class Case(NamedTuple):
    """Loss, output activation, activations of the hidden layers, arguments of fit, settings of the net."""

    loss: str
    output: str
    hidden: tuple[str, str]
    fit: dict
    settings: dict = {}  # noqa: RUF012
    weighted: bool = False

    def net(self, sizes, n_nets=1, **settings):
        """Return a net, or a population of more than one."""
        arguments = {"hidden_activation": self.hidden, "output_activation": self.output, "loss": self.loss}
        arguments |= {"device": "cuda", "random_state": 0, **self.settings, **settings}
        return MLP(sizes, **arguments) if n_nets == 1 else Population(sizes, n_nets, **arguments)

    def arguments(self, sizes, rows=ROWS):
        """Return (X, y, further arguments of fit)."""
        rng = np.random.default_rng(1)
        X, y = rng.normal(size=(rows, sizes[0])), targets_for(self.loss, self.output, rows, sizes[-1], rng)
        weight = {"sample_weight": rng.random(rows) + 0.1} if self.weighted else {}
        return X, y, {"epochs": 2, "shuffle": False} | self.fit | weight


def fit(optimizer, batch_size=None, **arguments):
    return {"optimizer": optimizer, "batch_size": batch_size, **arguments}


_ADAM = own(OPTIMIZERS["adam"], clip_norm=0.4, weight_decay=0.1)
_DECAY = AdamW(0.05, weight_decay=0.2, learning_rate_factors={"biases": 0.25})
_BY_FAN_IN = Quickprop(0.5, by_fan_in=True, bias_input=0.5)
FLOAT64 = {"dtype": "float64"}
CASES = {
    "shuffled": Case("squared_error", "identity", ("tanh", "gelu"), fit(SGD(0.1), 7, shuffle=True), weighted=True),
    "dropout": Case(
        "softmax_cross_entropy", "softmax", ("relu", "silu"), fit(SGD(0.1), 12, shuffle=True), {"dropout": 0.25}
    ),
    "dropout, adam": Case(
        "squared_error", "identity", ("tanh", "silu"), fit(OPTIMIZERS["adam"], 13), {"dropout": 0.4, **FLOAT64}
    ),
    "adam": Case(
        "binary_cross_entropy",
        "sigmoid",
        ("leaky_relu", "softplus"),
        fit(_ADAM, 13, schedule=Cosine(0.1)),
        {"l2": 0.05},
        weighted=True,
    ),
    "rprop": Case("poisson", "exponential", ("elu", "tanh"), fit(OPTIMIZERS["rprop"], epochs=4), FLOAT64),
    "quickprop": Case("huber", "tanh", ("sigmoid", "softsign"), fit(_BY_FAN_IN), FLOAT64),
    "rmsprop": Case("squared_error", "identity", ("selu", "silu"), fit(OPTIMIZERS["rmsprop"], 10)),
    "adagrad": Case("atanh_error", "symmetric_sigmoid", ("tanh", "tanh"), fit(OPTIMIZERS["adagrad"]), {"l2": 0.1}),
    "decay": Case("squared_error", "identity", ("tanh", "elu"), fit(_DECAY, 10)),
    "momentum": Case("absolute_error", "sigmoid", ("gelu", "relu"), fit(OPTIMIZERS["momentum"]), weighted=True),
    "nesterov": Case("softmax_cross_entropy", "softmax", ("silu", "tanh"), fit(OPTIMIZERS["nesterov"], 20)),
    # batches of so few samples that a thread's loop over them is unrolled
    "unrolled": Case(
        "softmax_cross_entropy", "softmax", ("identity", "symmetric_sigmoid"), fit(OPTIMIZERS["momentum"], 5)
    ),
    "atanh": Case("atanh_error", "fahlman_sigmoid", ("tanh", "fahlman_sigmoid"), fit(OPTIMIZERS["adam"], 10)),
}
# Rows of the tables that no case above has.
_ROWS = {case.fit["optimizer"].rule.name for case in CASES.values()} | {case.loss for case in CASES.values()}
_ROWS |= {name for case in CASES.values() for name in case.hidden}
_OUTPUTS = {row.name: (row.outputs or ("identity",))[0] for row in LOSSES if row.name not in _ROWS}
CASES |= {name: Case(name, output, ("tanh", "tanh"), fit(SGD(0.1), 7)) for name, output in _OUTPUTS.items()}
CASES |= {
    name: Case("squared_error", "identity", (name, "tanh"), fit(SGD(0.1), 7)) for name in HIDDEN if name not in _ROWS
}
CASES |= {
    name: Case("squared_error", "identity", ("tanh", "tanh"), fit(optimizer))
    for name, optimizer in OPTIMIZERS.items()
    if optimizer.rule.name not in _ROWS
}
# Where nets train (cuda_cases.PLACES), how many, and the cases. A thread's net is small and drops no units.
_NO_DROPOUT = [name for name in CASES if "dropout" not in name]
FITS = [
    *[("thread", 130, name) for name in _NO_DROPOUT],
    *[("block", 2, name) for name in CASES],
    *[("workspace", 2, name) for name in ("shuffled", "dropout", "adam")],
    *[("batched", 3, name) for name in CASES],
    *[("layers", 1, name) for name in CASES],
    *[("block", 1, name) for name in ("shuffled", "dropout, adam", "adam", "quickprop")],
    ("workspace", 1, "dropout"),
    ("layers", 2, "dropout"),
]


def sizes_of(place):
    return (2, 3, 2, 2) if place == "thread" else (3, 7, 5, 2)
