"""bench/tools/report.py: tables and plots of the documents, and pages of results."""

import subprocess
import sys

import pytest
from bench_example import example

from fastmlp.benchmarks import results as bench_results
from tools import document_plots, report


def test_only_text_between_the_marks_changes():
    readme = f"# Title\n{report.BEGIN}\nold\n{report.END}\nrest\n"
    found = report.with_tables(readme, "new")
    assert found == f"# Title\n{report.BEGIN}\n\nnew\n\n{report.END}\nrest\n"
    assert report.with_tables(found, "new") == found


@pytest.mark.parametrize("text", ("", report.BEGIN, report.END + report.BEGIN))
def test_missing_marks_raise(text):
    with pytest.raises(ValueError, match="needs the two marks"):
        report.with_tables(text, "new")


def test_tables_hold_all_cases(tmp_path):
    bench_results.save(example(), tmp_path / "x.json")
    text = report.tables([tmp_path / "x.json"])
    assert all(result["title"] in text for result in example()["results"])


def test_short_table_has_a_row_per_group(tmp_path):
    bench_results.save(example(), tmp_path / "x.json")
    text = report.short_table([tmp_path / "x.json"])
    assert len(text) < len(report.tables([tmp_path / "x.json"]))
    assert "best competitor takes" in text


def test_documents_and_plots_are_written(tmp_path, monkeypatch):
    source = tmp_path / "x.json"
    bench_results.save(example(), source)
    for name in ("README", "PERFORMANCE"):
        page = tmp_path / f"{name}.md"
        page.write_text(f"# Title\n{report.BEGIN}\n{report.END}\nrest\n", encoding="utf-8")
        monkeypatch.setattr(report, name, page)
    monkeypatch.setattr(report, "PLOTS", tmp_path / "plots")
    written = report.write_documents([source])
    assert written[:2] == [report.README, report.PERFORMANCE]
    assert all(path.read_text(encoding="utf-8").endswith("rest\n") for path in written[:2])
    assert [path.name for path in written[2:]] == document_plots.names(example())
    for path in written[2:]:
        assert document_plots.MARK.format(document_plots.digest(source)) in path.read_text(encoding="utf-8")


def run(*arguments):
    command = [sys.executable, report.__file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_command_writes_a_page_and_reports_missing_files(tmp_path):
    bench_results.save(example(), tmp_path / "x.json")
    done = run(tmp_path / "x.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.html").exists()
    missing = run(tmp_path / "y.json")
    assert missing.returncode == 1
    assert "y.json" in missing.stderr
    assert "Traceback" not in missing.stderr
