"""Cases of tests/ptx/test_kernels.py: options of a fit that change the code of kernels, and where nets train."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from cuda_cases import OPTIMIZERS, Layered, follow, follow_sgd, own, reference_of
from net_cases import targets_for
from reference_net import ReferenceMLP

from fastmlp import SGD, AdamW, Quickprop
from fastmlp.optimizers import Optimizer
from fastmlp.schedules import Cosine, FlatCosine

ROWS, EPOCHS, RATE = 20, 2, 0.1
FEW = {"thread": 130, "block": 2, "workspace": 2, "batched": 3}  # nets of a population
ROUNDING = 3e-2  # of a fit with operands in bfloat16, relative to its length
CLOSE = 2e-3  # the same, compared with a reference that rounds operands, too


@dataclass(frozen=True)
class Case:
    """Options of a fit that change the code of kernels."""

    loss: str
    output: str
    hidden: tuple[str, str]
    optimizer: Optimizer = SGD(RATE)  # noqa: RUF009
    dtype: str = "float32"
    batch_size: int | None = None
    l2: float = 0.0
    dropout: float = 0.0
    shuffle: bool = False
    weighted: bool = False
    schedule: Cosine | None = None

    def settings_of_net(self):
        return {
            "hidden_activation": self.hidden,
            "output_activation": self.output,
            "loss": self.loss,
            "dtype": self.dtype,
            "dropout": self.dropout,
            "device": "cuda",
            "random_state": 0,
        }

    def settings_of_fit(self):
        return {
            "epochs": EPOCHS,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "shuffle": self.shuffle,
            "schedule": self.schedule,
            "verbose": 0,
        }

    def data(self, sizes, rows=ROWS):
        rng = np.random.default_rng(1)
        X = rng.normal(size=(rows, sizes[0]))
        return X, targets_for(self.loss, self.output, rows, sizes[-1], rng), rng.random(rows) + 0.1

    def train(self, reference, X, y, weight, seed):
        """Train the reference in the same way."""
        scaled = weight / weight.mean() if self.weighted else None
        if self.shuffle or self.dropout:
            assert isinstance(self.optimizer, SGD)
            return follow_sgd(
                reference,
                X,
                y,
                RATE,
                epochs=EPOCHS,
                batch_size=self.batch_size,
                seed=seed,
                shuffle=self.shuffle,
                rates=(self.dropout,) * (len(reference.sizes) - 2),
                weight=scaled,
            )
        factors = self.schedule.factors if self.schedule else None
        settings = {"epochs": EPOCHS, "batch_size": self.batch_size, "factors": factors, "weight": scaled}
        return follow(reference, X, y, self.optimizer, **settings)

    def reference(self, network, params, kind=ReferenceMLP):
        if not getattr(self.optimizer, "by_fan_in", False):
            return reference_of(network, params, self.l2, kind)
        reference = reference_of(network, params, self.l2, kind=Layered)
        reference.factors = [(1 / (fan_in + 1), 0.25 / (fan_in + 1)) for fan_in in network.layer_sizes[:-1]]
        return reference


CASES = {
    "shuffled": Case("squared_error", "identity", ("tanh", "gelu"), batch_size=7, shuffle=True, weighted=True),
    "dropout": Case("softmax_cross_entropy", "softmax", ("relu", "silu"), batch_size=12, dropout=0.25, shuffle=True),
    "adam": Case(
        "binary_cross_entropy",
        "sigmoid",
        ("leaky_relu", "softplus"),
        own(OPTIMIZERS["adam"], clip_norm=0.4, weight_decay=0.1),
        batch_size=13,
        l2=0.05,
        weighted=True,
        schedule=Cosine(0.1),
    ),
    "rprop": Case("poisson", "exponential", ("elu", "tanh"), OPTIMIZERS["rprop"], dtype="float64"),
    "quickprop": Case(
        "huber", "tanh", ("sigmoid", "softsign"), Quickprop(0.5, by_fan_in=True, bias_input=0.5), dtype="float64"
    ),
    "rmsprop": Case("squared_error", "identity", ("selu", "silu"), OPTIMIZERS["rmsprop"], batch_size=10),
    "adagrad": Case("atanh_error", "symmetric_sigmoid", ("tanh", "tanh"), OPTIMIZERS["adagrad"], l2=0.1),
    "decay": Case(
        "squared_error",
        "identity",
        ("tanh", "elu"),
        AdamW(0.05, weight_decay=0.2, weight_decay_schedule=FlatCosine(0.2)),
        batch_size=10,
    ),
    "momentum": Case("absolute_error", "sigmoid", ("gelu", "relu"), OPTIMIZERS["momentum"], weighted=True),
    "nesterov": Case("softmax_cross_entropy", "softmax", ("silu", "tanh"), OPTIMIZERS["nesterov"], batch_size=20),
    # batches of so few samples that a thread's loop over them is unrolled
    "unrolled": Case(
        "softmax_cross_entropy", "softmax", ("identity", "symmetric_sigmoid"), OPTIMIZERS["momentum"], batch_size=5
    ),
    "atanh": Case("atanh_error", "fahlman_sigmoid", ("tanh", "fahlman_sigmoid"), OPTIMIZERS["adam"], batch_size=10),
}
CASES["adam, float64"] = replace(CASES["adam"], dtype="float64")
SINGLE = {  # where a net trains -> its cases
    "block": ("dropout", "adam", "quickprop", "decay", "rprop", "momentum", "atanh"),
    "layers": ("shuffled", "dropout", "adam", "adam, float64", "rprop", "quickprop", "rmsprop", "atanh"),
}
MANY = {
    "thread": ("shuffled", "adam", "rprop", "adagrad", "quickprop", "decay", "nesterov", "unrolled", "atanh"),
    "workspace": ("shuffled", "adam, float64", "rprop"),
    "batched": ("shuffled", "dropout", "adam", "rprop", "momentum", "quickprop", "decay"),
}
IN_BFLOAT16 = {"layers": ("dropout", "momentum"), "batched": ("shuffled", "dropout")}


def pairs(table):
    return [pytest.param(place, name, id=f"{place}-{name}") for place, names in table.items() for name in names]
