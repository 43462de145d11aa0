"""Prediction by the default model of a table, five nets of 256-256-256, beside its parts: one row in a call, and many.

"features" reads and encodes the columns, "nets" predicts from features, and "copy" copies features in memory.
"""

import numpy as np
import pytest

import fastmlp

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")

ROWS = (1, 100_000)
TRAINING_ROWS = 4_000  # one epoch of them: speed does not depend on what the nets have learned
CATEGORIES = {
    "workclass": 8, "education": 16, "marital": 7, "occupation": 14, "relationship": 6, "race": 5, "sex": 2,
    "country": 41,
}  # fmt: skip


def numbers(n, seed):
    """Return a table of eight columns of numbers, as California housing has, and targets that leap."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(np.exp(rng.normal(size=(n, 8))), columns=[f"number {k}" for k in range(8)])
    return X, np.floor(3 * np.log(X["number 0"])).to_numpy() + np.sin(4 * X["number 6"]).to_numpy()


def categories(n, seed):
    """Return a table of six columns of numbers and eight of categories, as adult has, and two classes."""
    rng = np.random.default_rng(seed)
    columns = {
        "age": rng.integers(17, 90, n),
        "weight": rng.integers(10_000, 1_000_000, n),
        "years": rng.integers(1, 17, n),
        "gain": np.where(rng.random(n) < 0.1, rng.integers(1, 99_999, n), 0),
        "loss": np.where(rng.random(n) < 0.05, rng.integers(1, 4_000, n), 0),
        "hours": rng.integers(1, 99, n),
    }
    for name, size in CATEGORIES.items():
        columns[name] = np.array([f"{name} {k}" for k in range(size)], object)[rng.integers(0, size, n)]
    is_rich = columns["age"] + 5 * columns["years"] + rng.normal(0, 20, n) > 90
    return pd.DataFrame(columns), np.where(is_rich, ">50K", "<=50K")


TABLES = {"numbers": (numbers, fastmlp.TabularMLPRegressor), "categories": (categories, fastmlp.TabularMLPClassifier)}


def reference(net, X):
    """Outputs in float64 NumPy: ReLU layers, then softmax or nothing."""
    a = X.astype(np.float64)
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        z = a @ W.astype(np.float64) + b
        a = np.maximum(z, 0) if k < len(net.weights) - 1 else z
    if net.network.output_row.name != "softmax":
        return a
    a = np.exp(a - a.max(1, keepdims=True))
    return a / a.sum(1, keepdims=True)


@pytest.fixture(scope="module", params=TABLES)
def model(request):
    make, kind = TABLES[request.param]
    found = kind(max_iter=1, numeric_encoding="piecewise_linear", device="cpu", random_state=0)
    return found.fit(*make(TRAINING_ROWS, 0)), make


def calls_of(model, table):
    """Return {part: function without arguments} of a prediction, and the whole."""
    features = model.encoded_samples(table, np.repeat(getattr(model, "classes_", [0.0])[:1], len(table)))[0]
    whole = model.predict_proba if hasattr(model, "classes_") else model.predict
    return {
        "whole": lambda: whole(table),
        "features": lambda: model._features(table),
        "nets": lambda: model.net_.predict(features),
        "copy": features.copy,
    }


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("part", ["whole", "features", "nets", "copy"])
def test_table_prediction(benchmark, model, rows, part):
    estimator, make = model
    table = make(max(ROWS), 1)[0][:rows]
    calls = calls_of(estimator, table)
    features, nets = calls["features"]()[:100], estimator.net_
    np.testing.assert_allclose(nets.predict(features), [reference(net, features) for net in nets], atol=1e-4)
    few = calls_of(estimator, table[:1])["whole"]()
    np.testing.assert_array_equal(few, calls["whole"]()[:1])
    if rows == 1:
        benchmark(calls[part])
    else:
        benchmark.pedantic(calls[part], rounds=3, warmup_rounds=1)
