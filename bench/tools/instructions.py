"""Instructions per epoch of two kernels, counted by valgrind; the counts do not depend on how busy the machine is.

    python bench/tools/instructions.py [--json COUNTS.json] [--base COUNTS.json]

Kernels: `one_net` trains a 2-2-2-1 net on XOR, `lanes` 64 nets of 2-2-1 on XOR, both with unrolled code. Each is
trained twice, for EPOCHS and for twice as many, in a process of its own under callgrind; the difference of the two
counts, divided by the epochs, contains nothing that happens once. Valgrind has no AVX-512, so the kernels are compiled
for AVX2 before, into a cache of their own. Takes some minutes, since a process under callgrind is some fifty times
slower.

--json saves the counts; --base compares with saved ones and exits with 1 where a count grew by more than 0.5 %.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

# Epochs of the counted runs, and of a run before them that fills the cache: unrolled code of a single net is compiled
# after a million steps, and loaded after 50,000 (execution/unrolled_code.py).
EPOCHS = {"one_net": 100_000, "lanes": 2_000}
WARM = {"one_net": 3_000_000, "lanes": 2}
GROWTH_LIMIT = 0.005  # growth that counts; the count itself repeats to 0.1 %
PROGRAMS = {
    "one_net": """
net = fastmlp.MLP((2, 2, 2, 1), hidden_activation="sigmoid", loss="binary_cross_entropy", random_state=0, device="cpu")
net.fit(X, y, epochs={epochs}, optimizer=fastmlp.SGD(0.3), verbose=0)
""",
    "lanes": """
from fastmlp.execution.unrolled_code import unrolled_nets_at_once
pop = fastmlp.Population((2, 2, 1), 64, hidden_activation="sigmoid", output_activation="sigmoid", random_state=0,
                         device="cpu")
with unrolled_nets_at_once():
    pop.fit(X, y, epochs={epochs}, optimizer=fastmlp.SGD(0.5), verbose=0)
""",
}
CPU, FEATURES = "haswell", ("sse4.2", "avx", "avx2", "fma", "bmi", "bmi2", "lzcnt", "popcnt", "f16c", "movbe")
START = f"""
from llvmlite import binding
features = binding.get_host_cpu_features()
for name in features:
    features[name] = name in {FEATURES}
# Kernels choose their vectors by these features, and the cache depends on them; valgrind's CPU is none that exists.
binding.get_host_cpu_features, binding.get_host_cpu_name = lambda: features, lambda: "{CPU}"
import numpy as np, fastmlp
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
y = np.array([0, 1, 1, 0])
"""


def environment(cache: str) -> dict[str, str]:
    spec = find_spec("fastmlp")
    folder = (
        str(Path(spec.origin).parents[1]) if spec and spec.origin else str(Path(__file__).resolve().parents[2] / "src")
    )
    return {
        **os.environ,
        "PYTHONPATH": folder,
        "PYTHONHASHSEED": "0",
        "NUMBA_CACHE_DIR": cache,
        "NUMBA_CPU_NAME": CPU,
        "NUMBA_CPU_FEATURES": ",".join(f"+{name}" for name in FEATURES),
        "FASTMLP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def count(kernel: str, epochs: int, cache: str) -> int:
    """The number of instructions of a whole process."""
    program = START + PROGRAMS[kernel].format(epochs=epochs)
    command = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={cache}/callgrind.out",
        sys.executable,
        "-c",
        program,
    ]
    process = subprocess.run(command, env=environment(cache), capture_output=True, text=True)
    found = re.search(r"Collected\s*:\s*(\d+)", process.stderr)
    if process.returncode or not found:
        raise RuntimeError(f"callgrind failed: {process.stderr.strip()[-600:]}")
    return int(found.group(1))


def per_epoch(kernel: str) -> float:
    with tempfile.TemporaryDirectory() as cache:
        warm = START + PROGRAMS[kernel].format(epochs=WARM[kernel])
        subprocess.run([sys.executable, "-c", warm], env=environment(cache), check=True)
        n = EPOCHS[kernel]
        one, two = (count(kernel, epochs, cache) for epochs in (n, 2 * n))
        return (two - one) / n


def grown(counts: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    """{kernel: relative growth} for kernels that need more instructions than before.

    >>> grown({"lanes": 1030.0, "one_net": 500.0}, {"lanes": 1000.0, "one_net": 500.0})
    {'lanes': 0.03}
    """
    growths = {name: round(value / base[name] - 1, 6) for name, value in counts.items() if name in base}
    return {name: growth for name, growth in growths.items() if growth > GROWTH_LIMIT}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--base", type=Path)
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("instructions.py: valgrind is not installed (on Debian: apt-get install valgrind)", file=sys.stderr)
        return 2
    counts = {}
    for kernel in PROGRAMS:
        counts[kernel] = per_epoch(kernel)
        print(f"{kernel}: {counts[kernel]:,.0f} instructions per epoch", flush=True)
    if options.json:
        options.json.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    if not options.base:
        return 0
    growth = grown(counts, json.loads(options.base.read_text(encoding="utf-8")))
    for name, relative in growth.items():
        print(f"{name} needs {relative:.2%} more instructions than before")
    return 1 if growth else 0


if __name__ == "__main__":
    sys.exit(main())
