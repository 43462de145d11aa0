"""Small fits that use every kind of kernel of the CUDA backend, and further fits that use every path through memory.

They must run inside cuda_emulator.installed(). Each is a function of a dtype that returns the final parameters. The
sources they compile are in cuda_emulator.sources.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager, nullcontext
from functools import partial
from threading import Lock

import numpy as np

import fastmlp
from fastmlp.execution.gpu_costs import BY_LAYERS

from .state import settings

ROWS = 24
SOFTMAX = {"loss": "softmax_cross_entropy"}


_lock = Lock()
_patched = {}  # (module, name) -> (number of fits inside, what was there before)


@contextmanager
def patched(module, name, value):
    """Context in which a name of a module has another value; of fits in several threads, the last one restores it."""
    owner, key = importlib.import_module(f"fastmlp.{module}"), (module, name)
    with _lock:
        n, before = _patched.get(key, (0, getattr(owner, name)))
        _patched[key] = n + 1, before
        setattr(owner, name, value)
    try:
        yield
    finally:
        with _lock:
            n, before = _patched[key]
            _patched[key] = n - 1, before
            if n == 1:
                del _patched[key]
                setattr(owner, name, before)


def _trained(
    dtype, *, sizes, fit, n_nets=1, n_rows=ROWS, batched=False, streams=False, uses=False, weighted=False, **net
):
    """Return the parameters after a fit, or the gradient if there is none.

    batched : train the nets of a population in step
    streams : train on inputs that do not fit into device memory: a batch is copied while the one before is trained.
        The device reports little free memory from now on
    uses : predict and evaluate, too
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, sizes[0])).astype(dtype)
    y = rng.integers(0, sizes[-1], n_rows) if "loss" in net and sizes[-1] > 1 else rng.random((n_rows, sizes[-1]))
    arguments = {"hidden_activation": "gelu", "device": "cuda", "random_state": 0, "dtype": dtype} | net
    with patched("execution.gpu_costs", "ESTIMATED_COSTS", BY_LAYERS) if batched else nullcontext():
        nets = fastmlp.MLP(sizes, **arguments) if n_nets == 1 else fastmlp.Population(sizes, n_nets, **arguments)
        settings.free = X.nbytes if streams else None
        if fit is None:
            return nets.loss_and_gradient(X, y)[1]
        given = {"validation_data": (X, y)} if "early_stopping" in fit else {}
        weight = np.linspace(0.5, 1.5, n_rows) if weighted else None
        nets.fit(X, y, sample_weight=weight, verbose=0, **fit, **given)
        if uses:
            nets.predict(X)
            nets.evaluate(X, y)
        return nets.params


def _in_workspace(dtype, **arguments):
    """Train nets with the arrays of a block in global memory."""
    with patched("kernels.cuda.population.train", "shared_limit", lambda: 0):
        return _trained(dtype, **arguments)


def _in_parts(dtype, **arguments):
    """Evaluate in parts of 30 rows, too."""
    with patched("execution.thresholds", "DEVICE_EVALUATION_ROWS", 30):
        return _trained(dtype, uses=True, **arguments)


def _fit(optimizer, batch_size=None, epochs=2, **more):
    return {"optimizer": optimizer, "batch_size": batch_size, "epochs": epochs, **more}


_BY_ADAM = _fit(fastmlp.Adam(0.1, clip_norm=1.0), 7, 3, early_stopping=1)
_BFLOAT16 = SOFTMAX | {"batched": True, "dropout": 0.2, "precision": "bfloat16", "uses": True}
_BFLOAT16 |= {"sizes": (4, 33, 7, 3), "fit": _BY_ADAM, "hidden_activation": ("silu", "tanh")}
_WIDE, _OF_QUICKPROP = SOFTMAX | {"sizes": (4, 150, 150, 3)}, fastmlp.Quickprop(0.1, clip_norm=1.0)
_RPROP = fastmlp.Rprop(0.01, clip_norm=1.0)
TABLE = {
    # tiny nets, one per thread, by unrolled code
    "nets_in_threads": {
        "sizes": (2, 2, 1),
        "n_nets": 130,
        "fit": _fit("adam"),
        "hidden_activation": "tanh",
        "loss": "binary_cross_entropy",
    },
    # nets with dropout, one per block, by loops over layers; a single net is trained by the same kernels
    "nets_in_blocks": SOFTMAX | {"sizes": (4, 9, 3), "n_nets": 3, "fit": _fit("rmsprop", 8), "dropout": 0.25},
    "one_small_net": SOFTMAX | {"sizes": (4, 16, 16, 3), "fit": _fit("sgd", 8), "hidden_activation": "relu"},
    # one product per layer for all nets; each has its own order, dropout and end
    "nets_in_step": SOFTMAX
    | {"sizes": (4, 100, 100, 3), "n_nets": 3, "batched": True, "dropout": [0.0, 0.1, 0.2], "fit": _BY_ADAM},
    # products and element-wise passes
    "one_wide_net": _WIDE | {"fit": _fit("adam", 8, 1), "hidden_activation": "silu", "dropout": 0.25},
    "one_wide_net_streamed": {"sizes": (40, 150, 150, 2), "n_rows": 100, "streams": True, "fit": _fit("adam", 16, 3)},
}
MORE = {
    # a rule that compares objectives, with clipping, sample weights and a smaller last batch
    "replayed_steps": SOFTMAX
    | {
        "sizes": (4, 150, 30, 3),
        "dropout": 0.25,
        "fit": _fit(fastmlp.Rprop(0.01, clip_norm=1.0), 7, 5),
        "weighted": True,
    },
    # samples end within a chunk, and outputs exceed a warp
    "many_outputs": SOFTMAX | {"sizes": (3, 150, 150, 37), "n_rows": 133, "fit": _fit("sgd", 133, 1), "uses": True},
    "gradient": SOFTMAX | {"sizes": (4, 9, 3), "fit": None},
    "gradient_of_a_wide_net": _WIDE | {"fit": None, "l2": 0.01},
    "net_in_bfloat16": _BFLOAT16,
    "nets_in_bfloat16": _BFLOAT16 | {"n_nets": 3},
}
FITS = {name: partial(_trained, **arguments) for name, arguments in TABLE.items()}
MORE_FITS = {name: partial(_trained, **arguments) for name, arguments in MORE.items()}
MORE_FITS["nets_in_workspace"] = partial(
    _in_workspace, sizes=(4, 9, 5, 3), n_nets=3, fit=_fit(_OF_QUICKPROP, 7, 4, early_stopping=2), uses=True
)
STREAMED = partial(
    _in_parts, sizes=(40, 150, 150, 2), n_rows=100, streams=True, fit=_fit("sgd", 16, shuffle=False), weighted=True
)
