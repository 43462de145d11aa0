"""Columns of tables as nodes of an ONNX graph: onnxruntime computes the features that tables are encoded as."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="pip install 'fastmlp[onnx]' has onnx")
runtime = pytest.importorskip("onnxruntime", reason="pip install 'fastmlp[test]' has onnxruntime")
pd = pytest.importorskip("pandas", reason="pip install 'fastmlp[table]' has pandas")

from fastmlp.export.onnx_columns import features_of_columns  # noqa: E402
from fastmlp.export.onnx_graph import IR_VERSION, ML, ML_OPSET, OPSET, Graph, Value, helper  # noqa: E402
from fastmlp.tables.category_column import CategoryColumn  # noqa: E402
from fastmlp.tables.date_column import DateColumn  # noqa: E402
from fastmlp.tables.features import fit_column  # noqa: E402
from fastmlp.tables.number_columns import NumericEncoding, PiecewiseLinearColumn, QuantileColumn, StandardColumn  # noqa: E402

N = 200
RNG = np.random.default_rng(0)
SKEWED = RNG.normal(size=N) ** 3 * 1e3
TARGETS = np.sign(SKEWED)[:, None]
DAYS = pd.to_datetime("2020-01-01") + pd.to_timedelta(np.arange(N) * 31, unit="h")
CASES = {  # name: (cells, encoding, type of the encoder)
    "standard": (RNG.integers(0, 5, N).astype(float), NumericEncoding(), StandardColumn),
    "quantile": (SKEWED, NumericEncoding("quantile"), QuantileColumn),
    "bins": (SKEWED, NumericEncoding("auto", TARGETS), PiecewiseLinearColumn),
    "text": (RNG.choice(["red", "light blue", "n/a"], N), NumericEncoding(), CategoryColumn),
    "booleans": (RNG.random(N) > 0.5, NumericEncoding(), CategoryColumn),
    "dates": (DAYS, NumericEncoding(), DateColumn),
}


def computed(column, cells):
    """Return the features of cells (n_rows, 1) by onnxruntime."""
    graph = Graph(np.dtype("float32"))
    features = features_of_columns(graph, (column,), {column.name: Value(graph, column.name)})
    graph.name_output(features, "features")
    kind = onnx.TensorProto.STRING if column.takes_text else onnx.TensorProto.DOUBLE
    given = helper.make_tensor_value_info(column.name, kind, [None, 1])
    made = helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [None, None])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "graph", [given], [made], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
        ir_version=IR_VERSION,
    )
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {column.name: cells})[0]


def as_input(column, series):
    """Return the cells of a column as a graph takes them: text with "" for missing ones, days, or float64."""
    if column.takes_text:
        return series.astype(object).where(series.notna(), "").to_numpy(object)[:, None]
    if isinstance(column, DateColumn):
        return ((series - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)).to_numpy(np.float64)[:, None]
    return series.astype("float64").to_numpy()[:, None]


@pytest.mark.parametrize("has_missing", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_features_are_those_of_the_table(name, has_missing):
    cells, encoding, kind = CASES[name]
    series = pd.Series(cells, name="cells")
    if has_missing:
        series = series.astype(object if series.dtype == bool else series.dtype).where(np.arange(N) % 7 > 0)
    column, note = fit_column(series, encoding)
    assert (type(column), note) == (kind, "")
    expected = np.empty((N, len(column.feature_names)), np.float32)
    assert column.encode(series, expected) == []
    np.testing.assert_allclose(computed(column, as_input(column, series)), expected, rtol=0, atol=1e-6)
