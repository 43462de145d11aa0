"""Import graph: imports point down the floors of docs/architecture.md, without circles, and `import fastmlp` is quick.

Imports inside functions and imports for annotations alone (`if TYPE_CHECKING:`) count too: to read a module, one has to
read what it imports in any of these ways. A few lazy imports that point up are listed.
"""

import ast
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import fastmlp
import fastmlp.kernels

SRC = Path(fastmlp.__file__).parent
KERNELS = Path(fastmlp.kernels.__file__).parent

# From the lowest to the highest. A module imports from its own floor and from those below it.
FLOORS = (
    "errors interface runtime console callbacks convergence schedules optimizers",
    "devices network tables",
    "initialization executors execution data streams",
    "plots history report population_result loggers",
    "diagnosis persistence",
    "fit nets",
    "mlp population",
    "sampling sweeps class_probabilities export table_training",
    "estimators loading warmup",
    "commands",
    "__main__",
)
KERNEL_FLOORS = (
    "system",
    "structs jit formulas simd",
    "cpu cuda",
)  # jit compiles formulas, formulas call what jit has compiled
LAZY_CONVENIENCE: set[tuple[str, str]] = {
    ("diagnosis.adapters", "export.from_torch"),
    ("nets.net_base", "export.export_to_file"),
    ("nets.net_base", "export.predictor"),
    ("mlp", "export.to_torch"),
}


def modules_in(folder):
    """Return {dotted name: path} of the modules in a folder, without its own __init__ and without linked folders.

    The __init__ of a package has the package's name; those without imports are left out.
    """
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if folder == SRC and parts[0] == "kernels":
            continue
        if parts[-1] == "__init__":
            parts = parts[:-1] if "import" in path.read_text(encoding="utf-8") else ()
        if parts:
            found[".".join(parts)] = path
    return found


SRC_MODULES, KERNEL_MODULES = modules_in(SRC), modules_in(KERNELS)


class Imports(ast.NodeVisitor):
    """Collects the dotted names of all modules that a module imports, inside functions and for annotations too."""

    def __init__(self, package):
        self.package, self.found = package, set()

    def visit_Import(self, node):
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node):
        parts = self.package.split(".")
        base = parts[: len(parts) - node.level + 1] if node.level else []
        base = ".".join([*base, *(node.module or "").split(".")]).strip(".")
        self.found |= {base} | {f"{base}.{alias.name}" for alias in node.names}


@cache
def imports_in(path, package):
    visitor = Imports(package)
    visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    return visitor.found


def imports_of(prefix, modules, name):
    package = name if modules[name].name == "__init__.py" else ".".join(name.split(".")[:-1])
    return imports_in(modules[name], f"{prefix}.{package}".strip("."))


def arrows_among(prefix, modules):
    """Return {module: modules of the same tree that it imports}."""
    arrows = {}
    for name in modules:
        found = imports_of(prefix, modules, name)
        arrows[name] = {other for other in modules if f"{prefix}.{other}".strip(".") in found}
    return arrows


TREES = {"src": ("fastmlp", SRC_MODULES, FLOORS), "kernels": ("fastmlp.kernels", KERNEL_MODULES, KERNEL_FLOORS)}


@pytest.mark.parametrize("tree", TREES)
def test_every_folder_has_a_floor(tree):
    _, modules, floors = TREES[tree]
    assert sorted({name.split(".")[0] for name in modules}) == sorted(" ".join(floors).split())


@pytest.mark.parametrize("tree", TREES)
def test_imports_point_down(tree):
    prefix, modules, floors = TREES[tree]
    floor_of = {folder: height for height, floor in enumerate(floors) for folder in floor.split()}
    height = lambda name: floor_of[name.split(".")[0]]
    arrows = {(name, other) for name, others in arrows_among(prefix, modules).items() for other in others}
    assert len(arrows) > 100, "the parser finds imports"
    if tree == "src":
        assert ("loggers", "history") in arrows, "also those for annotations alone"
    upward = {(a, b) for a, b in arrows if height(a) < height(b)}
    assert upward == (LAZY_CONVENIENCE if tree == "src" else set()), "also if an exception is no longer needed"


