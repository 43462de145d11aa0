"""HTML report of a fit: its sections are complete, it fetches nothing, and text of the user is escaped."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.report.roofline

pytest.importorskip("matplotlib")
DIAGNOSIS = SimpleNamespace(
    title="Converged <b>",
    confidence=0.93,
    evidence={"gradient_norm": 2.34567e-4, "dead units": 0},
    remedy="Nothing.",
    experiment="Train on.",
)


@pytest.fixture(autouse=True)
def known_rate(monkeypatch):
    monkeypatch.setattr(fastmlp.report.roofline, "product_rate", lambda dtype: 1e11)


class CheckedPage(HTMLParser):
    """A parser that collects text, headings and images, and fails on unclosed tags."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.headings, self.images = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(path):
    return CheckedPage(path.read_text(encoding="utf-8"))


@pytest.fixture
def net(rng):
    return fastmlp.MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)


def test_report_has_all_sections(net, rng, tmp_path):
    X = rng.normal(size=(100, 2))
    history = net.fit(X, X[:, 0] > 0, epochs=20, batch_size=16, validation_fraction=0.4, schedule="cosine")
    history.report(tmp_path / "run.html", diagnosis=DIAGNOSIS)
    page = read(tmp_path / "run.html")
    assert page.headings == [
        "Verdict",
        "Learning",
        "What was learned (validation samples)",
        "Time against the limit",
        "Settings",
    ]
    text = " ".join(page.text)
    for part in ("Converged <b>", "0.0002346", "Nothing.", "Train on.", "2 - 4 - 1", "cosine", "tanh"):
        assert part in text, part
    assert "validation loss" in text
    assert f"{4 * 20} steps" in text or "80, " in text, "four batches of 16 of 60 samples, twenty epochs"
    assert [image["alt"].split()[0] for image in page.images] == ["Curves", "Curves", "Output", "How", "Fraction"]


def test_a_report_is_written_without_a_measured_rate(net, rng, tmp_path, monkeypatch):
    def fail(dtype):
        raise RuntimeError("The rate of a matrix product could not be measured: no processes")

    monkeypatch.setattr(fastmlp.report.roofline, "product_rate", fail)
    history = net.fit(XOR_X, XOR_Y, epochs=5)
    history.epochs_before = 2
    history.report(tmp_path / "run.html", diagnosis=DIAGNOSIS)
    text = " ".join(read(tmp_path / "run.html").text)
    assert "could not be measured: no processes" in text
    assert "of the last 3 epochs: the fit was resumed" in text


@pytest.mark.slow
def test_report_is_self_contained(net, tmp_path):
    net.fit(XOR_X, XOR_Y, epochs=5).report(tmp_path / "run.html", diagnosis=DIAGNOSIS)
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    page = CheckedPage(text)
    assert "<script" not in text
    assert "Converged &lt;b&gt;" in text, "escaped"
    assert not re.findall(r"""(?:href|src|url\()\s*=?\s*["']?(?!data:)(?:https?:|//)""", text)
    for image in page.images:
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        svg = base64.b64decode(data)
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert not re.findall(rb"""(?:href|src)=["'](?!data:|#)""", svg)


@pytest.mark.full
def test_pictures_are_deterministic(net, tmp_path):
    history = net.fit(XOR_X, XOR_Y, epochs=5)
    for name in ("a", "b"):
        history.report(tmp_path / f"{name}.html", diagnosis=DIAGNOSIS)
    first, second = (read(tmp_path / f"{name}.html").images for name in ("a", "b"))
    assert first == second


@pytest.mark.slow
def test_regression_report_plots_predictions_over_targets(rng, tmp_path):
    net = fastmlp.MLP((3, 4, 1), random_state=0)
    history = net.fit(rng.normal(size=(30, 3)), rng.normal(size=30), epochs=3)
    history.report(tmp_path / "run.html", diagnosis=DIAGNOSIS)
    page = read(tmp_path / "run.html")
    assert [image["alt"] for image in page.images][1:] == ["Predictions over true values"]
    assert "accuracy" not in " ".join(page.text).split("Settings")[0]


