"""Optimisers: training in every kernel family and dtype, compared with the reference step for step."""

import dataclasses
from pathlib import Path

import kernel_families
import numpy as np
import pytest
import reference_optimizers
from reference_net import ReferenceMLP
from tolerances import TOLERANCES

from fastmlp import MLP, SGD, Adagrad, Adam, AdamW, Quickprop, RMSprop, Rprop, optimizer_from_name
from fastmlp.kernels.structs import HYPER
from fastmlp.optimizers import OPTIMIZERS, settings_of
from fastmlp.schedules import Cosine, OneCycle, Step, Warmup

DTYPES = ("float32", "float64")
EPOCHS = 30
COMING_FROM_PYTORCH = " ".join(
    (Path(__file__).parents[3] / "docs" / "coming_from" / "pytorch.md").read_text(encoding="utf-8").split()
)

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


def assert_same_training(
    optimizer, dtype, *, batch_size=None, schedule=None, weight=None, l2=0.0, epochs=None, rate_factors=None
):
    """Compare parameters and losses with the reference, on 14 samples and layers of odd sizes.

    rate_factors : for the reference, those of the optimiser
    """
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
        decay_factors=None if optimizer.weight_decay_schedule is None else optimizer.weight_decay_schedule.factors,
        rate_factors=rate_factors,
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


@pytest.mark.thinned(10)
@pytest.mark.parametrize("dtype", DTYPES)
@each_optimizer
def test_full_batch_training_matches_the_reference(family, optimizer, dtype):
    assert_same_training(optimizer, dtype)


@pytest.mark.thinned(24)
@pytest.mark.parametrize("dtype", DTYPES)
@each_optimizer
def test_batch_training_matches_the_reference(family, optimizer, dtype):
    assert_same_training(optimizer, dtype, batch_size=4, epochs=8)


@pytest.mark.thinned(8)
@each_optimizer
def test_l2_penalty_matches_the_reference(family, optimizer):
    """The penalty is in the gradient, for weights only."""
    assert_same_training(optimizer, "float64", l2=0.3, batch_size=4, epochs=8)


@pytest.mark.thinned(6)
@each_optimizer
def test_weight_decay_matches_the_reference(family, optimizer):
    """Weight decay is decoupled from the gradient, for weights only, scaled by the scheduled learning rate."""
    optimizer = dataclasses.replace(optimizer, weight_decay=0.3)
    assert_same_training(optimizer, "float64", schedule=Step(0.5, share=0.4), batch_size=4, epochs=8)


@pytest.mark.thinned(6)
@pytest.mark.parametrize("clip_norm", (0.05, 0.5, 1e9))
@each_optimizer
def test_clip_norm_matches_the_reference(family, optimizer, clip_norm):
    """Clipping is by the norm of the whole gradient, penalty included; 0.5 clips some steps only."""
    assert_same_training(dataclasses.replace(optimizer, clip_norm=clip_norm), "float64", l2=0.1, batch_size=4, epochs=8)


@pytest.mark.thinned(3)
@each_optimizer
def test_all_settings_together_match_the_reference(family, optimizer):
    weight = np.random.default_rng(0).random(14) + 0.1
    optimizer = dataclasses.replace(optimizer, clip_norm=0.3, weight_decay=0.1)
    assert_same_training(optimizer, "float64", l2=0.1, batch_size=4, weight=weight, schedule=OneCycle(), epochs=8)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("schedule", (Step(0.5, share=0.3), Cosine(0.1), Warmup(7, "exponential"), OneCycle()))
def test_schedules_match_the_reference(family, schedule):
    assert_same_training(SGD(0.1, momentum=0.5), "float64", batch_size=4, schedule=schedule)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("schedule", (None, Cosine(0.1)), ids=str)
@each_optimizer
def test_schedules_of_the_weight_decay_match_the_reference(family, optimizer, schedule):
    """The decay of a step is its own factor times the scheduled learning rate, of weights only."""
    optimizer = dataclasses.replace(optimizer, weight_decay=0.3, weight_decay_schedule=Step(0.1, share=0.4))
    assert_same_training(optimizer, "float64", schedule=schedule, batch_size=4, epochs=8)


