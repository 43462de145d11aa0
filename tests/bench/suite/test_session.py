"""What the suite says of options that it cannot follow, before it measures anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastmlp

pytest.importorskip("pytest_benchmark", reason="the suite itself needs pytest-benchmark")
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "options, said",
    [
        (("--device", "cuda"), "--device cuda: device='cuda' cannot be had"),
        (("--peers", "torch,numpi"), "--peers: unknown numpi; there are all, none, "),
        (("--groups", "xor,larg"), "--groups: unknown larg; there are all, none, "),
        (("--quick", "--largest"), "--quick and --largest exclude each other"),
        (("--rounds", "0"), "--rounds: expected at least 1"),
    ],
)
def test_options_that_cannot_be_followed(options, said):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    command = [sys.executable, "-m", "pytest", "bench", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr
