"""Device contract: every backend is a module with the same functions and the same arguments."""

import importlib
import inspect
from pathlib import Path

import pytest

import fastmlp.kernels

CONTRACT = {
    "to_device": ["array"],
    "to_host": ["array"],
    "synchronize": [],
    "place": ["data"],
    "block_copies": ["sizes", "dtype", "n_shuffled"],
    "on": ["index"],
    "make_workspace": ["choice", "net", "n_samples", "shuffle", "dtype", "precision"],
    "train": ["choice", "team", "net", "data", "config", "state", "workspace", "first", "n"],
    "evaluate": ["choice", "team", "net", "data", "params", "workspace", "output"],
    "has_room_for_samples": ["n_bytes"],
    "PopulationRun": ["choice", "net", "n_params", "n_samples", "shuffle", "rule", "loss", "dtype", "precision"],
    "train_nets": ["team", "net", "data", "config", "criteria", "nets", "held_out", "run", "n"],
    "evaluate_nets": ["team", "net", "data", "nets", "run", "output"],
    "ThreadTeam": ["n_threads"],
}
ON_THE_HOST = {  # besides: what pays where a call takes microseconds
    "repeat_prediction": ["choice", "team", "net", "data", "params", "workspace", "output"]
}
FOLDERS = sorted(path.parent.name for path in Path(fastmlp.kernels.__file__).parent.glob("*/backend.py"))


@pytest.fixture(params=FOLDERS)
def backend_module(request):
    """Return the backend of each device that is available."""
    if request.param != "cpu":
        request.getfixturevalue("cuda")
    return backend_of(request.param)


def backend_of(name):
    return importlib.import_module(f"fastmlp.kernels.{name}.backend")


@pytest.mark.parametrize("name", CONTRACT)
def test_backend_functions_have_the_contracts_arguments(backend_module, name):
    assert list(inspect.signature(getattr(backend_module, name)).parameters) == CONTRACT[name]


@pytest.mark.parametrize("name", ON_THE_HOST)
def test_host_functions_have_the_contracts_arguments(name):
    assert list(inspect.signature(getattr(backend_of("cpu"), name)).parameters) == ON_THE_HOST[name]


def test_backend_has_no_other_public_functions(backend_module):
    """A backend has no public function outside of the contract, which a plan could come to depend on."""
    module = backend_module
    public = {
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and value.__module__ == module.__name__
    }
    assert public <= {*CONTRACT, *(ON_THE_HOST if module is backend_of("cpu") else ())}
