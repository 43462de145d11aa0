"""Saving and loading: a round trip loses nothing, loading runs no code, and damaged files raise a readable error."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes

import fastmlp
from fastmlp.initialization import Normal, Uniform
from fastmlp.persistence.safetensors_file import read
from fastmlp.persistence.saved_net import FORMAT, KEY


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
        ((3, 4, 1), {"init": Normal(np.float64(0.3))}),
        ((3, 4, 1), {"init": Uniform(-0.25, 1e-05)}),
    ],
)
def test_settings_and_parameters_round_trip(path, rng, layer_sizes, settings):
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


def test_preprocessing_round_trips(path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    from fitted_tables import fitted

    table = pd.DataFrame({"a": [1.0, 2.0, None], "b": ["x", "y", "x"], "y": ["no", "yes", "no"]})
    net = fastmlp.MLP((4, 2), loss="softmax_cross_entropy")
    net.preprocessing = fitted(table, "y")
    net.save(path)
    assert fastmlp.load(path).net_.preprocessing == net.preprocessing
    wider = fastmlp.MLP((5, 2))
    wider.preprocessing = net.preprocessing
    wider.save(path)
    with pytest.raises(ValueError, match="its preprocessing does not fit a net with layers"):
        fastmlp.load(path)


def test_names_of_other_formats_are_told_of(net, tmp_path):
    with pytest.warns(UserWarning, match="'net.pkl' has the safetensors format, whatever its name says"):
        net.save(tmp_path / "net.pkl")
    assert fastmlp.load(tmp_path / "net.pkl").network == net.network


def test_an_unknown_device_and_a_missing_file_are_named(net, path):
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*'; check the path\."):
        fastmlp.load(path)
    net.save(path)
    with pytest.raises(ValueError, match=r"^Unknown device 'gpu'"):
        fastmlp.load(path, device="gpu")


def test_truncated_files_are_refused(net, path):
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
    """An object whose unpickling creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_foreign_files_are_refused_without_running_code(net, path, tmp_path):
    bomb = tmp_path / "exploded"
    path.write_bytes(pickle.dumps(Bomb(bomb)))
    with pytest.raises(ValueError, match="not a safetensors file, or it is damaged"):
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


@pytest.mark.parametrize(
    ("version", "words"), [({}, ""), ({"version": "7.8.9"}, r" \(7\.8\.9\)"), ({"version": 3}, "")]
)
def test_newer_format_is_refused(net, path, version, words):
    """The format is checked before the checksum, whose rules the newer format may have changed."""
    write(path, {**contents(net), "format": FORMAT + 1, **version}, net.params)
    known = f"and this one, {re.escape(fastmlp.__version__)}, reads formats up to {FORMAT}"
    with pytest.raises(ValueError, match=rf"a newer fastmlp{words} wrote it in format {FORMAT + 1}, {known}"):
        fastmlp.load(path)


@pytest.mark.parametrize("found", [0, -1, 1.5, True, "1", None, []])
def test_invalid_format_number_is_refused(net, path, found):
    write(path, {**contents(net), "format": found}, net.params)
    with pytest.raises(ValueError, match="its format is "):
        fastmlp.load(path)


# ---- the checksum


def test_version_and_checksum_are_saved(net, path):
    net.save(path)
    description, _ = read(path)
    assert description["format"] == 1, "earlier versions read the file"
    assert description["version"] == fastmlp.__version__
    assert re.fullmatch("blake2b:[0-9a-f]{64}", description["checksum"])


def test_flipped_bits_of_the_parameters_are_refused(net, path):
    net.save(path)
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    assert len(data) == start + net.params.nbytes
    for bit in range(0, 8 * net.params.nbytes, 5):
        damaged = bytearray(data)
        damaged[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"it is damaged \(its checksum does not match\)"):
            fastmlp.load(path)