@pytest.mark.parametrize("tree", TREES)
def test_no_circles(tree):
    prefix, modules, _ = TREES[tree]
    arrows = arrows_among(prefix, modules)
    assert any(arrows.values()), "the parser finds imports"
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"a circle: {' -> '.join([*open_[open_.index(name) :], name])}"
        if name not in done:
            open_.append(name)
            for other in sorted(arrows[name]):
                visit(other)
            done.add(open_.pop())

    for name in sorted(modules):
        visit(name)


def test_kernels_import_nobody():
    for name in KERNEL_MODULES:
        for imported in imports_of("fastmlp.kernels", KERNEL_MODULES, name):
            if imported.split(".")[0] == "fastmlp":
                assert imported.startswith("fastmlp.kernels"), (name, imported)


def test_devices_do_not_import_each_other():
    for name in KERNEL_MODULES:
        device = name.split(".")[0] if "." in name else None
        others = tuple(f"fastmlp.kernels.{other}" for other in {"cpu", "cuda"} - {device})
        found = imports_of("fastmlp.kernels", KERNEL_MODULES, name)
        assert not [imported for imported in found if imported.startswith(others)], name


def test_only_the_device_table_reaches_a_device():
    """No module of src imports kernels of a device by name, except through the table of devices."""
    for name in SRC_MODULES:
        found = imports_of("fastmlp", SRC_MODULES, name)
        assert not [x for x in found if x.startswith(("fastmlp.kernels.cpu", "fastmlp.kernels.cuda"))], name
        if name not in ("devices", "runtime.found_devices"):
            assert not [x for x in found if x.split(".")[0] in ("cupy", "numba", "llvmlite")], name


FRAMEWORKS = "cupy", "sklearn", "matplotlib", "pandas", "torch", "onnx", "rich", "typer"
HEAVY = *FRAMEWORKS, "numba", "llvmlite", "scipy", "safetensors"
TRAINS = "fastmlp.MLP((2, 3, 1), device='cpu').fit([[0, 1], [1, 0]], [0, 1], epochs=2, verbose=0)"


@pytest.mark.parametrize(
    "program, heavy",
    [("", HEAVY), ("from fastmlp import MLP, Population", HEAVY), (TRAINS, FRAMEWORKS)],
    ids=["import", "names", "training"],
)
def test_programs_load_what_they_need(program, heavy, fresh_python):
    """LLVM is loaded with the first kernel, and the inverse of the normal distribution at its first use."""
    loaded = f"print(sorted({{name.split('.')[0] for name in sys.modules}} & set({heavy!r})))"
    done = fresh_python(f"import sys, fastmlp\n{program}\n{loaded}")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("missing", ["", "pandas", "sklearn"])
def test_a_star_has_the_estimators_where_they_can_be_had(fresh_python, missing):
    if missing != "sklearn":
        pytest.importorskip("sklearn", reason="the estimators need scikit-learn")
    names = ("MLP", "MLPClassifier", "TabularMLPRegressor", "cross_val_population")
    hidden = f"sys.modules[{missing!r}] = None" if missing else ""
    done = fresh_python(f"import sys\n{hidden}\nfrom fastmlp import *\nprint(*({{*dir()}} & {{*{names!r}}}))")
    has_estimators = missing != "sklearn"
    assert {*done.stdout.split()} == ({*names} if has_estimators else {"MLP"})


def test_public_names():
    estimators = {name for names in fastmlp._ESTIMATORS.values() for name in names}
    for name in {*fastmlp.__all__, *estimators}:
        assert getattr(fastmlp, name) is not None
        assert name in dir(fastmlp)
    assert callable(fastmlp.devices), "the function, although a module has its name"
    with pytest.raises(AttributeError, match="module 'fastmlp' has no attribute 'MPL'"):
        fastmlp.MPL  # noqa: B018


def test_names_that_benchmarks_and_tools_import_exist():
    """Few of these programs run in tests. Those of CUDA kernels are found only where there is CuPy."""
    root = Path(__file__).parents[2]
    programs = [path for folder in ("bench", "tools", "docs", "examples") for path in (root / folder).rglob("*.py")]
    imports = {
        (node.module, alias.name)
        for path in programs
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fastmlp"
        for alias in node.names
        if "cuda" not in node.module
    }
    assert len(imports) > 50
    missing = []
    for module, name in sorted(imports):
        if not hasattr(import_module(module), name) and find_spec(f"{module}.{name}") is None:
            missing.append(f"{module}.{name}")
    assert missing == []
