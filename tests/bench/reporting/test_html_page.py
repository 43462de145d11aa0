"""The benchmark's HTML page: well-formed, self-contained, with names escaped."""

import re
from html.parser import HTMLParser

from bench_example import example, result, results, row
from reporting import html_page as bench_page
from reporting import result_files


class Checker(HTMLParser):
    """A parser that asserts closed elements, and collects text, links and identifiers."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links, self.ids, self.loaded = [], [], set(), set(), []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in ("meta",):
            self.open.append(tag)
        self.ids |= {attributes["id"]} if "id" in attributes else set()
        self.links |= {attributes["href"]} if tag == "a" else set()
        self.loaded += [attributes[name] for name in ("src", "data") if name in attributes]
        assert tag not in ("script", "link", "iframe")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def checked(page):
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert not checker.loaded, "the page needs nothing beside it"
    assert {link.removeprefix("#") for link in checker.links} <= checker.ids
    return " ".join("".join(checker.text).split())


def test_page_without_curves():
    text = checked(bench_page.page(example()))
    assert "title of lost: NumPy 1 ms, fastmlp 4 ms, 4.00 times as long" in text
    assert "Keras is not installed: Keras jax" in text
    assert "torch eager" not in text, "names are written as their libraries write them"
    assert "PyTorch eager: wrong (loss off by 2 (at most 0.1))" in text
    assert "2 MFLOP" in text
    assert "Scaling" not in text


def test_losses_at_curve_points_are_listed_with_other_losses():
    """Losses at curve points follow those of single cases, and the curve's table has their figures."""
    points = [
        result(
            f"p{x}",
            row("products gemm", [0.5], "limit"),
            row("fastmlp", [2.0], "ours"),
            row("jax", [seconds]),
            group="scaling",
            curve={"name": "a step & its width", "axis": "width w", "x": x},
        )
        for x, seconds in ((8, 9.0), (2048, 1.0))
    ]
    page = bench_page.page(results(*points, *example()["results"]))
    text = checked(page)
    lost, over = text.split("Where a competitor is faster")[1].split("Not measured")[0].split("More than 1.3 times")
    assert lost.index("title of lost") < lost.index("a step & its width, at 2,048: JAX 1 s, fastmlp 2 s, 2.00 times")
    assert "at 8:" not in lost
    assert "a step & its width, at 8: 4.00 times products gemm" in over
    assert 'href="#curve-width-w"' in page
    assert "2,048 step 2 s 1 s JAX 0.50 x 500 ms 4.00 x" in re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page))


def test_compile_time_of_fastmlp_has_two_figures():
    """Without and with kernels on disk; files from earlier versions have one figure."""
    rows = row("fastmlp", [1.0], "ours", compile_seconds=19.4), row("jax", [2.0])
    found = re.sub("<[^>]*>", "|", bench_page.page(results(result("x", *rows))))
    assert "|19.4 s, then 500 ms|" in found
    assert "||500 ms||" in found
    assert "|19.4 s, then" not in bench_page.page(results(result("x", row("fastmlp", [1.0], "ours"))))


def test_names_with_markup_are_escaped():
    odd = result("odd", row("fastmlp", [1.0], "ours"), row("<b>jax", [2.0]), title="a < b & c")
    text = checked(bench_page.page(results(odd)))
    assert "a < b & c" in text
    assert "<b>jax" in text


def test_page_without_measurements_is_valid():
    nobody = result("x", row("fastmlp", [], "ours", status="failed", reason="it broke"))
    text = checked(bench_page.page(results(nobody)))
    assert "failed (it broke)" in text
    checked(bench_page.page(results()))


def test_page_and_markdown_are_written_beside_the_results(tmp_path):
    written = bench_page.write(example(), tmp_path / "x.json")
    assert [path.name for path in written] == ["x.html", "x.md"]
    assert written[0].read_text(encoding="utf-8") == bench_page.page(example())
    assert "Where a competitor is faster" in written[1].read_text(encoding="utf-8")
    result_files.save(example(), tmp_path / "x.json")
    assert bench_page.page(result_files.load(tmp_path / "x.json")) == bench_page.page(example())
