"""Kinds of fits and options of fits, for tests of what all of them promise.

A kind is one net or several, in SIMD lanes or one by one, with rows in memory or on disk, here or on the workers of an
executor. `ALL` has each option for each kind that can have it.
"""

import inspect
import signal
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from executor_cases import InPlace
from own_formulas import GAUSS, LOG_COSH
from resumed_fits import train
from small_blocks import BATCH, N, Rows, X, Y, use_small_blocks

from fastmlp import MLP, SGD, AdamW, Converged, EarlyStopping, LevenbergMarquardt, Population
from fastmlp.execution import thresholds
from fastmlp.fit import slices_on_workers
from fastmlp.kernels.cpu import backend

WEIGHTS = np.random.default_rng(1).uniform(0.1, 3.0, N)
HELD_OUT = X[:20] + 0.1, Y[:20], WEIGHTS[:20]
WRONG = X[:20], 1 - Y[:20]  # held-out samples for which the first epochs are the best
EPOCHS = 12


class Kind(NamedTuple):
    """Nets and rows of a fit, and where it runs.

    n_nets : number of nets of a population, or None for an MLP
    lanes : whether they are trained in SIMD lanes
    """

    n_nets: int | None = None
    lanes: bool = False
    on_disk: bool = False
    executor: Callable | None = None


KINDS = {
    "net": Kind(),
    "net, rows on disk": Kind(on_disk=True),
    "nets in lanes": Kind(40, lanes=True),
    "nets one by one": Kind(3),
    "nets, rows on disk": Kind(3, on_disk=True),
    "nets in lanes on workers": Kind(40, lanes=True, executor=InPlace),
    "nets one by one on workers": Kind(3, executor=InPlace),
    "nets, rows on disk, on workers": Kind(3, on_disk=True, executor=InPlace),
}


class Option(NamedTuple):
    """Arguments of a fit, and settings of its nets; both may be functions of the number of nets.

    nets : whether only several nets can have it
    lanes : whether nets in lanes can have it
    on_disk : whether rows on disk can have it
    longer : whether more epochs extend such a fit to the same bits
    on_workers : whether workers treat it otherwise
    """

    fit: dict | Callable
    settings: dict | Callable | None = None
    nets: bool = False
    lanes: bool = True
    on_disk: bool = True
    longer: bool = True
    on_workers: bool = True


def _one_too_fast(n_nets):
    """Learning rates with which the second net diverges in its second epoch or later."""
    rates = np.linspace(0.01, 0.1, n_nets)
    rates[1] = 1e4
    return {"optimizer": SGD(rates), "converged": 1e-9}


OPTIONS = {
    "plain": Option({}),
    "full batches": Option({"batch_size": None, "optimizer": "rprop"}, on_disk=False, on_workers=False),
    "second order": Option(
        {"optimizer": LevenbergMarquardt(damping=0.1), "batch_size": 12}, on_disk=False, on_workers=False
    ),
    "quasi-Newton": Option({"optimizer": "lbfgs", "batch_size": None}, on_disk=False, on_workers=False),
    "in order": Option({"shuffle": False, "schedule": "one_cycle"}, longer=False, on_workers=False),
    "schedules": Option(
        {"schedule": "cosine", "optimizer": AdamW(0.01, learning_rate_factors={"biases": 0.5})},
        {"dropout": 0.2},
        longer=False,
        on_workers=False,
    ),
    "weights and penalties": Option(
        {"sample_weight": WEIGHTS, "class_weight": "balanced"}, {"dropout": 0.2, "l2": 0.01}
    ),
    "early stopping": Option({"validation_data": WRONG, "early_stopping": 3}),
    "early stopping by accuracy": Option({"early_stopping": EarlyStopping(6, "accuracy")}),
    "early stopping by a metric": Option(
        {
            "validation_fraction": 0.3,
            "sample_weight": WEIGHTS,
            "metrics": ["squared_error", "roc_auc", "log_loss"],
            "early_stopping": EarlyStopping(3, "validation_roc_auc"),
        },
        lanes=False,
    ),
    "own formulas": Option({}, {"hidden_activation": GAUSS, "loss": LOG_COSH, "output_activation": "sigmoid"}),
    "float64": Option(
        {"optimizer": SGD(0.1, momentum=0.9), "validation_data": HELD_OUT}, {"dtype": "float64"}, on_workers=False
    ),
    "settings of each net": Option(
        lambda n: {"optimizer": AdamW(np.geomspace(1e-3, 0.1, n), weight_decay=np.linspace(0.0, 0.1, n))},
        lambda n: {"dropout": np.linspace(0.0, 0.3, n), "l2": np.linspace(0.0, 1e-3, n)},
        nets=True,
    ),
    "a goal": Option({"converged": 0.62}, nets=True, on_workers=False),
    "restarts": Option({"converged": Converged(0.55, restart_after=4)}, nets=True),
    "one diverges": Option(_one_too_fast, {"hidden_activation": "leaky_relu"}, nets=True),
}
ALL = [
    (kind, option)
    for kind, (n_nets, lanes, on_disk, executor) in KINDS.items()
    for option, row in OPTIONS.items()
    if (n_nets or not row.nets) and (row.lanes or not lanes) and (row.on_disk or not on_disk)
    if row.on_workers or executor is None
]


def use_small_parts(monkeypatch):
    """Read sources from disk in blocks of three steps, and give workers tasks of one net or of 16 nets in lanes.

    Nets in lanes have no unrolled code: its blocks have another number of nets on each kind of processor, and whether
    it is used depends on the fits before.
    """
    use_small_blocks(monkeypatch)
    monkeypatch.setattr(thresholds, "UNROLLED_NETS_UP_TO_PARAMS", 0)
    for name in ("FIRST_SECONDS", "TASK_SECONDS"):
        monkeypatch.setattr(slices_on_workers, name, 1e-9)
    monkeypatch.setattr(slices_on_workers, "SHORTEST", 0.0)


def make(kind, option="plain", **settings):
    """Return the nets of a kind of fits, untrained."""
    n_nets, own = KINDS[kind].n_nets, OPTIONS[option].settings
    given = {"loss": "binary_cross_entropy", "random_state": 3, "device": "cpu"}
    given |= (own(n_nets) if callable(own) else own or {}) | settings
    return Population((3, 4, 1), n_nets, **given) if n_nets else MLP((3, 4, 1), **given)


def spoilt(kind, option="plain", **settings):
    """Return nets with other parameters: a fit that does not go on from its file ends elsewhere."""
    nets = make(kind, option, **settings)
    nets.params[:] = 7.0
    return nets


def fit(kind, option="plain", path=None, nets=None, data=None, **more):
    """Return the nets of a kind of fits after a fit, and its record.

    path : of the checkpoint
    """
    n_nets, _, on_disk, executor = KINDS[kind]
    arguments = OPTIONS[option].fit
    given = {"epochs": EPOCHS, "batch_size": BATCH} | (arguments(n_nets) if callable(arguments) else arguments)
    given |= {"memory_limit": 1_000_000} if on_disk else {}
    given |= {"executor": executor()} if executor else {}
    data = data or ((Rows(), None) if on_disk else (X, Y))
    return train(make(kind, option) if nets is None else nets, data, path, **given | more)


@cache
def whole(kind, option="plain", epochs=EPOCHS):
    """Return a fit without checkpoints and interruptions, which tests share; not to be changed."""
    return fit(kind, option, epochs=epochs)


def cut_calls(monkeypatch, last=None):
    """Give each kernel call one step, or an epoch of nets in lanes, and send SIGINT after call number `last`."""
    n_calls = []

    def cut(kernel):
        parameters = inspect.signature(kernel)

        def called(*arguments):
            bound = parameters.bind(*arguments)
            bound.arguments["n"] = min(bound.arguments["n"], 1)
            kernel(*bound.args)
            n_calls.append(1)
            if len(n_calls) == last:
                signal.raise_signal(signal.SIGINT)

        return called

    for name in ("train", "train_nets"):
        monkeypatch.setattr(backend, name, cut(getattr(backend, name)))
