"""`fit(metrics=...)`: metrics after each epoch, on training and validation samples, compared with scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as theirs

import fastmlp
from fastmlp import MLP, EarlyStopping
from fastmlp.callbacks import METRIC_SIGNS
from fastmlp.fit.metric_functions import METRICS, as_metrics

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
TWO = (X[:, 0] * X[:, 1] > 0).astype(int)
THREE = RNG.integers(3, size=60)
NUMBERS = X @ np.array([[1.0, 0.5], [-1.0, 0.0], [0.5, 2.0]])
WEIGHTS = RNG.uniform(0.1, 2.0, 60)


def one_hot(y, k):
    return np.eye(k)[y]


TASKS = {
    "two classes": ((3, 4, 1), "binary_cross_entropy", TWO, TWO[:, None]),
    "three classes": ((3, 4, 3), "softmax_cross_entropy", THREE, one_hot(THREE, 3)),
    "numbers": ((3, 4, 2), "squared_error", NUMBERS, NUMBERS),
    "two softmax outputs": ((3, 4, 2), "softmax_cross_entropy", TWO, one_hot(TWO, 2)),
}
EXPECTED = {
    "squared_error": lambda y, p, w: theirs.mean_squared_error(y, p, sample_weight=w),
    "absolute_error": lambda y, p, w: theirs.mean_absolute_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: theirs.r2_score(y, p, sample_weight=w, multioutput="variance_weighted"),
    "accuracy": lambda y, p, w: np.average(
        (p[:, 0] > 0.5) == y[:, 0] if y.shape[1] == 1 else p.argmax(1) == y.argmax(1), weights=w
    ),
    "log_loss": lambda y, p, w: theirs.log_loss(
        y[:, 0] if y.shape[1] == 1 else y,
        np.hstack([1 - p, p]) if y.shape[1] == 1 else p / p.sum(1, keepdims=True),
        sample_weight=w,
    ),
    "roc_auc": lambda y, p, w: theirs.roc_auc_score(y[:, -1], p[:, -1]),
}
FITTING = [
    (task, name)
    for task in TASKS
    for name in EXPECTED
    if not (task == "numbers" and name in ("accuracy", "log_loss", "roc_auc"))
    and not (task == "three classes" and name == "roc_auc")
]


def test_every_metric_is_tested():
    assert EXPECTED.keys() == METRICS.keys() == METRIC_SIGNS.keys()


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("task, name", FITTING)
def test_metrics_equal_scikit_learns(task, name, weights):
    """Compared on the validation samples, and for the last epoch on the training samples."""
    sizes, loss, y, targets = TASKS[task]
    net = MLP(sizes, loss=loss, random_state=0)
    held = (X[40:], y[40:]) if weights is None else (X[40:], y[40:], weights[40:])
    history = net.fit(
        X[:40],
        y[:40],
        epochs=3,
        batch_size=8,
        metrics=name,
        validation_data=held,
        sample_weight=None if weights is None else weights[:40],
    )
    for record, part in ((history.metrics, slice(0, 40)), (history.validation_metrics, slice(40, 60))):
        assert record[name].shape == (3,)
        w = None if weights is None else weights[part]
        expected = EXPECTED[name](targets[part], net.predict(X[part]).astype(np.float64), w)
        np.testing.assert_allclose(record[name][-1], expected, rtol=2e-5, atol=1e-6)


LABELS = np.stack([TWO, 1 - TWO ^ (THREE == 0), THREE == 1], axis=1).astype(int)
SCORED = {  # task: scorers, and the targets of scikit-learn's functions
    "two classes": (("f1", "roc_auc", "neg_log_loss", "accuracy", "average_precision", "balanced_accuracy"), TWO),
    "two softmax outputs": (("f1", "roc_auc", "neg_log_loss", "neg_brier_score"), TWO),
    "three classes": (("f1_macro", "roc_auc_ovr", "neg_log_loss", "top_k_accuracy"), THREE),
    "numbers": (("r2", "neg_mean_absolute_error", "explained_variance"), NUMBERS),
    "labels": (("f1_macro", "roc_auc"), LABELS),
}


@pytest.mark.parametrize("task", SCORED)
def test_scorers_give_what_they_give_for_an_estimator(task):
    """Compared with our estimators that have the same net."""
    names, targets = SCORED[task]
    sizes, loss, y, _ = TASKS.get(task, ((3, 4, 3), "binary_cross_entropy", LABELS, None))
    net = MLP(sizes, loss=loss, random_state=0, dtype="float64")
    scorers = [theirs.get_scorer(name) for name in names]
    history = net.fit(X, y, epochs=3, batch_size=8, metrics=scorers, validation_data=(X[40:], y[40:]), verbose=0)
    kind = fastmlp.MLPRegressor if task == "numbers" else fastmlp.MLPClassifier
    estimator = kind(hidden_layer_sizes=4, max_iter=1, dtype="float64", tol=0.0)
    with pytest.warns(UserWarning, match="converge"):
        estimator.fit(X, targets)
    for record, part in ((history.metrics, slice(None)), (history.validation_metrics, slice(40, None))):
        for name, scorer in zip(record, scorers, strict=True):
            if task == "two softmax outputs":  # the estimator has one output
                estimator.net_.weights[0][:], estimator.net_.biases[0][:] = net.weights[0], net.biases[0]
                estimator.net_.weights[1][:] = net.weights[1] @ [[-1.0], [1.0]]
                estimator.net_.biases[1][:] = net.biases[1] @ [-1.0, 1.0]
            else:
                estimator.net_.params = net.params
            expected = scorer(estimator, X[part].astype(np.float64), targets[part])
            assert record[name][-1] == pytest.approx(expected, abs=1e-9), name
    assert next(iter(history.metrics)) in ("f1_score", "r2_score")


def test_a_scorer_of_probabilities_needs_them():
    with pytest.raises(AttributeError, match="Net has none of the following attributes: predict_proba"):
        MLP((3, 1)).fit(X, TWO, epochs=1, metrics=theirs.get_scorer("neg_log_loss"), verbose=0)


def test_metric_functions_get_targets_and_outputs_of_each_epoch():
    seen = []

    def mine(y_true, y_pred):
        seen.append((y_true, y_pred))
        return len(seen)

    net = MLP((3, 4, 3), loss="softmax_cross_entropy", label_smoothing=0.1, random_state=0)
    history = net.fit(X, THREE, epochs=2, metrics=[mine, "squared_error"], verbose=0)
    np.testing.assert_array_equal(history.metrics["mine"], [1, 2])
    np.testing.assert_allclose(seen[0][0], one_hot(THREE, 3), atol=1e-6)
    np.testing.assert_array_equal(seen[1][1], net.predict(X))
    assert not np.array_equal(seen[0][1], seen[1][1])
    assert history.validation_metrics == {}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "sizes, loss, params",
    [
        ((1, 1), "binary_cross_entropy", [1.0, 0.0]),
        ((1, 2), "softmax_cross_entropy", [0.0, 1.0, 0.0, 0.0]),
        ((1, 1), "atanh_error", [1.0, 0.0]),
    ],
)
def test_outputs_that_round_to_1_do_not_tie(sizes, loss, params, dtype):
    """Logits 18 and 30 are both an output of 1 in float32, 40 and 60 in float64, too."""
    low, high = (18.0, 30.0) if dtype == "float32" else (40.0, 60.0)
    output = {"output_activation": "sigmoid"} if loss == "atanh_error" else {}
    net = MLP(sizes, loss=loss, dtype=dtype, random_state=0, **output)
    net.params = params
    history = net.fit(
        [[low], [high]], [0, 1], epochs=1, optimizer=fastmlp.SGD(1e-30), metrics=["roc_auc", "log_loss"], verbose=0
    )
    assert history.metrics["roc_auc"] == [1.0]
    np.testing.assert_allclose(history.metrics["log_loss"], [low / 2], rtol=1e-6)
    assert net.predict([[low], [high]])[:, -1].tolist() == [1.0, 1.0], "the outputs do tie"


def test_metrics_change_no_bit_of_training():
    settings = {"epochs": 5, "batch_size": 7, "validation_fraction": 0.3, "verbose": 0}
    plain, measured = (MLP((3, 4, 1), loss="binary_cross_entropy", dropout=0.2, random_state=0) for _ in range(2))
    plain.fit(X, TWO, **settings)
    history = measured.fit(X, TWO, metrics=["log_loss", "roc_auc"], **settings)
    np.testing.assert_array_equal(plain.params, measured.params)
    np.testing.assert_allclose(history.validation_metrics["log_loss"], history.validation_loss, rtol=1e-5)


def test_full_batch_early_stopping_restores_the_parameters_after_the_best_epoch():
    net = MLP((3, 4, 1), loss="binary_cross_entropy", random_state=0)
    history = net.fit(
        X, TWO, epochs=400, metrics="r2", early_stopping=EarlyStopping(3, "r2"), optimizer=fastmlp.SGD(5.0), verbose=0
    )
    best = history.metrics["r2"].max()
    found = theirs.r2_score(TWO, net.predict(X)[:, 0])
    assert found == pytest.approx(best, rel=1e-4)


def test_metric_records_have_names_and_survive_saving(tmp_path):
    net = MLP((3, 4, 1), loss="binary_cross_entropy", random_state=0)
    history = net.fit(
        X, TWO, epochs=3, metrics={"mine": lambda y, p: 7.0, "sse": "squared_error"}, validation_fraction=0.5
    )
    assert history.record("validation_sse") is history.validation_metrics["sse"]
    assert list(history.records()) == [
        "loss",
        "accuracy",
        "validation_loss",
        "validation_accuracy",
        "mine",
        "sse",
        "validation_mine",
        "validation_sse",
    ]
    assert "validation_mine=7" in repr(history)
    with pytest.raises(ValueError, match=r"Unknown record 'r2'.*validation_sse"):
        history.record("r2")
    net.save(tmp_path / "net")
    same = fastmlp.load(tmp_path / "net").history
    assert same.records().keys() == history.records().keys()
    np.testing.assert_array_equal(same.validation_metrics["sse"], history.validation_metrics["sse"])
    assert same.compile_seconds == history.compile_seconds


@pytest.mark.parametrize(
    "metrics, message",
    [
        ("mse", "Unknown metric 'mse'"),
        (["r2", "r2"], "Each metric needs a name of its own, but there is another record 'r2'"),
        ({"loss": "r2"}, "another record 'loss'"),
        (7, r"metrics must be names, functions \(y_true, y_pred\) or scorers of scikit-learn, but one of them is 7"),
        (lambda y: 1.0, "metrics must be names, functions"),
        ("accuracy", "The metric 'accuracy' needs classes, but the targets are numbers"),
        ("roc_auc", "needs classes"),
        ("log_loss", "needs classes, and outputs that are probabilities"),
    ],
)
def test_invalid_metrics_raise(metrics, message):
    with pytest.raises(ValueError, match=message):
        MLP((3, 2)).fit(X, NUMBERS, epochs=1, metrics=metrics)


def test_metrics_that_do_not_fit_the_task_raise():
    with pytest.raises(ValueError, match="The metric 'roc_auc' is for two classes, but the net has 3 outputs"):
        MLP((3, 3), loss="softmax_cross_entropy").fit(X, THREE, epochs=1, metrics="roc_auc")
    with pytest.raises(ValueError, match="must return a number, but it returned 'x'"):
        MLP((3, 2)).fit(X, NUMBERS, epochs=1, metrics=lambda y, p: "x")
    with pytest.raises(ValueError, match=r"There is no validation_r2 to monitor: give validation_data"):
        MLP((3, 2)).fit(X, NUMBERS, epochs=1, metrics="r2", early_stopping=EarlyStopping(1, "validation_r2"))
    with pytest.raises(ValueError, match=r"no r2 to monitor: ask for it with metrics=\['r2'\] in MLP.fit"):
        fastmlp.Population((3, 2), 2).fit(X, NUMBERS, epochs=1, early_stopping=EarlyStopping(1, "r2"))
    with pytest.raises(ValueError, match=r"no q90 to monitor: ask for it with metrics=\{'q90': function\} in MLP.fit"):
        MLP((3, 2)).fit(X, NUMBERS, epochs=1, early_stopping=EarlyStopping(1, "q90", mode="min"))
    assert as_metrics(None) == as_metrics(()) == {}


@pytest.mark.parametrize("part", ("", "validation_"))
def test_early_stopping_can_monitor_a_function(part):
    """The fit ends and keeps the parameters as with the named metric, whether smaller or larger values are better."""
    found = []
    for monitor, settings in (
        ("squared_error", {"metrics": "squared_error"}),
        ("error", {"metrics": {"error": lambda y, p: float(np.mean((y - p) ** 2, dtype=np.float64))}, "mode": "min"}),
        ("score", {"metrics": {"score": lambda y, p: -float(np.mean((y - p) ** 2, dtype=np.float64))}, "mode": "max"}),
        ("neg_mean_squared_error", {"metrics": theirs.get_scorer("neg_mean_squared_error"), "mode": "max"}),
    ):
        rule = EarlyStopping(3, f"{part}{monitor}", mode=settings.pop("mode", None))
        net = MLP((3, 8, 2), random_state=0)
        fit = {"epochs": 60, "optimizer": fastmlp.SGD(0.3), "batch_size": 5, "validation_fraction": 0.4, "verbose": 0}
        history = net.fit(X, NUMBERS, early_stopping=rule, **fit, **settings)
        assert history.record(f"{part}{monitor}").size == history.epochs
        found.append((history.epochs, history.best_epoch, history.stopped_by, net.params))
    assert found[0][2] == "early_stopping"
    for other in found[1:]:
        assert other[:3] == found[0][:3]
        np.testing.assert_array_equal(other[3], found[0][3])
