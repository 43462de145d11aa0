"""Optimisers: steps worked by hand, and the objects. tests/properties/test_training.py compares training in every
kernel family with the reference.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fastmlp import MLP, SGD, Adagrad, Adam, AdamW, Quickprop, RMSprop, Rprop, optimizer_from_name
from fastmlp.optimizers import OPTIMIZERS

COMING_FROM_PYTORCH = " ".join(
    (Path(__file__).parents[3] / "docs" / "coming_from" / "pytorch.md").read_text(encoding="utf-8").split()
)


# ---- one step, worked by hand


def by_hand(optimizer, l2=0.0, steps=1, schedule=None):
    """(W, b) after full-batch steps of a net y = w x + b with w = 2, b = 1 on x = 3, y = 5.

    a = 2*3 + 1 = 7, a - y = 2, d loss / d a = 2*2 = 4: dW = 4*3 = 12, db = 4.
    """
    net = MLP((1, 1), dtype="float64", l2=l2)
    net.params = [2.0, 1.0]
    net.fit([[3.0]], [5.0], epochs=steps, optimizer=optimizer, schedule=schedule, verbose=0)
    return net.params.tolist()


HAND_WORKED = {
    # 2 - 0.01*12, 1 - 0.01*4
    "sgd": (SGD(0.01), [1.88, 0.96]),
    # the first step has no velocity yet: as sgd
    "momentum": (SGD(0.01, momentum=0.5), [1.88, 0.96]),
    # v = -0.12, -0.04; then p + 0.5 v - 0.01 g = 2 - 0.06 - 0.12, 1 - 0.02 - 0.04
    "nesterov": (SGD(0.01, momentum=0.5, nesterov=True), [1.82, 0.94]),
    # corrected m = g, corrected v = g*g: each moves by 0.1 g / (|g| + epsilon) = 0.1*12/(12 + 4), 0.1*4/(4 + 4)
    "adam": (Adam(0.1, epsilon=4.0), [1.925, 0.95]),
    # the weight, not the bias, first shrinks to 2*(1 - 0.1*0.5) = 1.9
    "adamw": (AdamW(0.1, epsilon=4.0, weight_decay=0.5), [1.825, 0.95]),
    # v = 0.25 g*g, root 0.5 |g|: 0.1*12/(6 + 2), 0.1*4/(2 + 2)
    "rmsprop": (RMSprop(0.1, beta2=0.75, epsilon=2.0), [1.85, 0.9]),
    # v = g*g: as adam's first step
    "adagrad": (Adagrad(0.1, epsilon=4.0), [1.925, 0.95]),
    # no step before: gradient descent
    "quickprop": (Quickprop(0.01), [1.88, 0.96]),
    # the sign only
    "rprop": (Rprop(0.25), [1.75, 0.75]),
    # |g| = sqrt(160) is scaled to sqrt(40): half of it
    "clip_norm": (SGD(0.01, clip_norm=40**0.5), [1.94, 0.98]),
    # the weight, not the bias, shrinks by 0.01*5*2 = 0.1 besides
    "weight_decay": (SGD(0.01, weight_decay=5.0), [1.78, 0.96]),
    # the weight moves by half as much, decay included; the bias does not move
    "learning_rate_factors": (SGD(0.01, weight_decay=5.0, learning_rate_factors={0: 0.5, "biases": 0.0}), [1.89, 1.0]),
}


@pytest.mark.parametrize("optimizer, expected", HAND_WORKED.values(), ids=HAND_WORKED)
def test_one_step_worked_by_hand(optimizer, expected):
    assert by_hand(optimizer) == pytest.approx(expected, rel=1e-14)


def test_l2_penalty_worked_by_hand():
    """dW = 12 + 0.5*2 = 13, db = 4."""
    assert by_hand(SGD(0.01), l2=0.5) == pytest.approx([1.87, 0.96], rel=1e-14)


def test_two_momentum_steps_worked_by_hand():
    """v = -0.12, -0.04, p = 1.88, 0.96: a = 6.6, g = 3.2*3 = 9.6 and 3.2. v = -0.06 - 0.096, -0.02 - 0.032."""
    assert by_hand(SGD(0.01, momentum=0.5), steps=2) == pytest.approx([1.88 - 0.156, 0.96 - 0.052], rel=1e-14)


def by_documented_rule(rule, rates, momentum):
    """(W, b) as by_hand trains them, by the lines of a rule that are executed as they stand, at each of these rates."""
    scope = {"v": 0.0, "params": np.array([2.0, 1.0]), "momentum": momentum}
    for rate in rates:
        w, b = scope["params"]
        scope |= {"learning_rate": rate, "g": 2 * (3 * w + b - 5) * np.array([3.0, 1.0])}
        for line in rule:
            exec(line, scope)
    return scope["params"].tolist()


def falling_to(last):
    """A schedule whose factor is 1 for two steps, and `last` from then on."""
    return lambda steps, n_steps: np.where(np.asarray(steps) < 2, 1.0, last)


def test_momentum_differs_from_pytorch_under_a_schedule_as_documented():
    """Past gradients keep the learning rate of their own step."""
    ours = ("v = momentum * v - learning_rate * g", "params = params + v")
    of_pytorch = ("v = momentum * v + g", "params = params - learning_rate * v")
    assert " ".join(ours) in " ".join(SGD.__doc__.split())
    assert ", ".join(of_pytorch) in " ".join(SGD.__doc__.split())
    assert "v = momentum v - learning_rate g. PyTorch multiplies outside." in COMING_FROM_PYTORCH
    for last in (1.0, 0.1):
        found = by_hand(SGD(0.01, momentum=0.5), steps=4, schedule=falling_to(last))
        rates = [0.01, 0.01, 0.01 * last, 0.01 * last]
        assert found == pytest.approx(by_documented_rule(ours, rates, 0.5), rel=1e-13)
        is_that_of_pytorch = found == pytest.approx(by_documented_rule(of_pytorch, rates, 0.5), rel=1e-13)
        assert is_that_of_pytorch == (last == 1.0)


def test_clipped_gradients_have_exactly_the_norm_as_documented():
    """PyTorch's factor has 1e-6 in its denominator; the norm of this gradient is the root of 160."""
    sentence = "`clip_grad_norm_` divides by the norm plus 1e-6"
    assert f"scaled to exactly this norm, while PyTorch's {sentence}" in " ".join(SGD.__doc__.split())
    assert f"{sentence}; here a clipped gradient has exactly the norm `clip_norm`" in COMING_FROM_PYTORCH
    w, b = by_hand(SGD(1.0, clip_norm=0.5))
    norm = np.hypot(w - 2.0, b - 1.0)
    assert norm == pytest.approx(0.5, rel=1e-14)
    assert norm != pytest.approx(0.5 * 160**0.5 / (160**0.5 + 1e-6), rel=1e-9)


