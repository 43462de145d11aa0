"""A fit that ends while its loss still falls steeply says so: history.still_falling, and a line."""

from types import SimpleNamespace

import numpy as np
import pytest
from fake_terminal import Terminal
from toy_data import XOR_X

from fastmlp import MLP, Adam, EarlyStopping, OptimizerState, sweep
from fastmlp.console.output_target import TERMINAL
from fastmlp.fit import more_epochs_hint

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 3))
Y = 3 + 2 * X[:, 0] + X[:, 1] * X[:, 2]
SHORT = {"epochs": 100, "batch_size": None}  # 100 steps of Adam, which are too few


def fitted(epochs=100, data=(X, Y), **settings):
    return MLP((data[0].shape[1], 16, 1), random_state=0).fit(*data, epochs=epochs, **settings)


@pytest.fixture
def terminal(monkeypatch):
    """A terminal on standard error; from the test on, pytest's capture would take the place of one set here."""
    monkeypatch.setattr(more_epochs_hint, "_told", False)
    found = Terminal()
    monkeypatch.setattr(more_epochs_hint, "output_target", lambda: TERMINAL)
    monkeypatch.setattr(more_epochs_hint, "sys", SimpleNamespace(stderr=found))
    return found


def test_a_fit_of_too_few_steps_is_still_falling():
    history = fitted(**SHORT, verbose=0)
    assert history.still_falling
    assert repr(history).endswith(", stopped_by='epochs', still_falling=True)")
    long = fitted(epochs=200, optimizer=Adam(0.01), verbose=0)
    assert not long.still_falling
    assert "still" not in repr(long)


@pytest.mark.parametrize(
    "loss, falls",
    [
        (np.linspace(2, 1, 100), True),
        (np.linspace(2, 1, 19), False),  # a handful of epochs
        (np.linspace(1, 2, 100), False),
        (np.full(100, 0.7), False),
        (np.exp(-np.linspace(0, 1.5, 100)), True),
        (np.exp(-np.linspace(0, 3, 100)), False),
        (1 / np.arange(1.0, 1001), False),
        (0.69 + 1e-4 * np.linspace(1, 0, 100), False),  # in a straight line, and too little to matter
        (np.linspace(-1, -2, 100), True),
    ],
)
def test_shapes_of_losses(loss, falls):
    history = fitted(epochs=1, verbose=0)
    history.loss = loss
    assert history.still_falling is falls
    history.stopped_by = "time_limit"
    assert not history.still_falling


def test_a_terminal_is_told_once(terminal):
    fitted(**SHORT)
    assert terminal.getvalue().strip().splitlines() == [
        "The loss still fell steeply when the 100 epochs ended: more epochs, batch_size=32 or a higher learning rate "
        "may lower it much further."
    ]
    fitted(**SHORT)
    assert terminal.getvalue().count("still fell") == 1


def test_who_is_not_told(terminal, capsys):
    fitted(**SHORT, verbose=0)
    fitted(**SHORT, schedule="cosine")
    fitted(**SHORT, early_stopping=EarlyStopping(50))
    fitted(**SHORT, optimizer_state=OptimizerState())
    fitted(**SHORT, callbacks=[lambda epoch, history: epoch == 60])
    sweep(X, Y, {}, n=1, cv=2, epochs=20, batch_size=None, random_state=0, verbose=0)
    assert "still fell" not in terminal.getvalue() + capsys.readouterr().out


def test_lines_of_epochs_end_with_it_each_time(capsys):
    for _ in range(2):
        fitted(**SHORT, verbose=2)
        assert capsys.readouterr().out.splitlines()[-1].startswith("The loss still fell steeply when the 100 epochs")


def test_a_small_net_is_not_told_of_smaller_batches(terminal):
    fitted(data=(XOR_X, np.array([3.0, 4.0, 4.0, 3.0])))
    assert "more epochs or a higher learning rate" in terminal.getvalue()
