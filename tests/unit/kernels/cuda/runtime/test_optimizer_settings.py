"""Optimiser settings of every step, computed on the host for kernels."""

import numpy as np
import pytest

from fastmlp import SGD, Adam, AdamW, Quickprop, RMSprop, Rprop
from fastmlp.kernels.cuda.runtime.optimizer_settings import step_settings
from fastmlp.kernels.formulas.update_rules import CODES, HYPER_PARAMETERS, StepSettings
from fastmlp.kernels.structs import TrainConfig


def config_of(optimizer, factors):
    factors = np.asarray(factors, float)
    return TrainConfig(4, False, 0, CODES[optimizer.rule.name], optimizer.hyper, factors, False, np.zeros(0))


def columns(table):
    return dict(zip(StepSettings._fields, table.T, strict=True))


def test_learning_rate_and_decay_follow_the_schedule():
    factors = np.array([1.0, 0.5, 0.25])
    found = columns(step_settings(config_of(SGD(0.2, momentum=0.7, weight_decay=0.3), factors), np.ones(2), 3))
    np.testing.assert_allclose(found["learning_rate"], 0.2 * factors, rtol=1e-15)
    np.testing.assert_allclose(found["decay"], 1 - 0.2 * factors * 0.3, rtol=1e-15)
    np.testing.assert_array_equal(found["momentum"], 0.7)
    np.testing.assert_array_equal(found["inv_sqrt_bias_correction2"], 1.0)
    np.testing.assert_array_equal(found["loss_increased"], 0.0)


def test_decay_follows_its_own_schedule_too():
    factors, decays = np.array([1.0, 0.5, 0.25]), np.array([0.3, 0.6, 0.0])
    config = config_of(AdamW(0.2, weight_decay=0.3), factors)._replace(decays=True, decay_factors=decays)
    found = columns(step_settings(config, np.ones(2), 3))
    np.testing.assert_allclose(found["decay"], 1 - 0.2 * factors * 0.3 * decays, rtol=1e-15)


@pytest.mark.parametrize("optimizer", [Adam(0.1, beta1=0.8, beta2=0.99), AdamW(0.1, beta1=0.8, beta2=0.99)])
def test_bias_corrections_equal_the_formula(optimizer):
    """Bias correction of Kingma and Ba by 1 - beta**t, t from 1 on; weight decay is not corrected."""
    factors, t = np.array([1.0, 0.5, 0.25, 0.125]), np.arange(1, 5)
    found = columns(step_settings(config_of(optimizer, factors), np.ones(2), 4))
    np.testing.assert_allclose(found["learning_rate"], 0.1 * factors / (1 - 0.8**t), rtol=1e-14)
    np.testing.assert_allclose(found["inv_sqrt_bias_correction2"], 1 / np.sqrt(1 - 0.99**t), rtol=1e-14)
    np.testing.assert_allclose(found["decay"], 1 - 0.1 * factors * optimizer.weight_decay, rtol=1e-15)


@pytest.mark.parametrize("cuts", [[1] * 9, [2, 3, 4], [8, 1]])
def test_settings_are_equal_for_any_length_of_calls(cuts):
    """Equal to the last bit, since powers of beta are carried over between calls."""
    whole, powers, start = step_settings(config_of(Adam(0.1), np.linspace(1, 0.1, 9)), np.ones(2), 9), np.ones(2), 0
    parts = []
    for n in cuts:
        factors = np.linspace(1, 0.1, 9)[start : start + n]
        parts.append(step_settings(config_of(Adam(0.1), factors), powers, n))
        start += n
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert powers == pytest.approx([0.9**9, 0.999**9], rel=1e-14)


@pytest.mark.parametrize("optimizer", [Rprop(), Quickprop(), RMSprop()], ids=lambda row: type(row).__name__)
def test_every_optimizer_setting_has_its_column(optimizer):
    found = columns(step_settings(config_of(optimizer, np.ones(2)), np.ones(2), 2))
    defaults = {row.name: row.default for row in HYPER_PARAMETERS}
    for name in ("growth", "shrink", "smallest", "biggest", "beta2", "epsilon", "learning_rate"):
        np.testing.assert_array_equal(found[name], getattr(optimizer, name, defaults[name]))
    np.testing.assert_array_equal(found["inv_sqrt_bias_correction2"], 1.0)
