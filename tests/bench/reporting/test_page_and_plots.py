"""The page and the plots of benchmark results."""

import re

import pytest
from bench_example import example, result, results, row
from reporting import plots
from tools.report import page

pytest.importorskip("matplotlib", reason="plots need Matplotlib")


def points(*seconds):
    return [
        result(
            f"p{x}",
            row("arithmetic", [x * 0.5] * 3, "limit"),
            row("fastmlp", [x * 1.0, x * 2.0, x * 1.5], "ours"),
            *([row("jax vmap", [x * 9.0] * 3)] if x > 1 else []),
            row("fastmlp, own rates", [x * 7.0] * 3, "part"),
            group="scaling",
            curve={"name": "a curve <", "axis": "nets", "x": x},
        )
        for x in seconds
    ]


def test_page_has_all_programs_losses_and_curves():
    text = page(results(*example()["results"], *points(1, 10)))
    assert "title of lost: fastmlp 4 ms per step; the best competitor, NumPy, takes 0.25 times as long" in text
    assert "Keras is not installed: Keras jax" in text
    assert "PyTorch eager: wrong (loss off by 2 (at most 0.1))" in text
    assert "| JAX tuned | 2.2 us | 2 us | 3 us | 2.00 | 2.75 | 500 ms | 1 | 1 MiB |" in text
    assert "| fastmlp, own stopping | 5 ms |" in text
    assert re.search(r"a curve <, at 10 \| step \| \**15 s", text)
    nobody = result("x", row("fastmlp", [], "ours", status="failed", reason="it broke"))
    assert "fastmlp: failed (it broke)" in page(results(nobody))


@pytest.mark.parametrize("draw", [plots.overview, lambda results: plots.curve_pictures(results)["a curve <"]])
def test_plots_are_the_same_bytes_for_the_same_results(draw):
    drawn = results(*example()["results"], *points(1, 10, 100))
    svg = draw(drawn)
    assert svg.startswith("<svg")
    assert ">fastmlp</text>" in svg or ">title of won</text>" in svg, "text stays text"
    assert all(line == line.rstrip() for line in svg.split("\n"))
    assert svg == draw(drawn)
