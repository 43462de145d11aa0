"""`python bench/gpu/run.py`: what a GPU is measured for, the most important first.

    python bench/gpu/run.py [--minutes 8] [--save bench/results/latest.cuda.json]
    python bench/gpu/run.py --tests [--minutes 8]

The first command measures the constants by which fastmlp chooses kernels and devices, in at most a quarter of the time,
and prints lines to paste into the sources (constants.py); then the suite with --device cuda: the cases that only a GPU
has, one net, many nets, the others. Each result is printed and saved as soon as it is there, so that nothing is lost
when the time is over; the same command with --resume goes on with the cases that are left. The second one runs the
tests whose result depends on the GPU. Both need this repository, NumPy, Numba, CuPy and what `pytest bench` needs; JAX
and PyTorch if they are installed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench")]
# Processes that are started from here, also by the package itself, find it in the same place.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])

from gpu.device_tests import run_tests, start, wait_or_stop  # noqa: E402

SHARE_OF_CONSTANTS = 0.25
ORDER = ("gpu_", "large", "population", "minibatch", "predict", "xor", "scaling")  # of cases, by a part of their tests


def benchmarks(seconds: float, save: Path, resume: bool) -> None:
    end = time.monotonic() + seconds
    print("The constants:", flush=True)
    if not wait_or_stop(start([sys.executable, str(ROOT / "bench/gpu/constants.py")]), SHARE_OF_CONSTANTS * seconds):
        print("The time of the constants was over.", flush=True)
    suite = [sys.executable, "-m", "pytest", "bench", "-q", "--device", "cuda", "--save", str(save), "--rounds", "4"]
    for k, cases in enumerate(ORDER):
        command = [*suite, *["--resume"] * (resume or k > 0), "-k", cases]
        if not wait_or_stop(start(command, cwd=ROOT), end - time.monotonic()):
            print(f"The time was over; {save} has the cases that were measured.")
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--save", type=Path, default=ROOT / "bench" / "results" / "latest.cuda.json")
    parser.add_argument("--resume", action="store_true", help="keep the results that the file of --save has")
    parser.add_argument("--tests", action="store_true", help="the tests instead")
    parser.add_argument("--processes", type=int, help="for the tests: one where the GPU takes one process at a time")
    options = parser.parse_args()
    import fastmlp

    gpu = next(row for row in fastmlp.devices() if row.name.startswith("cuda"))
    if not gpu.available:
        sys.exit(f"There is no GPU to measure: {gpu.reason}.")
    print(gpu.description, flush=True)
    if options.tests:
        print(f"tests: {run_tests(60 * options.minutes, options.processes)}", flush=True)
    else:
        benchmarks(60 * options.minutes, options.save.resolve(), options.resume)


if __name__ == "__main__":
    main()
