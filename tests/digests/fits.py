"""Fits whose parameters and records are digested: kernel families, optimisers, losses, ways to stop, rows on disk,
fits that go on from a checkpoint, populations, workers, estimators, tables, and the CUDA backend in emulation.

Each function of a table takes an empty folder, and returns what was learned by name: arrays, numbers, text, and nests
of these. FITS has those of the CPU, EMULATED those that run inside cuda_emulator.installed(). They use public names
only, so that they run on any state of the package.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp

Fit = Callable[[Path], dict[str, Any]]
FITS: dict[str, Fit] = {}
EMULATED: dict[str, Fit] = {}

SIZES = {  # a net of each kernel family: layer sizes, number of samples, batch size
    "batch_simd_4": ((2, 3, 1), 4, 4),
    "batch_simd_16": ((8, 16, 3), 90, 32),
    "data_parallel": ((20, 60, 3), 1500, 1000),
    "layerwise_parallel": ((64, 64, 32, 10), 400, 200),
    "layerwise": ((200, 300, 300, 10), 300, 256),
    "batch1": ((64, 64, 10), 20, 1),
}
RULES = {
    "sgd": fastmlp.SGD(0.05),
    "momentum": fastmlp.SGD(0.02, momentum=0.9),
    "nesterov": fastmlp.SGD(0.02, momentum=0.9, nesterov=True),
    "clipped": fastmlp.SGD(0.1, clip_norm=0.05),
    "adam": fastmlp.Adam(0.01),
    "adamw": fastmlp.AdamW(0.01, weight_decay=0.1),
    "rmsprop": fastmlp.RMSprop(0.005),
    "adagrad": fastmlp.Adagrad(0.05),
    "quickprop": fastmlp.Quickprop(0.02),
    "rprop": fastmlp.Rprop(),
}
LOSSES = {  # loss -> kind of target
    "squared_error": "numbers",
    "absolute_error": "numbers",
    "huber": "numbers",
    "binary_cross_entropy": "labels",
    "softmax_cross_entropy": "classes",
    "poisson": "counts",
    "atanh_error": "labels",
}


def samples(sizes: tuple[int, ...], n: int, kind: str = "classes", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (n, n_inputs) and targets that a net can learn a little of."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, sizes[0]))
    score = X @ rng.normal(size=(sizes[0], sizes[-1])) + 0.1 * rng.normal(size=(n, sizes[-1]))
    targets = {
        "numbers": np.sin(score),
        "labels": (score > 0).astype(float),
        "classes": score.argmax(axis=1),
        "counts": np.floor(np.exp(np.clip(score, -3.0, 1.5))),
    }
    return X, targets[kind]


def of_net(net: fastmlp.MLP) -> dict[str, Any]:
    history = net.history
    assert history is not None
    ends = {"epochs": history.epochs, "best_epoch": history.best_epoch, "stopped_by": history.stopped_by}
    return {"params": net.params, **history.records(), **ends}


def of_population(pop: fastmlp.Population) -> dict[str, Any]:
    assert pop.result is not None
    return {"params": pop.params, **pop.result.arrays()}


def of_estimator(model: Any, X: Any) -> dict[str, Any]:
    found = {"predictions": model.predict(X)}
    if hasattr(model, "predict_proba"):
        found["probabilities"] = model.predict_proba(X)
    for name in ("loss_curve_", "validation_scores_", "oof_prediction_", "n_iter_", "temperature_", "best_loss_"):
        if hasattr(model, name):
            found[name] = getattr(model, name)
    if hasattr(model, "net_"):
        found["params"] = model.net_.params
    return found


def net_fit(_: Path, sizes=(8, 16, 3), n=90, batch_size=32, kind="classes", device="cpu", fit=None, **settings):
    """Train one net. fit : further keywords of MLP.fit"""
    settings = {"loss": "softmax_cross_entropy", "hidden_activation": "tanh"} | settings
    net = fastmlp.MLP(sizes, device=device, random_state=3, **settings)
    X, y = samples(sizes, n, kind)
    net.fit(X, y, **{"epochs": 4, "batch_size": batch_size, "verbose": 0, **(fit or {})})
    return of_net(net)


def population_fit(
    _: Path, sizes=(4, 6, 3), n_nets=40, n=60, batch_size=16, kind="classes", device="cpu", fit=None, **settings
):
    """Train a population. fit : further keywords of Population.fit"""
    settings = {"loss": "softmax_cross_entropy", "hidden_activation": "tanh"} | settings
    pop = fastmlp.Population(sizes, n_nets, device=device, random_state=3, **settings)
    X, y = samples(sizes, n, kind)
    pop.fit(X, y, **{"epochs": 6, "batch_size": batch_size, "verbose": 0, **(fit or {})})
    return of_population(pop)


# ---- one net

for (family, (sizes, n, size)), dtype in product(SIZES.items(), ("float32", "float64")):
    shape = {"sizes": sizes, "n": n, "batch_size": size, "dtype": dtype}
    if sizes[-1] == 1:
        shape |= {"kind": "labels", "loss": "binary_cross_entropy"}
    for rule in ("sgd", "adam", "rprop") if dtype == "float32" else ("adam",):
        FITS[f"net/{family}/{dtype}/{rule}"] = partial(net_fit, fit={"optimizer": RULES[rule]}, **shape)
    more = {"hidden_activation": "silu", "l2": 0.01, **({"dropout": 0.2} if len(sizes) > 3 or sizes[0] == 8 else {})}
    FITS[f"net/{family}/{dtype}/penalty"] = partial(net_fit, fit={"optimizer": RULES["clipped"]}, **shape | more)
for rule, optimizer in RULES.items():
    FITS[f"net/rule/{rule}"] = partial(net_fit, fit={"optimizer": optimizer})
    FITS[f"net/rule, full batch/{rule}"] = partial(net_fit, batch_size=None, fit={"optimizer": optimizer})
for loss, kind in LOSSES.items():
    sizes = (6, 9, 3) if kind == "classes" else (6, 9, 2)
    FITS[f"net/loss/{loss}"] = partial(net_fit, sizes=sizes, kind=kind, loss=loss)
for activation in ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "softsign", "sigmoid", "identity"):
    FITS[f"net/activation/{activation}"] = partial(net_fit, hidden_activation=activation, fit={"optimizer": "adam"})
for name in ("exponential", "inverse_scaling", "cosine", "warmup", "one_cycle", "flat_cosine"):
    FITS[f"net/schedule/{name}"] = partial(net_fit, fit={"schedule": name})
HELD_OUT = samples((8, 16, 3), 40, seed=1)
WEIGHTS = np.linspace(0.0, 2.0, 90)
FITS |= {
    "net/not shuffled": partial(net_fit, fit={"shuffle": False}),
    "net/weights": partial(net_fit, fit={"sample_weight": WEIGHTS}),
    "net/class weights": partial(net_fit, fit={"class_weight": "balanced"}),
    "net/class weights, dictionary": partial(net_fit, fit={"class_weight": {0: 3.0, 2: 0.5}}),
    "net/smoothing": partial(net_fit, label_smoothing=0.1),
    "net/validation fraction": partial(net_fit, fit={"validation_fraction": 0.3}),
    "net/validation data": partial(net_fit, fit={"validation_data": HELD_OUT}),
    "net/metrics": partial(net_fit, fit={"validation_data": HELD_OUT, "metrics": ["accuracy", "log_loss"]}),
    "net/diverges": partial(
        net_fit, loss="squared_error", kind="numbers", hidden_activation="relu", fit={"optimizer": fastmlp.SGD(1e6)}
    ),
}
STOPS = {
    "patience": {"early_stopping": 2, "validation_data": HELD_OUT},
    "of training loss": {"early_stopping": fastmlp.EarlyStopping(2, min_delta=0.2)},
    "of accuracy": {"early_stopping": fastmlp.EarlyStopping(2, "validation_accuracy"), "validation_fraction": 0.3},
    "of a metric": {
        "early_stopping": fastmlp.EarlyStopping(2, "validation_log_loss"),
        "validation_data": HELD_OUT,
        "metrics": ["log_loss"],
    },
    "callback": {"callbacks": lambda epoch, history: epoch == 7},
    "callback that predicts": {
        "callbacks": lambda epoch, history: history.net.predict(HELD_OUT[0]),
        "validation_data": HELD_OUT,
    },
}
for name, keywords in STOPS.items():
    fit = {"epochs": 40, "optimizer": fastmlp.Adam(0.1)} | keywords
    FITS[f"net/stops/{name}"] = partial(net_fit, fit=fit)
    FITS[f"net/stops, large/{name}"] = partial(net_fit, sizes=(8, 80, 80, 3), fit=fit | {"optimizer": "adam"})


def goes_on(_: Path, n_fits=3, **settings: Any) -> dict[str, Any]:
    """Fits that follow each other, with one optimiser state."""
    net = fastmlp.MLP((8, 16, 3), loss="softmax_cross_entropy", device="cpu", random_state=3, **settings)
    X, y = samples((8, 16, 3), 90)
    state = fastmlp.OptimizerState()
    found = {}
    for k in range(n_fits):
        net.fit(X, y, epochs=2, batch_size=32, optimizer_state=state, verbose=0)
        found[str(k)] = of_net(net)
    return found


FITS["net/goes on"] = goes_on
FITS["net/goes on, dropout"] = partial(goes_on, dropout=0.2)


# ---- checkpoints: a callback or an error ends the fit, and another one goes on


class Ended(Exception):
    """What ends a fit in its midst."""


def resumed_net(folder: Path, data: Callable[..., Any] = samples, batch_size=32, fit=None, **settings: Any):
    def end(epoch: int, history: Any) -> None:
        if epoch == 4:
            raise Ended

    make = lambda: fastmlp.MLP((8, 16, 3), loss="softmax_cross_entropy", device="cpu", random_state=3, **settings)
    X, y = data((8, 16, 3), 90)
    keywords = {"epochs": 9, "batch_size": batch_size, "verbose": 0, **(fit or {})}
    with suppress(Ended):
        make().fit(X, y, callbacks=end, checkpoint=fastmlp.Checkpoint(folder / "net", 1), **keywords)
    net = make()
    net.fit(X, y, checkpoint=fastmlp.Checkpoint(folder / "net", 1, resume=True), **keywords)
    return of_net(net)


FITS |= {
    "resumed/net": resumed_net,
    "resumed/net, dropout": partial(resumed_net, dropout=0.2, fit={"optimizer": "adamw", "schedule": "cosine"}),
    "resumed/net, early stopping": partial(
        resumed_net, fit={"early_stopping": 5, "validation_fraction": 0.3, "optimizer": "rprop"}
    ),
    "resumed/net, metrics": partial(resumed_net, fit={"metrics": ["accuracy"], "validation_data": HELD_OUT}),
}


def longer(folder: Path, kind: str) -> dict[str, Any]:
    """A fit that is complete, and goes on to more epochs."""
    X, y = samples((4, 6, 3), 60)
    for epochs in (5, 12):
        if kind == "net":
            nets: Any = fastmlp.MLP((4, 6, 3), loss="softmax_cross_entropy", device="cpu", random_state=3)
        else:
            n_nets = {"lanes": 40, "one by one": 3}[kind]
            nets = fastmlp.Population((4, 6, 3), n_nets, loss="softmax_cross_entropy", device="cpu", random_state=3)
        file = fastmlp.Checkpoint(folder / "file", resume=epochs == 12)
        nets.fit(X, y, epochs=epochs, batch_size=16, verbose=0, checkpoint=file)
    return of_net(nets) if kind == "net" else of_population(nets)


for kind in ("net", "lanes", "one by one"):
    FITS[f"resumed/longer, {kind}"] = partial(longer, kind=kind)


# ---- rows on disk


def on_disk(folder: Path, n_nets: int = 0, fit: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    sizes, n = (30, 12, 3), 9000
    X, y = samples(sizes, n)
    np.save(folder / "X.npy", X.astype(np.float32))
    np.save(folder / "y.npy", y.astype(np.float32))
    common = {"loss": "softmax_cross_entropy", "device": "cpu", "random_state": 3, **settings}
    nets: Any = fastmlp.Population(sizes, n_nets, **common) if n_nets else fastmlp.MLP(sizes, **common)
    keywords = {"epochs": 2, "batch_size": 64, "memory_limit": 1_000_000, "verbose": 0, **(fit or {})}
    nets.fit(folder / "X.npy", folder / "y.npy", **keywords)
    return of_population(nets) if n_nets else of_net(nets)


ROWS_HELD_OUT = samples((30, 12, 3), 200, seed=1)
FITS |= {
    "disk/net": on_disk,
    "disk/net, float64": partial(on_disk, dtype="float64"),
    "disk/net, not shuffled": partial(on_disk, fit={"shuffle": False}),
    "disk/net, dropout": partial(on_disk, dropout=0.2, fit={"optimizer": "adamw", "schedule": "cosine"}),
    "disk/net, early stopping": partial(
        on_disk,
        fit={"epochs": 5, "early_stopping": 1, "validation_data": ROWS_HELD_OUT, "optimizer": fastmlp.Adam(0.1)},
    ),
    "disk/net, callback": partial(on_disk, fit={"callbacks": lambda epoch, history: epoch == 0}),
    "disk/net, in memory": partial(on_disk, fit={"memory_limit": "500MB"}),
    "disk/population": partial(on_disk, n_nets=2),
    "disk/population, early stopping": partial(
        on_disk, n_nets=2, fit={"epochs": 4, "early_stopping": 1, "validation_data": ROWS_HELD_OUT}
    ),
}


# ---- populations

LANES = {"lanes": {}, "one by one": {"sizes": (4, 90, 3), "n_nets": 3}, "few": {"n_nets": 3}}
for name, shape in LANES.items():
    for dtype in ("float32", "float64"):
        FITS[f"population/{name}/{dtype}"] = partial(population_fit, dtype=dtype, **shape)
    for rule, optimizer in RULES.items() if name == "lanes" else ():
        FITS[f"population/{name}/{rule}"] = partial(population_fit, fit={"optimizer": optimizer}, **shape)
    held_out = samples((4, 6, 3), 30, seed=1)
    wide = {"validation_data": held_out, "epochs": 30, "optimizer": fastmlp.Adam(0.05)}
    rates = np.geomspace(0.001, 0.1, shape.get("n_nets", 40))
    KEYWORDS: dict[str, dict[str, Any]] = {
        "early stopping": {"early_stopping": 2, **wide},
        "early stopping, accuracy": {"early_stopping": fastmlp.EarlyStopping(2, "validation_accuracy"), **wide},
        "validation fraction": {"early_stopping": 2, "epochs": 20, "validation_fraction": 0.25},
        "converged": {"converged": 0.5, "epochs": 40, "optimizer": fastmlp.Adam(0.02)},
        "restarts": {
            "converged": fastmlp.Converged(0.4, restart_after=12),
            "epochs": 50,
            "optimizer": fastmlp.Adam(0.02),
        },
        "rates": {"optimizer": fastmlp.Adam(rates)},
        "weights": {"sample_weight": np.linspace(0.0, 2.0, 60)},
        "weights of each net": {"sample_weight": np.random.default_rng(0).random((len(rates), 60))},
        "class weights": {"class_weight": "balanced"},
        "schedule": {"schedule": "one_cycle"},
        "full batch": {"batch_size": None},
        "diverges": {"optimizer": fastmlp.SGD(np.where(np.arange(len(rates)) % 2, 1e30, 0.1))},
    }
    for case, keywords in KEYWORDS.items():
        FITS[f"population/{name}/{case}"] = partial(population_fit, fit=keywords, **shape)
    FITS[f"population/{name}/dropout"] = partial(population_fit, dropout=0.2, l2=0.01, **shape)
    FITS[f"population/{name}/penalty of each net"] = partial(population_fit, l2=rates, **shape)
FITS["population/XOR, rule of Fahlman"] = partial(
    population_fit, sizes=(2, 2, 1), n=4, kind="labels", batch_size=None, n_nets=300, loss="binary_cross_entropy",
    fit={"converged": "40-20-40", "epochs": 300, "optimizer": fastmlp.Rprop()},
)  # fmt: skip


def data_of_each_net(_: Path, n_nets: int) -> dict[str, Any]:
    X, y = samples((4, 6, 3), 60 * n_nets)
    pop = fastmlp.Population((4, 6, 3), n_nets, loss="softmax_cross_entropy", device="cpu", random_state=3)
    pop.fit(X.reshape(n_nets, 60, 4), y.reshape(n_nets, 60), epochs=5, batch_size=16, verbose=0)
    return of_population(pop)


def on_workers(_: Path, **shape: Any) -> dict[str, Any]:
    with ThreadPoolExecutor(2) as executor:
        return population_fit(_, fit={"executor": executor}, **shape)


for name, shape in LANES.items():
    FITS[f"population/{name}/data of each net"] = partial(data_of_each_net, n_nets=shape.get("n_nets", 40))
    FITS[f"population/{name}/workers"] = partial(on_workers, **shape)


# ---- searches, estimators, tables


def searched(_: Path, **keywords: Any) -> dict[str, Any]:
    X, y = samples((4, 6, 3), 90)
    space = {"learning_rate": [0.003, 0.03], "hidden_layer_sizes": [(6,), (8, 4)], "dropout": [0.0, 0.2]}
    result = fastmlp.sweep(X, y, space, n=4, cv=3, epochs=5, device="cpu", random_state=0, verbose=0, **keywords)
    return {"scores": result.scores, "fold_scores": result.fold_scores, "params": result.best.params}


def estimated(_: Path, name: str, kind: str, n_fits: int = 1, **settings: Any) -> dict[str, Any]:
    X, y = samples((5, 8, 3), 200, kind)
    y = y if kind == "classes" else y[:, 0]
    model = getattr(fastmlp, name)(random_state=0, **{"max_iter": 8, **settings})
    for _k in range(n_fits):
        model.fit(X, y)
    return of_estimator(model, X)


def in_parts(_: Path) -> dict[str, Any]:
    X, y = samples((5, 8, 3), 200)
    model = fastmlp.MLPClassifier((8,), random_state=0)
    for start in range(0, 200, 50):
        model.partial_fit(X[start : start + 50], y[start : start + 50], classes=[0, 1, 2])
    return of_estimator(model, X)


def cross_validated(_: Path) -> dict[str, Any]:
    X, y = samples((5, 8, 3), 120)
    found = fastmlp.cross_val_population(fastmlp.MLPClassifier((8,), max_iter=10, random_state=0), X, y, cv=4)
    return {"scores": found["test_score"]}


FITS["sweep"] = searched
FITS["estimator/parts"] = in_parts
FITS["estimator/folds"] = cross_validated
for solver in ("adam", "sgd", "lbfgs"):
    small = {"hidden_layer_sizes": (8,), "solver": solver}
    FITS[f"estimator/classes/{solver}"] = partial(estimated, name="MLPClassifier", kind="classes", **small)
    FITS[f"estimator/numbers/{solver}"] = partial(estimated, name="MLPRegressor", kind="numbers", **small)
ESTIMATORS: dict[str, dict[str, Any]] = {
    "early stopping": {"early_stopping": True, "max_iter": 40},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "max_iter": 60, "n_iter_no_change": 2, "tol": 1e-2},
    "warm start": {"warm_start": True, "n_fits": 2},
}
for case, settings in ESTIMATORS.items():
    settings = {"hidden_layer_sizes": (8,)} | settings
    FITS[f"estimator/classes/{case}"] = partial(estimated, name="MLPClassifier", kind="classes", **settings)
    FITS[f"estimator/numbers/{case}"] = partial(estimated, name="MLPRegressor", kind="numbers", **settings)


def tabular(_: Path, kind: str, **settings: Any) -> dict[str, Any]:
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "size": rng.normal(size=240),
            "age": rng.integers(20, 70, 240).astype(float),
            "kind": rng.choice(["red", "green", "blue"], 240),
            "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, 240), unit="D"),
        }
    )
    table.loc[::17, "age"] = np.nan
    score = table["size"] + (table["kind"] == "red") - 0.3 * rng.normal(size=240)
    y = np.where(score > 0.2, "yes", "no") if kind == "Classifier" else score.to_numpy()
    model = getattr(fastmlp, f"TabularMLP{kind}")(
        random_state=0, **{"max_iter": 6, "hidden_layer_sizes": (16,), **settings}
    )
    model.fit(table, y)
    return of_estimator(model, table)


TABULAR: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"quality": "fast"},
    "best": {"quality": "best", "max_iter": 3},
    "same rows": {"n_nets": 3, "n_folds": 1},
    "folds": {"n_nets": 2, "n_folds": 3},
    "tune": {"n_nets": 1, "tune": 3},
}
for case, settings in TABULAR.items():
    for kind in ("Classifier", "Regressor"):
        FITS[f"table/{kind}/{case}"] = partial(tabular, kind=kind, **settings)
FITS["table/Classifier/class weights"] = partial(tabular, kind="Classifier", n_nets=2, class_weight="balanced")


# ---- the CUDA backend, in emulation

for name, shape in {"small": {}, "layerwise": {"sizes": (8, 160, 150, 3)}}.items():
    for rule in ("sgd", "adam", "rprop"):
        fit = {"epochs": 2, "optimizer": RULES[rule]}
        EMULATED[f"cuda/net, {name}/{rule}"] = partial(net_fit, device="cuda", n=40, fit=fit, **shape)
for name, shape in {
    "in threads": {"n_nets": 130},
    "in blocks": {"n_nets": 3, "sizes": (4, 20, 3)},
    "batched": {"n_nets": 3, "sizes": (4, 100, 100, 3)},
}.items():
    for rule in ("adam", "quickprop"):
        fit = {"epochs": 2, "optimizer": RULES[rule]}
        EMULATED[f"cuda/population, {name}/{rule}"] = partial(population_fit, device="cuda", n=32, fit=fit, **shape)
EMULATED["cuda/net, early stopping"] = partial(
    net_fit, device="cuda", n=40, fit={"epochs": 8, "early_stopping": 1, "validation_data": HELD_OUT}
)
EMULATED["cuda/population, early stopping"] = partial(
    population_fit, device="cuda", n=32, n_nets=5, fit={"epochs": 8, "early_stopping": 1, "validation_fraction": 0.25}
)


def learned(name: str, folder: Path) -> dict[str, Any]:
    """Return what the fit of this name has learned; warnings are not looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (FITS | EMULATED)[name](folder)
