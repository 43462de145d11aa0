"""Tabular estimators whose nets begin with an input embedding: periodic numbers, and vectors of categories."""

from dataclasses import replace

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="tables are data frames of pandas")
pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")

from large_tables import INPUTS, LIMIT, classifier  # noqa: E402

import fastmlp  # noqa: E402
from fastmlp import CategoryEmbedding, PiecewiseLinearEmbedding, TabularMLPClassifier, TabularMLPRegressor  # noqa: E402
from fastmlp.tables.embedded_columns import PERIODIC_EMBEDDING  # noqa: E402

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, "device": "cpu", "n_nets": 1}
PERIODIC, VECTORS = {"numeric_encoding": "periodic"}, {"category_embedding": True, "numeric_encoding": "standard"}
BINS = {"bin_embedding": True, "numeric_encoding": "piecewise_linear"}
N = 120


@pytest.fixture
def rows(rng):
    X = pd.DataFrame({"size": rng.normal(size=N)})
    X["age"] = np.where(np.arange(N) % 9 == 0, np.nan, rng.exponential(size=N))
    X["town"] = np.array(list("abcdefghijkl"))[np.arange(N) % 12]
    X["garden"] = rng.random(N) > 0.5
    X["day"] = pd.date_range("2020-01-01", periods=N)
    return X, np.sin(3 * X["size"].to_numpy())


def test_periodic_nets_embed_all_columns(rows):
    X, y = rows
    model = TabularMLPRegressor(**SMALL, **PERIODIC).fit(X, y)
    assert [column.kind for column in model.columns_] == ["periodic", "periodic", "category", "category", "date"]
    embedding = model.net_.network.input_embedding
    assert embedding.entries[:3] == (
        replace(PERIODIC_EMBEDDING, n_inputs=3),
        CategoryEmbedding(12, 8),
        CategoryEmbedding(2, 8),
    )
    assert embedding.n_inputs == len(model.encoded_feature_names())
    said = " ".join(model.notes_)
    assert all(repr(name) in said for name in X)
    np.testing.assert_allclose(model.predict(X[:1]), model.predict(X)[:1], rtol=1e-5, atol=1e-6)


def test_vectors_of_large_columns_beside_kept_features(rows):
    X, y = rows
    model = TabularMLPRegressor(**SMALL, **VECTORS).fit(X, y)
    kept = len(model.encoded_feature_names()) - 12
    before, entry, after = model.net_.network.input_embedding.entries
    assert (entry, before + after) == (CategoryEmbedding(12, 8), kept)
    assert model.notes_[1:] == ("The nets embed categories as trained vectors: 'town' (12 values as 8 numbers).",)
    plain = TabularMLPRegressor(**SMALL, numeric_encoding="standard").fit(X.drop(columns="town"), y)
    same = TabularMLPRegressor(**SMALL, **VECTORS).fit(X.drop(columns="town"), y)
    assert plain.net_.network.input_embedding is same.net_.network.input_embedding is None
    np.testing.assert_array_equal(same.predict(X.drop(columns="town")), plain.predict(X.drop(columns="town")))


def test_columns_with_bins_become_piecewise_linear_functions(rows):
    X, y = rows
    model = TabularMLPRegressor(**SMALL, **BINS).fit(X, y)
    n_bins = model.columns_[0].n_bins
    assert n_bins > 1
    assert model.net_.network.input_embedding.entries[0] == PiecewiseLinearEmbedding(n_bins + 1, 16)
    assert f"piecewise linear functions: 'size' ({n_bins + 1} features as 16)" in model.notes_[-1]


def test_bins_that_do_not_pay_are_not_embedded(rng):
    X, y = rng.normal(size=(400, 1)), rng.normal(size=400)
    model = TabularMLPRegressor(**SMALL, bin_embedding=True).fit(X, y)
    assert model.net_.network.input_embedding is None
    assert not any("piecewise linear" in note for note in model.notes_)


def test_a_periodic_net_learns_waves(rng):
    x = rng.uniform(-1, 1, (800, 1))
    y = np.sin(8 * x[:, 0])
    settings = SMALL | {"max_iter": 30, "hidden_layer_sizes": (32,), "dropout": 0.0}
    plain, periodic = (
        TabularMLPRegressor(**settings, numeric_encoding=encoding).fit(x[:600], y[:600]).score(x[600:], y[600:])
        for encoding in ("standard", "periodic")
    )
    assert plain < 0.6 < 0.9 < periodic


