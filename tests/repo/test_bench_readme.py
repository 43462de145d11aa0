"""Benchmark tables of the README: they show the committed results, and the commands named there exist."""

from tools import report

README = report.README.read_text(encoding="utf-8")


def test_readme_tables_show_the_committed_results():
    paths = report.committed()
    assert paths, "bench/results holds the results that the README shows"
    expected = report.with_tables(README, report.tables(paths))
    assert expected == README, "run `python bench/tools/report.py --readme`"
