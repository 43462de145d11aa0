"""Long fuzzing, guided by the code that is covered.

    python tests/fuzz/run.py [--runs 20000 | --share 0.4] [TARGET ...]

It needs the extra `fuzz` (atheris, on Linux). Each target runs in a process of its own, which ends with an error for a
crash, a file that takes longer than 20 s, memory of the process beyond MOST_MEMORY and, of one file in MEASURED, memory
beyond what the target says (fuzz_targets.Memory). A run in which no file was read is an error, too: it has tested
nothing but the refusal. A file that ended a target is kept
as crash-*: put it into corpus/TARGET/, so that the suite reads it again.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
MOST_MEMORY = 2048  # MiB of the process with all libraries, 400 of them before the first file
MEASURED = 10  # of so many files the memory of one is measured, which takes several times as long


class Report(NamedTuple):
    """What a run of a target has tried; `covered` is a number of branches, or "?"."""

    name: str
    files: int
    outcomes: dict[str, int]
    covered: str
    status: int  # 0 if no file ended the target

    @property
    def is_fault(self):
        """Whether a file has ended the target, or none was read."""
        return bool(self.status or not self.outcomes.get("read"))


def fuzz(name, runs, corpus):
    """Run one target in this process; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["fastmlp"]):
        import fuzz_files
        import fuzz_targets

        valid = fuzz_targets.TARGETS[name].seeds()
        for number, data in enumerate(fuzz_targets.corpus(name)):
            outcome = fuzz_targets.use(name, data, measures=False)  # which loads modules
            assert outcome == fuzz_files.READ or number >= len(valid), "a valid file is refused"
            (Path(corpus) / f"seed-{number}").write_bytes(data)
    found = Counter()

    def read(data):
        n = sum(found.values())
        found[fuzz_targets.use(name, data, measures=n % MEASURED == 0)] += 1
        if n + 1 == runs:
            print(f"outcomes: {dict(found)}", flush=True)

    most_bytes = fuzz_targets.most_bytes(name)
    limits = [f"-runs={runs}", f"-max_len={most_bytes}", "-timeout=20", f"-rss_limit_mb={MOST_MEMORY}", "-seed=1"]
    atheris.Setup([sys.argv[0], corpus, *limits, "-artifact_prefix=crash-"], read)
    atheris.Fuzz()


def report(name, runs):
    """Fuzz a target in a process of its own, print what was tried, and return it as a Report."""
    with tempfile.TemporaryDirectory() as corpus:
        command = [sys.executable, __file__, name, "--runs", str(runs), "--here", corpus]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    made = report_of(name, done.stdout, done.returncode)
    print(f"{name}: {made.files:,} files, {made.outcomes}, {made.covered} branches covered", flush=True)
    if made.is_fault:
        print(done.stdout[-6000:])
    return made


def report_of(name, printed, status):
    """Return the Report of a process by what it has printed."""
    covered = re.findall(r"cov: (\d+) ft: \d+", printed)
    outcomes = re.findall(r"^outcomes: (\{.*\})$", printed, re.MULTILINE)
    counts = {kind: int(n) for kind, n in re.findall(r"'(\w+)': (\d+)", outcomes[-1])} if outcomes else {}
    return Report(name, sum(counts.values()), counts, covered[-1] if covered else "?", status)


def main():
    sys.path[:0] = [str(HERE), str(HERE.parents[1] / "src")]
    os.environ["FASTMLP_COMPILE_PROCESSES"] = "1"  # no_code.py refuses programs that a target starts
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="of TARGETS in fuzz_targets.py; without one, all")
    parser.add_argument("--runs", type=int, help="files that each target reads; by default as many as it says")
    parser.add_argument("--share", type=float, default=1.0, help="share of the files that each target says")
    parser.add_argument("--processes", type=int, default=2, help="targets that are fuzzed at the same time")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        fuzz(options.targets[0], options.runs, options.here)  # before the package is imported, as it is instrumented
    from fuzz_targets import TARGETS

    names = options.targets or list(TARGETS)
    n_files = lambda name: options.runs or round(options.share * TARGETS[name].runs)
    with ThreadPoolExecutor(options.processes) as pool:
        reports = list(pool.map(lambda name: report(name, n_files(name)), names))
    sys.exit(any(made.is_fault for made in reports))


if __name__ == "__main__":
    main()
