"""Pipelines with the estimators inside: skl2onnx converts them, and onnxruntime predicts what they predict."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="pip install 'fastmlp[sklearn]' has scikit-learn")
skl2onnx = pytest.importorskip("skl2onnx", reason="pip install 'fastmlp[test]' has skl2onnx")
runtime = pytest.importorskip("onnxruntime", reason="pip install 'fastmlp[test]' has onnxruntime")
pd = pytest.importorskip("pandas", reason="pip install 'fastmlp[table]' has pandas")

from sklearn.compose import make_column_transformer  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: E402

import fastmlp  # noqa: E402
from fastmlp import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of skl2onnx and onnx
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
PROBABILITY = 2e-6


@pytest.fixture(autouse=True)
def converters():
    assert fastmlp.register_skl2onnx() == (MLPClassifier, MLPRegressor)


@pytest.fixture
def X(rng):
    return rng.normal(size=(80, 4)).astype(np.float32) * 2


def session_of(model, X, **options):
    onnx = skl2onnx.to_onnx(model, X[:1], **options)
    return runtime.InferenceSession(onnx.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("n_nets", [1, 2])
@pytest.mark.parametrize("kind", ["text", "numbers", "labels"])
def test_classifier_in_a_pipeline(kind, n_nets, X):
    y = {"text": np.where(X[:, 0] > 0, "no", "yes"), "numbers": np.argmax(X[:, :3], axis=1)}.get(kind, X[:, :3] > 0)
    y = y.astype(int) if kind == "labels" else y
    model = make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=3, n_nets=n_nets, random_state=0)).fit(X, y)
    for dtype in (np.float32, np.float64):
        session = session_of(model, X.astype(dtype), options={"zipmap": False})
        assert [item.name for item in session.get_outputs()] == ["label", "probabilities"]
        label, p = session.run(None, {"X": X.astype(dtype)})
        assert p.dtype == dtype
        np.testing.assert_array_equal(label, model.predict(X))
        np.testing.assert_allclose(p, model.predict_proba(X), atol=PROBABILITY)
    if kind == "text":
        _, maps = session_of(model, X).run(None, {"X": X})
        np.testing.assert_allclose([[row["no"], row["yes"]] for row in maps], model.predict_proba(X), atol=PROBABILITY)


@pytest.mark.parametrize("opset", [13, 15, None])
def test_regressor_in_a_pipeline(opset, X):
    model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=6, max_iter=3, n_nets=2, random_state=0))
    model.fit(X, X[:, :2])
    session = session_of(model, X, target_opset=opset)
    [found] = session.run(["variable"], {"X": X})
    np.testing.assert_allclose(found, model.predict(X), atol=1e-5)


@pytest.fixture
def table(X, rng):
    return pd.DataFrame(X, columns=list("abcd")).assign(colour=rng.choice(["red", "blue"], len(X)))


def test_column_transformer(table):
    columns = make_column_transformer((StandardScaler(), list("abcd")), (OneHotEncoder(), ["colour"]))
    model = make_pipeline(columns, MLPClassifier((6,), max_iter=3, random_state=0)).fit(table, table["a"] > 0)
    session = session_of(model, table, options={"zipmap": False})
    _, p = session.run(None, {name: table[[name]].to_numpy() for name in table})
    np.testing.assert_allclose(p, model.predict_proba(table), atol=PROBABILITY)
