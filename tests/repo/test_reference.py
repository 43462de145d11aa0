"""The reference: every public name is on a page, and its docstring has numpydoc's sections, complete and true.

Pages are docs/reference/*.md.
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest
from reference_pages import LISTED, PAGES

import fastmlp
from fastmlp import optimizers, plots, schedules
from fastmlp.commands.cli import app
from fastmlp.fit.metric_functions import METRICS
from fastmlp.kernels.formulas import losses
from fastmlp.network.spec import HIDDEN
from fastmlp.persistence import saved_net

ROOT = Path(__file__).parents[2]
MODULES = {"plots": plots.__all__, "schedules": [cls.__name__ for cls in schedules.SCHEDULES.values()]}
PUBLIC = {
    *(f"fastmlp.{name}" for name in fastmlp.__all__),
    *(f"fastmlp.{name}" for names in fastmlp._ESTIMATORS.values() for name in names),
    *(f"fastmlp.{module}.{name}" for module, names in MODULES.items() for name in names),
    "fastmlp.report.write",
    "fastmlp.persistence.save",
}


def found(name):
    """Return the object with a dotted name; `fastmlp.devices` is a function and also the module of DeviceInfo."""
    path, _, last = name.rpartition(".")
    owner = sys.modules.get(path) or importlib.import_module(path)
    return getattr(owner, last)


CLASSES = [name for name in LISTED if isinstance(found(name), type)]
FUNCTIONS = [name for name in LISTED if name not in CLASSES]


def own_methods(cls):
    names = [name for base in cls.__mro__ for name in vars(base) if not name.startswith("_")]
    members = {name: getattr(cls, name) for name in names}
    return [
        name
        for name, member in members.items()
        if (inspect.isfunction(member) or inspect.ismethod(member)) and member.__module__.startswith("fastmlp")
    ]


METHODS = [f"{name}:{method}" for name in CLASSES for method in own_methods(found(name))]


@pytest.fixture(scope="module")
def parsed():
    """Function that returns numpydoc's sections of an object's docstring."""
    docscrape = pytest.importorskip("numpydoc.docscrape", reason="pip install 'fastmlp[docs]' has numpydoc")
    return lambda value: docscrape.NumpyDocString(inspect.getdoc(value) or "")


def names_in(entries):
    return [name.strip().lstrip("*") for entry in entries for name in entry.name.split(",") if name.strip()]


def parameters_of(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def test_every_public_name_has_a_page():
    assert not PUBLIC - set(LISTED), "these names are on no page of docs/reference"
    assert len(LISTED) == len(set(LISTED)), "a name is on two pages"


def test_index_lists_every_page():
    for page in PAGES:
        assert page == "index" or re.search(rf"^{page}$", PAGES["index"], re.M), f"{page} is in no table of contents"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_of_function(name, parsed):
    sections = parsed(found(name))
    assert names_in(sections["Parameters"]) == parameters_of(found(name))
    assert sections["Returns"] or name in ("fastmlp.report.write", "fastmlp.persistence.save")
    assert any(line.startswith(">>> ") for line in sections["Examples"])


@pytest.mark.parametrize("name", METHODS)
def test_docstring_of_method(name, parsed):
    cls, _, method = name.partition(":")
    function = getattr(found(cls), method)
    sections = parsed(function)
    assert sections["Summary"]
    assert names_in(sections["Parameters"]) == parameters_of(function)


def is_record(cls):
    """Whether the parameters of a class are its attributes: dataclasses, named tuples, scikit-learn's estimators."""
    return dataclasses.is_dataclass(cls) or hasattr(cls, "_fields") or hasattr(cls, "get_params")


def is_warning(cls):
    return issubclass(cls, Warning)


@pytest.mark.parametrize("name", CLASSES)
def test_docstring_of_class(name, parsed):
    cls, sections = found(name), parsed(found(name))
    if not is_warning(cls) and not hasattr(cls, "_fields"):
        assert names_in(sections["Parameters"]) == parameters_of(cls)
    assert any(line.startswith(">>> ") for line in sections["Examples"])
    assert attributes_of(cls) <= documented(sections, cls)


def documented(sections, cls):
    names = set(names_in(sections["Attributes"]))
    return names | set(names_in(sections["Parameters"])) if is_record(cls) else names


def attributes_of(cls):
    """Public attributes of a class: properties and fields."""
    properties = (property, functools.cached_property)
    names = {name for name in dir(cls) if isinstance(inspect.getattr_static(cls, name), properties)}
    names |= {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    names |= set(getattr(cls, "_fields", ()))
    return {name for name in names if not name.startswith("_")} - {"args", "with_traceback"}


def test_docstrings_name_every_choice():
    text = inspect.getdoc(fastmlp.MLP)
    for name in (*HIDDEN, *losses.CODES):
        assert re.search(rf"\b{name}\b", text), f"the docstring of MLP does not name {name}"
    for name in (*optimizers.OPTIMIZERS, *METRICS):
        assert f'"{name}"' in inspect.getdoc(fastmlp.MLP.fit), f"the docstring of MLP.fit does not name {name}"


# ---- environment variables


@functools.cache
def environment_variables():
    """Names of the environment variables that the package reads, and of those that it lists by name."""
    names = set()
    for folder in ("src", "kernels"):
        for path in (ROOT / folder).rglob("*.py"):
            if "src/fastmlp/kernels" in path.as_posix():
                continue
            text = path.read_text(encoding="utf-8")
            names |= set(re.findall(r"(?:environ(?:\.get)?|getenv)[(\[]\s*[\"'](\w+)[\"']", text))
            constants = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
            texts = [value for value in constants if isinstance(value, str)]
            names |= {value for value in texts if re.fullmatch(r"(FASTMLP|OPENBLAS|OMP|CUDA|XDG)_[A-Z0-9_]+", value)}
    return names


def test_every_environment_variable_is_on_its_page():
    page = PAGES["environment_variables"]
    assert [name for name in sorted(environment_variables()) if f"`{name}`" not in page] == []


# ---- the command line and the file format


def test_every_command_is_on_the_page_with_an_example():
    page = PAGES["command_line"]
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f"```{{command}} {name}\n" in page
        assert re.search(rf"^```bash\n(.*\n)*?fastmlp {name}\b", page, re.M), f"there is no example of {name}"


def test_file_format_names_every_key(tmp_path):
    page = PAGES["file_format"]
    keys = {*saved_net.HISTORY, *saved_net.RESULT, *saved_net.RANDOM}
    net = fastmlp.MLP((2, 2, 1), loss="binary_cross_entropy")
    nets = fastmlp.Population((2, 2, 1), 2, loss="binary_cross_entropy")
    keys |= {*net.get_settings(), *nets.get_settings(), *net.get_arrays(), *nets.get_arrays()}
    keys |= {"format", "version", "settings", "preprocessing", "random", "history", "result", "estimator", "checksum"}
    missing = [key for key in sorted(keys) if not re.search(rf"`{key}`", page)]
    assert missing == []
