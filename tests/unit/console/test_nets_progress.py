"""Progress of several fits as one, with the best validation loss so far: in a terminal, a notebook and as lines."""

import re
import sys

import numpy as np
import pytest
from fake_terminal import Terminal, notebook_texts, show_at_once

import fastmlp

pytest.importorskip("pandas")
pytest.importorskip("sklearn")
from fastmlp import TabularMLPClassifier, TabularMLPRegressor

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "device": "cpu"}
X = np.random.default_rng(0).normal(size=(60, 2))
LABELS, Y = np.where(X[:, 0] > 0, "a", "b"), 2.0 * X[:, 0]
SEVERAL = {"population": {"n_nets": 3}, "folds": {"n_nets": 1, "n_folds": 3}}


def on_terminal(monkeypatch, *models, y=Y):
    """The text that fits write to a terminal, replaced here, since pytest replaces standard error for each test."""
    with monkeypatch.context() as patch:
        show_at_once(patch)
        patch.setattr(sys, "stderr", stream := Terminal())
        for model in models:
            model.fit(X, y)
    return stream.getvalue()


@pytest.fixture
def notebook(monkeypatch):
    show_at_once(monkeypatch)
    return notebook_texts(monkeypatch)


def figures(text):
    return re.findall(r"best validation loss ([\d.e+-]+)", text)


def bar_lengths(texts):
    return [text.count("━") for text in texts if "━" in text or "─" in text]


@pytest.mark.parametrize("n_nets", [1, 3])
def test_a_terminal_shows_the_best_validation_loss_and_its_accuracy(n_nets, monkeypatch):
    model = TabularMLPClassifier(n_nets=n_nets, verbose=True, **SMALL)
    text = on_terminal(monkeypatch, model, y=LABELS)
    history = model.history_
    best = np.min(history.validation_loss if n_nets == 1 else history.best_value)
    assert figures(text)[-1] == f"{best:.4g}"
    assert ("epoch" if n_nets == 1 else "3/3") in text
    if n_nets == 1:
        accuracy = history.validation_accuracy[int(np.argmin(history.validation_loss))]
        assert f"best validation loss {best:.4g}, accuracy {accuracy:.3f}" in text


@pytest.mark.parametrize("name", SEVERAL)
def test_a_notebook_shows_one_bar_for_all_nets(name, notebook):
    """It grows from net to net, and ends with the lowest validation loss of all of them."""
    model = TabularMLPRegressor(verbose=True, **{**SMALL, **SEVERAL[name]}).fit(X, Y)
    [texts] = notebook.values()
    lengths = bar_lengths(texts)
    assert lengths == sorted(lengths)
    assert lengths[-1] == 30
    assert figures(texts[-1]) == [f"{model.history_.best_value.min():.4g}"]


def test_lines_of_nets_one_after_another_tell_them_apart(capsys):
    TabularMLPRegressor(verbose=2, **SMALL, **SEVERAL["folds"]).fit(X, Y)
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith("Trained ")
    assert all("validation_loss " in line for line in lines)
    expected = [f"net {k}/3  epoch {epoch}/3" for k in range(1, 4) for epoch in range(1, 4)]
    assert sorted(line.partition("  loss")[0] for line in lines) == expected  # of folds at the same time in any order


@pytest.mark.parametrize("sizes", [(2, 4, 1), (2, 90, 1)], ids=["lanes", "one by one"])
def test_lines_of_a_population_have_the_best_validation_loss(sizes, capsys):
    pop = fastmlp.Population(sizes, 3, random_state=0, device="cpu")
    settings = {"epochs": 3, "early_stopping": 9, "validation_data": (X[:20], X[:20, 0])}
    result = pop.fit(X[20:], X[20:, 0], verbose=2, **settings)
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("net 3/3  median loss ")
    assert figures(last) == [f"{result.best_value.min():.4g}"]


@pytest.mark.parametrize("n_folds", [3, 16], ids=["on threads", "in SIMD lanes"])
def test_folds_that_are_trained_at_the_same_time_count_by_their_epochs(notebook, monkeypatch, n_folds):
    """No net is finished long before the last one."""
    monkeypatch.setattr("fastmlp.fit.hooks.lane_calls.FIRST_CALL", 1.0)
    settings = {"max_iter": 100, "tol": 0.0, "n_iter_no_change": 100, "random_state": 0, "verbose": True}
    model = fastmlp.MLPRegressor(hidden_layer_sizes=(4,), **settings)
    with pytest.warns(UserWarning, match="max_iter"):
        fastmlp.cross_val_population(model, X, Y, cv=n_folds)
    [texts] = notebook.values()
    assert all(text.startswith("net ") and f"/{n_folds} " in text for text in texts[:-1])
    assert bar_lengths(texts) == sorted(bar_lengths(texts))
    if n_folds > 3:  # in which case the number of texts depends on the clock
        assert len(set(bar_lengths(texts))) > 4
    assert texts[-1] == f"{n_folds} nets"


def test_a_sweep_has_one_bar_for_all_its_configurations(notebook):
    """Though they are trained as three populations, of five, five and four of them."""
    space = {"hidden_layer_sizes": [(2,), (3,), (4,)], "l2": [0.0, 0.1, 0.2, 0.3, 0.4]}
    fastmlp.sweep(X, Y, space, n=14, cv=2, epochs=3, random_state=0, device="cpu")
    texts, *_ = notebook.values()
    lengths = bar_lengths(texts)
    assert lengths == sorted(lengths)
    assert len({text.split()[1] for text in texts[:-1]}) >= 3
    assert all(text.split()[1].endswith("/14") for text in texts[:-1])
    assert texts[-1] == "14 configurations"


def test_silent_fits_show_nothing(monkeypatch):
    models = [TabularMLPRegressor(**{**SMALL, **settings}) for settings in SEVERAL.values()]
    on_terminal(monkeypatch, *models)  # where kernels are compiled for the first time, a notice says so
    assert on_terminal(monkeypatch, *models) == ""
