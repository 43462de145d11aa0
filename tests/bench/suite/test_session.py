"""Session of the benchmark suite: options, error messages and saved results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from required_libraries import needs

import fastmlp

needs("pytest_benchmark", extras="bench")
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "options, message",
    [
        (("--device", "cuda"), "--device cuda: device='cuda' is not available"),
        (("--peers", "torch,numpi"), "--peers: unknown numpi; there are all, none, "),
        (("--groups", "xor,larg"), "--groups: unknown larg; there are all, none, "),
        (("--quick", "--largest"), "--quick and --largest exclude each other"),
        (("--rounds", "0"), "--rounds: expected at least 1"),
    ],
)
def test_invalid_options_fail_before_measuring(options, message):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    command = [sys.executable, "-m", "pytest", "bench", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr


MEASURES_NOTHING = """
from suite import session
from suite.timing import new_row

def run_case(entry, competitors, rules, pool, log):
    result = session.failed_case(entry, competitors, rules, "")
    rows = [new_row(competitor.name, competitor.kind) | {"seconds": [1e-3, 2e-3]} for competitor in competitors]
    return result | {"rows": rows}

session.run_case = run_case
"""


def test_options_select_competitors_and_resume_keeps_results(tmp_path):
    """Selected competitors run, with fake measurements, and are saved; a second run with --resume keeps the first."""
    (tmp_path / "measures_nothing.py").write_text(MEASURES_NOTHING)
    paths = [str(tmp_path), str(ROOT / "bench"), str(Path(fastmlp.__file__).parents[1])]
    # pytest-benchmark times nothing in a worker of xdist, which this run is not
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment = inherited | {"PYTHONPATH": os.pathsep.join(paths)}
    saved = tmp_path / "results.json"
    for peers, resume, expected in (("numpy", [], {"numpy"}), ("numpy,sklearn", ["--resume"], {"numpy", "sklearn"})):
        options = f"-q -p no:cacheprovider -p measures_nothing -k digits32 --peers {peers} --save {saved}"
        command = [sys.executable, "-m", "pytest", "bench", *options.split(), *resume]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        (result,) = json.loads(saved.read_text())["results"]
        assert result["name"] == "digits32"
        assert {row["name"] for row in result["rows"] if row["kind"] == "peer"} == expected
        assert "1.5000" in done.stdout, "pytest-benchmark shows the median of the durations"
        assert "its tables: python bench/tools/report.py" in done.stdout
