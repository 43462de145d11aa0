"""Scaling plots of benchmark results, as SVG."""

import re
from pathlib import Path

import pytest
from bench_example import result, results, row
from reporting import scaling_plots as bench_pictures

BENCH = Path(bench_pictures.__file__).parents[1]


def points():
    return [
        result(
            f"p{x}",
            row("arithmetic", [x * 0.5] * 3, "limit"),
            row("fastmlp", [x * 1.0, x * 2.0, x * 1.5], "ours"),
            *([row("jax vmap", [x * 9.0] * 3)] if x > 1 else []),
            row("fastmlp, own rates", [x * 7.0] * 3, "part"),
            group="scaling",
            curve={"name": "a curve", "axis": "nets", "x": x},
        )
        for x in (1, 10, 100)
    ]


def test_series_have_medians_and_quartiles_by_x():
    found = bench_pictures.series(points())
    assert set(found) == {"fastmlp", "jax vmap", "limit"}
    assert found["fastmlp"][1] == (10, 15.0, 12.5, 17.5)
    assert [x for x, *_ in found["jax vmap"]] == [10, 100]


def test_pictures_are_deterministic_svg():
    pytest.importorskip("matplotlib", reason="pictures need Matplotlib")
    drawn = bench_pictures.pictures(results(*points()))
    assert list(drawn) == ["a curve"]
    svg = drawn["a curve"]
    assert svg.startswith("<svg")
    assert svg.rstrip().endswith("</svg>")
    assert drawn == bench_pictures.pictures(results(*points())), "the same results give the same page"


def test_times_within_one_power_of_ten_are_labelled():
    pytest.importorskip("matplotlib", reason="pictures need Matplotlib")
    near = [
        result(
            f"t{x}",
            row("fastmlp", [0.033 / x] * 3, "ours"),
            row("jax vmap", [0.05 / x] * 3),
            group="scaling",
            curve={"name": "a curve", "axis": "threads", "x": x},
        )
        for x in (1, 2)
    ]
    svg = bench_pictures.pictures(results(*near))["a curve"]
    assert {"20 ms", "30 ms", "50 ms"} <= set(re.findall(r"<!-- (.*?) -->", svg))


def test_pictures_are_empty_without_matplotlib(fresh_python):
    done = fresh_python(
        f"import sys\nsys.path.insert(0, {str(BENCH)!r})\nsys.modules['matplotlib'] = None\n"
        "from reporting.scaling_plots import pictures\nprint(pictures({'results': []}))"
    )
    assert done.stdout.strip() == "{}", done.stderr
