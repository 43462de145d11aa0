"""`check_gradients`: gradients with a known error are reported by the kind of that error."""

import numpy as np
import pytest
from scipy.special import expit

from fastmlp import MLP, check_gradients

X = np.array([[0.1, -0.4], [0.9, 0.3], [-0.7, 0.8], [0.2, 0.5]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])


def params():
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in ((2, 2), (2,), (2, 1), (1,))]


def backprop(spoil=lambda gradients: gradients):
    """A net with a tanh and a sigmoid layer; `spoil` changes the list of its gradients."""

    def loss_and_gradient(params):
        W1, b1, W2, b2 = params
        a = np.tanh(X @ W1 + b1)
        p = expit(a @ W2 + b2)
        delta = (p - Y) / len(X)
        before = delta @ W2.T * (1 - a * a)
        loss = -np.mean(Y * np.log(p) + (1 - Y) * np.log(1 - p))
        return loss, spoil([X.T @ before, before.sum(axis=0), a.T @ delta, delta.sum(axis=0)])

    return loss_and_gradient


def replaced(place, change):
    return lambda gradients: [change(g) if k == place else g for k, g in enumerate(gradients)]


def test_correct_gradient_passes():
    found = check_gradients(backprop(), params())
    assert found.ok
    assert bool(found)
    assert found.findings == ()
    assert found.max_error < 1e-7
    assert str(found).startswith("The gradient is right: 9 of 9 entries")


@pytest.mark.parametrize(
    "place, change, kind, text",
    [
        (2, lambda g: 2 * g, "factor", "dW of layer 2 is twice the true value"),
        (0, lambda g: -g, "factor", "dW of layer 1 is minus the true value"),
        (3, lambda g: g / 2, "factor", "bias gradient of layer 2 is half the true value"),
        (2, lambda g: 6 * g, "factor", "6 times the true value, as if a sum stood for a mean over 6"),
        (0, lambda g: g / 3, "factor", "1/3 of the true value, as if it were divided by 3 once too often"),
        (0, lambda g: 1.37 * g, "factor", "dW of layer 1 is 1.37 times the true value"),
        (1, lambda g: 0 * g, "missing", "bias gradient of layer 1 is missing"),
        (0, lambda g: g.T.copy(), "transposed", "dW of layer 1 is transposed"),
        (0, lambda g: 30.5 * g, "factor", "dW of layer 1 is 30.5 times the true value"),
        (2, lambda g: 0.999 * g, "wrong", "deviates by 0.001 of its largest value: a small term, such as"),
        (0, lambda g: g[::-1] ** 2, "wrong", "dW of layer 1 is wrong, the angle to the true one is"),
        (2, lambda g: g * np.nan, "not finite", "dW of layer 2 is not finite"),
    ],
)
def test_kind_of_error_is_named(place, change, kind, text):
    found = check_gradients(backprop(replaced(place, change)), params())
    assert not found.ok
    assert [finding.kind for finding in found.findings] == [kind]
    assert text in str(found)
    assert found.worst[0][0] == found.findings[0].name


def test_parameters_may_be_flat_or_dictionaries():
    flat = np.concatenate([part.reshape(-1) for part in params()])
    net = MLP((2, 2, 1), hidden_activation="tanh", loss="binary_cross_entropy", dtype="float64")

    def of_net(values):
        net.params = values
        return net.loss_and_gradient(X, Y)

    assert check_gradients(of_net, flat)

    def of_dictionary(values):
        loss, (W1, b1, W2, b2) = backprop()([values[key] for key in ("W1", "b1", "W2", "b2")])
        return loss, {"b2": b2, "W2": -W2, "W1": W1, "b1": b1}

    named = dict(zip(("W1", "b1", "W2", "b2"), params(), strict=True))
    assert "W2 is minus the true value" in str(check_gradients(of_dictionary, named))


def test_large_arrays_are_sampled_and_parameters_unchanged(rng):
    W, given = rng.normal(size=(60, 50)), []

    def loss_and_gradient(values):
        given.append(values[0].copy())
        values[0][:] = 0  # a function may overwrite its arguments
        return float((given[-1] ** 2).sum()), [2 * given[-1]]

    kept = W.copy()
    found = check_gradients(loss_and_gradient, [W], max_entries=20)
    assert found.ok
    assert (found.n_checked, found.n_entries) == (20, 3000)
    np.testing.assert_array_equal(W, kept)


def test_invalid_arguments_raise():
    with pytest.raises(ValueError, match=r"must return a pair \(loss, gradient\)"):
        check_gradients(lambda p: 1.0, params())
    with pytest.raises(ValueError, match="must be a list of 4 arrays, as params is"):
        check_gradients(lambda p: (1.0, [1]), params())
    with pytest.raises(ValueError, match=r"dW of layer 1 has shape \(3,\), but its parameters have \(2, 2\)"):
        check_gradients(lambda p: (1.0, [np.ones(3), *p[1:]]), params())
    with pytest.raises(ValueError, match="check the gradient where the loss is finite"):
        check_gradients(lambda p: (np.nan, p), params())


def test_a_gradient_in_float32_is_refused(rng):
    y = rng.normal(size=(4, 1))
    for dtype in ("float32", "float64"):
        net = MLP((2, 8, 1), hidden_activation="tanh", dtype=dtype, random_state=0)
        if dtype == "float64":
            assert check_gradients(net.objective(X, y), net.params)
        else:
            with pytest.raises(ValueError, match="The gradient is float32, in which rounding"):
                check_gradients(net.objective(X, y), net.params)


OF_LAYERS = ["dW of layer 1", "dW of layer 2", "bias gradient of layer 1", "bias gradient of layer 2"]
OTHERS = ["gradient of array 1", "gradient of array 2"]


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        ([(2, 3), (3, 1), (3,), (1,)], OF_LAYERS),
        ([(2, 3), (1, 3), (3, 1), (1, 1)], [OF_LAYERS[k] for k in (0, 2, 1, 3)]),
        ([(3,), ()], OTHERS),
    ],
    ids=["biases last", "biases as rows", "vectors"],
)
def test_arrays_are_named_by_their_shapes(shapes, names):
    zeros = [np.zeros(shape) for shape in shapes]
    found = check_gradients(lambda values: (float(sum(v.sum() for v in values)), zeros), [zero + 1.0 for zero in zeros])
    assert [finding.name for finding in found.findings] == names


@pytest.mark.parametrize("pairs", [[(np.ones((2, 3)), np.ones(3))], {"first": {"W": np.ones((2, 3))}}])
def test_nested_parameters_are_refused_with_the_forms(pairs):
    with pytest.raises(
        ValueError, match=r"params must be a list of arrays \[W, b, W, b, ...\], a dictionary of arrays"
    ):
        check_gradients(lambda p: (1.0, p), pairs)
