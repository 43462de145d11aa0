"""Accuracy of the tabular estimators on seven tables, beside gradient boosting and other nets, all at their defaults.

Run: FASTMLP_DATA=FOLDER python bench/accuracy/tables.py [--results FILE] [--sets NAME ...] [--tools NAME ...]
     [--seeds 3] [--threads 2] [--again] [--elsewhere]

Each fit is a process of its own, with limited threads. Its clocks start when the tool's package is imported, and so
count fit and prediction alone. Its figure goes into FILE, a JSON file, at once: the same command goes on where it was
stopped, and --again measures the named tools anew. The entry "machine" of the file says where all of them were
measured; a file of another machine or number of threads is refused. With --elsewhere, another processor is not refused:
its figures are marked in the file, and their seconds in the report. RealMLP-TD and TabM-D take minutes to hours a fit,
and run only if they are named (pip install lightgbm catboost pytabkit). The sets california, adult, magic and
bank_marketing chose the defaults of the tabular estimators; covertype, wine and higgs_7k had no part in it, but for one
look at the test rows of wine before the rule of bins was fixed (bench/log/tables.md#tabular-bin-trial).
table_sets.py has the splits, all of which are used whole.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from accuracy.table_report import ELSEWHERE, MACHINE, RESULTS, cells_of
from accuracy.table_sets import REGRESSIONS, SETS, error_of
from accuracy.table_tools import SLOW, TOOLS, make, predictions
from suite.clean_env import CLEARED
from suite.data import data_folder
from suite.machine import machine

from fastmlp.runtime.output_files import write_bytes

COUNTED = "a fit with its prediction"  # what the seconds are of
LIBRARIES = ("python", "numpy", "numba", "scikit-learn")  # whose versions are told


def measure(tool: str, name: str, seed: int, threads: int) -> dict[str, float]:
    """Return the figure of one fit on the test rows, and the seconds of fit and prediction, by two clocks."""
    warnings.simplefilter("ignore")
    split = SETS[name](data_folder())
    model = make(tool, name in REGRESSIONS, seed, threads)  # imports the package, which the clocks do not count
    start, processor_start = time.perf_counter(), processor_seconds()
    predicted = predictions(tool, model, split)
    return {
        "figure": error_of(name, predicted, split.y_test),
        "seconds": round(time.perf_counter() - start, 2),
        "processor_seconds": round(processor_seconds() - processor_start, 2),
    }


def processor_seconds() -> float:
    """Return the processor time that this process and the processes that it has waited for have used."""
    return sum(os.times()[:4])


def measured_apart(tool: str, name: str, seed: int, threads: int) -> dict[str, float] | None:
    """Return what `measure` returns in a process of its own, or None, with a line that says why, if it failed."""
    environment = {key: value for key, value in os.environ.items() if key not in CLEARED}
    environment |= {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    command = [sys.executable, __file__, "--one", tool, name, str(seed), "--threads", str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"{tool} on {name}: {(done.stderr.strip() or 'failed').splitlines()[-1]}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def package_version(tool: str) -> str:
    try:
        return version(TOOLS[tool].package)
    except PackageNotFoundError:
        return ""


def machine_entry(found: dict[str, Any], threads: int) -> dict[str, Any]:
    """Return the entry of a machine; found : what suite.machine.machine returns"""
    of_machine = {name: found[name] for name in ("processor", "cpus", "system")}
    versions = {name: found["versions"][name] for name in LIBRARIES}
    return {**of_machine, "threads": threads, "counted": COUNTED, "versions": versions}


def check_machine(results: dict[str, Any], entry: dict[str, Any], elsewhere: bool = False) -> None:
    """Raise ValueError if results are not of the machine and threads of an entry; versions may differ.

    elsewhere : whether the processor may differ, too
    """
    known = results.get(MACHINE, entry)
    for name in ("threads", "counted", *([] if elsewhere else ["processor"])):
        if known[name] != entry[name]:
            raise ValueError(
                f"The file has figures of {name} {known[name]!r}, with which those of {entry[name]!r} cannot be "
                "compared: name another one with --results, or mark those of another processor with --elsewhere."
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file of figures, read and written")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=[tool for tool in TOOLS if tool not in SLOW])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure the named sets and tools anew")
    parser.add_argument("--elsewhere", action="store_true", help="mark figures of another processor than the file's")
    parser.add_argument("--one", nargs=3, metavar=("TOOL", "SET", "SEED"), help="print the figure of one fit, as JSON")
    settings = parser.parse_args()
    if settings.one:
        tool, name, seed = settings.one
        print(json.dumps(measure(tool, name, int(seed), settings.threads)))
        return
    data_folder()
    figures = json.loads(settings.results.read_text()) if settings.results.exists() else {}
    entry_of_machine = machine_entry(machine([]), settings.threads)
    print(entry_of_machine)
    try:
        check_machine(figures, entry_of_machine, settings.elsewhere)
    except ValueError as error:
        parser.error(str(error))
    processor, marks = entry_of_machine["processor"], {}
    if figures.setdefault(MACHINE, entry_of_machine)["processor"] == processor:
        figures[MACHINE] = entry_of_machine  # with the versions of now
    else:
        marks = {ELSEWHERE: processor}
    for seed in range(settings.seeds):
        for name in settings.sets:
            for tool in settings.tools:
                key = f"{tool}/{name}/{seed}"
                if key in figures and not settings.again:
                    continue
                if entry := measured_apart(tool, name, seed, settings.threads):
                    figures[key] = {**entry, **marks, "version": package_version(tool)}
                    write_bytes(settings.results, (json.dumps(figures, indent=1, sort_keys=True) + "\n").encode())
    print(cells_of(figures).to_string())


if __name__ == "__main__":
    main()
