"""Files of benchmark results: their format, their names, writing and reading.

A file is JSON: {"schema", "machine", "options", "how", "missing", "results": [result, ...]}. `machine` is what
machine.py describes, in older files without "microarchitecture", and for device cuda the name of the "gpu"; `how` is a
text on the method of measurement; `missing` is {reason: names of competitors that were not measured}. A result is one
benchmark case:

    name, group, title, source    the benchmark case and its data
    unit                          unit of work that durations refer to: "step", "net and epoch", ...
    costs                         {name: amount} per unit: FLOP, bytes, ...
    curve                         None, or {"name", "axis", "x"} for a point of a scaling plot
    others_busy                   fraction of CPU time that other programs took while no benchmark ran
    slow_starts                   measurements that began before the CPUs were at full speed (cpu_wakeup.py)
    rows                          one per measured program:
        name, kind                kind: "ours" (fastmlp), "peer" (a competitor), "limit" (a lower bound), or "part"
                                  (fastmlp with other settings, for comparison only)
        status, reason            status: "timed", or why there is no duration: "missing", "unsupported", "left out",
                                  "failed", "wrong" (the result is not the expected one)
        seconds                   one duration per round and unit; round k of all rows was measured side by side
        prepare_seconds           building and compiling before the first run; for fastmlp, with a filled object cache
        threads, tried            threads used (None: the program's own choice), and seconds of each setting tried
        peak_memory, products     bytes; the library that computes the matrix products
        verified, notes           {name: relative error}, {name: figure} to show beside the durations

Only raw durations are stored; medians, spreads and ratios are computed when they are shown (result_statistics.py).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fastmlp.runtime.output_files import write_bytes

SCHEMA = "fastmlp benchmark 1"
# Words of a processor's model name that do not tell it from others.
UNTELLING = re.compile(r"\((?:r|tm)\)|@\s*[\d.]+\s*[gm]hz|\b\d+-core\b|\b(?:cpu|processor)\b")


def published_name(results: dict[str, Any]) -> str:
    """Return the name of the file in which results are published: one for a processor and a number of CPUs, or a GPU.

    >>> machine = {"processor": "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz avx512f", "cpus": 2}
    >>> published_name({"machine": machine, "options": {"device": "cpu"}})
    'cpu-intel-xeon-platinum-8481c-avx512f-2-cpus.json'
    >>> published_name({"machine": machine | {"gpu": "NVIDIA H100 80GB HBM3"}, "options": {"device": "cuda"}})
    'cuda-nvidia-h100-80gb-hbm3.json'
    """
    machine, device = results["machine"], results["options"]["device"]
    processor = UNTELLING.sub(" ", f"{machine['processor']} {machine.get('microarchitecture', '')}".lower())
    text = f"{processor} {machine['cpus']} cpus" if device == "cpu" else machine.get("gpu", processor).lower()
    return "-".join([device, *re.findall(r"[a-z0-9]+", text)]) + ".json"


def save(results: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, (json.dumps(_rounded(results), indent=1) + "\n").encode())


def load(path: Path) -> dict[str, Any]:
    """Return the results in a file.

    Raises
    ------
    ValueError
        If the file was not written by `save`.
    OSError
        If the file cannot be read.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a file of benchmark results: {error}") from None
    content = results if isinstance(results, dict) else {}
    if (schema := content.get("schema")) != SCHEMA:
        hint = " (`pytest --benchmark-json` writes another format; use --save)" if "machine_info" in content else ""
        raise ValueError(f"{path} is not a file of benchmark results: expected schema {SCHEMA!r}, got {schema!r}{hint}")
    return content


def _rounded(value: Any) -> Any:
    """Round durations to six digits: further digits are noise, and the file is kept in the repository."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
