"""Optimisers: training in every kernel family and dtype, compared with the reference step for step."""

import dataclasses

import kernel_families
import numpy as np
import pytest
import reference_optimizers
from reference import ReferenceMLP
from tolerances import TOLERANCES

from fastmlp import MLP, SGD, Adagrad, Adam, AdamW, Quickprop, RMSprop, Rprop, optimizer_from_name
from fastmlp.kernels.structs import HYPER
from fastmlp.optimizers import OPTIMIZERS, settings_of
from fastmlp.schedules import Cosine, OneCycle, Step, Warmup

DTYPES = ("float32", "float64")
EPOCHS = 30

EACH = (
    SGD(0.1),
    SGD(0.05, momentum=0.8),
    SGD(0.05, momentum=0.8, nesterov=True),
    Adam(0.01, beta1=0.8, beta2=0.95),
    AdamW(0.01, weight_decay=0.2),
    RMSprop(0.01, beta2=0.8, epsilon=0.02),  # with a small epsilon it circles a minimum and magnifies rounding
    Adagrad(0.05, epsilon=1e-4),
    Quickprop(0.05, growth=1.5),
    Rprop(0.02, growth=1.1, shrink=0.4, smallest=1e-3, biggest=0.1),
)


def title(optimizer):
    return f"{type(optimizer).__name__}-{optimizer.rule.name}"


each_optimizer = pytest.mark.parametrize("optimizer", EACH, ids=title)


@pytest.fixture(params=kernel_families.FAMILIES)
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


def assert_same_training(optimizer, dtype, *, batch_size=None, schedule=None, weight=None, l2=0.0, epochs=None):
    """Compare parameters and losses with the reference, on 14 samples and layers of odd sizes."""
    if epochs is None:  # Quickprop divides by a difference of two gradients, which magnifies rounding by 3 a step
        epochs = EPOCHS // 3 if isinstance(optimizer, Quickprop) else EPOCHS
    rng = np.random.default_rng(5)
    X = rng.normal(size=(14, 3))
    y = np.sin(X.sum(axis=1, keepdims=True)) + 0.1 * rng.normal(size=(14, 2))
    net = MLP((3, 5, 4, 2), hidden_activation="tanh", l2=l2, dtype=dtype, random_state=2)
    reference = ReferenceMLP((3, 5, 4, 2), ("tanh", "tanh", "identity"), "squared_error", net.params, l2=l2)
    used = {field for field in settings_of(optimizer) if field in HYPER or field == "nesterov"}
    settings = {name: value for name, value in settings_of(optimizer).items() if name in used}
    losses = reference_optimizers.train(
        reference,
        X,
        y,
        type(optimizer).__name__,
        settings,
        epochs=epochs,
        batch_size=batch_size,
        factors=None if schedule is None else schedule.factors,
        weight=None if weight is None else weight / weight.mean(),
    )
    before = net.params.copy()
    history = net.fit(
        X,
        y,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        schedule=schedule,
        shuffle=False,
        sample_weight=weight,
        verbose=0,
    )
    tolerance = TOLERANCES["training", dtype]
    assert np.abs(reference.params - before).max() > 100 * tolerance, "nothing was learned, so nothing is compared"
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance, atol=tolerance)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("dtype", DTYPES)
@each_optimizer
def test_full_batch_training_matches_the_reference(family, optimizer, dtype):
    assert_same_training(optimizer, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@each_optimizer
def test_batch_training_matches_the_reference(family, optimizer, dtype):
    assert_same_training(optimizer, dtype, batch_size=4, epochs=8)


@each_optimizer
def test_l2_penalty_matches_the_reference(family, optimizer):
    """The penalty is in the gradient, for weights only."""
    assert_same_training(optimizer, "float64", l2=0.3, batch_size=4, epochs=8)


@each_optimizer
def test_weight_decay_matches_the_reference(family, optimizer):
    """Weight decay is decoupled from the gradient, for weights only, scaled by the scheduled learning rate."""
    optimizer = dataclasses.replace(optimizer, weight_decay=0.3)
    assert_same_training(optimizer, "float64", schedule=Step(0.5, share=0.4), batch_size=4, epochs=8)


@pytest.mark.parametrize("clip_norm", (0.05, 0.5, 1e9))
@each_optimizer
def test_clip_norm_matches_the_reference(family, optimizer, clip_norm):
    """Clipping is by the norm of the whole gradient, penalty included; 0.5 clips some steps only."""
    assert_same_training(dataclasses.replace(optimizer, clip_norm=clip_norm), "float64", l2=0.1, batch_size=4, epochs=8)


@each_optimizer
def test_all_settings_together_match_the_reference(family, optimizer):
    weight = np.random.default_rng(0).random(14) + 0.1
    optimizer = dataclasses.replace(optimizer, clip_norm=0.3, weight_decay=0.1)
    assert_same_training(optimizer, "float64", l2=0.1, batch_size=4, weight=weight, schedule=OneCycle(), epochs=8)


@pytest.mark.parametrize("schedule", (Step(0.5, share=0.3), Cosine(0.1), Warmup(7, "exponential"), OneCycle()))
def test_schedules_match_the_reference(family, schedule):
    assert_same_training(SGD(0.1, momentum=0.5), "float64", batch_size=4, schedule=schedule)


# ---- one step, worked by hand


def by_hand(optimizer, dtype="float64", l2=0.0, steps=1):
    """(W, b) after full-batch steps of a net y = w x + b with w = 2, b = 1 on x = 3, y = 5.

    a = 2*3 + 1 = 7, a - y = 2, d loss / d a = 2*2 = 4: dW = 4*3 = 12, db = 4.
    """
    net = MLP((1, 1), dtype=dtype, l2=l2)
    net.params = [2.0, 1.0]
    net.fit([[3.0]], [5.0], epochs=steps, optimizer=optimizer, verbose=0)
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
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer, expected", HAND_WORKED.values(), ids=HAND_WORKED)
def test_one_step_worked_by_hand(family, optimizer, expected, dtype):
    assert by_hand(optimizer, dtype) == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-14)


