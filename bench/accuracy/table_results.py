"""The file of results of tables.py: entries "tool/set/seed", and one of the machine that they were measured on."""

from __future__ import annotations

from typing import Any

from fastmlp.errors import counted

MACHINE = "machine"  # key of the entry
ELSEWHERE = "processor"  # key in an entry of a fit that was measured on another processor than the file's
COUNTED = "a fit with its prediction"  # what the seconds are of
COUNTED_BEFORE = "a fit with its prediction, and of the import of its package"  # in files without the entry
LIBRARIES = ("python", "numpy", "numba", "scikit-learn")  # whose versions are told

Results = dict[str, dict[str, Any]]


def machine_entry(found: dict[str, Any], threads: int) -> dict[str, Any]:
    """Return the entry of a machine; found : what suite.machine.machine returns"""
    versions = {name: found["versions"][name] for name in LIBRARIES}
    names = "processor", "cpus", "system"
    return {**{name: found[name] for name in names}, "threads": threads, "counted": COUNTED, "versions": versions}


def check_machine(results: Results, entry: dict[str, Any], elsewhere: bool = False) -> None:
    """Raise ValueError if results are not of the machine, threads and clock of an entry; versions may differ.

    elsewhere : whether the processor may differ, too
    """
    known = results.get(MACHINE)
    alike = known is not None and all(known[name] == entry[name] for name in ("threads", "counted"))
    if not results or (alike and (elsewhere or known["processor"] == entry["processor"])):
        return
    where = "a machine that it does not name"
    if known:
        where = f"{known['processor']} with {counted(known['threads'], 'thread')}, the seconds of {known['counted']}"
    raise ValueError(
        f"The file has figures of {where}, with which those of {entry['processor']} with "
        f"{counted(entry['threads'], 'thread')} cannot be compared: name another one with --results"
        f"{', or mark the new figures with --elsewhere' if alike else ''}."
    )


def runs_of(results: Results) -> Results:
    """Return the entries of fits."""
    return {key: entry for key, entry in results.items() if key != MACHINE}


def machine_sentence(results: Results) -> str:
    """Return a sentence on the machine; empty if the file does not name it."""
    entry = results.get(MACHINE)
    if entry is None:
        return ""
    versions = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
    return f"Measured on {entry['processor']}, with {counted(entry['threads'], 'thread')}; {versions}."


def counted_seconds(results: Results) -> str:
    return results.get(MACHINE, {}).get("counted", COUNTED_BEFORE)