RATE_FACTORS = (  # learning_rate_factors of a net of three layers, and the factors of weights and biases in each
    ({"biases": 0.1}, [(1, 0.1), (1, 0.1), (1, 0.1)]),
    ({"weights": 2.0, (0, "weights"): 0.5, -1: 3.0, (1, "biases"): 0.0}, [(1, 1), (2, 0), (6, 3)]),
)
has_rate = [optimizer for optimizer in EACH if not isinstance(optimizer, Rprop)]


@pytest.mark.thinned(9)
@pytest.mark.parametrize("given, factors", RATE_FACTORS, ids=("biases", "layers"))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", has_rate, ids=title)
def test_learning_rate_factors_match_the_reference(family, optimizer, dtype, given, factors):
    optimizer = dataclasses.replace(optimizer, learning_rate_factors=given, weight_decay=0.1)
    assert_same_training(optimizer, dtype, batch_size=4, epochs=8, rate_factors=factors)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("optimizer", has_rate, ids=title)
def test_factors_and_schedules_together_match_the_reference(family, optimizer):
    given, factors = RATE_FACTORS[1]
    optimizer = dataclasses.replace(
        optimizer, clip_norm=0.3, weight_decay=0.1, weight_decay_schedule=Cosine(), learning_rate_factors=given
    )
    assert_same_training(
        optimizer, "float64", l2=0.1, batch_size=4, schedule=OneCycle(), epochs=8, rate_factors=factors
    )


@pytest.mark.parametrize(
    "optimizer, power",
    [(SGD(0.5, momentum=0.5), -1.0), (Adam(0.05, epsilon=1e-12), -0.5), (RMSprop(0.01, epsilon=1e-12), -0.5)],
    ids=("sgd", "adam", "rmsprop"),
)
def test_ntk_parametrisation_is_one_of_learning_rates(optimizer, power):
    """V x / sqrt(n) + b with V from N(0, 1) trains as W x + b with W from N(0, 1 / n) and these factors."""
    rng, sizes = np.random.default_rng(0), (6, 8, 4, 1)
    X, y = rng.normal(size=(20, 6)), rng.normal(size=(20, 1))
    factors = {(k, "weights"): n**power for k, n in enumerate(sizes[:-1])}
    net = MLP(sizes, hidden_activation="tanh", init="lecun_normal", dtype="float64", random_state=3)
    scaled = ReferenceMLP(sizes, ("tanh", "tanh", "identity"), "squared_error", net.params)
    scale = np.ones(len(net.params))
    for W, _ in scaled.layers(scale):
        W[:] = len(W) ** -0.5
    values, state = net.params / scale, {}  # V and b
    names = {"SGD": ("momentum",), "Adam": ("beta1", "beta2", "epsilon"), "RMSprop": ("beta2", "epsilon")}
    kind = type(optimizer).__name__
    settings = {name: getattr(optimizer, name) for name in names[kind]}
    for _ in range(30):
        scaled.params = values * scale
        _, gradient = scaled.loss_and_gradient(X, y)
        rule = reference_optimizers.RULES[kind]
        values = rule(values, gradient * scale, state, None, optimizer.learning_rate, **settings)
    net.fit(X, y, epochs=30, optimizer=dataclasses.replace(optimizer, learning_rate_factors=factors), verbose=0)
    np.testing.assert_allclose(net.params, values * scale, rtol=1e-7, atol=1e-8)


def test_factors_of_one_change_no_bit(family):
    nets = []
    for factors in (None, {"weights": 1.0}):
        nets.append(MLP((2, 5, 1), random_state=0))
        optimizer = AdamW(0.01, learning_rate_factors=factors)
        nets[-1].fit(np.eye(2), [0.0, 1.0], epochs=20, optimizer=optimizer, verbose=0)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


# ---- one step, worked by hand


def by_hand(optimizer, dtype="float64", l2=0.0, steps=1, schedule=None):
    """(W, b) after full-batch steps of a net y = w x + b with w = 2, b = 1 on x = 3, y = 5.

    a = 2*3 + 1 = 7, a - y = 2, d loss / d a = 2*2 = 4: dW = 4*3 = 12, db = 4.
    """
    net = MLP((1, 1), dtype=dtype, l2=l2)
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
    # half of that decay, by the first factor of its schedule
    "weight_decay_schedule": (SGD(0.01, weight_decay=5.0, weight_decay_schedule=Warmup(2)), [1.83, 0.96]),
    # the weight moves by half as much, decay included; the bias does not move
    "learning_rate_factors": (SGD(0.01, weight_decay=5.0, learning_rate_factors={0: 0.5, "biases": 0.0}), [1.89, 1.0]),
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


