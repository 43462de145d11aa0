"""Long fuzzing, guided by the code that is covered: `python tests/fuzz/run.py [--runs 20000] [TARGET ...]`.

It needs the extra `fuzz` (atheris, on Linux). Each target runs in a process of its
own, which ends with an error for a crash, a file that takes longer than 20 s, and memory beyond MOST_MEMORY. What has
been tried, and how many branches of the package it has covered, is printed at the end. A file that ended a target is
kept as crash-*: put it into corpus/TARGET/, so that the suite reads it again.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
MOST_MEMORY = 2048  # MiB of the process with all libraries, 400 of them before the first file
MOST_BYTES = 8192  # of a file


def fuzz(name, runs, corpus):
    """Run one target in this process; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["fastmlp"]):
        import fuzz_targets

        for number, data in enumerate(fuzz_targets.corpus(name)):
            fuzz_targets.use(name, data)
            (Path(corpus) / f"seed-{number}").write_bytes(data)
    found = Counter()

    def read(data):
        found[fuzz_targets.use(name, data)] += 1
        if sum(found.values()) == runs:
            print(f"outcomes of {name}: {dict(found)}", flush=True)

    limits = [f"-runs={runs}", f"-max_len={MOST_BYTES}", "-timeout=20", f"-rss_limit_mb={MOST_MEMORY}", "-seed=1"]
    atheris.Setup([sys.argv[0], corpus, *limits, "-artifact_prefix=crash-"], read)
    atheris.Fuzz()


def report(name, runs):
    """Fuzz a target in a process of its own, print what was tried, and return its exit status."""
    with tempfile.TemporaryDirectory() as corpus:
        command = [sys.executable, __file__, name, "--runs", str(runs), "--here", corpus]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    last = re.findall(r"cov: (\d+) ft: (\d+)", done.stdout)
    outcomes, covered = re.findall(r"outcomes of .*", done.stdout), last[-1][0] if last else "?"
    print(f"{covered} branches covered by {runs:,} files; {outcomes}", flush=True)
    if done.returncode:
        print(done.stdout[-6000:])
    return done.returncode


def main():
    sys.path[:0] = [str(HERE), str(HERE.parents[1] / "src")]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="of TARGETS in fuzz_targets.py; without one, all")
    parser.add_argument("--runs", type=int, default=20_000, help="files that each target reads")
    parser.add_argument("--processes", type=int, default=2, help="targets that are fuzzed at the same time")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        fuzz(options.targets[0], options.runs, options.here)  # before the package is imported, as it is instrumented
    from fuzz_targets import TARGETS

    with ThreadPoolExecutor(options.processes) as pool:
        statuses = list(pool.map(lambda name: report(name, options.runs), options.targets or TARGETS))
    sys.exit(max(statuses))


if __name__ == "__main__":
    main()
