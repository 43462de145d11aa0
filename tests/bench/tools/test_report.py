"""bench/tools/report.py: tables and plots of the documents, and pages of results."""

import subprocess
import sys

import pytest
from bench_example import example
from reporting import result_files

from tools import document_plots, report

# {(case, program): whether a run without --largest measures it}
SUITE = {("won", "fastmlp"): True, ("won", "jax scan"): True, ("lost", "fastmlp"): True, ("lost", "numpy"): False}


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
    result_files.save(example(), tmp_path / "x.json")
    text = report.tables([tmp_path / "x.json"])
    assert all(result["title"] in text for result in example()["results"])


def test_short_table_has_a_row_per_group(tmp_path):
    result_files.save(example(), tmp_path / "x.json")
    text = report.short_table([tmp_path / "x.json"])
    assert len(text) < len(report.tables([tmp_path / "x.json"]))
    assert "best competitor takes" in text


def of_processor(processor, finished, device="cpu", quick=False, **others):
    machine = example()["machine"] | {"processor": processor} | others
    options = {"device": device, "quick": quick, "rounds": 3}
    return example() | {"machine": machine, "options": options, "finished": finished}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Two processors and a GPU have published results of a suite of one case for each device."""
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


def test_published_results_replace_those_of_the_same_processor(published, tmp_path):
    new = tmp_path / "new.json"
    result_files.save(of_processor("A(R) Processor", "2026-06-01"), new)
    assert report.publish(new) == published[1], "cpu-a-2-cpus.json"
    assert report.committed() == [published[1], published[0], published[2]]
    result_files.save(of_processor("A", "2026-06-01", quick=True), new)
    with pytest.raises(ValueError, match="of a quick run"):
        report.publish(new)


def test_published_results_replace_those_without_microarchitecture(published, tmp_path):
    new = tmp_path / "new.json"
    result_files.save(of_processor("Processor A", "2026-06-01", microarchitecture="znver4"), new)
    copy = report.publish(new)
    assert copy.name == "cpu-a-znver4-2-cpus.json"
    assert report.committed() == [copy, published[0], published[2]]


@pytest.mark.parametrize("others", ({"device": "cuda", "gpu": "H200"}, {"cpus": 64}))
def test_published_results_of_other_gpus_and_numbers_of_cpus_stay(published, tmp_path, others):
    new = tmp_path / "new.json"
    result_files.save(of_processor("Processor B", "2026-06-01", **others), new)
    copy = report.publish(new)
    assert set(report.committed()) == {copy, *published}
    assert copy not in published


def without(results, case, name):
    """Results without the row of a program."""
    members = [
        member | {"rows": [row for row in member["rows"] if (member["name"], row["name"]) != (case, name)]}
        for member in results["results"]
    ]
    return results | {"results": members}


def test_results_of_a_part_of_the_suite_are_not_published(published, tmp_path):
    new = tmp_path / "new.json"
    for processor, case, name in (
        ("Processor New", "won", "jax scan"),
        ("Processor New", "lost", "fastmlp"),
        ("Processor A", "lost", "numpy"),
    ):
        result_files.save(without(of_processor(processor, "2026-06-01"), case, name), new)
        with pytest.raises(ValueError, match=rf"such as that of '{name}' in '{case}' \(1 in all\)"):
            report.publish(new)
        assert report.committed() == published
    result_files.save(without(of_processor("Processor New", "2026-06-01"), "lost", "numpy"), new)
    assert report.publish(new).exists(), "only --largest measures it"


def test_competitors_that_are_not_installed_replace_no_durations(published, tmp_path):
    new, results = tmp_path / "new.json", of_processor("Processor A", "2026-06-01")
    scan = next(row for row in results["results"][0]["rows"] if row["name"] == "jax scan")
    scan |= {"status": "missing", "reason": "JAX is not installed", "seconds": []}
    result_files.save(results, new)
    with pytest.raises(ValueError, match="such as that of 'jax scan' in 'won'"):
        report.publish(new)
    result_files.save(results | {"machine": results["machine"] | {"processor": "Processor New"}}, new)
    assert report.publish(new).exists()


def test_full_run_has_the_programs_that_compute_on_the_device():
    cpu, cuda = report.programs_of_suite("cpu"), report.programs_of_suite("cuda")
    assert any(cpu.values())
    assert not all(cpu.values()), "some points are only measured with --largest"
    assert set(cuda) < set(cpu)


def test_documents_and_plots_are_written(tmp_path, monkeypatch):
    source = tmp_path / "x.json"
    result_files.save(example(), source)
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
    result_files.save(example(), tmp_path / "x.json")
    done = run(tmp_path / "x.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.html").exists()
    missing = run(tmp_path / "y.json")
    assert missing.returncode == 1
    assert "y.json" in missing.stderr
    assert "Traceback" not in missing.stderr
