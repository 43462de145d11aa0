"""Saving and loading: nothing is lost, nothing is run, every damaged file is refused in a sentence."""

from __future__ import annotations

import copy
import json
import os
import pickle

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

import fastmlp
from fastmlp.initialization import Normal, Uniform, UniformByFanIn
from fastmlp.persistence import FORMAT, KEY


@pytest.fixture
def net():
    return fastmlp.MLP((3, 4, 2), loss="softmax_cross_entropy", random_state=1, device="cpu")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def contents(net):
    return {"format": FORMAT, "settings": net.get_settings(), "preprocessing": None}


def write(path, description, params, key=KEY, name="params"):
    text = description if isinstance(description, str) else json.dumps(description)
    path.write_bytes(to_bytes({name: params}, {key: text}))


@pytest.mark.parametrize(
    ("layer_sizes", "settings"),
    [
        ((3, 2), {}),
        ((3, 1), {"dtype": "float64", "loss": "binary_cross_entropy", "l2": 0.01}),
        ((3, 4, 5, 2), {"hidden_activation": ("tanh", "gelu"), "dropout": (0.1, 0.5), "init": "orthogonal"}),
        ((3, 4, 2), {"loss": "softmax_cross_entropy", "label_smoothing": 0.125, "dropout": 0.3}),
        ((3, 4, 1), {"loss": "huber", "huber_delta": 0.1, "output_activation": "tanh"}),
        ((3, 4, 1), {"init": Normal(0.3)}),
        ((3, 4, 1), {"init": Uniform(-0.25, 1e-05)}),
        ((3, 4, 1), {"init": UniformByFanIn(0.5)}),
    ],
)
def test_everything_survives(path, rng, layer_sizes, settings):
    net = fastmlp.MLP(layer_sizes, random_state=0, **settings)
    net.params[:] = rng.normal(size=net.params.shape)
    net.save(path)
    back = fastmlp.load(path)
    assert back.get_settings() == net.get_settings()
    assert back.network == net.network
    assert back.init == net.init
    assert back.params.dtype == net.params.dtype
    assert back.params.tobytes() == net.params.tobytes()
    assert back.preprocessing is None


def test_predictions_survive(net, path, rng):
    X = rng.normal(size=(5, 3))
    net.save(str(path))
    np.testing.assert_array_equal(fastmlp.load(str(path), device="cpu").predict(X), net.predict(X))


def test_preprocessing_survives(path):
    pd = pytest.importorskip("pandas")
    from fastmlp.tabular import Preprocessing

    table = pd.DataFrame({"a": [1.0, 2.0, None], "b": ["x", "y", "x"], "y": ["no", "yes", "no"]})
    net = fastmlp.MLP((4, 2), loss="softmax_cross_entropy")
    net.preprocessing = Preprocessing.fit(table, "y")
    net.save(path)
    assert fastmlp.load(path).preprocessing == net.preprocessing
    wider = fastmlp.MLP((5, 2))
    wider.preprocessing = net.preprocessing
    wider.save(path)
    with pytest.raises(ValueError, match="its preprocessing does not fit a net with layers"):
        fastmlp.load(path)


