"""Benchmark tables and plots of the documents: they show the committed results."""

import re

import pytest
from reporting import result_files, result_statistics, result_texts

from tools import report


@pytest.mark.parametrize("path", [report.README, report.PERFORMANCE], ids=["README", "performance"])
def test_tables_show_the_committed_results(path):
    paths = report.committed()
    assert paths, "bench/results holds the results that the documents show"
    assert report.documents(paths)[path] == path.read_text(encoding="utf-8"), report.__doc__


def test_text_names_the_published_results_that_its_figures_are_of():
    text, _, _ = report.PERFORMANCE.read_text(encoding="utf-8").partition(report.BEGIN)
    for results in map(result_files.load, report.committed()):
        machine = f"{result_texts.device_text(results)}, measured on {results['finished'][:10]}, with"
        assert machine in text, "revise the figures in the text, and then this line"


def times_of_peer(case, peer):
    return lambda results: f"{ratio_of_rows(results[case], peer, 'fastmlp'):.2f} times"


def times_of_limit(case):
    limit = result_statistics.limit
    return lambda results: f"{ratio_of_rows(results[case], 'fastmlp', limit(results[case])['name']):.2f}"


def nanoseconds(case):
    return lambda results: f"{1e9 * result_statistics.median(result_statistics.ours(results[case])):.3g} ns"


def ratio_of_rows(case, name, base):
    rows = {row["name"]: row for row in case["rows"]}
    return result_statistics.ratio(rows[name], rows[base]).median


MISSED = {  # beginning of a row of the table of missed targets: figure of each processor
    "digits in batches of 32": times_of_peer("digits32", "jax scan"),
    "digits in batches of 200": times_of_peer("digits200", "jax tuned"),
    "MNIST in batches of 128": times_of_limit("mnist128"),
    "MNIST in batches of 1,024: within": times_of_limit("mnist1024"),
    "a million nets 2-2-1": nanoseconds("2-2-1_sigmoid_sgd_1000000"),
    "a million nets 2-4-4-1": nanoseconds("2-4-4-1_tanh_sgd_1000000"),
}


@pytest.mark.parametrize("target", MISSED)
@pytest.mark.parametrize("column, vendor", [(2, "amd"), (3, "intel")])
def test_missed_targets_have_the_figures_of_each_processor(target, column, vendor):
    _, _, text = report.PERFORMANCE.read_text(encoding="utf-8").partition("## What was missed")
    row = next(line for line in text.splitlines() if line.startswith(f"| {target}"))
    path = next(path for path in report.committed() if path.name.startswith(f"cpu-{vendor}-"))
    results = {result["name"]: result for result in result_files.load(path)["results"]}
    assert row.split("|")[column].strip().startswith(MISSED[target](results))


def test_published_files_have_the_name_of_what_was_measured():
    assert [path.name for path in report.committed()] == [
        result_files.published_name(result_files.load(path)) for path in report.committed()
    ]


def test_plots_show_the_committed_results():
    source = report.committed()[0]
    mark = report.mark(source)
    page = report.PERFORMANCE.read_text(encoding="utf-8")
    names = [report.OVERVIEW, *report.plot_names(result_files.load(source)).values()]
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
