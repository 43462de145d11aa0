"""HTML report of a fit: its sections are complete, it fetches nothing, and text of the user is escaped."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp

pytest.importorskip("matplotlib")
NET = {"hidden_activation": "tanh", "loss": "binary_cross_entropy", "random_state": 0}


class CheckedPage(HTMLParser):
    """A parser that collects text, headings and images, and fails on unclosed tags."""

    VOID = ("meta", "img")

    def __init__(self, path):
        super().__init__()
        self.open, self.headings, self.images, text = [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self._text = text
        self.feed(self.source)
        self.text = " ".join(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self._text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def history():
    """The history of a fit with mini-batches, held-out samples and a schedule."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    net = fastmlp.MLP((2, 4, 1), **NET)
    return net.fit(X, X[:, 0] > 0, epochs=20, batch_size=16, validation_fraction=0.4, schedule="cosine")


@pytest.fixture(scope="module")
def page(history, tmp_path_factory):
    history.report(path := tmp_path_factory.mktemp("report") / "run.html", title=r"<b>$\foo$", labels=["<i>", "$x$"])
    return CheckedPage(path)


def test_report_has_all_sections(history, page):
    assert page.headings == ["Verdict", "Learning", "What was learned (validation samples)", "Settings"]
    (X, y), held_out = history.samples["training"], history.samples["validation"]
    found = fastmlp.diagnose(history.net, X, y, history, validation_data=held_out)
    parts = (found.title, found.remedy, found.experiment, found.judged_on)
    for part in (*parts, "2 - 4 - 1", "cosine", "tanh", "validation loss", "60 samples; 40 validation samples"):
        assert part in page.text, part
    assert [image["alt"].split()[0] for image in page.images] == ["Curves", "Curves", "Output", "How", "Fraction"]


def test_report_fetches_nothing_and_escapes_text(page):
    assert r"<b>$\foo$" in page.text
    assert "<script" not in page.source
    assert not re.findall(r"""(?:href|src|url\()\s*=?\s*["']?(?!data:)(?:https?:|//)""", page.source)
    for image in page.images:
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        svg = base64.b64decode(data)
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert not re.findall(rb"""(?:href|src)=["'](?!data:|#)""", svg)


def test_pictures_are_deterministic(history, page, tmp_path):
    history.report(tmp_path / "again.html", labels=["<i>", "$x$"])
    assert CheckedPage(tmp_path / "again.html").images == page.images


def test_regression_report_plots_predictions_over_targets(rng, tmp_path):
    net = fastmlp.MLP((3, 4, 1), random_state=0)
    net.fit(rng.normal(size=(30, 3)), rng.normal(size=30), epochs=3).report(tmp_path / "run.html")
    found = CheckedPage(tmp_path / "run.html")
    assert [image["alt"] for image in found.images][1:] == ["Predictions over true values"]
    assert "training accuracy" not in found.text


def test_report_uses_the_given_samples(history, tmp_path):
    history.report(tmp_path / "run.html", np.tile(XOR_X, (10, 1)), np.tile(XOR_Y, 10))
    found = CheckedPage(tmp_path / "run.html")
    assert "What was learned (40 samples given)" in found.headings
    assert "The net was trained on 60 samples." in found.text
    assert len(found.images) == 5, "forty samples are enough for a calibration curve"


def test_report_of_a_loaded_net_has_no_samples_and_no_verdict(history, tmp_path):
    history.net.save(tmp_path / "net.safetensors")
    fastmlp.load(tmp_path / "net.safetensors").history.report(tmp_path / "run.html")
    assert CheckedPage(tmp_path / "run.html").headings == ["Learning", "Settings"]


def test_report_separates_compile_time_and_epochs_of_the_first_part(tmp_path):
    history = fastmlp.MLP((2, 4, 1), **NET).fit(XOR_X, XOR_Y, epochs=100)
    history.seconds, history.compile_seconds, history.epochs_before = 40.4, 38.8, 2
    history.report(tmp_path / "run.html")
    text = CheckedPage(tmp_path / "run.html").text
    assert "1.6 s" in text
    assert "of the last 98 epochs: the fit was resumed, after 38.8 s of compiling" in text


def test_history_keeps_copies_of_at_most_2000_samples(rng):
    net = fastmlp.MLP((50, 1), random_state=0)
    X, y = rng.normal(size=(30_000, 50)), rng.normal(size=30_000)
    samples = net.fit(X, y, epochs=1, validation_fraction=0.5).samples
    assert {name: X.shape for name, (X, _) in samples.items()} == {"training": (2000, 50), "validation": (2000, 50)}
    X[:] = 0.0
    assert np.all(samples["training"][0] != 0.0), "copies"


def test_invalid_use_raises(history, tmp_path):
    with pytest.raises(ValueError, match="The report is of a History, which fit returned, but it is int"):
        fastmlp.report.write(3, tmp_path / "run.html")
    with pytest.raises(ValueError, match="There is nothing to report: the net has no history of a fit"):
        fastmlp.History(history.net).report(tmp_path / "run.html")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        history.report(tmp_path / "nowhere" / "run.html")
    with pytest.raises(IsADirectoryError, match="should be a file"):
        history.report(tmp_path)
    with pytest.raises(ValueError, match="Give both X and y, or neither"):
        history.report(tmp_path / "run.html", XOR_X)
