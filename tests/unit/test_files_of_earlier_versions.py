"""Files written by version 0.1, a net and a population, are read with the same predictions and records."""

import json
from pathlib import Path

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp

FOLDER = Path(__file__).parents[1] / "baselines" / "files"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


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
