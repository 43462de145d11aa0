"""Micro-benchmarks: bench/micro is separate from the suite, and its files are short."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark", reason="bench needs pytest-benchmark")
ROOT = Path(__file__).parents[2]
LONGEST = 60  # lines


@pytest.mark.parametrize("folder, has_micro", [("bench", False), ("bench/micro", True)])
def test_micro_benchmarks_are_collected_only_by_their_folder(folder, has_micro):
    command = [sys.executable, "-m", "pytest", folder, "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
    micro = {str(path.relative_to(ROOT)) for path in (ROOT / "bench" / "micro").glob("test_*.py")}
    assert found == (micro if has_micro else {"bench/suite/test_cases.py"})


def test_micro_benchmarks_are_short():
    for path in (ROOT / "bench" / "micro").glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < LONGEST, path
