"""A fresh process, from its start to a trained XOR net (2-2-2-1, 5000 epochs): wall seconds and peak memory.

    python bench/cold_start.py [--repeats 5] [--only fastmlp,jax] [--json out.json]

Each row is a short script as a user would write it, run by a new interpreter: this package with an empty and with a
warm Numba cache, JAX without and with a warm compilation cache, NumPy by hand, PyTorch, and the floors: Python alone,
and Python importing NumPy and Numba. All start from the same parameters and must end with the same loss. Memory is the
kernel's own count (ru_maxrss); this process imports nothing large, because a child starts with its parent's count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from environment import machine, print_machine, start_clean

DATA = """
import numpy as np
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
y = np.array([[0], [1], [1], [0]], np.float32)
start = np.array({start}, np.float32)
"""
FASTMLP = """
import fastmlp
net = fastmlp.MLP((2, 2, 2, 1), hidden_activation="sigmoid", output_activation="sigmoid", loss="squared_error",
                  random_state=0, device="cpu")
net.params[:] = start
net.fit(X, y, epochs=5000, optimizer=fastmlp.SGD(learning_rate=0.15), shuffle=False, verbose=0)
print(net.evaluate(X, y)["loss"])
"""
JAX = """
import jax, jax.numpy as jnp
cuts = (0, 4, 6), (6, 10, 12), (12, 14, 15)
params = [(jnp.array(start[a:b].reshape(2, -1)), jnp.array(start[b:c])) for a, b, c in cuts]
def loss(params):
    a = X
    for W, b in params:
        a = jax.nn.sigmoid(a @ W + b)
    return jnp.mean((a - y) ** 2)
@jax.jit
def train(params):
    update = lambda _, params: jax.tree.map(lambda p, g: p - 0.15 * g, params, jax.grad(loss)(params))
    return jax.lax.fori_loop(0, 5000, update, params)
print(float(jax.jit(loss)(train(params))))
"""
NUMPY = """
parts = [(start[a:b].reshape(2, -1), start[b:c]) for a, b, c in ((0, 4, 6), (6, 10, 12), (12, 14, 15))]
def forward():
    a = [X]
    for W, b in parts:
        a.append(1 / (1 + np.exp(-(a[-1] @ W + b))))
    return a
for _ in range(5000):
    a = forward()
    delta = (a[3] - y) * a[3] * (1 - a[3]) * np.float32(0.5)
    for k in (2, 1, 0):
        W, b = parts[k]
        below = (delta @ W.T) * a[k] * (1 - a[k])
        W -= np.float32(0.15) * (a[k].T @ delta)
        b -= np.float32(0.15) * delta.sum(0)
        delta = below
print(float(np.mean((forward()[3] - y) ** 2)))
"""
TORCH = """
import torch
X, y, start = map(torch.from_numpy, (X, y, start))
net = torch.nn.Sequential(*[part for o in (2, 2, 1) for part in (torch.nn.Linear(2, o), torch.nn.Sigmoid())])
with torch.no_grad():
    for linear, (a, b, c) in zip(net[::2], ((0, 4, 6), (6, 10, 12), (12, 14, 15))):
        linear.weight.copy_(start[a:b].reshape(2, -1).T)
        linear.bias.copy_(start[b:c])
optimizer = torch.optim.SGD(net.parameters(), lr=0.15)
for _ in range(5000):
    optimizer.zero_grad()
    torch.nn.functional.mse_loss(net(X), y).backward()
    optimizer.step()
print(torch.nn.functional.mse_loss(net(X), y).item())
"""
EMPTY, WARM = "empty", "warm"
NUMBA = ("NUMBA_CACHE_DIR",)
XLA = ("JAX_COMPILATION_CACHE_DIR",)
# name, module it needs, source, the variables that name its cache folder, state of that folder
ROWS = (
    ("python alone", "sys", "print(0.0)", (), EMPTY),
    ("import numba", "numba", "import numpy, numba\nprint(0.0)", (), EMPTY),
    ("fastmlp, cold cache", "fastmlp", DATA + FASTMLP, NUMBA, EMPTY),
    ("fastmlp, warm cache", "fastmlp", DATA + FASTMLP, NUMBA, WARM),
    ("jax", "jax", DATA + JAX, (), EMPTY),
    ("jax, warm cache", "jax", DATA + JAX, XLA, WARM),
    ("numpy", "numpy", DATA + NUMPY, (), EMPTY),
    ("torch", "torch", DATA + TORCH, (), EMPTY),
)
JAX_CACHES_ALL = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}


def start_parameters() -> str:
    """The XOR workload's start, from another process: see the remark on memory above."""
    code = "import workloads; print(workloads.WORKLOADS['xor']().start.tolist())"
    folder = Path(__file__).parent
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout


def run(source: str, environment: dict[str, str]) -> tuple[float, int, float]:
    """(wall seconds, peak bytes, the loss it printed)."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, env=environment, text=True)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), float(printed)


def measure(source: str, variables, state: str, repeats: int) -> dict:
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(repeats + (state == WARM)):
            cache = folder if state == WARM else os.path.join(folder, str(k))
            environment = {**os.environ, **JAX_CACHES_ALL, **dict.fromkeys(variables, cache)}
            runs.append(run(source, environment))
    runs = runs[-repeats:]  # the first of a warm row fills the cache
    seconds = [r[0] for r in runs]
    return {"seconds": statistics.median(seconds), "smallest": min(seconds), "largest": max(seconds),
            "peak_memory": statistics.median(r[1] for r in runs), "loss": runs[-1][2]}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help="row names that start with one of these")
    parser.add_argument("--json")
    options = parser.parse_args()
    start_clean()
    facts = machine()
    print_machine(facts)
    start, rows = start_parameters().strip(), {}
    print(f"{'':22}{'seconds':>10}{'smallest':>10}{'largest':>10}{'peak MB':>10}{'loss':>14}")
    for name, module, source, variables, state in ROWS:
        if options.only and not name.startswith(tuple(options.only.split(","))):
            continue
        if not find_spec(module):
            print(f"{name:22}  {module} is not installed")
            continue
        try:
            row = rows[name] = measure(source.replace("{start}", start), variables, state, options.repeats)
        except RuntimeError as reason:
            print(f"{name:22}  failed: {reason}")
            continue
        print(f"{name:22}{row['seconds']:10.3f}{row['smallest']:10.3f}{row['largest']:10.3f}"
              f"{row['peak_memory'] / 1e6:10.1f}{row['loss']:14.6g}")  # fmt: skip
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": facts, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
