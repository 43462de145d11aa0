"""Predicted cycles of the hot loops on four processors, by llvm-mca: what a loop can reach on other machines.

    python bench/tools/predicted_cycles.py [--save bench/results/predicted_cycles.json]
                                           [--base bench/results/predicted_cycles.json]

Each loop is compiled as its kernel is, for each processor, in a process of its own; nothing is run. llvm-mca then
simulates the loop's instructions with all data in the first-level cache. A prediction is in cycles per vector of 64
bytes of results (16 numbers of float32), whatever the width of the processor's registers: of multiply-adds for
products, of outputs for the others. It ignores caches, branches that are mispredicted, and the clock that wide
registers may lower; and LLVM's model of Sapphire Rapids has one multiply-add unit of 512 bits, where the larger
processors of that kind have two. Compare predictions for one processor with each other. Takes a minute.

--save writes the predictions; --base compares with saved ones and exits with 1 where one grew by more than 3 %.
Needs llvm-mca (on Debian: apt-get install llvm-19).
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
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
GROWTH_LIMIT = 0.03
ITERATIONS = 200  # of a loop, that llvm-mca simulates
PROCESSORS = {
    "haswell": "x86-64-v3",
    "skylake-avx512": "x86-64-v4",
    "sapphirerapids": "x86-64-v4",
    "znver4": "x86-64-v4",
}
MULTIPLY_ADD = r"vfn?m(?:add|sub)\w*p[sd]\s"
STORE = r"vmovu?a?ps\s+%[xyz]mm\d+, "
BYTES = {"x": 16, "y": 32, "z": 64}  # of a register
VECTOR = 64  # bytes of results that a prediction is for


class Loop(NamedTuple):
    """A hot loop, and what an iteration of it computes."""

    program: Callable  # kernel that has the loop
    arguments: tuple
    counted: str  # pattern of the instructions of which each computes one register of results


def loops() -> dict[str, Loop]:
    """Return the hot loops. Imports the kernels, for the processor that the environment names."""
    import numpy as np

    from fastmlp.kernels.cpu.gemm.gemm import PLAIN, product
    from fastmlp.kernels.cpu.gemm.operands import Matrix
    from fastmlp.kernels.cpu.gemm.skinny_gemm import dots
    from fastmlp.kernels.cpu.population.gradient_loops import Units, Weights
    from fastmlp.kernels.cpu.population.gradient_loops import dense as population_dense
    from fastmlp.kernels.cpu.single_net import batch_simd_products as batch
    from fastmlp.kernels.cpu.single_net import elementwise, optimizer_step
    from fastmlp.kernels.formulas import activations, update_rules
    from fastmlp.kernels.jit.decorators import helper, kernel
    from fastmlp.kernels.simd.lanes import Lanes
    from fastmlp.kernels.simd.load_store import offset

    x, number, lanes = np.ones(4096, np.float32), 64, Lanes(16)

    @kernel
    def matrix_product(a, b, c, scratch, m, n, k):
        a, b, c = Matrix(offset(a, 0), 0, k), Matrix(offset(b, 0), 0, n), Matrix(offset(c, 0), 0, n)
        product(PLAIN, False, m, n, k, a, b, False, c, offset(scratch, 0), 0)

    @kernel
    def few_columns(a, b, c, scratch, m, n, k):
        a, b, c = Matrix(offset(a, 0), 0, k), Matrix(offset(b, 0), 0, n), Matrix(offset(c, 0), 0, n)
        dots(m, n, k, a, b, False, c, offset(scratch, 0))

    @helper
    def nothing(y, start, size, extra):
        pass

    @kernel
    def samples_in_lanes(p, a, c, n_in, n_out, columns):
        weights = batch.LayerWeights(offset(p, 0), 0, n_in * n_out)
        a, c = Matrix(offset(a, 0), 0, columns), Matrix(offset(c, 0), 0, columns)
        batch.dense(weights, 1, n_out, True, n_in, n_out, a, c, nothing, 0, lanes)

    @kernel
    def gradients_in_lanes(a, delta, g, n_in, n_out, columns):
        batch.weight_gradients(offset(a, 0), 0, offset(delta, 0), 0, n_in, n_out, columns, offset(g, 0), 0, 0, lanes)

    @kernel
    def nets_in_lanes(p, a, c, n_in, n_out, m):
        weights = Weights(offset(p, 0), 0, 1, n_out, n_in * n_out)
        population_dense(weights, Units(offset(a, 0), 0, n_in), Units(offset(c, 0), 0, n_out), m, lanes)

    def activation(name):
        apply = elementwise._make_activate(activations.ACTIVATIONS[activations.CODES[name]])

        @kernel
        def activate(z, b, a, width):
            apply(offset(z, 0), 0, offset(b, 0), 0, False, 1, width, offset(a, 0), 0)

        return Loop(activate, (x, x, x, number), STORE)

    def update(name):
        apply = optimizer_step.make_update(update_rules.RULES[update_rules.CODES[name]])

        @kernel
        def step(p, g, state, hyper, n, rate):
            h = optimizer_step.settings_like(p, hyper, rate, 1.0, 1.0, 0.0)
            apply(offset(p, 0), offset(g, 0), offset(state, 0), 0, n, n, h, lanes)

        return Loop(step, (x, x, x, np.ones(64), number, 1.0), STORE)

    sizes = (number, number, number)
    return {
        "product": Loop(matrix_product, (x, x, x, x, *sizes), MULTIPLY_ADD),
        "product of few columns": Loop(few_columns, (x, x, x, x, *sizes), MULTIPLY_ADD),
        "product, samples in lanes": Loop(samples_in_lanes, (x, x, x, *sizes), MULTIPLY_ADD),
        "gradient, samples in lanes": Loop(gradients_in_lanes, (x, x, x, *sizes), MULTIPLY_ADD),
        "product, nets in lanes": Loop(nets_in_lanes, (x, x, x, *sizes), MULTIPLY_ADD),
        **{name: activation(name) for name in ("relu", "tanh", "sigmoid", "gelu")},
        **{name: update(name) for name in ("sgd", "momentum", "adam")},
    }


def assembly_of_loops() -> dict[str, str]:
    """Return {name: assembly of the loop's kernel}, for the processor that the environment names."""
    from fastmlp.kernels.jit import compiler

    found = {}
    for name, loop in loops().items():
        text = compiler.library(loop.program, loop.arguments).assembly()
        found[name] = innermost_loop(text, loop.counted)
    return found


def innermost_loop(assembly: str, counted: str) -> str:
    """Return the instructions of the innermost loop that has most instructions of the pattern `counted`.

    >>> innermost_loop(".LBB0_1:\\n vaddps %ymm0\\n jne .LBB0_1\\n ret\\n", "vaddps")
    ' vaddps %ymm0'
    """
    blocks = re.findall(r"^(\.LBB\S+):(.*?)(?=^\.LBB|\Z)", assembly, flags=re.MULTILINE | re.DOTALL)
    bodies = []
    for label, block in blocks:
        body, *rest = re.split(rf"^\s*j\w+\s+{re.escape(label)}$", block, maxsplit=1, flags=re.MULTILINE)
        if rest:
            bodies.append(body)
    if not bodies:
        raise ValueError("The code has no innermost loop.")
    # Of several the shortest: the others are for what is left over, with masks.
    return max(bodies, key=lambda body: (len(re.findall(counted, body)), -len(body.splitlines()))).strip("\n")


def bytes_of_results(loop: str, counted: str) -> int:
    """Return the bytes of results that an iteration computes: of the registers in instructions of the pattern.

    >>> bytes_of_results("vfmadd231ps (%rax), %ymm1, %ymm2\\n vfmadd231ps %ymm3, %ymm4, %ymm5", MULTIPLY_ADD)
    64
    """
    lines = [line for line in loop.splitlines() if re.search(counted, line)]
    return sum(BYTES[re.findall(r"%([xyz])mm", line)[-1]] for line in lines)


def cycles(loop: str, processor: str) -> float:
    """Return the cycles that an iteration takes according to llvm-mca."""
    command = [mca(), "-mtriple=x86_64", f"-mcpu={processor}", f"-iterations={ITERATIONS}", "-"]
    text = "\n".join(line for line in loop.splitlines() if not re.match(r"\s*(?:\.|#|$)", line)) + "\n"
    process = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    found = re.search(r"Total Cycles:\s+(\d+)", process.stdout)
    if not found:
        raise RuntimeError(f"llvm-mca failed for {processor}: {process.stderr.strip()[-600:]}")
    return int(found.group(1)) / ITERATIONS


def mca() -> str:
    """Return the newest llvm-mca; older ones do not know the processors."""
    names = [name for version in range(30, 16, -1) if (name := shutil.which(f"llvm-mca-{version}"))]
    found = names[0] if names else shutil.which("llvm-mca")
    if not found:
        raise RuntimeError("llvm-mca is not installed (on Debian: apt-get install llvm-19).")
    return found


def predictions(processor: str) -> dict[str, float]:
    """Return {loop: predicted cycles for 64 bytes of results} for a processor."""
    from fastmlp.kernels.jit.cpu_features import LEVELS

    with tempfile.TemporaryDirectory() as cache:
        features = ",".join(f"+{name}" for name in LEVELS[PROCESSORS[processor]])
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "src"),
            "NUMBA_CACHE_DIR": cache,
            "NUMBA_CPU_NAME": processor,
            "NUMBA_CPU_FEATURES": features,
        }
        process = subprocess.run(
            [sys.executable, __file__, "--assembly"], env=environment, capture_output=True, text=True, check=False
        )
    if process.returncode:
        raise RuntimeError(f"The loops cannot be compiled for {processor}: {process.stderr.strip()[-600:]}")
    found = {}
    for name, (loop, counted) in json.loads(process.stdout).items():
        found[name] = round(cycles(loop, processor) * VECTOR / bytes_of_results(loop, counted), 3)
    return found


