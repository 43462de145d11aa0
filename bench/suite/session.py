"""The session of `pytest bench`: measures each case once, however many tests ask for it, and saves the results."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from reporting import result_files, result_statistics, result_texts

from suite import clean_env
from suite.case_lookup import CASES, ENTRIES
from suite.fork_server import Pool
from suite.machine import machine
from suite.runner import failed_case, run_case
from suite.timing import QUICK, Rules

METHOD = (
    "Every competitor runs in a process of its own, which begins with its libraries imported: imports are neither in "
    "its compile time nor in any duration, and pages of a library that only its import touched are not in its memory. "
    "Its result is first compared with float64 NumPy from the same start; a competitor that computes something else is "
    "not timed. Durations are medians over rounds in which all competitors of a case take turns. Each begins when the "
    "one before is at rest and the CPUs are at full speed, which virtual CPUs may not be for a tenth of a second after "
    "they have slept. The spread is the middle half of the rounds; ratios are medians of the ratios within a round. "
    "Each competitor runs with one thread and with all threads where both make sense, and the faster setting counts; "
    "forms that compile for long take the setting that suited their library's last form. Compile time is what a "
    "competitor needs before its first run. fastmlp finds on disk what an earlier case or run has compiled; the cases "
    "of first fits have the time with empty caches. PyTorch keeps what it compiles in a folder that is empty when a "
    "run begins. Rows that are there for comparison only and take seconds have one round, the largest points of a "
    "curve have two. fastmlp's rows of XOR are those of an architecture that has been trained for a million steps, "
    "after which its unrolled code is compiled; the row of the first fits is the time before that. Environment "
    "variables that set the threads or the kernels of a library are removed for all."
)
# --resume: what the saved results and this run must agree in.
MUST_AGREE = {
    "options": lambda results: results["options"],
    "processors": lambda results: [results["machine"].get(name) for name in ("processor", "cpus", "gpu")],
    "versions": lambda results: results["machine"]["versions"],
}
RESULTS = Path(__file__).resolve().parents[1] / "results"
FAMILIES = sorted(
    {competitor.family for entry in ENTRIES for competitor in entry.competitors if competitor.kind == "peer"}
)
ORDER = {entry.name: number for number, entry in enumerate(ENTRIES)}
GROUPS = [group for group in result_statistics.GROUPS if any(entry.group == group for entry in ENTRIES)]


# Run in a process of its own: workers are forked from this process, in which a GPU's driver must not be open.
FIND_DEVICE = """
import json, sys
from fastmlp.devices import devices, resolve
missing = gpu = ""
try:
    device = resolve(sys.argv[1])
    if not device.is_host:
        gpu = next(row.description.partition(",")[0] for row in devices() if row.name == device.name)
except RuntimeError as error:
    missing = str(error)
