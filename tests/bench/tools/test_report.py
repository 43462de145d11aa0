"""bench/tools/report.py: tables of the README, and pages of results."""

import subprocess
import sys

import pytest
from bench_example import example

from fastmlp.benchmarks import results as bench_results
from tools import report


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
