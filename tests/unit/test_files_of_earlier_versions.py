"""Files that version 0.1 wrote (commit 230eebe), a net and a population, are read with the same numbers and records."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from toy_data import XOR_X, XOR_Y

import fastmlp

FOLDER = Path(__file__).parents[1] / "baselines" / "files"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
DIGESTS = {  # SHA-256 of the files, which are never written again
    "mlp": "73c839a50d7847e4166473a91a75452a820f39c78484de6546844b67af98c912",
    "population": "3589524a1582d0e9a615f5bf2f154ddc43d0d9fbc5c3fb5b4a25d2e41bf1a607",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_files_of_version_0_1_are_as_it_wrote_them(name):
    assert hashlib.sha256((FOLDER / f"{name}.safetensors").read_bytes()).hexdigest() == DIGESTS[name]


@pytest.mark.parametrize("name", DIGESTS)
def test_nets_of_version_0_1_have_the_parameters_of_their_file(name):
    path = FOLDER / f"{name}.safetensors"
    params, expected = fastmlp.load(path, device="cpu").params, load_file(path)["params"]
    assert params.dtype == expected.dtype
    np.testing.assert_array_equal(params, expected)


@pytest.mark.parametrize("name", ["mlp", "population"])
def test_files_of_version_0_1_predict_the_same(name):
    net = fastmlp.load(FOLDER / f"{name}.safetensors", device="cpu")
    np.testing.assert_allclose(net.predict(XOR_X).ravel(), EXPECTED[name]["predictions"], rtol=1e-5, atol=1e-7)


def test_files_of_version_0_1_keep_their_records():
    net = fastmlp.load(FOLDER / "mlp.safetensors", device="cpu")
    assert net.history.loss[:3].tolist() == EXPECTED["mlp"]["losses"]
    assert net.history.epochs == 30
    population = fastmlp.load(FOLDER / "population.safetensors", device="cpu")
    assert population.result.epochs.tolist() == EXPECTED["population"]["epochs"]


def test_nets_of_version_0_1_can_be_trained_further():
    net = fastmlp.load(FOLDER / "mlp.safetensors", device="cpu")
    loss = net.evaluate(XOR_X, XOR_Y)["loss"]
    net.fit(XOR_X, XOR_Y, epochs=50, optimizer="rprop", verbose=0)
    assert net.evaluate(XOR_X, XOR_Y)["loss"] < loss


def test_a_net_trains_as_in_version_0_1_up_to_rounding():
    """The losses that version 0.1 recorded, with the settings that its file has."""
    expected = fastmlp.load(FOLDER / "mlp.safetensors", device="cpu").history.loss
    settings = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "l2": 1e-4}
    net = fastmlp.MLP((2, 3, 1), **settings, random_state=5, device="cpu")
    loss = net.fit(XOR_X, XOR_Y, epochs=30, optimizer=fastmlp.Rprop(0.1), verbose=0).loss
    # with room for other processors
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
