"""C functions that are made for one architecture, when a fit first needs them: compiled into a module of their own.

Kernels call such a function through its address, so that a new architecture compiles nothing else. The module is a
file next to the on-disk cache: the next process finds the function compiled.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..jit import CACHE_FOLDER, compiled_c_function


def source(maker: str, names: Sequence[str], arguments: tuple) -> str:
    """A module with the function `call` of `names`: what `maker`, a module's function, makes of the arguments.

    >>> print(source("somewhere.make_train", ("p", "g"), ((2, 2, 1), 0)).splitlines()[2])
    compiled = make_train((2, 2, 1), 0)
    """
    module, function = maker.rsplit(".", 1)
    listed, given = ", ".join(names), ", ".join(map(repr, arguments))
    return (
        f"from {module} import {function}\n\n"
        f"compiled = {function}({given})\n\n\n"
        f"def call({listed}):\n    return compiled({listed})\n"
    )


def _place(text: str) -> tuple[str, Path]:
    """(name, file) of the module with this source."""
    name = f"fastmlp_net_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return name, Path(CACHE_FOLDER) / "on_demand" / f"{name}.py"


def is_on_disk(text: str) -> bool:
    """Whether another process has compiled this source."""
    return _place(text)[1].is_file()


def module_of(text: str) -> tuple[ModuleType, bool]:
    """(module of the source, whether it is a file)"""
    name, path = _place(text)
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
                file.write(text)
            os.replace(file.name, path)  # another process may do the same at this moment
    except OSError:  # no writable cache folder: compile in every process
        module = ModuleType(name)
        exec(text, module.__dict__)
        return module, False
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module, True


def c_function(text: str, signature: Any) -> Any:
    """The function of a source, compiled as a C function of this Numba signature; `.address` is where it is."""
    module, is_file = module_of(text)
    return compiled_c_function(module.call, signature, is_file)
