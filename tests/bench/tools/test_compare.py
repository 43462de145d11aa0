"""bench/tools/compare.py: comparison of two files of benchmark results."""

import subprocess
import sys

import pytest
from bench_example import example, result, results, row
from reporting import result_files

from tools import compare


def two_results(base, new, other=1.0, spread=0.01):
    """Results of one case in two files, with times of fastmlp and of a competitor, each with some noise."""

    def make(own, peer):
        wobble = [1 - spread, 1.0, 1 + spread, 1.0, 1 - spread]
        return results(
            result("w", row("fastmlp", [own * x for x in wobble], "ours"), row("numpy", [peer * x for x in wobble]))
        )

    return make(base, 1.0), make(new, other)


def moved(base, new, least=compare.SMALLEST_CHANGE):
    return {change.name: change.moved(least) for change in compare.compare(base, new)}


def test_changes_beyond_the_noise_are_reported():
    assert moved(*two_results(1.0, 1.2)) == {"fastmlp": True, "numpy": False}
    assert moved(*two_results(1.0, 0.8))["fastmlp"], "faster is a move too"
    assert not moved(*two_results(1.0, 1.04))["fastmlp"], "below --least"
    assert moved(*two_results(1.0, 1.04), least=0.01)["fastmlp"]
    assert not moved(*two_results(1.0, 1.2, spread=0.4))["fastmlp"], "within the noise of such rounds"


def test_common_slowdown_is_attributed_to_the_machine():
    (change,) = (c for c in compare.compare(*two_results(1.0, 1.5, other=1.5)) if c.is_fastmlp)
    assert change.change == pytest.approx(0.0)
    assert change.machine == pytest.approx(0.5)
    (change,) = (c for c in compare.compare(*two_results(1.0, 1.5, other=1.25)) if c.is_fastmlp)
    assert change.change == pytest.approx(0.2)


def test_other_machines_and_versions_are_named():
    other = results(machine={**example()["machine"], "processor": "Q", "versions": {"numpy": "3"}})
    assert compare.differences(example(), other) == ["processor: P and Q", "numpy: 2 and 3"]
    assert compare.differences(example(), example()) == []


def run(tmp_path, base, new, *options):
    for name, content in (("base", base), ("new", new)):
        result_files.save(content, tmp_path / f"{name}.json")
    command = [sys.executable, compare.__file__, str(tmp_path / "base.json"), str(tmp_path / "new.json"), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_missing_figure_of_fastmlp_is_reported():
    """A figure of fastmlp that is wrong or missing in the new file is reported; those of competitors are not."""
    base = two_results(1.0, 1.0)[0]
    wrong = row("fastmlp", [], "ours") | {"status": "wrong", "reason": "something else"}
    assert compare.lost(base, results(result("w", wrong, row("numpy", [1.0])))) == [
        "title of w: fastmlp has no figure any more: wrong, something else"
    ]
    assert compare.lost(base, results(result("w", row("numpy", [1.0])))) == [
        "title of w: fastmlp has no figure any more: not there"
    ]
    assert not compare.lost(base, results(result("w", row("fastmlp", [9.0], "ours"))))
    assert not compare.lost(base, results()), "cases are compared that both files have"


def test_exit_status_reports_slowdowns_and_errors(tmp_path):
    code, out, _ = run(tmp_path, *two_results(1.0, 1.2))
    assert code == 1
    assert "+20.0%" in out
    assert "1 slower by more than the noise" in out
    code, out, _ = run(tmp_path, *two_results(1.0, 0.8), "--all")
    assert code == 0
    assert "NumPy" in out
    code, _, err = run(tmp_path, example(), results())
    assert code == 2
    assert "no case with figures in common" in err