@pytest.mark.full
def test_report_uses_the_given_samples(net, tmp_path):
    history = net.fit(XOR_X, XOR_Y, epochs=5)
    history.report(tmp_path / "run.html", np.tile(XOR_X, (10, 1)), np.tile(XOR_Y, 10), diagnosis=DIAGNOSIS)
    page = read(tmp_path / "run.html")
    assert "What was learned (40 samples given)" in page.headings
    assert "The net was trained on 4 samples." in " ".join(page.text)
    assert len(page.images) == 5, "forty samples are enough for a calibration curve"


@pytest.mark.slow
def test_report_calls_diagnose_with_the_fit(net, tmp_path, monkeypatch):
    asked = []

    def diagnose(net, X, y, history=None):
        asked.append((net, X.shape, y.shape, history))
        return DIAGNOSIS

    monkeypatch.setattr(fastmlp, "diagnose", diagnose, raising=False)
    history = net.fit(XOR_X, XOR_Y, epochs=5)
    history.report(tmp_path / "run.html")
    assert asked == [(net, (4, 2), (4, 1), history)]


@pytest.mark.slow
def test_report_of_a_loaded_net_has_no_samples(net, tmp_path):
    net.fit(XOR_X, XOR_Y, epochs=5)
    net.save(tmp_path / "net.safetensors")
    fastmlp.load(tmp_path / "net.safetensors").history.report(tmp_path / "run.html")
    page = read(tmp_path / "run.html")
    assert page.headings == ["Verdict", "Learning", "Time against the limit", "Settings"]
    assert "the records of the fit alone, without samples" in page.text


def test_history_keeps_copies_of_at_most_2000_samples(rng):
    net = fastmlp.MLP((50, 1), random_state=0)
    X, y = rng.normal(size=(30_000, 50)), rng.normal(size=30_000)
    history = net.fit(X, y, epochs=1, validation_fraction=0.5)
    assert {name: X.shape for name, (X, _) in history.samples.items()} == {
        "training": (2000, 50),
        "validation": (2000, 50),
    }
    X[:] = 0.0
    assert np.all(history.samples["training"][0] != 0.0), "copies"


def test_invalid_use_raises(net, tmp_path):
    with pytest.raises(ValueError, match="The report is of a History, which fit returned, but it is int"):
        fastmlp.report.write(3, tmp_path / "run.html")
    with pytest.raises(ValueError, match="There is nothing to report: the net has no history of a fit"):
        fastmlp.History(net).report(tmp_path / "run.html")
    history = net.fit(XOR_X, XOR_Y, epochs=2)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        history.report(tmp_path / "nowhere" / "run.html")
    with pytest.raises(IsADirectoryError, match="should be a file"):
        history.report(tmp_path)
    with pytest.raises(ValueError, match="Give both X and y, or neither"):
        history.report(tmp_path / "run.html", XOR_X)


@pytest.mark.full
def test_report_separates_compile_time(net, tmp_path):
    history = net.fit(XOR_X, XOR_Y, epochs=100, verbose=0)
    history.seconds, history.compile_seconds = 40.4, 38.8
    history.report(tmp_path / "cold.html", diagnosis=DIAGNOSIS)
    text = " ".join(read(tmp_path / "cold.html").text)
    assert "1.6 s" in text
    assert "an epoch, after 38.8 s of compiling" in text
    assert "compiling before a first run is in neither" in text


@pytest.mark.slow
def test_names_with_markup_are_shown_verbatim(net, tmp_path):
    """Names that matplotlib would take for formulas, or a browser for tags."""
    history = net.fit(np.tile(XOR_X, (10, 1)), np.tile(XOR_Y, 10), epochs=5)
    names = [r"$\foo$", "<i>b</i>"]
    history.report(tmp_path / "run.html", diagnosis=DIAGNOSIS, labels=names, feature_names=names, title=r"<b>$\foo$")
    page = read(tmp_path / "run.html")
    assert r"<b>$\foo$" in page.text
    assert len(page.images) == 5
