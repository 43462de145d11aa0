"""Digests of fits (fits.py): written before a change that must not change a bit, and compared after it.

    python tests/digests/digest.py write FILE [PATTERN]
    python tests/digests/digest.py compare FILE [PATTERN]

FILE is JSON: what bits depend on, and {fit: {name of what was learned: digest}}; by default that of this
processor, with which test_digests.py compares.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from digests.fits import EMULATED, FITS, learned  # noqa: E402

LIBRARIES = "numpy", "numba", "llvmlite", "scipy", "scikit-learn", "pandas"  # whose versions may change bits


def file_of_this_processor() -> Path:
    """Return the file with digests of this kind of processor: kernels of others may round in another order."""
    from llvmlite import binding

    return Path(__file__).parent / "of_processors" / f"{binding.get_host_cpu_name()}.json"


def circumstances() -> dict[str, str]:
    """Return what else bits may depend on: versions of libraries, and the size of a core's second-level cache."""
    from fastmlp.kernels.jit.cpu_features import LEVEL2_BYTES

    return {name: version(name) for name in LIBRARIES} | {"second-level cache": str(LEVEL2_BYTES)}


def flat(found: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a nest of dictionaries with their names."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from flat(value, f"{name}.{key}" if name else key)
    else:
        yield name, found


def digest(value: Any) -> str:
    array = np.asarray(value)
    content = repr(array.tolist()).encode() if array.dtype.kind in "OU" else np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(f"{array.shape}{array.dtype.kind}".encode() + content).hexdigest()[:12]


def digests_of(name: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        return {key: digest(value) for key, value in flat(learned(name, Path(folder)))}


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return the names of what differs."""
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def emulated_digests(pattern: str) -> dict[str, dict[str, str]]:
    import cuda_emulator

    with cuda_emulator.installed():
        return {name: digests_of(name) for name in fnmatch.filter(EMULATED, pattern)}


def all_digests(pattern: str) -> dict[str, dict[str, str]]:
    # In a process of its own: a process looks for a GPU once.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        emulated = executor.submit(emulated_digests, pattern)
        return {name: digests_of(name) for name in fnmatch.filter(FITS, pattern)} | emulated.result()


def main(action: str, path: str = "", pattern: str = "*") -> int:
    file = Path(path) if path else file_of_this_processor()
    if action == "write":
        found = all_digests(pattern)
        file.parent.mkdir(exist_ok=True)
        content = {"circumstances": circumstances(), "fits": found}
        file.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        print(f"{len(found)} fits in {file}")
        return 0
    before = json.loads(file.read_text())["fits"]
    found = all_digests(pattern)
    n_changed = 0
    for name in fnmatch.filter(sorted(before.keys() | found.keys()), pattern):
        if changed := differences(before.get(name, {}), found.get(name, {})):
            n_changed += 1
            print(f"{name}: {', '.join(changed)}")
    print(f"{len(found)} fits, {n_changed} of them changed")
    return int(n_changed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