def test_l2_penalty_worked_by_hand(family):
    """dW = 12 + 0.5*2 = 13, db = 4."""
    assert by_hand(SGD(0.01), l2=0.5) == pytest.approx([1.87, 0.96], rel=1e-14)


def test_two_momentum_steps_worked_by_hand(family):
    """v = -0.12, -0.04, p = 1.88, 0.96: a = 6.6, g = 3.2*3 = 9.6 and 3.2. v = -0.06 - 0.096, -0.02 - 0.032."""
    assert by_hand(SGD(0.01, momentum=0.5), steps=2) == pytest.approx([1.88 - 0.156, 0.96 - 0.052], rel=1e-14)


# ---- the objects


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_from_name_accepts_names_in_any_case(name):
    assert optimizer_from_name(name) == OPTIMIZERS[name]()
    assert optimizer_from_name(name.upper()) == OPTIMIZERS[name]()
    assert optimizer_from_name(name, learning_rate=0.3) == OPTIMIZERS[name](learning_rate=0.3)


def test_optimizer_objects_are_passed_through():
    optimizer = Adam(0.2)
    assert optimizer_from_name(optimizer) is optimizer
    assert optimizer_from_name(optimizer, learning_rate=0.3) == Adam(0.3)


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


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="momentum above 0"):
        SGD(nesterov=True)


def test_optimizers_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Adam().learning_rate = 1.0


def test_quickprop_layer_factors_follow_fahlmans_rule():
    """A factor per layer for weights and for biases: epsilon over the number of a unit's inputs, bias included."""
    shapes = [(2, 3), (3, 1)]
    assert Quickprop().layer_factors(shapes).size == 0
    factors = Quickprop(by_fan_in=True, bias_input=0.5).layer_factors(shapes)
    np.testing.assert_allclose(factors, [1 / 3, 0.25 / 3, 1 / 4, 0.25 / 4])
