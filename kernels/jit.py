"""The house decorators: the only place that calls numba.njit or numba.extending.overload on kernels.

formula   a scalar formula, written as mathematics; plain Python outside kernels, compiled for SIMD vectors inside
inner     a helper that only kernels call; compiled into its callers
inlined   an inner helper that is called from one place only
kernel    called from Python: releases the GIL and is kept in the on-disk cache
compiled_c_function   the same for a function that kernels call by its address
entry_point   a kernel's machine code, without Numba's look at its arguments
selector  an if chain over a table of functions, one integer comparison per row
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.extending import overload

from .compiler import HelperCompiler, KernelCompiler

# error_model="numpy": the default leaves an exception exit at every division, which stops LLVM from vectorising.
# No "nnan", no "ninf": divergence must stay visible. No "reassoc": elementary.py's two-step range reduction needs
# its order of operations, and every sum over lanes is written out with vectors.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz", "arcp", "afn"}}


def _sources_tag() -> str:
    """Changes whenever a source of CPU kernels does; Numba itself only watches the file of the function it caches."""
    digest, folder = hashlib.sha256(), Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] != "cuda":
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> str:
    if config.CACHE_DIR:
        base = Path(config.CACHE_DIR)
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / "fastmlp"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmlp"
    return str(base / _sources_tag())


CACHE_FOLDER = _cache_folder()


@contextmanager
def _numba_cache_folder(folder: str):
    """Numba reads its cache folder when a function is decorated: ours is set for that moment only."""
    before, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        yield
    finally:
        config.CACHE_DIR = before


def formula(function: Callable) -> Callable:
    """Compile `function` for SIMD vectors where a kernel calls it, and leave it a plain Python function elsewhere."""
    overload(function, strict=False, jit_options={**OPTIONS, "pipeline_class": HelperCompiler})(
        lambda *arguments: function
    )
    return function


def inner(function: Callable) -> Callable:
    """A helper of kernels. It is compiled into its callers and never cached by itself."""
    return numba.njit(pipeline_class=HelperCompiler, **OPTIONS)(function)


def inlined(function: Callable) -> Callable:
    """An inner helper that disappears into its caller: for those called from one place with named tuples, whose fields
    would be copied one by one at each call (measured: 80 ns of an epoch of 220)."""
    return numba.njit(pipeline_class=HelperCompiler, forceinline=True, **OPTIONS)(function)


def kernel(function: Callable) -> Callable:
    """What Python calls of a kernel family: no GIL, cached on disk where a folder can be written."""
    with _numba_cache_folder(CACHE_FOLDER):
        try:
            return numba.njit(nogil=True, cache=True, pipeline_class=KernelCompiler, **OPTIONS)(function)
        except RuntimeError:  # no writable cache folder: compile in every process
            return numba.njit(nogil=True, pipeline_class=KernelCompiler, **OPTIONS)(function)


_entry_points: dict[tuple[Callable, Any], tuple[tuple, Callable]] = {}
CHECK_TYPES = bool(os.environ.get("FASTMLP_CHECK_TYPES"))  # whether entry_point proves what it is told


def entry_point(function: Callable, kind: Any, arguments: Sequence[Any]) -> Callable:
    """The compiled form of a kernel for these arguments.

    A kernel that is called looks at every array in its arguments first, 10 us each, and a fit has a hundred of them.
    kind : what the types of the arguments follow from; equal for equal types, whatever the arrays
    """
    found = _entry_points.get((function, kind))
    if found is None:
        types = tuple(map(numba.typeof, arguments))
        function.compile(types)
        found = _entry_points[function, kind] = types, function.overloads[types].entry_point
    if CHECK_TYPES:
        for argument, expected in zip(arguments, found[0], strict=True):
            given = numba.typeof(argument)
            assert given == expected, f"{function.__name__} was compiled for {expected}, but {given} came"
    return found[1]


def compiled_c_function(function: Callable, signature: Any, on_disk: bool) -> Any:
    """`function`, compiled as a C function of this Numba signature; `.address` is where kernels can call it."""
    with _numba_cache_folder(CACHE_FOLDER):
        return numba.cfunc(signature, cache=on_disk, **OPTIONS)(function)


def selector(functions: Sequence[Callable], n_arguments: int) -> Callable:
    """`select(code, *arguments)` returns functions[code](*arguments); a row in a table is all it takes to add one.

    Only callees of kernels are generated, and those are not cached by themselves, so generated source does no harm.
    """
    names = ", ".join(f"x{k}" for k in range(n_arguments))
    lines = [f"def select(code, {names}):"]
    lines += [f"    if code == {code}:\n        return f{code}({names})" for code in range(len(functions) - 1)]
    lines += [f"    return f{len(functions) - 1}({names})"]
    scope: dict[str, Any] = {f"f{code}": f for code, f in enumerate(functions)}
    exec("\n".join(lines), scope)
    return inner(scope["select"])
