"""The roofline of a fit: its arithmetic over the machine's product rate."""

import subprocess

import numpy as np
import pytest

import fastmlp
import fastmlp.report.roofline
from fastmlp.report.roofline import Speed, measure_speed, product_rate


def test_flop_count_worked_by_hand(monkeypatch, rng):
    """A product each for forward pass, weight gradient and, except in the first layer, input gradient."""
    monkeypatch.setattr(fastmlp.report.roofline, "product_rate", lambda dtype: {"float64": 5e9}[dtype])
    net = fastmlp.MLP((3, 5, 2), dtype="float64", random_state=0)
    history = net.fit(rng.normal(size=(50, 3)), rng.normal(size=(50, 2)), epochs=4, batch_size=16)
    speed = measure_speed(history)
    assert speed.steps == 4 * 4
    assert speed.flop == 4 * 50 * 2 * (2 * 3 * 5 + 3 * 5 * 2)
    assert speed.limit == pytest.approx(speed.flop / 5e9)
    assert speed.share == pytest.approx(speed.limit / history.training_seconds)


def test_epochs_before_a_resumed_fit_have_no_time(monkeypatch, rng, tmp_path):
    monkeypatch.setattr(fastmlp.report.roofline, "product_rate", lambda dtype: 5e9)
    net = fastmlp.MLP((3, 5, 2), random_state=0)
    net.fit(rng.normal(size=(50, 3)), rng.normal(size=(50, 2)), epochs=4, batch_size=16)
    net.history.epochs_before = 3  # as if it had been interrupted there
    net.save(tmp_path / "net.safetensors")
    for history in (net.history, fastmlp.load(tmp_path / "net.safetensors").history):
        assert (history.epochs, history.epochs_before) == (4, 3)
        assert measure_speed(history).steps == 4
        history.epochs_before = 4
        assert measure_speed(history) is None


def test_roofline_scales_with_threads():
    one, two = (Speed(1.0, 1, 1e9, n_threads, 1e10).limit for n_threads in (1, 2))
    assert one == 2 * two


def test_history_without_a_fit_has_no_speed():
    assert measure_speed(fastmlp.History(fastmlp.MLP((2, 1)))) is None


@pytest.mark.slow
def test_product_rate_is_measured_once():
    product_rate.cache_clear()
    rate = product_rate("float32")
    assert 1e8 < rate < 1e13
    assert product_rate("float32") is rate


def test_failed_rate_measurement_raises(monkeypatch):
    product_rate.cache_clear()

    def refuse(*_, **__):
        raise OSError("no processes")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(RuntimeError, match="could not be measured: no processes"):
        product_rate("float32")
    assert np.isfinite(Speed(1.0, 1, 1.0, 1, 1.0).share)


@pytest.mark.slow
def test_compile_time_is_excluded_from_speed():
    net = fastmlp.MLP((20, 30, 2), random_state=0)
    history = net.fit(np.zeros((50, 20)), np.zeros((50, 2)), epochs=2)
    history.seconds, history.compile_seconds = 40.0, 38.5
    assert measure_speed(history).seconds == 1.5
