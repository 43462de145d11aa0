"""Progress: a bar on a terminal or in a notebook for long fits, and lines per epoch with `verbose=2`."""

import io
import signal
import sys
from contextlib import suppress

import numpy as np
import pytest
from fake_terminal import Terminal, notebook_texts, show_at_once
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.console.progress_bar
from fastmlp.console.progress_bar import Progress
from fastmlp.kernels.jit.compile_time import add_wait


@pytest.fixture
def at_once(monkeypatch):
    show_at_once(monkeypatch)


@pytest.fixture
def notebook(at_once, monkeypatch):
    return notebook_texts(monkeypatch)


def shown(monkeypatch, stream, verbose=1):
    """The text that ten epochs write to standard error, replaced here, since pytest replaces it for each test."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with Progress(10, verbose, bar=verbose < 2) as progress:
            for epoch in range(10):
                progress.show(epoch + 1.0, 0.5)
    return stream.getvalue() if stream else ""


def test_a_long_fit_shows_a_bar_on_a_terminal_alone(at_once, monkeypatch):
    text = shown(monkeypatch, Terminal())
    assert "epoch" in text
    assert "loss 0.5" in text
    silent = (Terminal(), 0), (Terminal(), 2), (io.StringIO(), 1), (None, 1)
    assert [shown(monkeypatch, *given) for given in silent] == [""] * 4


def test_a_short_fit_shows_no_bar(monkeypatch):
    assert shown(monkeypatch, Terminal()) == ""


def test_exception_closes_the_bar(at_once, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress(5, 1)
    with suppress(KeyboardInterrupt), progress:
        progress.show(1.0, float("nan"))
        assert progress._bar.rich.live.is_started
        signal.raise_signal(signal.SIGINT)
    assert not progress._bar.rich.live.is_started


def test_notebook_shows_one_text_that_is_updated(notebook, monkeypatch):
    shown(monkeypatch, io.StringIO())
    [texts] = notebook.values()
    assert texts[0] == "epoch 1/10 " + "━" * 3 + "─" * 27 + " loss 0.5"
    assert texts[-2:] == ["epoch 10/10 " + "━" * 30 + " loss 0.5", "10 epochs  loss 0.5"]
    notebook.clear()
    for verbose in (0, 2):
        shown(monkeypatch, io.StringIO(), verbose)
    assert notebook == {}


def test_compile_time_does_not_count_towards_showing_a_bar(monkeypatch):
    """SHOW_AFTER counts training time without compile time."""
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with Progress(10, 1) as progress:
        progress._start -= 100.0
        add_wait(100.0)
        progress.show(1, 0.5)
    add_wait(-100.0)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("value", ["yes", "1", -1, 3, 10**400, 1.0, None, [1], np.array([1])], ids=str)
def test_another_verbose_is_refused(value):
    with pytest.raises(ValueError, match=r"verbose must be 0 .*, 1 .* or 2 .*, but it is") as error:
        fastmlp.MLP((2, 1)).fit([[0.0, 1.0]], [1], epochs=1, verbose=value)
    assert len(str(error.value)) < 300


def net():
    return fastmlp.MLP((2, 3, 1), loss="binary_cross_entropy", random_state=0)


def lines(capsys, prefix="epoch"):
    printed = capsys.readouterr()
    assert printed.err == ""
    assert all(line.startswith(prefix) for line in printed.out.splitlines())
    return printed.out.splitlines()


def test_verbose_2_prints_a_line_of_all_records_per_epoch(capsys):
    """Lines go to standard output, without a terminal too."""
    history = net().fit(XOR_X, XOR_Y, epochs=12, verbose=2, validation_data=(XOR_X, XOR_Y), metrics="squared_error")
    records = history.records().items()
    assert len(records) == 6
    expected = (f"epoch {k + 1}/12  " + "  ".join(f"{name} {v[k]:.4g}" for name, v in records) for k in range(12))
    assert lines(capsys) == list(expected)


@pytest.mark.parametrize(
    "options",
    [
        {"early_stopping": 5},
        {"early_stopping": fastmlp.EarlyStopping(3, "accuracy")},
        {"callbacks": lambda epoch, history: epoch == 777},
        {"validation_data": (XOR_X, XOR_Y), "early_stopping": 2},
        {},
    ],
    ids=["looks ahead", "accuracy", "callback", "validation", "all epochs"],
)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_verbose_2_prints_every_epoch_and_changes_no_bit(options, batch_size, capsys):
    settings = {"epochs": 3000, "batch_size": batch_size, "optimizer": fastmlp.SGD(1.0), **options}
    silent, printing = net(), net()
    expected = silent.fit(XOR_X, XOR_Y, **settings, verbose=0)
    assert lines(capsys) == []
    history = printing.fit(XOR_X, XOR_Y, **settings, verbose=2)
    assert (history.epochs, history.stopped_by) == (expected.epochs, expected.stopped_by)
    np.testing.assert_array_equal(printing.params, silent.params)
    printed = lines(capsys)
    assert [line.split()[1] for line in printed] == [f"{k}/3000" for k in range(1, history.epochs + 1)]
    assert printed[-1].split()[3] == f"{history.loss[-1]:.4g}"


def test_interrupted_fit_prints_its_epochs(capsys):
    def interrupts(epoch, history):
        if epoch == 3:
            signal.raise_signal(signal.SIGINT)

    history = net().fit(XOR_X, XOR_Y, epochs=100, callbacks=interrupts, verbose=2)
    assert history.stopped_by == "interrupt"
    assert len(lines(capsys)) == history.epochs


@pytest.mark.parametrize("sizes", [(2, 2, 1), (2, 100, 1)], ids=["in lanes", "one by one"])
@pytest.mark.parametrize("converged", [None, 0.01])
def test_population_prints_lines_of_finished_nets(sizes, converged, capsys, monkeypatch):
    monkeypatch.setattr(fastmlp.console.progress_bar, "LINE_EVERY", 0.0)
    pop = fastmlp.Population(sizes, 5, loss="binary_cross_entropy", random_state=0)
    result = pop.fit(XOR_X, XOR_Y, epochs=20, converged=converged, verbose=2)
    printed = lines(capsys, "net")
    assert len(set(printed)) == len(printed) >= 1
    start = "net 5/5  " if converged is None else f"net 5/5  converged {result.n_converged}  "
    assert printed[-1] == f"{start}median loss {np.median(result.loss):.4g}"