def test_saving_is_atomic(net, path, monkeypatch):
    net.save(path)
    before = path.read_bytes()
    net.params[:] = 0.0

    def full_disk(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        net.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_saving_replaces_and_follows_links(net, path):
    link = path.with_name("link.safetensors")
    path.write_bytes(b"old")
    link.symlink_to(path)
    net.save(link)
    assert link.is_symlink()
    np.testing.assert_array_equal(fastmlp.load(path).params, net.params)


def test_saving_to_no_folder(net, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere' for the output; make it first\."):
        net.save(tmp_path / "nowhere" / "net.safetensors")
    with pytest.raises(IsADirectoryError, match=r"The output should be a file, but '.*' is a folder"):
        net.save(tmp_path)


def test_an_unknown_device_is_not_the_files_fault(net, path):
    net.save(path)
    with pytest.raises(ValueError, match=r"^Unknown device 'gpu'"):
        fastmlp.load(path, device="gpu")


def test_loading_nothing(tmp_path):
    for path in (tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"There is no file '.*'; check the path\."):
            fastmlp.load(path)


def test_every_truncation_is_refused(net, path):
    net.save(path)
    data = path.read_bytes()
    for length in {0, 1, 7, 8, 9, *range(0, len(data), 37), len(data) - 1}:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"should be a net saved by fastmlp, but .*\. Restore it"):
            fastmlp.load(path)
    path.write_bytes(data + b"0")
    with pytest.raises(ValueError, match="should be a net saved by fastmlp"):
        fastmlp.load(path)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_foreign_files_are_refused_and_not_run(net, path, tmp_path):
    bomb = tmp_path / "exploded"
    path.write_bytes(pickle.dumps(Bomb(bomb)))
    with pytest.raises(ValueError, match="no safetensors file, or damaged"):
        fastmlp.load(path)
    settings = {**net.get_settings(), "init": f"open('{bomb}', 'w')"}
    write(path, {**contents(net), "settings": settings}, net.params)
    with pytest.raises(ValueError, match="should be a net saved by fastmlp"):
        fastmlp.load(path)
    assert not bomb.exists()
    for key, name in (("other", "params"), (KEY, "weights")):
        write(path, contents(net), net.params, key, name)
        with pytest.raises(ValueError, match="a safetensors file of another program"):
            fastmlp.load(path)
    path.write_bytes(to_bytes({"params": net.params}))
    with pytest.raises(ValueError, match="a safetensors file of another program"):
        fastmlp.load(path)


def test_newer_format_is_refused(net, path):
    write(path, {**contents(net), "format": FORMAT + 1}, net.params)
    with pytest.raises(ValueError, match=rf"a newer fastmlp wrote it in format {FORMAT + 1}"):
        fastmlp.load(path)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("layer_sizes", [3, 4, 3], r"it holds float32 \(26,\) where layers \[3, 4, 3\] need float32 \(31,\)"),
        ("layer_sizes", [10**9, 10**9], "where layers"),
        ("layer_sizes", [3, -4, 2], "its layer sizes are"),
        ("layer_sizes", [3, True, 2], "its layer sizes are"),
        ("layer_sizes", "342", "its layer sizes are"),
        ("layer_sizes", [], "it holds"),
        ("dtype", "float64", "need float64"),
        ("dtype", "float16", "need float16"),
        ("loss", "hinge", "Unknown loss 'hinge'"),
        ("hidden_activation", 3, "Unknown hidden_activation 3"),
        ("init", "Evil(std=1)", "it lacks 'Evil'"),
        ("init", "Normal(variance=1)", "variance"),
        ("init", 3, "string"),
        ("l2", -1.0, "l2 must be a number"),
        ("l2", "1", "l2 must be a number"),
        ("surprise", 1, "surprise"),
    ],
)
def test_damaged_settings(net, path, setting, value, words):
    write(path, {**contents(net), "settings": {**net.get_settings(), setting: value}}, net.params)
    with pytest.raises(ValueError, match=words) as caught:
        fastmlp.load(path)
    assert str(caught.value).startswith(f"{str(path)!r} should be a net saved by fastmlp, but ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"format": 1}',
        '{"format": "1", "settings": {}, "preprocessing": null}',
        '{"format": 1, "settings": [], "preprocessing": null}',
        '{"format": 1, "settings": {}, "preprocessing": null}',
        '{"format": NaN}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_damaged_descriptions(net, path, text):
    write(path, text, net.params)
    with pytest.raises(ValueError, match="should be a net saved by fastmlp, but "):
        fastmlp.load(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite(net, path, number):
    text = json.dumps(contents(net)).replace('"l2": 0.0', f'"l2": {number}')
    assert number in text
    write(path, text, net.params)
    with pytest.raises(ValueError, match=f"its description holds {number}, which is not a finite number"):
        fastmlp.load(path)


def test_missing_parts(net, path):
    for part in ("format", "settings", "preprocessing"):
        description = contents(net)
        del description[part]
        write(path, description, net.params)
        with pytest.raises(ValueError, match=f"it lacks '{part}'"):
            fastmlp.load(path)
    for damaged in ({}, [], "text", 3):
        write(path, {**contents(net), "preprocessing": damaged}, net.params)
        with pytest.raises(ValueError, match="preprocessing is damaged"):
            fastmlp.load(path)


def test_params_of_another_shape(net, path):
    write(path, contents(net), net.params.reshape(2, 13))
    with pytest.raises(ValueError, match=r"it holds float32 \(2, 13\)"):
        fastmlp.load(path)


def trained(**settings):
    made = fastmlp.MLP((2, 3, 1), loss="binary_cross_entropy", random_state=0)
    X = np.arange(20.0).reshape(10, 2) / 20
    made.fit(X, X[:, 0] > 0.5, epochs=7, batch_size=4, validation_fraction=0.3, **settings)
    return made


@pytest.mark.parametrize("settings", [{}, {"early_stopping": 2, "schedule": lambda steps, n: 1.0 / (1 + steps)}])
def test_history_survives(path, settings):
    net = trained(**settings)
    net.save(path)
    back = fastmlp.load(path).history
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        np.testing.assert_array_equal(getattr(back, name), getattr(net.history, name))
    for name in ("seconds", "best_epoch", "stopped_by", "settings", "epochs"):
        assert getattr(back, name) == getattr(net.history, name)
    assert back.settings["n_samples"] == 7
    assert back.settings["optimizer"].startswith("Adam(learning_rate=0.001")
    assert back.samples == {}, "data stay with their owner"


def test_a_net_that_was_not_trained_has_no_history(net, path):
    net.save(path)
    assert fastmlp.load(path).history is None
    trained_net = trained()
    trained_net.reset().save(path)
    assert fastmlp.load(path).history is None


def test_files_from_before_histories_are_read(net, path):
    write(path, contents(net), net.params)
    assert fastmlp.load(path).history is None


@pytest.mark.parametrize(
    "damage",
    [{"seconds": "long"}, {"best_epoch": 1.5}, {"stopped_by": None}, {"settings": []}],
)
def test_damaged_histories_are_refused(path, damage):
    net = trained()
    record = {"seconds": 1.0, "best_epoch": None, "stopped_by": "epochs", "settings": {}}
    arrays = {"params": net.params, "history.loss": net.history.loss}
    path.write_bytes(to_bytes(arrays, {KEY: json.dumps({**contents(net), "history": record})}))
    assert fastmlp.load(path).history.epochs == 7
    path.write_bytes(to_bytes(arrays, {KEY: json.dumps({**contents(net), "history": {**record, **damage}})}))
    with pytest.raises(ValueError, match=f"its history has the {next(iter(damage))} "):
        fastmlp.load(path)
    arrays["history.accuracy"] = np.ones(3)
    path.write_bytes(to_bytes(arrays, {KEY: json.dumps({**contents(net), "history": record})}))
    with pytest.raises(ValueError, match=r"its history holds float64 \(3,\) as accuracy"):
        fastmlp.load(path)


# ---- what a population remembers


@pytest.fixture
def pop(rng):
    x = rng.normal(size=(20, 3))
    nets = fastmlp.Population((3, 4, 1), 20, dropout=0.2, random_state=1)
    nets.fit(x, x[:, 0], epochs=5, batch_size=5, optimizer=fastmlp.SGD(np.linspace(0.01, 0.1, 20)), verbose=0)
    return nets


def test_results_survive(pop, path):
    pop.save(path)
    back = fastmlp.load(path)
    assert back.result.arrays().keys() == pop.result.arrays().keys()
    for name, values in pop.result.arrays().items():
        np.testing.assert_array_equal(back.result.arrays()[name], values)
    np.testing.assert_array_equal(back.result.settings["learning_rate"], np.linspace(0.01, 0.1, 20))
    assert (back.result.monitor, back.result.interrupted, back.result.judged_by) == (None, False, "finite loss")
    np.testing.assert_array_equal(back.best().params, pop.best().params)


@pytest.mark.parametrize("many", (False, True))
def test_a_fit_goes_on_as_without_saving(many, pop, path, rng):
    net = pop if many else fastmlp.MLP((3, 4, 1), dropout=0.2, random_state=4)
    x = rng.normal(size=(20, 3))
    settings = {"epochs": 3, "batch_size": 5, "validation_fraction": 0.2, "verbose": 0}
    net.fit(x, x[:, 0], **settings)
    net.save(path)
    back = fastmlp.load(path)
    for one in (net, back):
        one.fit(x, x[:, 0], **settings)
    np.testing.assert_array_equal(back.params, net.params)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random": {"seed": 1.5, "fits": 0}}, "its randomness has the seed 1.5"),
        ({"result": {"seconds": 1.0, "monitor": 3, "interrupted": False}}, "its result has the monitor 3"),
        (
            {"result": {"seconds": 1.0, "monitor": None, "interrupted": False, "judged_by": "luck"}},
            "its result is judged by 'luck'",
        ),
    ],
)
def test_damaged_results_are_refused(pop, path, changes, message):
    text = json.dumps({**contents(pop), **changes})
    path.write_bytes(to_bytes(pop.get_arrays(), {KEY: text}))
    with pytest.raises(ValueError, match=message):
        fastmlp.load(path)


