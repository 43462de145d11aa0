"""The arrows between modules point down, and `import fastmlp` costs next to nothing.

`src` imports `kernels`; `kernels` imports nobody. Each list below goes from what stands at the bottom to what stands on
top: a module may import those of lists before its own. A new module takes its place in a list.
"""

import ast
from pathlib import Path

import pytest

import fastmlp
import fastmlp.kernels

SRC = Path(fastmlp.__file__).parent
KERNELS = Path(fastmlp.kernels.__file__).parent

SRC_LEVELS = [
    [
        "array_files", "benchmarks.keeper", "benchmarks.machine", "benchmarks.processors", "cells",
        "diagnosis.label_checks", "diagnosis.loss_curves", "diagnosis.merged_outputs", "errors",
        "estimators.regression_targets", "files", "finiteness", "held_out", "interruption", "layout", "leftovers",
        "metrics", "net_sequence", "option_values", "pace", "report_page", "stopwatch", "terminal", "watchers",
    ],
    [
        "benchmarks.results", "benchmarks.rounds", "callbacks", "columns", "compile_notice", "convergence",
        "experiment_data", "optimizers", "plots.style", "schedules", "sizes", "table_files", "thresholds",
    ],
    [
        "benchmarks.tables", "devices", "estimators.tables", "network", "optimizer_state", "plots.curves", "progress",
        "sampling", "targets",
    ],
    [
        "benchmarks.pictures", "data", "diagnosis.subjects", "fit_options", "heuristics", "history", "initialization",
        "tabular",
    ],
    [
        "benchmarks.page", "class_weighting", "column_choice", "diagnosis.dropout_noise", "diagnosis.foreign_nets",
        "diagnosis.landscape", "ensemble", "estimators.rules", "plan", "plots.samples", "recorders", "records",
        "speed",
    ],
    [
        "choices", "fit_metrics", "objective", "plots.activity", "plots.classes", "plots.decision", "plots.numbers",
        "plots.slices", "population_data", "prediction", "training",
    ],
    ["estimators.settings", "plots.crowds", "plots.movie", "population_alone", "report"],
    ["estimators.saving", "population_fit", "population_result"],
    ["diagnosis.updates", "population_use"],
    ["diagnosis.measurements"],
    ["diagnosis.inputs", "diagnosis.monitor", "diagnosis.scores"],
    ["diagnosis.facts", "mlp"],
    ["diagnosis.gradient_check", "diagnosis.remedies", "estimators.lbfgs", "population", "probabilities"],
    [
        "benchmarks.quick", "crossover", "diagnosis.verdicts", "estimators.training", "metrics_table", "persistence",
        "reproduce", "sweeps", "xor",
    ],
    ["diagnosis.reports", "estimators.populations", "train_job"],
    ["diagnosis.records_only", "estimators.base", "jobs"],
    [
        "diagnosis.diagnose", "estimators.cross_validation", "estimators.nets", "estimators.tabular_base",
        "train_command",
    ],
    ["diagnosis.job", "diagnosis.story", "estimators.conversion", "estimators.tabular"],
    ["cli", "loading"],
    ["__main__"],
]  # fmt: skip
KERNEL_LEVELS = [
    [
        "arguments", "compile_time", "cpu.placement", "cuda.cublas", "cuda.replay", "cuda.structs", "drafts",
        "folder", "forks", "interrupts", "jit", "plain", "target",
    ],
    [
        "activations", "compiler", "cpu.work", "cuda.clock", "cuda.memory", "cuda.products", "losses", "optimizers",
        "random", "shipped", "simd", "turns",
    ],
    [
        "cache", "cpu.denormals", "cuda.architecture", "cuda.step_settings", "cuda.streaming", "folds", "memory",
        "steps", "straight_line",
    ],
    [
        "cpu.barrier", "cpu.few_columns", "cpu.lane_copies", "cpu.sample_products", "cpu.tile", "elementary", "entry",
        "finite",
    ],
    ["cpu.columns", "cpu.distance", "cpu.elements", "cpu.product", "cpu.team", "cuda.printer", "draws"],
    ["cpu.exchange", "cpu.straight_line_formulas", "cpu.update", "cuda.module"],
    [
        "cpu.lane_queue", "cpu.lane_update", "cpu.loop", "cpu.pieces", "cpu.weight_copies", "cuda.batched_passes",
        "cuda.per_net", "cuda.shuffling",
    ],
    ["cpu.clipping", "cpu.per_sample", "cpu.straight_line_code", "cuda.window"],
    ["cpu.one_net_code", "cpu.per_layer", "cpu.per_net", "cpu.sample_replicas", "cpu.straight_line", "cuda.batched"],
    ["cpu.lanes", "cpu.one_net", "cpu.one_net_loop", "cpu.one_sample", "cpu.replicas", "cuda.nets"],
    ["cpu.backend", "cuda.layers"],
    ["cuda.narrow", "cuda.single"],
    ["cuda.backend"],
]  # fmt: skip
LAZY_CYCLES = {
    ("mlp", "persistence"),
    ("population", "persistence"),  # net.save(path) and load(path) are two faces of one thing
    ("history", "report"),  # so are history.report(path) and report.write
    ("estimators.base", "estimators.conversion"),  # and to_sklearn and from_sklearn
}