print(json.dumps([missing, gpu]))
"""


def _find(device: str) -> tuple[str, str]:
    """(why a device cannot be used, or an empty string; the name of a GPU, or an empty string)"""
    command = [sys.executable, "-c", FIND_DEVICE, device]
    missing, gpu = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return missing, gpu


class Session:
    """Runs cases as tests ask for them and saves the results after each."""

    def __init__(self, config):
        option = config.option
        self.config = config
        rules = QUICK if option.quick else Rules()
        self.rules = rules._replace(rounds=rules.rounds if option.rounds is None else option.rounds)
        self.device = option.device
        if option.quick and option.largest:
            raise pytest.UsageError("--quick and --largest exclude each other: choose one")
        if self.rules.rounds < 1:
            raise pytest.UsageError("--rounds: expected at least 1")
        missing, self.gpu = _find(self.device)
        if missing:
            raise pytest.UsageError(f"--device {self.device}: {missing}")
        self.groups = self._chosen("--groups", option.groups, GROUPS)
        self.families = self._chosen("--peers", option.peers, FAMILIES)
        self.path = option.save or RESULTS / "latest.json"
        self.pool = Pool(self.device)
        self.wanted: dict[str, list[str]] = {}  # case -> competitors whose tests run
        self.measured: set[str] = set()  # cases of this run, without those of a resumed file
        self.results: dict | None = None

    @staticmethod
    def _chosen(flag: str, text: str, choices: list[str]) -> list[str]:
        if text in ("all", "none"):
            return choices if text == "all" else []
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in choices]:
            raise pytest.UsageError(f"{flag}: unknown {', '.join(unknown)}; there are all, none, {', '.join(choices)}")
        return chosen

    def entries(self):
        for entry in ENTRIES:
            is_in = entry.group in self.groups and (entry.in_quick or not self.rules.quick)
            is_in = is_in and entry.largest == self.config.option.largest
            if is_in and any(competitor.kind == "ours" for competitor in self.competitors(entry)):
                yield entry

    def competitors(self, entry):
        """The competitors of a case that were chosen and can compute on this device."""
        able = [competitor for competitor in entry.competitors if self.device in competitor.devices]
        return [competitor for competitor in able if competitor.kind != "peer" or competitor.family in self.families]

    def start(self) -> None:
        """Begin the results: machine and options; with --resume, the saved results."""
        cleared = clean_env.clear()
        fresh = {
            "schema": result_files.SCHEMA,
            "machine": machine(cleared) | ({"gpu": self.gpu} if self.gpu else {}),
            "options": {"device": self.device, "quick": self.rules.quick, "rounds": self.rules.rounds},
            "started": _now(),
            "finished": "",
            "missing": {},
            "how": METHOD,
            "results": [],
        }
        self.results = fresh
        if self.config.option.resume and self.path.exists():
            try:
                saved = result_files.load(self.path)
            except ValueError as error:
                raise pytest.UsageError(f"--resume: {error}") from None
            if different := [name for name, get in MUST_AGREE.items() if get(saved) != get(fresh)]:
                raise pytest.UsageError(
                    f"--resume: {self.path} was measured with other {' and '.join(different)}; run without --resume to "
                    "replace it"
                )
            self.results = saved

    def result(self, name: str) -> dict:
        """The result of a case, measured the first time it is asked for."""
        result = next((result for result in self.results["results"] if result["name"] == name), None)
        if result and name in self.measured:
            return result
        entry = CASES[name]
        missing = [competitor for competitor in entry.competitors if competitor.name in self.wanted[name]]
        if result:
            have = {row["name"] for row in result["rows"] if row["status"] not in ("missing", "failed", "wrong")}
            missing = [competitor for competitor in missing if competitor.name not in have]
            if not missing:
                return result
            self.results["results"].remove(result)
            missing = [
                competitor
                for competitor in entry.competitors
                if competitor.name in self.wanted[name] or competitor.name in have
            ]
        self.measured.add(name)
        self.log(f"\n[{len(self.measured)}/{len(self.wanted)}] {entry.group}/{name}:")
        started = time.monotonic()
        try:
            result = run_case(entry, missing, self.rules, self.pool, lambda text: self.log(f" {text},"))
        except Exception as error:  # the tests of other competitors must not run the case again
            result = failed_case(entry, missing, self.rules, f"{type(error).__name__}: {error}")
        self.log(f"\n    {result_texts.one_line(result)} ({time.monotonic() - started:.0f} s)\n")
        self.results["results"].append(result)
        self.results["results"].sort(key=lambda result: ORDER.get(result["name"], len(ORDER)))  # as if not resumed
        self.results["missing"] = result_statistics.missing(self.results["results"])
        self.save()
        return result

    def save(self) -> None:
        self.results["finished"] = _now()
        result_files.save(self.results, self.path)

    def log(self, text: str) -> None:
        """On the terminal, past pytest's capturing."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        if reporter is not None:
            with capture.global_and_fixture_disabled():
                reporter.write(text, flush=True)

    def close(self) -> None:
        self.pool.close()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
