"""bench/tools/report.py: tables and plots of the documents, and pages of results."""

import subprocess
import sys

import pytest
from bench_example import example
from reporting import result_files

from tools import report

SUITE = {("won", "fastmlp"), ("won", "jax scan"), ("lost", "fastmlp")}


def test_only_text_between_the_marks_changes():
    readme = f"# Title\n{report.BEGIN}\nold\n{report.END}\nrest\n"
    found = report.with_tables(readme, "new")
    assert found == f"# Title\n{report.BEGIN}\n\nnew\n\n{report.END}\nrest\n"
    assert report.with_tables(found, "new") == found


def of_processor(processor, finished, device="cpu", quick=False, **others):
    machine = example()["machine"] | {"processor": processor} | others
    options = {"device": device, "quick": quick, "rounds": 3}
    return example() | {"machine": machine, "options": options, "finished": finished}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Two processors and a GPU have published results of a suite of two cases."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "programs_of_suite", lambda device: SUITE)
    for name, results in (
        ("cpu-a-2-cpus", of_processor("Processor A", "2026-01-01")),
        ("cpu-b-2-cpus", of_processor("Processor B", "2026-03-01")),
        ("cuda-h100", of_processor("Processor B", "2026-04-01", "cuda", gpu="H100")),
        ("latest", of_processor("Processor C", "2026-05-01")),
    ):
        result_files.save(results, report.RESULTS / f"{name}.json")
    return report.committed()


def test_documents_show_each_processor_the_newest_first(published):
    assert [path.stem for path in published] == ["cpu-b-2-cpus", "cpu-a-2-cpus", "cuda-h100"]
    text = report.tables(published)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "### Processor B, 2 CPUs",
        "### Processor A, 2 CPUs",
        "### H100, Processor B, 2 CPUs",
    ]
    assert text.count("| title of won |") == 2, "one of each device"
    assert text.count("| Prediction |") == 1, "of the others a summary"
    assert "All rows: `bench/results/cpu-a-2-cpus.json`." in text
    short = report.short_table(published)
    assert short.count("| Prediction |") == 2, "one of each device"
    assert "Processor A" not in short


@pytest.mark.parametrize(
    "others, is_new", [({}, False), ({"device": "cuda", "gpu": "H200"}, True), ({"cpus": 64}, True)]
)
def test_published_results_replace_those_of_the_same_processor(published, tmp_path, others, is_new):
    new = tmp_path / "new.json"
    result_files.save(of_processor("A(R) Processor", "2026-06-01", **others), new)
    copy = report.publish(new)
    assert set(report.committed()) == {copy, *published}
    assert (copy not in published) == is_new


def test_results_of_a_part_of_the_suite_are_not_published(published, tmp_path):
    new, results = tmp_path / "new.json", of_processor("Processor A", "2026-06-01", quick=True)
    result_files.save(results, new)
    with pytest.raises(ValueError, match="of a quick run"):
        report.publish(new)
    results["options"]["quick"] = False
    results["results"][1]["rows"].pop(0)
    result_files.save(results, new)
    with pytest.raises(ValueError, match=r"such as that of 'fastmlp' in 'lost' \(1 in all\)"):
        report.publish(new)
    assert report.committed() == published


def test_full_run_has_the_programs_that_compute_on_the_device():
    cpu, gpu = report.programs_of_suite("cpu"), report.programs_of_suite("cuda")
    for name in ("numpy", "sklearn", "jax blocked"):
        assert name in {one for _, one in cpu} - {one for _, one in gpu}
    assert ("gpu_64-100-10_200_exact", "torch captured") in gpu - cpu


def run(*arguments):
    command = [sys.executable, report.__file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_command_writes_a_page_and_reports_missing_files(tmp_path):
    result_files.save(example(), tmp_path / "x.json")
    done = run(tmp_path / "x.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "title of won" in (tmp_path / "x.md").read_text(encoding="utf-8")
    missing = run(tmp_path / "y.json")
    assert missing.returncode == 1
    assert "y.json" in missing.stderr
    assert "Traceback" not in missing.stderr