def test_results_of_the_first_versions_load(pop, path):
    """They do not say by what nets were judged."""
    pop.save(path)
    text = contents(pop) | {"result": {"seconds": 1.0, "monitor": None, "interrupted": False}}
    arrays = {f"result.{name}": values for name, values in pop.result.arrays().items()}
    path.write_bytes(to_bytes({**pop.get_arrays(), **arrays}, {KEY: json.dumps(text)}))
    assert fastmlp.load(path).result.judged_by == "rule"


def test_a_result_of_other_nets_is_refused(pop, path):
    result = {"seconds": 1.0, "monitor": None, "interrupted": False}
    arrays = {f"result.{name}": values for name, values in pop.result.arrays().items()}
    text = json.dumps({**contents(pop), "result": result})
    path.write_bytes(to_bytes({**pop.get_arrays(), **arrays, "result.loss": np.ones(3)}, {KEY: text}))
    with pytest.raises(ValueError, match=r"its result holds \(3,\) as loss"):
        fastmlp.load(path)


def test_a_copy_of_a_population_has_its_own_parameters(pop):
    for other in (copy.copy(pop), copy.deepcopy(pop), pickle.loads(pickle.dumps(pop))):
        other.params[:] = 0.0
        assert pop.params.any()
        assert other.device == pop.device
        np.testing.assert_array_equal(other.result.loss, pop.result.loss)
