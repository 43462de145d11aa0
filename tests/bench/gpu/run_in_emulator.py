"""bench/gpu/run.py on a machine without a GPU, with tiny sizes: its processes run this program in its place.

Only these processes have the emulator: the one that starts them must not need a GPU. JAX blocks in the case with TF32,
and its process is stopped then; without a GPU no competitor is timed. Only NumPy, Numba and the competitors can be
imported.
"""

import sys
import time
from contextlib import nullcontext
from functools import partial, wraps
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS.parent / folder) for folder in ("src", "bench", "tests")]

NOT_NEEDED = (  # dependencies of this project and its extras, without the competitors
    "pytest",
    "scipy",
    "safetensors",
    "threadpoolctl",
    "typer",
    "click",
    "rich",
    "pandas",
    "pyarrow",
    "sklearn",
    "matplotlib",
    "PIL",
    "imageio_ffmpeg",
    "polars",
    "hypothesis",
    "mpmath",
)
sys.modules.update(dict.fromkeys(NOT_NEEDED))

import cuda_emulator  # noqa: E402
from gpu import cases, competitors, limits, processes, run  # noqa: E402

from fastmlp.commands import measure_costs, measure_gpu  # noqa: E402


def smaller(function, sizes):
    """sizes : (arguments as bench/gpu/run.py gives them) -> smaller ones"""
    return wraps(function)(lambda *arguments, **named: function(*sizes(*arguments, **named)))


def block_marker(arguments):
    """Path of the file by which a process with these arguments reports that JAX blocks."""
    return Path(arguments[arguments.index("--into") + 1]).with_suffix(".waits")


def block_forever(*_):
    block_marker(sys.argv).touch()
    time.sleep(600)


def stop_if_jax_blocks(process, seconds, wait_or_stop=processes.wait_or_stop):
    while process.poll() is None and not block_marker(process.args).exists():
        time.sleep(0.05)
    return wait_or_stop(process, 0.0 if process.poll() is None else seconds)


limits.limits = smaller(limits.limits, lambda cupy, *_: (cupy, 1000, 32, 2))
cases.population = smaller(
    cases.population, lambda cupy, *arguments: (cupy, 130, 3, arguments[-2], arguments[-1]._replace(rounds=2))
)
cases.single = smaller(
    cases.single,
    lambda cupy, sizes, batch, n_batches, epochs, precision, target, timing: (
        cupy,
        tuple(min(size, 40) for size in sizes),
        32,
        3,
        2,
        precision,
        target,
        timing._replace(rounds=2),
    ),
)
cases.nets_in_steps = smaller(
    cases.nets_in_steps,
    lambda cupy, sizes, n_nets, batch, n_batches, epochs, precision, timing: (
        cupy,
        cases.MANY,  # too large for a block, also in small batches
        3,
        8,
        3,
        1,
        precision,
        timing._replace(rounds=2),
    ),
)
competitors.Jax = lambda *job, jax=competitors.Jax: (block_forever if job[-1] == "tf32" else jax)(*job)
processes.wait_or_stop = stop_if_jax_blocks
measure_gpu.WIDTHS, measure_gpu.NETS, measure_gpu.BATCHES, measure_gpu.SECONDS = (8, 16), (2, 3), 2, 0.0
measure_gpu.seconds_to_start = {"cpu": 0.25, "cuda": 0.5}.get  # since new processes would not find the emulator
measure_costs.step = smaller(
    measure_costs.step,
    lambda gpu, sizes, rows, n_nets=None, precision="exact": (
        gpu,
        tuple(min(size, 60 if size > 1000 else 20) for size in sizes),
        min(rows, 8),
        None if n_nets is None else 3,
        precision,
    ),
)
measure_costs.N_BATCHES = 2
run.run_in_process = partial(processes.run_in_process, program=__file__)

if __name__ == "__main__":
    with cuda_emulator.installed() if "--only" in sys.argv else nullcontext():
        run.main()
