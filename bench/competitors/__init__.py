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
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec

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
    """Base of competitors that train one net; they have params() -> (n_params,) float32 and loss(X, y) -> float."""

    def answer(self, case):
        return self.params(), self.loss(case.X, case.y)


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


def _ours(module: str, variant: str = "") -> Competitor:
    return Competitor("fastmlp", module, variant, ("fastmlp",), kind="ours", chooses_threads=True, devices=BOTH_DEVICES)


def _on_gpu(name: str, variant: str) -> Competitor:
    return Competitor(name, "limits.cuda", variant, ("cupy",), kind="limit", devices=("cuda",))


ARITHMETIC = (
    Competitor("arithmetic", "limits.arithmetic", kind="limit", preloads=True),
    _on_gpu("arithmetic of the GPU", "arithmetic"),
)
MEMORY = (Competitor("memory", "limits.memory", kind="limit"), _on_gpu("memory of the GPU", "memory"))
CHAIN = Competitor("chain", "limits.arithmetic", "chain", kind="limit", preloads=True)
PRODUCTS = (
    Competitor("products np.dot", "limits.products", "np.dot", kind="limit", slow_start=True, preloads=True),
    Competitor("products gemm", "limits.products", "gemm", ("fastmlp",), kind="limit", preloads=True),
    _on_gpu("products cuBLAS", "products"),
)

OPTIMISER, COMPILER = ("torch._dynamo",), ("torch._inductor.compile_fx",)
_JAX = {"KERAS_BACKEND": "jax"}  # 46 times as fast as on PyTorch at XOR: bench/log/method.md#keras-backend
TRAINING = (
    _ours("competitors.fastmlp_competitor"),
    Competitor("numpy", "competitors.numpy_competitor"),
    Competitor("sklearn", "competitors.sklearn_competitor", needs=("sklearn",), corrects_epsilon=False),
    Competitor(
        "torch eager", "competitors.torch_competitor", "eager", ("torch",), devices=BOTH_DEVICES, loads=OPTIMISER
    ),
    Competitor(
        "torch compiled",
        "competitors.torch_competitor",
        "compiled",
        ("torch",),
        slow_start=True,
        devices=BOTH_DEVICES,
        loads=COMPILER,
    ),
    Competitor("jax tuned", "competitors.jax_competitor", "tuned", ("jax",), devices=BOTH_DEVICES),
    Competitor("jax scan", "competitors.jax_competitor", "scan", ("jax",), slow_start=True, devices=BOTH_DEVICES),
    Competitor(
        "keras jax",
        "competitors.keras_competitor",
        "jax",
        ("keras", "jax"),
        _JAX,
        corrects_epsilon=False,
        slow_start=True,
        devices=BOTH_DEVICES,
    ),
)
# For large steps only.
JAX_STEP = Competitor("jax step", "competitors.jax_competitor", "step", ("jax",), slow_start=True, devices=BOTH_DEVICES)
FIRST_FITS = Competitor(
    "fastmlp, first fits",
    "competitors.fastmlp_competitor",
    "first fits",
    ("fastmlp",),
    kind="part",
    chooses_threads=True,
)
# The level of AVX2 with its features, as in kernels/jit/cpu_features.py, which imports LLVM.
AVX2_FEATURES = "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
_AVX2 = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": AVX2_FEATURES}
# For large nets: fastmlp on one thread, and without AVX-512.
LIMITED = (
    Competitor(
        "fastmlp, one thread",
        "competitors.fastmlp_competitor",
        "one thread",
        ("fastmlp",),
        {"FASTMLP_NUM_THREADS": "1"},
        kind="part",
        chooses_threads=True,
    ),
    Competitor(
        "fastmlp, AVX2",
        "competitors.fastmlp_competitor",
        "AVX2",
        ("fastmlp",),
        _AVX2,
        kind="part",
        chooses_threads=True,
        slow_start=True,
    ),
)
# One form per library, of those that compile in seconds the best over the whole curve.
CURVE = tuple(
    competitor for competitor in TRAINING if competitor.name in ("fastmlp", "numpy", "torch eager", "jax tuned")
)
_DEVICES = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={os.cpu_count() or 1}"}
POPULATION = (
    _ours("competitors.many_nets", "fastmlp"),
    Competitor("jax blocked", "competitors.many_nets", "jax blocked", ("jax",), _DEVICES),
    Competitor("jax vmap", "competitors.many_nets", "jax vmap", ("jax",), slow_start=True, devices=BOTH_DEVICES),
    Competitor(
        "torch batched", "competitors.many_nets", "torch batched", ("torch",), devices=BOTH_DEVICES, loads=OPTIMISER
    ),
    Competitor(
        "torch compiled", "competitors.many_nets", "torch compiled", ("torch",), slow_start=True, loads=COMPILER
    ),
    Competitor("numpy blocked", "competitors.many_nets", "numpy blocked"),
)
STOPPING = (
    Competitor(
        "fastmlp, own stopping",
        "competitors.many_nets",
        "own stopping",
        ("fastmlp",),
        kind="part",
        chooses_threads=True,
    ),
    Competitor(
        "fastmlp, own rates too", "competitors.many_nets", "own rates", ("fastmlp",), kind="part", chooses_threads=True
    ),
)
PREDICTION = (
    _ours("competitors.prediction", "fastmlp"),
    Competitor("numpy", "competitors.prediction", "numpy"),
    Competitor("sklearn", "competitors.prediction", "sklearn", ("sklearn",)),
    Competitor("torch eager", "competitors.prediction", "torch eager", ("torch",), devices=BOTH_DEVICES),
    Competitor("torch traced", "competitors.prediction", "torch traced", ("torch",), devices=BOTH_DEVICES),
    Competitor(
        "torch compiled",
        "competitors.prediction",
        "torch compiled",
        ("torch",),
        slow_start=True,
        devices=BOTH_DEVICES,
        loads=COMPILER,
    ),
    Competitor("jax", "competitors.prediction", "jax", ("jax",), devices=BOTH_DEVICES),
    Competitor(
        "keras jax", "competitors.prediction", "keras", ("keras", "jax"), _JAX, slow_start=True, devices=BOTH_DEVICES
    ),
)
ESTIMATORS = (
    Competitor(
        "fastmlp",
        "competitors.estimators",
        "fastmlp",
        ("sklearn", "fastmlp.estimators.base"),
        kind="ours",
        chooses_threads=True,
    ),
    Competitor("sklearn", "competitors.estimators", "sklearn", ("sklearn",)),
)
KERNELS = (
    Competitor("fastmlp", "competitors.kernels", "fastmlp", ("fastmlp",), kind="ours"),
    Competitor("numpy", "competitors.kernels", "numpy"),
    Competitor("torch", "competitors.kernels", "torch", ("torch",)),
    Competitor("jax", "competitors.kernels", "jax", ("jax",)),
)
