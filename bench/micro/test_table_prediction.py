"""Prediction by the default model of a table, six nets of 128-128-128, beside its parts: one row in a call, and many.

"features" reads and encodes the columns, "nets" predicts from features, and "copy" copies features in memory.
"""

import numpy as np
import pytest
from micro.example_tables import categories, numbers

import fastmlp

pytest.importorskip("sklearn")
ROWS = (1, 100_000)
TRAINING_ROWS = 4_000  # one epoch of them: speed does not depend on what the nets have learned
TABLES = {"numbers": (numbers, fastmlp.TabularMLPRegressor), "categories": (categories, fastmlp.TabularMLPClassifier)}
HIDDEN = {"relu": lambda z: np.maximum(z, 0), "silu": lambda z: z / (1 + np.exp(-z))}


def reference(net, X):
    """Outputs in float64 NumPy: hidden layers, then softmax or nothing."""
    a, activation = X.astype(np.float64), HIDDEN[net.get_settings()["hidden_activation"][0]]
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        z = a @ W.astype(np.float64) + b
        a = activation(z) if k < len(net.weights) - 1 else z
    a = a if net.network.output_row.name != "softmax" else np.exp(a - a.max(1, keepdims=True))
    return a if net.network.output_row.name != "softmax" else a / a.sum(1, keepdims=True)


@pytest.fixture(scope="module", params=TABLES)
def model(request):
    make, kind = TABLES[request.param]
    found = kind(max_iter=1, device="cpu", random_state=0)
    return found.fit(*make(TRAINING_ROWS, 0)), make


def calls_of(model, table):
    """Return {part: function without arguments} of a prediction, and the whole."""
    features = model.encoded_samples(table, np.repeat(getattr(model, "classes_", [0.0])[:1], len(table)))[0]
    whole = model.predict_proba if hasattr(model, "classes_") else model.predict
    parts = {"whole": lambda: whole(table), "features": lambda: model._features(table), "copy": features.copy}
    return parts | {"nets": lambda: model.net_.predict(features)}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("part", ["whole", "features", "nets", "copy"])
def test_table_prediction(benchmark, model, rows, part):
    estimator, make = model
    calls = calls_of(estimator, make(max(ROWS), 1)[0][:rows])
    features, nets = calls["features"]()[:100], estimator.net_
    np.testing.assert_allclose(nets.predict(features), [reference(net, features) for net in nets], atol=1e-4)
    few = calls_of(estimator, make(max(ROWS), 1)[0][:1])["whole"]()
    np.testing.assert_array_equal(few, calls["whole"]()[:1])
    if rows == 1:
        benchmark(calls[part])
    else:
        benchmark.pedantic(calls[part], rounds=3, warmup_rounds=1)
