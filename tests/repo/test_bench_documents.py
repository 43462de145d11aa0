"""Benchmark tables and plots of the documents show the committed results; findings of the log that are cited exist."""

import re
import subprocess

import pytest
from reporting import result_files

from tools import report

ROOT = report.README.parent
LOG = ROOT / "bench" / "log"
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')


@pytest.mark.parametrize("path", [report.README, report.PERFORMANCE], ids=["README", "performance"])
def test_tables_show_the_committed_results(path):
    paths = report.committed()
    assert paths, "bench/results holds the results that the documents show"
    assert report.documents(paths)[path] == path.read_text(encoding="utf-8"), report.__doc__


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


def test_cited_findings_of_the_log_exist():
    anchors = {path.name: ANCHOR.findall(path.read_text(encoding="utf-8")) for path in LOG.glob("*.md")}
    pattern = r"bench/log/[A-Za-z_]*\.md\(#[A-Za-z0-9-]*\)\?"
    command = ["git", "grep", "-nIo", pattern, "--", ":!bench/log", ":!tests/repo"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) > 50
    for line in lines:
        place, name, anchor = re.fullmatch(r"(.+):bench/log/(\w+\.md)#?([\w-]*)", line).groups()
        assert name in anchors, place
        assert not anchor or anchor in anchors[name], place
