"""The table of competitors: fastmlp, other libraries, each written as its own experts would write it, and the limits.

A competitor's module offers Implementation(variant) with
    prepare(case, threads)     build and compile, and return the seconds; raises Unsupported if it cannot do the case
    reset()                    back to the start of the case
    run(n)                     n more runs of the case; returns when they are finished
    answer(case)               the result that `case.check` compares with float64, after `run(case.verify_runs)`
and, optionally,
    notes() -> {name: number}  more to report
    peak_memory() -> int       bytes, if yet another process does the computing
A module may also have products() -> str, the name of the library of its matrix products if threadpoolctl cannot see it,
and preload(variant), for competitors with `preloads`: preparations that do not depend on the case. Each competitor runs
in a process of its own per number of threads (suite/worker.py, suite/fork_server.py), so global settings need no
undoing. DEVICE, "cpu" or "cuda", is where it computes.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

DEVICE = os.environ.get("FASTMLP_BENCH_DEVICE", "cpu")
ABSENT = {
    "sklearn": "scikit-learn is not installed",
    "torch": "PyTorch is not installed",
    "jax": "JAX is not installed",
    "keras": "Keras is not installed",
    "cupy": "CuPy is not installed",
    "fastmlp.estimators.base": "this version has no estimators",
}


# Modules to import for a library, where importing its name alone does not import all that is used.
LOADS = {
    "fastmlp": ("fastmlp.mlp", "fastmlp.population", "fastmlp.kernels.cpu.backend"),
    "fastmlp.estimators.base": ("fastmlp.estimators.base", "fastmlp.kernels.cpu.backend"),
    "jax": ("jax.numpy",),
    "sklearn": ("sklearn.neural_network",),
}


class Unsupported(Exception):
    """This competitor cannot do this case; the message says why."""


class TrainingImplementation:
    """Base of competitors that train; they have params() -> float32 and, of one net, loss(X, y) -> float."""

    def answer(self, case):
        return self.params(), None if case.n_nets else self.loss(case.X, case.y)


class NetsImplementation(TrainingImplementation):
    """Base of competitors that train many nets; each run begins at the start of the case.

    forms : {variant: class whose objects, of a case and a number of threads, have run(n_epochs) -> params}
    """

    forms: dict[str, Any]

    def __init__(self, variant: str):
        self.variant = variant

    def prepare(self, case, threads: int) -> float:
        started = time.perf_counter()
        self.form = self.forms[self.variant](case, threads)
        self.run(1)
        return time.perf_counter() - started

    def reset(self) -> None:
        """Nothing to do: each run begins at the start."""

    def run(self, n_epochs: int) -> None:
        self.reached = self.form.run(n_epochs)

    def params(self):
        return self.reached


BOTH_DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Competitor:
    """One competitor of a case.

    needs : the modules that must be installed
    kind : "peer" (another library), "ours" (fastmlp), "limit" (computes only what the case cannot do without) or "part"
        (another form of fastmlp, for comparison)
    corrects_epsilon : which of the two published forms of Adam it has (suite/reference.py, train)
    chooses_threads : it chooses its number of threads; otherwise it is run with each setting
    devices : where it can compute
    left_out : why it is not measured in this case, listed as the reason; or ""
    loads : modules that its library imports only when it is used in this way
    preloads : its module has `preload`
    slow_start : it compiles for longer than a quick run takes; --quick leaves it out
    """

    name: str
    module: str
    variant: str = ""
    needs: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, hash=False)
    kind: str = "peer"
    corrects_epsilon: bool = True
    chooses_threads: bool = False
    slow_start: bool = False
    devices: tuple[str, ...] = ("cpu",)
    left_out: str = ""
    loads: tuple[str, ...] = ()
    preloads: bool = False

    @property
    def family(self) -> str:
        return self.name.split()[0].rstrip(",")

    @property
    def imports(self) -> tuple[str, ...]:
        """The modules that its process imports at the start, without those of this suite."""
        return (*(module for name in self.needs for module in LOADS.get(name, (name,))), *self.loads)

    @property
    def missing(self) -> str:
        """A sentence that names what is not installed, or ""."""
        absent = [ABSENT.get(name, f"{name} is not installed") for name in self.needs if not is_installed(name)]
        return " and ".join(absent)


def check_gpu(competitor: Competitor) -> None:
    """Refuse a library that would compute on the CPU where a GPU was asked for."""
    if DEVICE != "cuda":
        return
    if "torch" in competitor.needs and not import_module("torch").cuda.is_available():
        raise Unsupported("this PyTorch finds no GPU")
    if "jax" in competitor.needs:
        if import_module("jax").default_backend() != "gpu":
            raise Unsupported("this JAX finds no GPU")
        # On a GPU, JAX's float32 products use TF32 unless told otherwise.
        import_module("jax").config.update("jax_default_matmul_precision", "highest")


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


OPTIMISER, COMPILER = ("torch._dynamo",), ("torch._inductor.compile_fx",)
# What the rows of a library have in common, and what a form adds. Keras is 46 times as fast on JAX as on PyTorch at
# XOR (bench/log/method.md#keras-backend).
LIBRARIES: dict[str, dict[str, Any]] = {
    "fastmlp": {"needs": ("fastmlp",), "chooses_threads": True},
    "numpy": {},
    "sklearn": {"needs": ("sklearn",), "corrects_epsilon": False},
    "torch": {"needs": ("torch",), "devices": BOTH_DEVICES},
    "jax": {"needs": ("jax",), "devices": BOTH_DEVICES},
    "keras": {
        "needs": ("keras", "jax"),
        "devices": BOTH_DEVICES,
        "environment": {"KERAS_BACKEND": "jax"},
        "corrects_epsilon": False,
        "slow_start": True,
    },
    "import": {},
    "python": {},
    "numba": {},
    "arithmetic": {"kind": "limit", "preloads": True},
    "chain": {"kind": "limit", "preloads": True},
    "products": {"needs": ("fastmlp",), "kind": "limit", "preloads": True},
}
_DEVICES = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={os.cpu_count() or 1}"}
# The level of AVX2 with its features, as in kernels/jit/cpu_features.py, which imports LLVM.
AVX2_FEATURES = "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
FORMS: dict[str, dict[str, Any]] = {
    "fastmlp": {"kind": "ours", "devices": BOTH_DEVICES},
    "fastmlp, one thread": {"environment": {"FASTMLP_NUM_THREADS": "1"}},
    "fastmlp, AVX2": {
        "environment": {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": AVX2_FEATURES},
        "slow_start": True,
    },
    "fastmlp, no graphs": {"environment": {"FASTMLP_CUDA_GRAPHS": "0"}, "devices": ("cuda",)},
    "torch eager": {"loads": OPTIMISER},
    "torch batched": {"loads": OPTIMISER},
    "torch compiled": {"loads": COMPILER, "slow_start": True},
    "torch captured": {"loads": OPTIMISER, "devices": ("cuda",)},  # the whole step as one CUDA graph
    "jax scan": {"slow_start": True},
    "jax vmap": {"slow_start": True},
    "jax blocked": {"environment": _DEVICES, "devices": ("cpu",)},
}


def programs(module: str, *names: str, **others: Any) -> tuple[Competitor, ...]:
    """Rows of the table, with the facts of their library and form.

    module : of the competitors, with {} in the place of the library's name; without it their variant is the whole name
    names : "library form", or "library, form" of another form of fastmlp
    others : further facts, of all of these rows
    """
    rows = []
    for name in names:
        family, _, variant = name.replace(",", "").partition(" ")
        facts = {"kind": "part"} if name.startswith("fastmlp,") else {}
        facts |= LIBRARIES[family] | FORMS.get(name, {}) | others
        rows.append(Competitor(name, module.format(family), variant if "{}" in module else name, **facts))
    return tuple(rows)


TRAINERS, NETS = "competitors.{}_competitor", "competitors.many_nets_{}"
ARITHMETIC = (
    *programs("limits.arithmetic", "arithmetic"),
    Competitor("arithmetic of the GPU", "limits.cuda", "arithmetic", ("cupy",), kind="limit", devices=("cuda",)),
)
CHAIN = programs("limits.arithmetic", "chain")[0]
GPU_PRODUCTS = (Competitor("products cuBLAS", "limits.cuda", "products", ("cupy",), kind="limit", devices=("cuda",)),)
PRODUCTS = (*programs("limits.products", "products gemm"), *GPU_PRODUCTS)
PEERS = ("numpy", "sklearn", "torch eager", "torch compiled", "torch captured", "jax tuned", "jax scan", "keras jax")
TRAINING = programs(TRAINERS, "fastmlp", *PEERS)
FIRST_FITS = programs(TRAINERS, "fastmlp, first fits")[0]
# For large nets: fastmlp on one thread, without AVX-512, and without CUDA graphs.
LIMITED = programs(TRAINERS, "fastmlp, one thread", "fastmlp, AVX2", "fastmlp, no graphs")
# One form per library, of those that compile in seconds the best over the whole curve.
CURVE = tuple(one for one in TRAINING if one.name in ("fastmlp", "numpy", "torch eager", "jax tuned"))
POPULATION = (
    *programs(TRAINERS, "fastmlp"),
    *programs(NETS, "jax blocked", "torch compiled", devices=("cpu",)),
    *programs(NETS, "jax vmap", "torch batched", devices=("cuda",)),  # 5 and 11 times as slow as those on a CPU
)
STOPPING = programs(TRAINERS, "fastmlp, own stopping", "fastmlp, own rates too")
# Of cases for a GPU only.
GPU_TRAINING = programs(
    TRAINERS,
    *("fastmlp", "fastmlp, no graphs", "torch eager", "torch compiled", "torch captured", "jax scan"),
    devices=("cuda",),
)
GPU_NETS = (
    *programs(TRAINERS, "fastmlp", "fastmlp, no graphs", devices=("cuda",)),
    *programs(NETS, "torch batched", "jax vmap", devices=("cuda",)),
)
PREDICTION = programs(
    "competitors.prediction",
    *("fastmlp", "numpy", "sklearn", "torch eager", "torch traced", "torch compiled", "jax", "keras jax"),
)
ESTIMATORS = programs(
    "competitors.estimators", "fastmlp", "sklearn", needs=("sklearn", "fastmlp.estimators.base"), devices=("cpu",)
)