def modules_in(folder):
    """{dotted name: path} of the modules below a folder, without __init__ and without what a link leads to."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[-1] != "__init__" and not (folder == SRC and parts[0] == "kernels"):
            found[".".join(parts)] = path
    return found


SRC_MODULES, KERNEL_MODULES = modules_in(SRC), modules_in(KERNELS)


class Imports(ast.NodeVisitor):
    """Every module that a module imports, anywhere in it, as dotted names below fastmlp, or as they stand."""

    def __init__(self, package):
        self.package, self.found = package, set()

    def visit_If(self, node):
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node):
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node):
        parts = self.package.split(".")
        base = parts[: len(parts) - node.level + 1] if node.level else []
        base = ".".join([*base, *(node.module or "").split(".")]).strip(".")
        self.found |= {base} | {f"{base}.{alias.name}" for alias in node.names}


def imports_of(path, package):
    visitor = Imports(package)
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    return visitor.found


def imported_among(path, package, prefix, modules):
    """The names in `modules` that a module imports as prefix.name."""
    found = imports_of(path, package)
    return {name for name in modules if f"{prefix}.{name}" in found}


def package_of(prefix, name):
    return ".".join([prefix, *name.split(".")[:-1]])


LAYERS = [("fastmlp", SRC_MODULES, SRC_LEVELS), ("fastmlp.kernels", KERNEL_MODULES, KERNEL_LEVELS)]


@pytest.mark.parametrize("prefix, modules, levels", LAYERS, ids=["src", "kernels"])
def test_every_module_has_a_place(prefix, modules, levels):
    assert sorted(modules) == sorted(name for level in levels for name in level)


@pytest.mark.parametrize("prefix, modules, levels", LAYERS, ids=["src", "kernels"])
def test_arrows_point_down(prefix, modules, levels):
    level_of = {name: height for height, level in enumerate(levels) for name in level}
    arrows = {
        (name, other)
        for name, path in modules.items()
        for other in imported_among(path, package_of(prefix, name), prefix, modules)
    }
    assert len(arrows) > 15, "the parser finds imports"
    wrong = {(a, b) for a, b in arrows if level_of[b] >= level_of[a]} - LAZY_CYCLES
    assert not wrong


@pytest.mark.parametrize("name", KERNEL_MODULES)
def test_kernels_import_nobody(name):
    for imported in imports_of(KERNEL_MODULES[name], package_of("fastmlp.kernels", name)):
        if imported.split(".")[0] == "fastmlp":
            assert imported.startswith("fastmlp.kernels"), imported


@pytest.mark.parametrize("name", KERNEL_MODULES)
def test_devices_do_not_import_each_other(name):
    found = imports_of(KERNEL_MODULES[name], package_of("fastmlp.kernels", name))
    device = name.split(".")[0] if "." in name else None
    for other in {"cpu", "cuda"} - {device}:
        assert not any(imported.startswith(f"fastmlp.kernels.{other}") for imported in found), other


@pytest.mark.parametrize("name", SRC_MODULES)
def test_only_the_device_table_reaches_a_device(name):
    """Below it are tables, formulas and named tuples: no module of src imports a device's kernels by name."""
    found = imports_of(SRC_MODULES[name], "fastmlp")
    assert not any(imported.startswith(("fastmlp.kernels.cpu", "fastmlp.kernels.cuda")) for imported in found)
    assert not any(imported.startswith("cupy") for imported in found) or name == "devices"
    assert not any(imported.split(".")[0] in ("numba", "llvmlite") for imported in found) or name == "devices"


def calls_to(path, names):
    """Uses of `names`, plain or as attributes."""
    return {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in names) or (isinstance(node, ast.Name) and node.id in names)
    }


def test_the_house_decorators_are_the_only_ones():
    decorators = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "jitclass", "generated_jit"}
    users = {name for name, path in KERNEL_MODULES.items() if calls_to(path, decorators)}
    assert users == {"compiler"}
    assert not [name for name, path in SRC_MODULES.items() if calls_to(path, decorators)]


def test_overloads_are_for_vectors_only():
    users = {name for name, path in KERNEL_MODULES.items() if calls_to(path, {"overload"})}
    assert users == {"compiler", "elementary", "simd"}


HEAVY = (
    "numba",
    "llvmlite",
    "scipy",
    "cupy",
    "sklearn",
    "matplotlib",
    "pandas",
    "torch",
    "rich",
    "typer",
    "safetensors",
)
LOADED = f"print(sorted({{name.split('.')[0] for name in sys.modules}} & set({HEAVY!r})))"


def test_import_is_light(fresh_python):
    done = fresh_python(f"import sys, fastmlp\n{LOADED}")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_nets_are_imported_without_what_runs_them(fresh_python):
    """LLVM is loaded with the first kernel, the inverse of the normal distribution with the first who needs it."""
    done = fresh_python(f"import sys\nfrom fastmlp import MLP, Population\n{LOADED}")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_training_loads_no_framework(fresh_python):
    done = fresh_python(
        f"import sys, fastmlp\n"
        f"net = fastmlp.MLP((2, 3, 1), device='cpu', random_state=0)\n"
        f"net.fit([[0, 1], [1, 0]], [0, 1], epochs=2)\n"
        f"{LOADED}"
    )
    assert not set(ast.literal_eval(done.stdout)) & {
        "cupy",
        "sklearn",
        "matplotlib",
        "pandas",
        "torch",
        "rich",
        "typer",
    }


def test_public_names():
    assert {
        "MLP",
        "load",
        "devices",
        "History",
        "SGD",
        "Adam",
        "AdamW",
        "RMSprop",
        "Adagrad",
        "Quickprop",
        "Rprop",
    } <= set(fastmlp.__all__)
    estimators = {name for names in fastmlp._ESTIMATORS.values() for name in names}
    for name in {*fastmlp.__all__, *estimators}:
        assert getattr(fastmlp, name) is not None
        assert name in dir(fastmlp)
    assert not estimators & set(fastmlp.__all__), "a star would import scikit-learn"
    assert callable(fastmlp.devices), "the function, although a module has its name"
    with pytest.raises(AttributeError, match="module 'fastmlp' has no attribute 'MPL'"):
        fastmlp.MPL  # noqa: B018