def test_momentum_differs_from_pytorch_under_a_schedule_as_documented(family):
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


def test_clipped_gradients_have_exactly_the_norm_as_documented(family):
    """PyTorch's factor has 1e-6 in its denominator; the norm of this gradient is the root of 160."""
    sentence = "`clip_grad_norm_` divides by the norm plus 1e-6"
    assert f"scaled to exactly this norm, while PyTorch's {sentence}" in " ".join(SGD.__doc__.split())
    assert f"{sentence}; here a clipped gradient has exactly the norm `clip_norm`" in COMING_FROM_PYTORCH
    w, b = by_hand(SGD(1.0, clip_norm=0.5))
    norm = np.hypot(w - 2.0, b - 1.0)
    assert norm == pytest.approx(0.5, rel=1e-14)
    assert norm != pytest.approx(0.5 * 160**0.5 / (160**0.5 + 1e-6), rel=1e-9)


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


def test_schedules_of_the_weight_decay_need_one():
    with pytest.raises(ValueError, match=r"weight_decay_schedule needs a weight_decay above 0.* Try weight_decay=0.01"):
        SGD(weight_decay_schedule="cosine")
    with pytest.raises(ValueError, match="Unknown schedule 'cosin'"):
        AdamW(weight_decay_schedule="cosin")


@pytest.mark.parametrize(
    "factors, message",
    [
        (0.1, "must be a dict of factors, such as .* but it is float"),
        ([0.1, 1.0], "must be a dict of factors, such as .* but it is list"),
        ({"bias": 0.1}, "A key of learning_rate_factors is 'weights', 'biases', .* but one is 'bias'"),
        ({1.5: 0.1}, "but one is 1.5"),
        ({True: 0.1}, "but one is True"),
        ({(0, "bias"): 0.1}, r"but one is \(0, 'bias'\)"),
        ({("biases", 0): 0.1}, r"but one is \('biases', 0\)"),
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


def test_rprop_refuses_learning_rate_factors():
    with pytest.raises(ValueError, match="Rprop has no use for learning_rate_factors"):
        Rprop(learning_rate_factors={"biases": 0.1})


def test_text_of_an_optimizer_has_the_options_that_are_given():
    assert repr(SGD(0.1)) == ("SGD(learning_rate=0.1, weight_decay=0.0, clip_norm=0.0, momentum=0.0, nesterov=False)")
    optimizer = SGD(weight_decay=0.1, weight_decay_schedule=Cosine(), learning_rate_factors={0: 0.5})
    assert repr(optimizer).endswith("weight_decay_schedule=Cosine(end=0.0), learning_rate_factors={0: 0.5})")
    assert "0x" not in repr(SGD(weight_decay=0.1, weight_decay_schedule=lambda steps, n_steps: 1.0))


def test_optimizers_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Adam().learning_rate = 1.0


def test_factors_of_layers_are_those_of_gradients_and_then_of_rates():
    shapes = [(2, 3), (3, 1)]
    assert Adam().factors_of_layers(shapes).size == 0
    found = Quickprop(by_fan_in=True, learning_rate_factors={"biases": 0.1}).factors_of_layers(shapes)
    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 1 / 4, 1 / 4, 1, 0.1, 1, 0.1])
    found = Adam(learning_rate_factors={1: 2.0}).factors_of_layers(shapes)
    np.testing.assert_array_equal(found, [1, 1, 1, 1, 1, 1, 2, 2])


def test_quickprop_layer_factors_follow_fahlmans_rule():
    """A factor per layer for weights and for biases: epsilon over the number of a unit's inputs, bias included."""
    shapes = [(2, 3), (3, 1)]
    assert Quickprop().layer_factors(shapes).size == 0
    factors = Quickprop(by_fan_in=True, bias_input=0.5).layer_factors(shapes)
    np.testing.assert_allclose(factors, [1 / 3, 0.25 / 3, 1 / 4, 0.25 / 4])


@pytest.mark.parametrize("name", ["lbfgs", "L-BFGS", "bfgs"])
def test_l_bfgs_is_said_to_be_elsewhere(name):
    with pytest.raises(ValueError, match=r"MLPClassifier\(solver='lbfgs'\) .*minimize\(net.objective\(X, y\)"):
        optimizer_from_name(name)
