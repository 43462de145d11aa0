"""Blocks of nets in one SIMD register or in two: the study behind thresholds.WIDE_UP_TO_PARAMS.

    python bench/studies/lanes_per_block.py [--epochs 1024]

Calls the unrolled code of an architecture on one block of nets, with the four samples of XOR and nothing around it: no
queue, no records. With fewer epochs the call through ctypes, 6 us, would count. Prints nanoseconds per net and epoch
for both numbers of lanes, their ratio, and the number of stores to the stack in the machine code, which shows how many
values have no register. Nets start anew before each call, so that few have learned and gradients do not become denormal
(kernels/cpu/threads/denormals.py).
"""

from __future__ import annotations

import argparse
import ctypes
import re
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean

ARCHITECTURES = ((2, 1), (2, 2, 1), (2, 3, 1), (2, 4, 1), (2, 5, 1), (2, 6, 1), (2, 3, 3, 1), (2, 8, 1), (2, 4, 4, 1))
RULES = {"sgd": 0.5, "adam": 0.01, "quickprop": 0.5, "rprop": 0.1}
SETTINGS = {"growth": 1.2, "shrink": 0.5, "smallest": 1e-6, "biggest": 50.0, "epsilon": 1e-8}
POINTER, NUMBER, COUNT = ctypes.c_void_p, ctypes.c_float, ctypes.c_ssize_t
ROUNDS, CALLS = 40, 3


def c_function(sizes, rule, lanes):
    """(the function as ctypes calls it, stores of whole vectors to the stack)"""
    from fastmlp.kernels.cpu.unrolled.population_codegen import python_function, signature
    from fastmlp.kernels.formulas.activations import CODES
    from fastmlp.kernels.formulas.update_rules import CODES as RULE_CODES
    from fastmlp.kernels.jit.call import load_function
    from fastmlp.kernels.jit.compiler import library_of_c

    architecture = sizes, (CODES["sigmoid"],) * (len(sizes) - 1), 0, RULE_CODES[rule], lanes, False
    library = library_of_c(python_function(architecture), *signature(np.dtype("float32")))
    spills = re.findall(r"vmov\w+\s+%[xyz]mm\d+, -?\d*\(%r[sb]p\)", library.assembly())
    kind = ctypes.CFUNCTYPE(COUNT, *[POINTER] * 8, *[COUNT] * 5, *[NUMBER] * 6, *[POINTER] * 4, COUNT, POINTER, POINTER)
    return kind(load_function(f"lab_lanes {architecture}", lambda: library.object_code).address), len(spills)


def nanoseconds(sizes, rule, lanes, epochs) -> tuple[float, int]:
    """(per net and epoch, stores to the stack)"""
    from fastmlp.kernels.cpu.unrolled.population_codegen import SUMS_EVERY_LOSS, SUMS_LAST_STEP
    from fastmlp.kernels.structs import HYPER, NO_EPOCH, aligned_zeros

    train, spills = c_function(sizes, rule, lanes)
    n = sum((i + 1) * j for i, j in pairwise(sizes))
    array = lambda *shape: aligned_zeros((*shape, lanes), np.float32)
    start = np.random.default_rng(0).normal(size=(n, lanes))
    p, g, a, y, weight = array(n), array(n), array(sum(sizes), 4), array(1, 4), array(4)
    hyper, loss, n_correct, state, last_loss = array(len(HYPER)), array(1), array(1), array(3, n), array(1)
    betas, powers = np.zeros((2, lanes)), np.ones((2, lanes))
    a[:2], y[0], weight[:] = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])[:, :, None], np.array([[0], [1], [1], [0]]), 0.25
    for name, value in {**SETTINGS, "learning_rate": RULES[rule]}.items():
        hyper[HYPER.index(name)] = value
    if rule == "adam":
        betas[:] = [[0.9], [0.999]]
    arrays = [x.ctypes.data for x in (p, g, a, y, weight, hyper, loss, n_correct, state, betas, powers, last_loss)]
    judges = SUMS_EVERY_LOSS if rule == "rprop" else SUMS_LAST_STEP
    numbers = (4, 0, judges, 1, epochs, 4.0, 1.0, 0.0, 0.5, -np.inf, np.inf)
    due = np.array([NO_EPOCH])
    best = np.inf
    for _ in range(ROUNDS):
        seconds = 0.0
        for _ in range(CALLS):
            p[:], state[:], powers[:], last_loss[:] = start, 0.0, 1.0, np.inf
            state[1] = RULES[rule] if rule == "rprop" else 0.0
            began = time.perf_counter()
            train(*arrays[:8], *numbers, *arrays[8:], 0, due.ctypes.data, None)
            seconds += time.perf_counter() - began
        best = min(best, seconds)
    return best / (CALLS * epochs * lanes) * 1e9, spills


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1024)
    epochs = parser.parse_args().epochs
    start_clean()
    from fastmlp.kernels.cpu.workspace import VECTOR_BYTES

    one = max(8, VECTOR_BYTES // 4)
    for sizes in ARCHITECTURES:
        n_params = sum((i + 1) * j for i, j in pairwise(sizes))
        for rule in RULES:
            (narrow, spills), (wide, wide_spills) = (nanoseconds(sizes, rule, n, epochs) for n in (one, 2 * one))
            title = f"{'-'.join(map(str, sizes))}, {n_params} parameters, {rule}"
            ratio, stores = wide / narrow, f"stores to the stack {spills}, {wide_spills}"
            times = f"{one} lanes {narrow:6.2f} ns, {2 * one} lanes {wide:6.2f}"
            print(f"{title:35}: {times}, ratio {ratio:.2f}; {stores}", flush=True)


if __name__ == "__main__":
    main()