CHANGES = {  # functions of the description and the arrays
    "settings": lambda description, arrays: description["settings"].update(l2=0.5),
    "shape": lambda description, arrays: arrays.update({"history.loss": arrays["history.loss"].reshape(-1, 1)}),
    "type": lambda description, arrays: description.update(checksum=3),
    "none": lambda description, arrays: description.pop("checksum"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_content_is_refused_by_its_checksum(path, name):
    trained().save(path)
    description, arrays = read(path)
    CHANGES[name](description, arrays)
    path.write_bytes(to_bytes(arrays, {KEY: json.dumps(description)}))
    with pytest.raises(ValueError, match="it lacks 'checksum'" if name == "none" else "its checksum does not match"):
        fastmlp.load(path)


def test_announced_sizes_beyond_the_file_allocate_nothing(net, path):
    """A header length and an array size of terabytes, in a small file."""
    net.save(path)
    data = path.read_bytes()
    path.write_bytes((2**40).to_bytes(8, "little") + data[8:])
    with pytest.raises(ValueError, match="does not begin with the length of a header"):
        fastmlp.load(path)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header["params"] |= {"shape": [2**40], "data_offsets": [0, 2**42]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[-net.params.nbytes :])
    with pytest.raises(ValueError, match="it is not a safetensors file, or it is damaged"):
        fastmlp.load(path)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("layer_sizes", [3, 4, 3], r"it holds float32 \(26,\), but layers \[3, 4, 3\] need float32 \(31,\)"),
        ("layer_sizes", [10**9, 10**9], "but layers"),
        ("layer_sizes", [3, -4, 2], "its layer sizes are"),
        ("dtype", "float64", "need float64"),
        ("loss", "hinge", "Unknown loss 'hinge'"),
        ("init", "Evil(std=1)", "it lacks 'Evil'"),
        ("init", 3, "string"),
        ("l2", -1.0, "l2 must be a number"),
        ("surprise", 1, "surprise"),
    ],
)
def test_damaged_settings_are_refused(net, path, setting, value, words):
    write(path, {**contents(net), "settings": {**net.get_settings(), setting: value}}, net.params)
    with pytest.raises(ValueError, match=words) as caught:
        fastmlp.load(path)
    assert str(caught.value).startswith(f"{str(path)!r} should be a net saved by fastmlp, but ")


def test_initialisers_that_were_written_with_numbers_of_numpy_are_read(net, path):
    """Version 0.2 wrote the repr of NumPy's numbers, and could not read it."""
    for text, init in (
        ("Normal(std=np.float64(0.3))", Normal(0.3)),
        ("Uniform(low=np.float32(-1.5), high=2.0)", Uniform(-1.5, 2.0)),
    ):
        write(path, {**contents(net), "settings": {**net.get_settings(), "init": text}}, net.params)
        assert fastmlp.load(path).init == init