@pytest.mark.parametrize(
    "settings",
    [
        {"n_nets": 2, "time_limit": 60.0},
        {"n_folds": 2},
        {"n_nets": 2, "eval_metric": "absolute_error"},
        {"refit": True},
        {"validation_fraction": 0.0, "dtype": "float64"},
        {"tune": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("encoding", [PERIODIC, VECTORS, BINS], ids=str)
@pytest.mark.thinned(2)
def test_kinds_of_training(encoding, settings, rows, tmp_path):
    X, y = rows
    model = TabularMLPRegressor(**SMALL | settings, **encoding).fit(X, y)
    n_layers = model.net_.network.n_embedding_layers
    assert n_layers == (2 if encoding is PERIODIC else 1)
    model.save(tmp_path / "model.safetensors")
    same = fastmlp.load(tmp_path / "model.safetensors")
    assert (same.columns_, same.get_params()) == (model.columns_, model.get_params())
    np.testing.assert_array_equal(same.predict(X), model.predict(X))


@pytest.mark.thinned(3)
@pytest.mark.slow
@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("encoding", [PERIODIC, VECTORS, BINS], ids=str)
def test_a_gpu_trains_the_same_nets(encoding, rows):
    X, y = rows
    settings = SMALL | {"hidden_layer_sizes": (8,), "max_iter": 1, "batch_size": 32, **encoding}
    on_cpu, on_gpu = (TabularMLPRegressor(**settings | {"device": device}).fit(X, y) for device in ("cpu", "cuda"))
    assert on_gpu.net_.device.name.startswith("cuda")
    np.testing.assert_allclose(on_gpu.predict(X), on_cpu.predict(X), rtol=1e-4, atol=1e-4)


def test_warm_start_keeps_the_embedding(rows):
    X, y = rows
    model = TabularMLPRegressor(**SMALL, **PERIODIC, warm_start=True).fit(X, y)
    before = model.net_.network.input_embedding
    model.set_params(numeric_encoding="auto").fit(X, y)  # the encoding of the first fit stays
    assert model.net_.network.input_embedding == before
    assert len(model.loss_curve_) == 6


def test_mistakes_get_sentences(rows):
    X, y = rows
    for settings, words in (
        (PERIODIC | {"category_embedding": False}, "'periodic' embed all columns, and category_embedding=False"),
        ({"category_embedding": "yes"}, "category_embedding must be True, False or 'auto', but it is 'yes'"),
        ({"bin_embedding": 1}, "bin_embedding must be True, False or 'auto', but it is 1"),
        (PERIODIC | {"bin_embedding": True}, "and numeric_encoding='periodic' makes none"),
        ({"numeric_encoding": "periodical"}, "Did you mean 'periodic'"),
    ):
        with pytest.raises(ValueError, match=words):
            TabularMLPRegressor(**SMALL, **settings).fit(X, y)


@pytest.mark.slow
def test_a_periodic_table_beyond_the_memory_limit(table, path, capsys):
    model = classifier(max_iter=1, **PERIODIC).fit(str(path), "kind", memory_limit=LIMIT)
    assert "in pieces" in capsys.readouterr().err
    in_memory = classifier(max_iter=1, **PERIODIC).fit(table[INPUTS], table.kind)
    assert model.net_.network.input_embedding == in_memory.net_.network.input_embedding
    for streamed, column in zip(model.columns_, in_memory.columns_, strict=True):
        assert type(streamed) is type(column)


@pytest.mark.filterwarnings("ignore:The column 'size' alone predicts")
@pytest.mark.parametrize("encoding", [PERIODIC, VECTORS, BINS], ids=str)
def test_exported_estimators_with_categories(encoding, rows, tmp_path):
    pytest.importorskip("onnxruntime", reason="pip install 'fastmlp[test]' has onnxruntime")
    from exported_outputs import cells_for, onnx_session

    X, y = rows
    X = X.drop(columns="day").astype({"garden": object})
    model = TabularMLPClassifier(**SMALL, **encoding).fit(X, y > 0)
    model.export(tmp_path / "net.onnx")
    session = onnx_session(tmp_path / "net.onnx")
    found = session.run(None, cells_for(session, X))[1]
    np.testing.assert_allclose(found, model.predict_proba(X), atol=2e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of towns that training has not seen
@pytest.mark.parametrize("n_nets", [1, 2])
@pytest.mark.parametrize("kind", [TabularMLPClassifier, TabularMLPRegressor])
def test_exported_vectors_of_categories_that_training_has_not_seen(kind, n_nets, rows, tmp_path):
    """They have no vector, and neither has a missing cell: the net gets what the layer of vectors gives for zeros."""
    pytest.importorskip("onnxruntime", reason="pip install 'fastmlp[test]' has onnxruntime")
    from exported_outputs import cells_for, onnx_session

    X, y = rows
    X = X[["size", "town"]]
    model = kind(**SMALL | {"n_nets": n_nets}, **VECTORS).fit(X, y > 0 if kind is TabularMLPClassifier else y)
    assert CategoryEmbedding(12, 8) in model.net_.network.input_embedding.entries
    model.export(tmp_path / "net.onnx")
    session, seen = onnx_session(tmp_path / "net.onnx"), X.head(24)
    unseen = seen.assign(town=["m", "A", " ", None, "a b", "0"] * 4)
    predict, output, tolerance = (
        (model.predict_proba, "probabilities", {"atol": 2e-6})
        if kind is TabularMLPClassifier
        else (lambda table: model.predict(table)[:, None], "variable", {"atol": 1e-5 * np.abs(model.predict(X)).max()})
    )
    for table in (seen, unseen, pd.concat([seen, unseen], ignore_index=True)):
        [found] = session.run([output], cells_for(session, table))
        np.testing.assert_allclose(found, predict(table), rtol=0, **tolerance)
    assert (np.abs(predict(unseen) - predict(seen)) > 1e-5).any(axis=1).all(), "the vector of a town counts"
