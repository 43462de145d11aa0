"""The progress bar: where a person watches, after a while, and never otherwise."""

import io
import sys
from contextlib import suppress

import pytest

import fastmlp.progress
from fastmlp.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(fastmlp.progress, "SHOW_AFTER", 0.0)
    monkeypatch.setenv("TERM", "xterm")


def shown(monkeypatch, stream, verbose=1):
    """What ten epochs write. Standard error is replaced here, because pytest replaces it before each test too."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with Progress(10, verbose) as progress:
            for epoch in range(10):
                progress.show(epoch + 1.0, 0.5)
    return stream.getvalue() if stream else ""


def test_a_long_fit_on_a_terminal(at_once, monkeypatch):
    text = shown(monkeypatch, Terminal())
    assert "epoch" in text
    assert "loss 0.5" in text


def test_a_short_fit_shows_nothing(monkeypatch):
    assert shown(monkeypatch, Terminal()) == ""


def test_verbose_0_is_silent(at_once, monkeypatch):
    assert shown(monkeypatch, Terminal(), verbose=0) == ""


@pytest.mark.parametrize("stream", (io.StringIO(), None), ids=["a file", "none at all"])
def test_nobody_watches(stream, at_once, monkeypatch):
    assert shown(monkeypatch, stream) == ""


def test_the_bar_is_closed_by_an_exception(at_once, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress(5, 1)
    with suppress(KeyboardInterrupt), progress:
        progress.show(1.0, float("nan"))
        assert progress._bar.rich.live.is_started
        raise KeyboardInterrupt
    assert not progress._bar.rich.live.is_started