def table(results: dict[str, dict[str, float]]) -> str:
    """Return {processor: {loop: cycles}} as a table.

    >>> print(table({"haswell": {"relu": 2.0}, "znver4": {"relu": 1.5}}))
    cycles per 64 bytes         haswell   znver4
    relu                          2.000    1.500
    """
    lines = ["cycles per 64 bytes".ljust(26) + "".join(name.rjust(max(9, len(name) + 1)) for name in results)]
    for loop in next(iter(results.values())):
        numbers = (f"{found[loop]:.3f}".rjust(max(9, len(name) + 1)) for name, found in results.items())
        lines.append(loop.ljust(26) + "".join(numbers))
    return "\n".join(lines)


def grown(results: dict[str, dict[str, float]], base: dict[str, dict[str, float]]) -> list[str]:
    """Return a sentence for each prediction that grew.

    >>> grown({"znver4": {"relu": 1.2, "tanh": 5.0}}, {"znver4": {"relu": 1.0, "tanh": 5.0}})
    ['relu on znver4: 1.2 cycles, 1.0 before']
    """
    return [
        f"{loop} on {processor}: {value} cycles, {base[processor][loop]} before"
        for processor, found in results.items()
        for loop, value in found.items()
        if value > base.get(processor, {}).get(loop, value) * (1.0 + GROWTH_LIMIT)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--assembly", action="store_true", help=argparse.SUPPRESS)  # what each process is called with
    options = parser.parse_args()
    if options.assembly:
        counted = {name: loop.counted for name, loop in loops().items()}
        print(json.dumps({name: (text, counted[name]) for name, text in assembly_of_loops().items()}))
        return 0
    try:
        results = {processor: predictions(processor) for processor in PROCESSORS}
    except RuntimeError as error:
        print(f"predicted_cycles.py: {error}", file=sys.stderr)
        return 2
    print(table(results))
    if options.save:
        options.save.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sentences = grown(results, json.loads(options.base.read_text(encoding="utf-8"))) if options.base else []
    print("\n".join(sentences))
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
