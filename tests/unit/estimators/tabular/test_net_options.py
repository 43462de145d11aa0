"""net_options of tabular estimators: what MLP, AdamW and MLP.fit have, and the estimators have no parameter for."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="tables are data frames of pandas")
pytest.importorskip("sklearn", reason="estimators are those of scikit-learn")

from large_tables import LIMIT, classifier  # noqa: E402
from sklearn.base import clone  # noqa: E402

import fastmlp  # noqa: E402
from fastmlp import CategoryEmbedding, TabularMLPClassifier, TabularMLPRegressor  # noqa: E402
from fastmlp.schedules import FlatCosine  # noqa: E402

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, "device": "cpu", "n_nets": 1}
ALL = {
    "l2": 0.01,
    "init_scale": 0.5,
    "input_scale": True,
    "ntk": True,
    "beta2": 0.95,
    "epsilon": 1e-7,
    "clip_norm": 0.0,
    "weight_decay_schedule": "flat_cosine",
    "dropout_schedule": FlatCosine(0.25),
    "learning_rate_factors": {"biases": 0.1, (0, "weights"): 6.0, 1: 0.5},
}


@pytest.fixture
def rows(rng):
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    return X, X["a"].to_numpy() * X["b"].to_numpy()


def test_options_reach_nets_optimiser_and_fit(rows):
    X, y = rows
    net = TabularMLPRegressor(**SMALL, net_options=ALL, numeric_encoding="standard").fit(X, y).net_
    assert net.network.input_embedding.entries == (3,)
    assert (net.network.l2, net.init, net.init_scale) == (0.01, "lecun_normal", 0.5)
    settings = net.history.settings
    for text in ("beta2=0.95", "epsilon=1e-07", "clip_norm=0.0", "weight_decay_schedule='flat_cosine'"):
        assert text in settings["optimizer"]
    assert settings["dropout_schedule"] == repr(FlatCosine(0.25))
    factors = {"biases": 0.1, (0, "weights"): 6.0, 1: 0.5, (1, "weights"): 3**-0.5, (2, "weights"): 16**-0.5}
    assert f"learning_rate_factors={factors}" in settings["optimizer"], "the embedding has no factors of ntk"


@pytest.mark.slow
def test_options_of_a_table_beyond_the_memory_limit(path, capsys):
    model = classifier(max_iter=1, net_options=ALL).fit(str(path), "kind", memory_limit=LIMIT)
    assert "in pieces" in capsys.readouterr().err
    assert (model.net_.network.l2, model.net_.network.n_embedding_layers) == (0.01, 1)
    assert model.history_.settings["dropout_schedule"] == repr(FlatCosine(0.25))
    assert "weight_decay_schedule='flat_cosine'" in model.history_.settings["optimizer"]


def test_no_options_are_those_of_the_preset(rows):
    X, y = rows
    predictions = [TabularMLPRegressor(**SMALL, net_options=given).fit(X, y).predict(X) for given in (None, {})]
    np.testing.assert_array_equal(*predictions)


def test_factors_for_the_layers_that_ntk_has_too_are_multiplied(rows):
    X, y = rows
    options = {"ntk": True, "learning_rate_factors": {(0, "weights"): 6.0}}
    net = TabularMLPRegressor(**SMALL, net_options=options, numeric_encoding="standard").fit(X, y).net_
    assert f"{(0, 'weights')}: {6.0 * 3**-0.5}" in net.history.settings["optimizer"]


def test_a_scale_beside_vectors_of_categories_is_there_already(rows):
    X, y = rows
    X = X.assign(town=np.array(list("abcdefghijkl"))[np.arange(120) % 12])
    further = {"category_embedding": True, "numeric_encoding": "standard"}
    net = TabularMLPRegressor(**SMALL, **further, net_options={"input_scale": True}).fit(X, y).net_
    assert net.network.input_embedding.entries == (3, CategoryEmbedding(12, 8))


@pytest.mark.parametrize(
    "settings",
    [{"n_nets": 2}, {"n_folds": 2}, {"refit": True}, {"tune": 2}, {"time_limit": 60.0}, {"warm_start": True}],
    ids=str,
)
def test_kinds_of_training(settings, rows, tmp_path):
    X, y = rows
    model = TabularMLPRegressor(**SMALL | settings, net_options=ALL).fit(X, y)
    assert model.net_.network.l2 == 0.01
    assert clone(model).get_params() == model.get_params()
    model.save(tmp_path / "model.safetensors")
    same = fastmlp.load(tmp_path / "model.safetensors", device="cpu")
    assert same.get_params() == model.get_params()
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    before = model.net_.params.copy()
    is_same = np.array_equal(model.fit(X, y).net_.params, before)
    assert is_same != model.warm_start


def test_a_function_is_left_out_of_a_file_with_a_warning(rows, tmp_path):
    X, y = rows
    options = {"dropout_schedule": lambda steps, n_steps: np.ones(len(steps))}
    model = TabularMLPRegressor(**SMALL, net_options=options).fit(X, y)
    with pytest.warns(UserWarning, match="net_options=.* cannot be written to a file"):
        model.save(tmp_path / "model.safetensors")
    assert fastmlp.load(tmp_path / "model.safetensors").net_options is None


@pytest.mark.parametrize("option", ("input_scale",))
def test_the_command_goes_on_with_options_of_the_layers(option, rows, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from fastmlp.commands.cli import app
    from fastmlp.loading import load_net

    X, y = rows
    monkeypatch.chdir(tmp_path)
    X.assign(y=y).to_csv("table.csv", index=False)
    model = TabularMLPRegressor(**SMALL, net_options={option: True}).fit(X, pd.Series(y, name="y"))
    model.save("model.safetensors")
    options = "--continue-from", "model.safetensors", "--output", "more", "--epochs", "1", "--device", "cpu"
    done = CliRunner().invoke(app, ["train", "table.csv", "--target", "y", *options])
    assert done.exit_code == 0, done.output
    assert load_net("more").network == model.net_.network


@pytest.mark.parametrize(
    "options, further, words",
    [
        (["l2"], {}, "net_options must be a dict such as {'l2': 0.001}, but it is \\['l2'\\]"),
        ({"dropout_shedule": "cosine"}, {}, "in net_options 'dropout_shedule'. Did you mean 'dropout_schedule'"),
        ({"dropout": 0.1}, {}, "net_options has 'dropout', for which the estimator has the parameter dropout"),
        ({"epochs": 3}, {}, "has the parameter max_iter: give that instead"),
        ({"input_embedding": [3]}, {}, "has the parameter numeric_encoding"),
        ({"l2": -1.0}, {}, "l2 must be"),
        ({"init": "he"}, {}, "Unknown init 'he'"),
        ({"beta2": 2.0}, {}, "beta2 must be"),
        ({"ntk": 1}, {}, "'ntk' in net_options must be True or False, but it is 1"),
        ({"dropout_schedule": "cosin"}, {}, "Unknown schedule 'cosin'"),
        ({"weight_decay_schedule": "cosine"}, {"weight_decay": 0.0}, "needs a weight_decay above 0"),
        ({"input_scale": True}, {"numeric_encoding": "periodic"}, "turns all of them into cosines"),
    ],
)
def test_mistakes_are_found_before_columns_are_learned(options, further, words, rows, monkeypatch):
    X, y = rows
    monkeypatch.setattr("fastmlp.estimators.tabular.columns.fit_columns", lambda *_: pytest.fail("too late"))
    with pytest.raises(ValueError, match=words):
        TabularMLPClassifier(**SMALL | further, net_options=options).fit(X, y > 0)


@pytest.mark.parametrize("name", ("l2", "ntk"))
def test_an_option_given_as_a_parameter_is_refused_with_its_place(name):
    with pytest.raises(TypeError, match=rf"'{name}'. It is an option of the nets: write net_options={{'{name}': ...}}"):
        TabularMLPClassifier(**{name: True})
