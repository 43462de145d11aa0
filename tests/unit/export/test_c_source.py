"""C files: gcc compiles them with all warnings as errors, and the code computes what the net predicts."""

import numpy as np
import pytest
from exported_outputs import assert_exported, c_outputs, rounding_error

from fastmlp import MLP, Population
from fastmlp.export.c_source import c_source
from fastmlp.export.c_syntax import array, comment, literal
from fastmlp.export.predictor import Predictor
from fastmlp.network.spec import HIDDEN

RELATIVE = 1e-5  # of each output


@pytest.fixture
def X(rng):
    X = rng.normal(size=(30, 4)).astype(np.float32) * 3
    X[0], X[1], X[2] = 0.0, 1e3, -1e3
    return X


@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation(activation, X, tmp_path):
    net = MLP((4, 8, 7, 6, 3), hidden_activation=activation, random_state=1)
    net.biases[0][:] = np.linspace(-1, 1, 8)
    net.export(tmp_path / "net.h")
    assert_exported(c_outputs(tmp_path / "net.h", X, 3), net.predict(X), rounding_error(net, X))


@pytest.mark.parametrize(
    "loss, output", [("softmax_cross_entropy", None), ("binary_cross_entropy", None), ("poisson", None)]
)
def test_outputs_of_nets_without_hidden_layer(loss, output, X, tmp_path):
    net = MLP((4, 3), loss=loss, output_activation=output, random_state=1)
    net.export(tmp_path / "net.h", prefix="spam")
    np.testing.assert_allclose(c_outputs(tmp_path / "net.h", X[3:], 3, "spam"), net.predict(X[3:]), rtol=RELATIVE)


def test_population(X, tmp_path):
    pop = Population((4, 6, 3), 5, hidden_activation="gelu", loss="softmax_cross_entropy", random_state=1)
    pop.export(tmp_path / "all.h", prefix="a")
    found = c_outputs(tmp_path / "all.h", X, 15, "a").reshape(len(X), 5, 3)
    np.testing.assert_allclose(found, pop.predict(X).transpose(1, 0, 2), atol=2e-6)


def test_float64_nets_are_rounded_to_float32(X, tmp_path):
    net = MLP((4, 6, 3), hidden_activation="tanh", dtype="float64", random_state=1)
    net.export(tmp_path / "net.h")
    np.testing.assert_allclose(c_outputs(tmp_path / "net.h", X, 3), net.predict(X), rtol=RELATIVE, atol=1e-6)
    net.params[0] = 1e39
    with pytest.raises(
        ValueError, match=r"A parameter is beyond float32, in which a C file computes; export to \.onnx"
    ):
        net.export(tmp_path / "net.h")


def test_all_names_have_the_prefix():
    net = MLP((4, 6, 5, 3), hidden_activation=["silu", "gelu"], loss="softmax_cross_entropy", random_state=1)
    lines = c_source(Predictor(net.network, net.params), "spam").splitlines()
    defined = [line for line in lines if line.startswith(("static", "#define"))]
    assert len(defined) > 12
    assert all("spam_" in line or "SPAM_" in line for line in defined)
    assert not [line for line in lines if "malloc" in line or ("#include" in line and "math.h" not in line)]


def test_functions_are_written_only_if_they_are_called():
    nets = {name: MLP((2, 3, 1), hidden_activation=name) for name in ("silu", "softplus", "relu")}
    source = lambda name: c_source(Predictor(nets[name].network, nets[name].params))
    assert "sigmoid(float z)" in source("silu")
    assert "softplus(float z)" in source("softplus")
    assert not [name for name in ("sigmoid", "softplus", "softmax", "quantile") if name in source("relu")]


# ---- pieces of C text


def test_literals_are_read_back_to_the_bit(rng):
    values = np.concatenate([rng.normal(size=300) * 10.0 ** rng.integers(-38, 38, 300), [0.0, -0.0, 1.0, 3e-45]])
    values = values.astype(np.float32)
    texts = [literal(value) for value in values]
    assert all(text.endswith("f") and ("." in text or "e" in text) for text in texts)
    np.testing.assert_array_equal(np.array([float(text[:-1]) for text in texts], np.float32), values)
    assert np.signbit(float(literal(-0.0)[:-1]))


def test_doubles_of_an_array_are_read_back_to_the_bit(rng):
    values = rng.normal(size=25)
    text = array("double", "name", values)
    assert text.startswith("static const double name[25] = {")
    assert [float(part) for part in text[text.index("{") + 1 : text.index("}")].split(",")] == values.tolist()


def test_a_name_cannot_end_a_comment():
    text = comment(["a */ b /* c", "d\ne", "??/", "é"])
    assert text.count("*/") == text.count("/*") == 1
    assert text.endswith("*/")
    assert "??" not in text
    assert text.isascii()
    assert len(text.splitlines()) == 4