# ---- the objects


def test_optimizer_from_name_accepts_names_in_any_case_and_objects():
    for name, kind in OPTIMIZERS.items():
        assert optimizer_from_name(name) == optimizer_from_name(name.upper()) == kind()
        for given in (name, kind()):
            assert optimizer_from_name(given, learning_rate=0.3) == kind(0.3)
    optimizer = Adam(0.2)
    assert optimizer_from_name(optimizer) is optimizer


def test_unknown_optimizer_name_raises():
    with pytest.raises(ValueError, match=r"Unknown optimizer 'adm'. Did you mean 'adam'"):
        optimizer_from_name("adm")
    with pytest.raises(ValueError, match=r"it is the class Adam. Pass Adam\(\)"):
        optimizer_from_name(Adam)
    with pytest.raises(ValueError, match=r"it is the number 0.3. .*optimizer=fastmlp.SGD\(0.3\)"):
        optimizer_from_name(0.3)


BAD = [
    *[(cls, {"learning_rate": value}) for cls in OPTIMIZERS.values() for value in (0.0, -1.0, float("nan"))],
    (SGD, {"learning_rate": float("inf")}),
    *[(cls, {name: -0.1}) for cls in OPTIMIZERS.values() for name in ("weight_decay", "clip_norm")],
    *[(SGD, {"momentum": value}) for value in (-0.1, 1.0, "0.9", True)],
    *[(Adam, {name: value}) for name in ("beta1", "beta2") for value in (0.0, 1.0)],
    *[(cls, {"epsilon": 0.0}) for cls in (Adam, AdamW, RMSprop, Adagrad)],
    (RMSprop, {"beta2": 1.0}),
    (Quickprop, {"growth": 0.0}),
    (Rprop, {"growth": 1.0}),
    (Rprop, {"shrink": 1.0}),
    (Rprop, {"smallest": 0.0}),
    (Rprop, {"biggest": 1e-9}),
]


