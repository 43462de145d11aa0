"""Initial parameters: their distribution follows the papers' formulas, measured on a large layer."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from fastmlp import MLP, Normal, Uniform, UniformByFanIn
from fastmlp.initialization import INITIALIZERS, check_init
from fastmlp.kernels.formulas.activations import ACTIVATIONS

FAN_IN, FAN_OUT = 120, 200
STD = {  # of one weight
    "glorot_uniform": (2 / (FAN_IN + FAN_OUT)) ** 0.5,
    "glorot_normal": (2 / (FAN_IN + FAN_OUT)) ** 0.5,
    "he_uniform": (2 / FAN_IN) ** 0.5,
    "he_normal": (2 / FAN_IN) ** 0.5,
    "lecun_uniform": (1 / FAN_IN) ** 0.5,
    "lecun_normal": (1 / FAN_IN) ** 0.5,
}


def drawn(init, sizes=(FAN_IN, FAN_OUT), **settings):
    return MLP(sizes, init=init, dtype="float64", random_state=4, **settings)


@pytest.mark.parametrize("name", STD)
def test_named_initialisers_follow_their_distribution(name):
    """24,000 weights pass a Kolmogorov-Smirnov test against the uniform or normal distribution at a fixed seed."""
    weights = drawn(name).weights[0].reshape(-1) / STD[name]
    shape = ("uniform", (-(3**0.5), 2 * 3**0.5)) if name.endswith("uniform") else ("norm", ())
    assert kstest(weights, *shape).pvalue > 0.01
    assert weights.std() == pytest.approx(1.0, rel=0.01)
    if name.endswith("uniform"):
        assert 1.73 < np.abs(weights).max() <= 3**0.5


def test_every_initialiser_is_tested():
    assert set(STD) | {"orthogonal", "zeros"} == set(INITIALIZERS)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_named_initialisers_set_biases_to_zero(name):
    assert not any(b.any() for b in drawn(name, (5, 4, 3)).biases)


@pytest.mark.parametrize("sizes", ((30, 30), (20, 50), (50, 20), (1, 7), (7, 1)))
def test_orthogonal_weights_have_orthonormal_rows_or_columns(sizes):
    (W,) = drawn("orthogonal", sizes).weights
    product = W @ W.T if sizes[0] <= sizes[1] else W.T @ W
    np.testing.assert_allclose(product, np.eye(min(sizes)), atol=1e-12)


def test_orthogonal_signs_are_not_fixed_by_the_qr_factorisation():
    """With the signs of LAPACK's QR factorisation, the mean of W[0, 0] would not be 0."""
    corners = [MLP((2, 2), init="orthogonal", random_state=seed).weights[0][0, 0] for seed in range(300)]
    assert abs(np.mean(corners)) < 4 * (0.5 / 300) ** 0.5


def test_uniform_object_draws_biases_too():
    net = drawn(Uniform(-0.5, 2.0))
    for values in (net.weights[0].reshape(-1), net.biases[0]):
        assert kstest(values, "uniform", (-0.5, 2.5)).pvalue > 0.01


def test_normal_object_draws_biases_too():
    net = drawn(Normal(0.3))
    for values in (net.weights[0].reshape(-1), net.biases[0]):
        assert kstest(values, norm(0.0, 0.3).cdf).pvalue > 0.01


def test_uniform_by_fan_in_draws_biases_too():
    """Each layer's bound follows from its own fan-in."""
    net = drawn(UniformByFanIn(2.0), (FAN_IN, FAN_OUT, 100))
    for k, fan_in in enumerate((FAN_IN, FAN_OUT)):
        bound = 2.0 / fan_in**0.5
        for values in (net.weights[k].reshape(-1), net.biases[k]):
            assert kstest(values, "uniform", (-bound, 2 * bound)).pvalue > 0.01


@pytest.mark.parametrize("row", [row for row in ACTIVATIONS if row.hidden], ids=lambda row: row.name)
def test_auto_uses_the_initialiser_of_each_activation(row):
    """A layer is initialised for the activation after it; the output layer here, for identity."""
    net = drawn("auto", (FAN_IN, FAN_OUT, 3), hidden_activation=row.name)
    assert net.weights[0].std() == pytest.approx(STD[row.init], rel=0.02)


def test_float32_parameters_are_rounded_float64_parameters():
    single, double = (MLP((5, 7, 2), dtype=dtype, random_state=1).params for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(single, double.astype(np.float32))


def test_unknown_initialiser_raises():
    with pytest.raises(ValueError, match=r"Unknown init 'glorot_unifrom'\. Did you mean 'glorot_uniform'"):
        MLP((2, 1), init="glorot_unifrom")
    with pytest.raises(ValueError, match="Unknown init 3"):
        check_init(3)


@pytest.mark.parametrize(
    "make", (lambda: Uniform(1.0, -1.0), lambda: Uniform("a"), lambda: Normal(-1.0), lambda: UniformByFanIn(-1.0))
)
def test_invalid_initialiser_objects_raise(make):
    with pytest.raises(ValueError, match=r"(low|high|std|gain) must be a number"):
        make()