def test_saved_float16_is_replaced_with_a_warning(net, path):
    write(path, {**contents(net), "settings": {**net.get_settings(), "precision": "float16"}}, net.params)
    with pytest.warns(UserWarning, match=r"net.*: precision='float16' is replaced by 'bfloat16'"):
        loaded = fastmlp.load(path)
    assert loaded.precision == "bfloat16"
    np.testing.assert_array_equal(loaded.params, net.params)
    loaded.save(path)
    assert fastmlp.load(path).precision == "bfloat16", "without a warning, which would be an error here"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        '{"format": 1}',
        '{"format": "1", "settings": {}, "preprocessing": null}',
        '{"format": 1, "settings": {}, "preprocessing": null}',
        '{"format": NaN}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_damaged_descriptions_are_refused(net, path, text):
    write(path, text, net.params)
    with pytest.raises(ValueError, match="should be a net saved by fastmlp, but "):
        fastmlp.load(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_non_finite_numbers_in_the_description_are_refused(net, path, number):
    text = json.dumps(contents(net)).replace('"l2": 0.0', f'"l2": {number}')
    assert number in text
    write(path, text, net.params)
    with pytest.raises(ValueError, match=f"its description holds {number}, which is not a finite number"):
        fastmlp.load(path)


def test_missing_parts_of_the_description_are_refused(net, path):
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


def trained(**settings):
    made = fastmlp.MLP((2, 3, 1), loss="binary_cross_entropy", random_state=0)
    X = np.arange(20.0).reshape(10, 2) / 20
    made.fit(X, X[:, 0] > 0.5, epochs=7, batch_size=4, validation_fraction=0.3, **settings)
    return made


@pytest.mark.parametrize("settings", [{}, {"early_stopping": 2, "schedule": lambda steps, n: 1.0 / (1 + steps)}])
def test_history_round_trips(path, settings):
    net = trained(**settings)
    net.save(path)
    back = fastmlp.load(path).history
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        np.testing.assert_array_equal(getattr(back, name), getattr(net.history, name))
    for name in ("seconds", "best_epoch", "stopped_by", "settings", "epochs"):
        assert getattr(back, name) == getattr(net.history, name)
    assert back.settings["n_samples"] == 7
    assert back.settings["optimizer"].startswith("Adam(learning_rate=0.001")
    assert back.samples == {}, "samples must not be saved with the net"


def test_untrained_net_has_no_history_after_loading(net, path):
    net.save(path)
    assert fastmlp.load(path).history is None
    trained().reset().save(path)
    assert fastmlp.load(path).history is None


def save_with_history(path, net, record, **records):
    """Save a net and its history in the form of a version without checksums."""
    arrays = {"params": net.params} | {f"history.{name}": np.asarray(values) for name, values in records.items()}
    path.write_bytes(to_bytes(arrays, {KEY: json.dumps({**contents(net), "history": record})}))


RECORD = {"seconds": 1.0, "best_epoch": None, "stopped_by": "epochs", "settings": {}}


@pytest.mark.parametrize(
    ("damage", "records", "reason"),
    [
        ({"seconds": "long"}, {}, "its history has the seconds 'long'"),
        ({"seconds": 10**400}, {}, "its history has the seconds 1000.*000"),
        ({"best_epoch": 1.5}, {}, "its history has the best_epoch 1.5"),
        ({}, {"accuracy": np.ones(7, "f4")}, r"its history holds float32 \(7,\) as accuracy"),
        ({}, {"loss": np.ones((7, 1))}, r"its history holds float64 \(7, 1\) as loss"),
        ({}, {"validation_loss": np.ones(6)}, "its history has 7 epochs of loss, and 6 of validation_loss"),
        ({"best_epoch": 7}, {}, "its history has 7 epochs, and the best_epoch 7"),
    ],
)
def test_damaged_history_is_left_out_with_a_warning(net, path, damage, records, reason):
    """A damaged history must not prevent the parameters from loading."""
    save_with_history(path, net, RECORD, loss=np.ones(7))
    assert fastmlp.load(path).history.epochs == 7
    save_with_history(path, net, RECORD | damage, **{"loss": np.ones(7)} | records)
    with pytest.warns(
        UserWarning, match=rf"The history of the last fit is left out, since {reason}; the parameters"
    ) as w:
        back = fastmlp.load(path)
    assert len(w) == 1
    assert w[0].filename == __file__
    assert back.history is None
    np.testing.assert_array_equal(back.params, net.params)


# ---- what a population remembers


@pytest.fixture
def pop(rng):
    x = rng.normal(size=(20, 3))
    nets = fastmlp.Population((3, 4, 1), 20, dropout=0.2, random_state=1)
    nets.fit(x, x[:, 0], epochs=5, batch_size=5, optimizer=fastmlp.SGD(np.linspace(0.01, 0.1, 20)), verbose=0)
    return nets


def test_population_result_round_trips(pop, path):
    pop.save(path)
    back = fastmlp.load(path)
    assert back.result.arrays().keys() == pop.result.arrays().keys()
    for name, values in pop.result.arrays().items():
        np.testing.assert_array_equal(back.result.arrays()[name], values)
    np.testing.assert_array_equal(back.result.settings["learning_rate"], np.linspace(0.01, 0.1, 20))
    assert back.result.arguments == pop.result.arguments
    expected = {
        "epochs": 5,
        "batch_size": 5,
        "optimizer": "SGD(weight_decay=0.0, clip_norm=0.0, momentum=0.0, nesterov=False)",
        "schedule": "None",
        "shuffle": True,
        "early_stopping": "None",
        "n_samples": 20,
        "n_validation": 0,
        "weighted": False,
    }
    assert back.result.arguments.items() >= expected.items()
    assert (back.result.monitor, back.result.interrupted, back.result.judged_by) == (None, False, "finite loss")
    np.testing.assert_array_equal(back.best().params, pop.best().params)


@pytest.mark.parametrize("many", (False, True))
def test_training_continues_bit_for_bit_after_loading(many, pop, path, rng):
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
    "randomness",
    [{"seed": 1.5, "fits": 0}, {"seed": -1, "fits": 0}, {"seed": 2**63, "fits": 0}, {"seed": True, "fits": 0}],
)
def test_invalid_seed_is_refused(net, path, randomness):
    write(path, {**contents(net), "random": randomness}, net.params)
    with pytest.raises(ValueError, match=f"its randomness has the seed {randomness['seed']}"):
        fastmlp.load(path)


FITTED = {"seconds": 1.0, "monitor": None, "interrupted": False}


@pytest.mark.parametrize(
    ("description", "arrays", "reason"),
    [
        ({"monitor": 3}, {}, "its result has the monitor 3"),
        (
            {"monitor": "validation_loss"},
            {},
            "its result names a monitored record without its values, or has values without a name",
        ),
        ({"judged_by": "luck"}, {}, "its result is judged by 'luck'"),
        ({}, {"loss": np.ones(3)}, r"its result holds float64 \(3,\) as loss"),
        ({}, {"records": np.ones((5, 20))}, r"its result holds float64 \(5, 20\) as records"),
        ({}, {"settings.l2": np.ones(3)}, r"its result holds float64 \(3,\) as settings.l2"),
        ({}, {"status": np.full(20, 77)}, "its result holds an unknown status"),
        ({}, {"loss": None, "epochs": None}, "its result lacks epochs, loss"),
    ],
)
def test_damaged_population_result_is_left_out_with_a_warning(pop, path, description, arrays, reason):
    own = {f"result.{name}": values for name, values in (pop.result.arrays() | arrays).items() if values is not None}
    text = json.dumps({**contents(pop), "result": FITTED | description})
    path.write_bytes(to_bytes({**pop.get_arrays(), **own}, {KEY: text}))
    with pytest.warns(UserWarning, match=rf"The result of the last fit is left out, since {reason}; the parameters"):
        back = fastmlp.load(path)
    assert back.result is None
    np.testing.assert_array_equal(back.params, pop.params)
