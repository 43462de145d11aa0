"""Unrolled steps of a tiny net give the same bits as the loops, which tests/properties compares with the reference."""

import numpy as np
import pytest
from net_cases import HIDDEN, targets_for
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp.execution import thresholds
from fastmlp.kernels.cpu.unrolled import compiled
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import RULES
from fastmlp.optimizers import OPTIMIZERS

TARGETS = XOR_Y[:, None]
OPTIMIZER_OF_RULES = {
    **{kind().rule.name: kind(0.05, weight_decay=0.0) for kind in OPTIMIZERS.values() if kind().rule in RULES},
    "momentum": fastmlp.SGD(0.05, momentum=0.9),
    "nesterov": fastmlp.SGD(0.05, momentum=0.9, nesterov=True),
}


@pytest.fixture
def unrolled_calls(monkeypatch):
    """Use unrolled code from the first step on; the list of addresses that were called."""
    calls, ask = [], compiled.address_of_net

    def recorded(*arguments):
        calls.append(ask(*arguments))
        return calls[-1]

    monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", 0)
    monkeypatch.setattr(compiled, "address_of_net", recorded)
    return calls


def fit(sizes=(2, 2, 1), X=XOR_X, y=TARGETS, *, optimizer="sgd", dtype="float32", **settings):
    fits = {
        name: settings.pop(name) for name in ("batch_size", "shuffle", "sample_weight", "epochs") if name in settings
    }
    net = fastmlp.MLP(sizes, random_state=3, dtype=dtype, **settings)
    return net, net.fit(X, y, optimizer=optimizer, **{"epochs": 40, "batch_size": 4, "shuffle": False, **fits})


def assert_equals_loops(unrolled_calls, *arguments, **settings):
    net, history = fit(*arguments, **settings)
    assert unrolled_calls
    assert all(unrolled_calls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "address_of_net", lambda *_: 0)
        expected, records = fit(*arguments, **settings)
    np.testing.assert_array_equal(net.params, expected.params)
    np.testing.assert_array_equal(history.loss, records.loss)
    if records.accuracy is not None:
        np.testing.assert_array_equal(history.accuracy, records.accuracy)


# A row for each update rule. Losses take turns, and the hidden layers of two nets have all activations.
CASES = [
    (rule.name, LOSSES[k % len(LOSSES)], HIDDEN[k % 2 :: 2], ("float32", "float64")[k // 2 % 2])
    for k, rule in enumerate(RULES)
]


@pytest.mark.parametrize("rule, loss, hidden, dtype", CASES, ids=[f"{rule}, {loss.name}" for rule, loss, *_ in CASES])
def test_every_update_rule_loss_and_activation_equals_the_loops(rule, loss, hidden, dtype, unrolled_calls, rng):
    """Each occurs once at least, each activation with both dtypes. Shuffled batches of three, the last of one, whose
    samples have weights; the net has more parameters than a vector of the update.
    """
    output = loss.outputs[0] if loss.outputs else "tanh"
    assert_equals_loops(
        unrolled_calls,
        (2, *(2 for _ in hidden), 2),
        X=rng.random((10, 2)),
        y=targets_for(loss.name, output, 10, 2, rng),
        sample_weight=rng.random(10) + 0.5,
        optimizer=OPTIMIZER_OF_RULES[rule],
        dtype=dtype,
        hidden_activation=hidden,
        output_activation=output,
        loss=loss.name,
        batch_size=3,
        shuffle=True,
    )


def test_rows_have_every_loss_and_every_activation_with_both_dtypes():
    assert {loss.name for _, loss, *_ in CASES} == {loss.name for loss in LOSSES}
    assert {(name, dtype) for *_, names, dtype in CASES for name in names} == {
        (name, dtype) for name in HIDDEN for dtype in ("float32", "float64")
    }


@pytest.mark.parametrize("batch_size", (1, 4))
def test_calls_that_end_within_epochs_and_accuracy_by_the_larger_output_equal_the_loops(
    batch_size, unrolled_calls, monkeypatch
):
    monkeypatch.setattr("fastmlp.fit.one_net.FIRST_CALL", 1.0)
    one_hot = np.concatenate([1 - TARGETS, TARGETS], axis=1)
    sigmoids = {"loss": "squared_error", "output_activation": "sigmoid", "hidden_activation": "sigmoid"}
    fits = {"batch_size": batch_size, "epochs": 300, "optimizer": fastmlp.SGD(0.5)}
    assert_equals_loops(unrolled_calls, (2, 2, 2, 2), y=one_hot, **fits, **sigmoids)


def test_divergence_is_detected(unrolled_calls):
    with pytest.warns(fastmlp.DivergenceWarning):
        net, history = fit(optimizer=fastmlp.SGD(1e30), loss="squared_error", epochs=50)
    assert unrolled_calls
    assert all(unrolled_calls)
    assert np.isfinite(net.params).all()
    assert np.isfinite(history.loss).all()


@pytest.mark.parametrize(
    "why, sizes, settings",
    [
        ("too many parameters", (2, 64, 1), {}),
        ("an L2 penalty", (2, 2, 1), {"l2": 0.1}),
        ("clipping", (2, 2, 1), {"optimizer": fastmlp.SGD(0.1, clip_norm=1.0)}),
        ("weight decay", (2, 2, 1), {"optimizer": fastmlp.AdamW(0.1)}),
    ],
)
def test_nets_without_unrolled_code_use_the_loops(why, sizes, settings, unrolled_calls):
    fit(sizes, **settings)
    assert not any(unrolled_calls), why
