"""Benchmark tables and plots of the documents: they show the committed results."""

import re

import pytest

from fastmlp.benchmarks import results as bench_results
from tools import document_plots, report


@pytest.mark.parametrize("path", [report.README, report.PERFORMANCE], ids=["README", "performance"])
def test_tables_show_the_committed_results(path):
    paths = report.committed()
    assert paths, "bench/results holds the results that the documents show"
    assert report.documents(paths)[path] == path.read_text(encoding="utf-8"), report.__doc__


def test_plots_show_the_committed_results():
    source = report.committed()[0]
    mark = document_plots.MARK.format(document_plots.digest(source))
    page = report.PERFORMANCE.read_text(encoding="utf-8")
    names = document_plots.names(bench_results.load(source))
    assert len(names) > 5
    assert sorted(path.name for path in report.PLOTS.glob("*")) == sorted(names)
    for name in names:
        assert mark in (report.PLOTS / name).read_text(encoding="utf-8"), "run `report.py --documents`"
        assert f"(../_static/benchmarks/{name})" in page, f"performance.md does not show {name}"


def test_front_page_has_durations_of_its_case():
    case = "| XOR 2-2-2-1, cross-entropy, SGD, batch 4 |"
    row = next(line for line in report.PERFORMANCE.read_text(encoding="utf-8").splitlines() if line.startswith(case))
    measured = {f"{float(number):.0f} {unit}" for number, unit in re.findall(r"([\d.]+) (ns|us)", row)}
    page = (report.README.parent / "docs" / "index.md").read_text(encoding="utf-8")
    shown = re.findall(r"\d+ [nu]s", page.partition("\n## How fast\n")[2].partition("\n## ")[0])
    assert len(shown) == 4
    assert set(shown) <= measured
