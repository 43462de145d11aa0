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


@pytest.mark.parametrize("device", FOLDERS)
def test_every_backend_has_the_functions_of_the_contract_and_no_others(device, request):
    """A plan could come to depend on another one."""
    if device != "cpu":
        request.getfixturevalue("cuda")
    module = importlib.import_module(f"fastmlp.kernels.{device}.backend")
    wanted = CONTRACT | (ON_THE_HOST if device == "cpu" else {})
    assert {name: [*inspect.signature(getattr(module, name)).parameters] for name in wanted} == wanted
    own = {name for name, value in vars(module).items() if callable(value) and value.__module__ == module.__name__}
    assert {name for name in own if not name.startswith("_")} <= wanted.keys()
