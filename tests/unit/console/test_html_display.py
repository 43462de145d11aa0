"""HTML of nets, histories, results, sweeps and diagnoses, which test_notebook.py shows in a notebook."""

import numpy as np
from checked_html import Checked

import fastmlp
from fastmlp.console.html_display import html_table, html_text

X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]


def make(**settings):
    return fastmlp.MLP((2, 4, 1), **{"loss": "binary_cross_entropy", "random_state": 0} | settings)


def text_of(thing):
    return " ".join(Checked(thing._repr_html_()).text)


def test_a_net_shows_layers_and_its_last_fit():
    net = make(dropout=0.25, l2=0.5)
    assert text_of(net) == (
        "MLP on cpu layer inputs units function parameters hidden 1 2 4 relu, dropout 0.25 12 output 4 1 sigmoid 5 "
        "loss binary_cross_entropy, l2 0.5 17 not trained"
    )
    net.fit(X, Y, epochs=3, verbose=0)
    assert "last fit: History(epochs=3" in text_of(net)


def test_a_history_shows_its_records():
    history = make().fit(X, Y, epochs=5, validation_data=(X, Y), early_stopping=9, verbose=0, metrics=["r2"])
    text = text_of(history)
    for part in ("5 epochs in", "first epoch", "last epoch", f"best, {history.best_epoch + 1}", "validation_r2"):
        assert part in text
    assert f"{history.loss[0]:.4g}" in text
    assert "stopped by: epochs" in text
    assert "epochs=0" in text_of(fastmlp.History())


def test_populations_results_sweeps_and_diagnoses():
    pop = fastmlp.Population((2, 3, 1), 20, loss="binary_cross_entropy", random_state=0)
    result = pop.fit(X, Y, epochs=5, converged=0.1, verbose=0)
    assert "Population of 20 nets on cpu" in text_of(pop)
    assert "PopulationResult(n_nets=20" in text_of(pop)
    assert "stopped by" in text_of(result)
    data = np.random.default_rng(0).normal(size=(40, 2))
    found = fastmlp.sweep(
        data, data[:, 0] > 0, {"l2": np.linspace(0.0, 0.5, 11), "init": ["zeros", "auto"]}, n=22, epochs=2, verbose=0
    )
    checked = Checked(found._repr_html_())
    assert checked.tags.count("tr") == 21
    assert "the best 20 of 22; to_frame() has all" in checked.text
    assert "What to change: " in text_of(fastmlp.diagnose(pop.net(0), X, Y))
    assert "20 nets" in text_of(fastmlp.diagnose(pop, X, Y))


def test_text_is_escaped():
    html = html_table("<b>", ["<i>"], [["<script>alert(1)</script>", 1_000_000, 0.123456]], "a & b")
    assert set(Checked(html).tags) == {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert Checked(html).text == ["<b>", "<i>", "<script>alert(1)</script>", "1,000,000", "0.1235", "a & b"]
    assert html_text("<a>") == '<pre style="font-family: monospace">&lt;a&gt;</pre>'
    history = make().fit(X, Y, epochs=2, verbose=0, metrics={"<script>": lambda y, p: 1.0})
    assert "<script>" not in history._repr_html_()
    assert "<script>" in text_of(history)