@pytest.mark.parametrize("cls, settings", BAD, ids=[f"{cls.__name__}-{settings}" for cls, settings in BAD])
def test_invalid_optimizer_settings_raise(cls, settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name} must be a number in"):
        cls(**settings)


@pytest.mark.parametrize(
    "cls, settings, message",
    [
        (SGD, {"nesterov": True}, "momentum above 0"),
        (Rprop, {"learning_rate_factors": {"biases": 0.1}}, "Rprop has no use for learning_rate_factors"),
    ],
)
def test_settings_that_need_others_raise(cls, settings, message):
    with pytest.raises(ValueError, match=message):
        cls(**settings)


@pytest.mark.parametrize(
    "factors, message",
    [
        (0.1, "must be a dict of factors, such as .* but it is float"),
        ({"bias": 0.1}, "A key of learning_rate_factors is 'weights', 'biases', .* but one is 'bias'"),
        ({True: 0.1}, "but one is True"),
        ({(0, "bias"): 0.1}, r"but one is \(0, 'bias'\)"),
        ({"biases": -0.1}, r"factor of 'biases' in learning_rate_factors must be a number in \[0, inf\)"),
        ({"biases": "small"}, "factor of 'biases' in learning_rate_factors must be a number"),
    ],
    ids=str,
)
def test_invalid_learning_rate_factors_raise(factors, message):
    with pytest.raises(ValueError, match=message):
        Adam(learning_rate_factors=factors)


@pytest.mark.parametrize("layer", (2, -3))
def test_learning_rate_factors_of_a_layer_that_is_not_there_raise(layer):
    net = MLP((2, 3, 1), random_state=0)
    before = net.params.copy()
    with pytest.raises(ValueError, match=f"learning_rate_factors has {layer}, but the net has 2 layers, from 0 to 1"):
        net.fit(np.eye(2), [0.0, 1.0], optimizer=Adam(learning_rate_factors={layer: 0.1}), verbose=0)
    np.testing.assert_array_equal(net.params, before)


def test_text_of_an_optimizer_has_the_options_that_are_given():
    assert repr(SGD(0.1)) == ("SGD(learning_rate=0.1, weight_decay=0.0, clip_norm=0.0, momentum=0.0, nesterov=False)")
    optimizer = SGD(weight_decay=0.1, learning_rate_factors={0: 0.5})
    assert repr(optimizer).endswith(", learning_rate_factors={0: 0.5})")


def test_optimizers_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Adam().learning_rate = 1.0


def test_factors_of_layers_are_those_of_gradients_and_then_of_rates():
    shapes = [(2, 3), (3, 1)]
    assert Adam().factors_of_layers(shapes).size == 0
    # Fahlman's rule: epsilon over the number of a unit's inputs, bias included
    found = Quickprop(by_fan_in=True, learning_rate_factors={"biases": 0.1}).factors_of_layers(shapes)
    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 1 / 4, 1 / 4, 1, 0.1, 1, 0.1])
    found = Quickprop(by_fan_in=True, bias_input=0.5).factors_of_layers(shapes)
    np.testing.assert_allclose(found, [1 / 3, 0.25 / 3, 1 / 4, 0.25 / 4, 1, 1, 1, 1])
    found = Adam(learning_rate_factors={1: 2.0}).factors_of_layers(shapes)
    np.testing.assert_array_equal(found, [1, 1, 1, 1, 1, 1, 2, 2])


@pytest.mark.parametrize("name", ["L-BFGS", "bfgs"])
def test_other_names_of_l_bfgs_are_known(name):
    with pytest.raises(ValueError, match="lbfgs"):
        optimizer_from_name(name)


def test_numbers_of_numpy_are_written_as_numbers():
    """Histories, checkpoints and diagnose read these texts."""
    assert repr(SGD(np.float64(0.1), momentum=np.float32(0.5))) == repr(SGD(0.1, momentum=0.5))
    factors = {"biases": np.float64(0.5)}
    assert "np." not in repr(SGD(0.1, learning_rate_factors=factors))
    net = MLP((2, 3, 1), random_state=0)
    history = net.fit([[0, 0], [1, 1]], [0, 1], epochs=1, optimizer=SGD(np.float64(0.1)))
    assert "np." not in history.settings["optimizer"]
