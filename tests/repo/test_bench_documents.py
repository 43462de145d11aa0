"""Benchmark tables and plots of the documents: they show the committed results."""

import re

import pytest

from fastmlp.benchmarks import results as bench_results
from fastmlp.benchmarks import tables as bench_tables
from tools import document_plots, report


@pytest.mark.parametrize("path", [report.README, report.PERFORMANCE], ids=["README", "performance"])
def test_tables_show_the_committed_results(path):
    paths = report.committed()
    assert paths, "bench/results holds the results that the documents show"
    assert report.documents(paths)[path] == path.read_text(encoding="utf-8"), report.__doc__


def test_text_names_the_published_results_that_its_figures_are_of():
    text, _, _ = report.PERFORMANCE.read_text(encoding="utf-8").partition(report.BEGIN)
    machines = [
        f"Figures in the text are of {bench_tables.device_text(results)}, measured on {results['finished'][:10]},"
        for results in map(bench_results.load, report.committed())
    ]
    text = " ".join(text.split())
    assert any(machine in text for machine in machines), "revise the figures in the text, and then this sentence"


def test_published_files_have_the_name_of_what_was_measured():
    assert [path.name for path in report.committed()] == [
        bench_results.published_name(bench_results.load(path)) for path in report.committed()
    ]


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
