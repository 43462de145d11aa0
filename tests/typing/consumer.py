"""A user's program that uses every public name; tests/unit/test_typing.py checks its types with mypy --strict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastmlp
import fastmlp.plots
from fastmlp.convergence import EpochStatistics
from fastmlp.devices import Device, DeviceInfo
from fastmlp.diagnosis.gradient_check import Finding
from fastmlp.network.parameter_layout import Layout
from fastmlp.network.spec import Network
from fastmlp.optimizers import Optimizer
from fastmlp.persistence import save
from fastmlp.report import write

Floats = NDArray[np.float64]


class Printer(fastmlp.Logger):
    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            print(row["epoch"])

    def end(self, history: fastmlp.History) -> None:
        print(history.stopped_by, history.epochs_before)


def stop(epoch: int, history: fastmlp.History) -> bool:
    return epoch > 3 and bool(history.loss[-1] < 0.1)


def one_net(X: Floats, y: Floats) -> float:
    net: fastmlp.MLP = fastmlp.MLP(
        (2, 4, 1), hidden_activation=["tanh"], init=fastmlp.Uniform(-0.5, 0.5), random_state=0, huber_delta=0.5
    )
    state: fastmlp.OptimizerState = fastmlp.OptimizerState()
    history: fastmlp.History = net.fit(
        X,
        y,
        epochs=10,
        batch_size=2,
        optimizer=fastmlp.Adam(1e-2),
        schedule=fastmlp.schedules.Cosine(),
        early_stopping=fastmlp.EarlyStopping(5, min_delta=1e-3),
        callbacks=[stop, Printer(every=2), fastmlp.CSVLogger("run.csv", every="5 s")],
        metrics=["r2"],
        optimizer_state=state,
        time_limit=1.5,
    )
    best: int | None = history.best_epoch
    found: fastmlp.Diagnosis | fastmlp.PopulationDiagnosis = fastmlp.diagnose(net, X, y, history)
    if isinstance(found, fastmlp.Diagnosis):
        print(found.verdict, found.is_sure, best)
    check: fastmlp.GradientCheck = fastmlp.check_gradients(net.objective(X, y), net.params)
    print(wrong_arrays(check), architecture(net), net.weights[0].shape)
    scores: dict[str, float] = net.evaluate(X, y)
    net.save("net.safetensors")
    print(isinstance(fastmlp.load("net.safetensors"), fastmlp.MLP), fastmlp.devices())
    return scores["loss"] + history.seconds


def architecture(net: fastmlp.MLP) -> int:
    network: Network = net.network
    layout: Layout = network.layout
    device: Device = net.device
    first: DeviceInfo = fastmlp.devices()[0]
    print(device.is_host, device.reason, first.available, layout.weight_offsets, network.output_row.name)
    return network.n_features + layout.n_params


def wrong_arrays(check: fastmlp.GradientCheck) -> list[str]:
    findings: tuple[Finding, ...] = check.findings
    return [finding.text for finding in findings if finding.error > 0.1]


def epochs_to_convergence(result: fastmlp.PopulationResult) -> float:
    statistics: EpochStatistics = result.epoch_statistics
    return statistics.mean + statistics.best_restart[1]


def many_nets(X: Floats, y: Floats) -> fastmlp.MLP:
    pop = fastmlp.Population((2, 4, 1), 5, init=fastmlp.Normal(0.5), l2=[0.0, 0.1, 0.2, 0.3, 0.4])
    rule = fastmlp.Converged(loss=0.1)
    file = fastmlp.Checkpoint("run.ckpt", every=10, resume=True)
    result: fastmlp.PopulationResult = pop.fit(X, y, epochs=5, converged=rule, checkpoint=file)
    rate: float | None = result.success_rate
    print(epochs_to_convergence(result))
    found: fastmlp.SweepResult = fastmlp.sweep(X, y, {"l2": [0.0, 0.1]}, n=2)
    print(rate, found.best_settings, fastmlp.folds(len(X), 2), fastmlp.bootstrap(len(X), 3))
    print([net.params.shape for net in pop], fastmlp.UniformByFanIn(1.0), fastmlp.NguyenWidrow(0.7))
    return pop.best()


def own_formulas() -> fastmlp.MLP:
    cube = fastmlp.Activation("cube", lambda z: z * z * z, lambda z: 3.0 * z * z, low=-1e9, high=1e9)
    log = fastmlp.Loss("log", lambda a, y, c: c * abs(a - y), lambda a, y, c: c * np.sign(a - y), constant=0.5)
    fastmlp.MLP((2, 4, 1), hidden_activation=[cube], loss=log, random_state=0).save("own.safetensors")
    net = fastmlp.load("own.safetensors", custom_objects=[cube, log])
    assert isinstance(net, fastmlp.MLP)
    return net


def wrong_keywords(net: fastmlp.MLP, pop: fastmlp.Population, X: Floats, y: Floats) -> None:
    """Calls that mypy refuses; --strict would report a comment that ignores no error."""
    net.fit(X, y, epoch=3)  # type: ignore[call-arg]
    net.fit(X, y, epochs="3")  # type: ignore[arg-type]
    net.fit(X, y, converged=0.1)  # type: ignore[call-arg]
    fastmlp.sweep(X, y, {}, checkpoints="file")  # type: ignore[call-arg]
    fastmlp.sweep(X, y, {}, checkpoint=3)  # type: ignore[arg-type]


OPTIMIZERS: tuple[Optimizer, ...] = (
    fastmlp.SGD(0.1, momentum=0.9),
    fastmlp.Adam(),
    fastmlp.AdamW(weight_decay=0.1),
    fastmlp.RMSprop(),
    fastmlp.Adagrad(),
    fastmlp.Quickprop(),
    fastmlp.Rprop(),
    fastmlp.optimizer_from_name("sgd"),
)
SCHEDULES: tuple[fastmlp.schedules.Schedule, ...] = (
    fastmlp.schedules.Constant(),
    fastmlp.schedules.Step(factor=0.5, share=0.2),
    fastmlp.schedules.Exponential(end=0.1),
    fastmlp.schedules.InverseScaling(power=1.0),
    fastmlp.schedules.Cosine(end=0.1),
    fastmlp.schedules.Warmup(10, then=fastmlp.schedules.Cosine()),
    fastmlp.schedules.OneCycle(start=0.1),
    fastmlp.schedules.FlatCosine(share=0.7),
)
WARNINGS: tuple[type[Warning], ...] = (fastmlp.DivergenceWarning, fastmlp.TrainingWarning)


def pictures(net: fastmlp.MLP, history: fastmlp.History, X: Floats, y: Floats) -> None:
    fastmlp.plots.history(history, "accuracy", log=True)
    fastmlp.plots.boundary(net, X, y, features=(0, 1))
    fastmlp.plots.confusion(net, X, y, labels=["no", "yes"])
    fastmlp.plots.calibration(net, X, y, n_bins=5)
    fastmlp.plots.predictions(net, X, y)
    save(net, "net.safetensors")
    write(history, "report.html", X, y, title="a net")


def estimators(X: Floats, y: Floats) -> Floats:
    classifier = fastmlp.MLPClassifier((4,), max_iter=9).fit(X, y)
    regressor = fastmlp.MLPRegressor(hidden_layer_sizes=(4,)).fit(X, y)
    table = fastmlp.TabularMLPClassifier(
        (32, 16),
        quality="fast",
        dropout=[0.1, 0.2],
        max_iter=20,
        n_nets=1,
        class_weight={"a": 2.0, "b": 1.0},
        categorical_features=["town", 3],
        time_limit=60.0,
        random_state=0,
    ).fit(X, y, validation_data=(X, y))
    numbers: fastmlp.TabularMLPRegressor = fastmlp.TabularMLPRegressor(
        hidden_layer_sizes="auto", weight_decay=0.01, n_nets="auto", n_folds=2
    )
    probabilities: Floats = table.predict_proba(X)
    numbers.fit(X, y).save("table.safetensors")
    print(probabilities, table.notes_on(X), regressor.n_iter_, fastmlp.cross_val_population(classifier, X, y))
    labels: Floats = classifier.predict(X)
    return labels


def elsewhere(module: Any, model: Any) -> fastmlp.MLP:
    print(fastmlp.from_sklearn(model))
    return fastmlp.from_torch(module)
