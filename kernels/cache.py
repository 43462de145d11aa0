"""Machine code on disk: a file per kernel, whose name is a digest of all that the code depends on.

That is the kernel and the types of its arguments, every source that CPU kernels are made from, the processor, Python, llvmlite, Numba
and its settings. A file begins with the digest of the rest: one that was torn or changed is not used. What is not there
may have come with the package (shipped.py). Whatever is off, the kernel is compiled anew, by one of several processes
that lack it, as a search's workers do: `with turn(name)`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from contextlib import AbstractContextManager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import llvmlite
from llvmlite import binding

from . import shipped, turns
from .folder import base_folder

# Joblib sets the number of threads in each of its workers: they need not compile for that.
OF_NO_CONCERN = {
    "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"
}  # fmt: skip
DIGEST = hashlib.sha256().digest_size
# Modules that find and load machine code; none of them has a part in making it.
LOADERS = {
    "cache.py", "compile_time.py", "entry.py", "folder.py", "forks.py", "interrupts.py", "shipped.py", "turns.py"
}  # fmt: skip


@cache
def sources_tag() -> str:
    """Changes whenever a source of CPU kernels does."""
    digest, folder = hashlib.sha256(), Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] not in {"cuda", *LOADERS}:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    return base_folder() / sources_tag()


def settings() -> list[str]:
    """Of Numba, by the environment: they may change what is compiled."""
    return sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in OF_NO_CONCERN)


@cache
def machine() -> str:
    """Everything but the kernel itself. Numba is not imported: a new version is another file."""
    spec = find_spec("numba")
    assert spec is not None
    assert spec.origin is not None
    numba = os.stat(spec.origin)
    return repr((
        binding.get_process_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten(),
        llvmlite.__version__, spec.origin, numba.st_mtime_ns, numba.st_size, settings(), sys.implementation.cache_tag,
        object.__basicsize__,
    ))  # fmt: skip


def _path(name: str) -> Path:
    return cache_folder() / f"{hashlib.sha256((name + machine()).encode()).hexdigest()[:32]}.o"


def _paths(name: str) -> list[Path]:
    """Where an object file may be: what was compiled here, for this processor, before what came with the package."""
    came = None if settings() else shipped.path_here(name, sources_tag())
    return [_path(name), *([] if came is None else [came])]


def is_there(name: str) -> bool:
    """Whether there is an object file under this name."""
    return any(path.is_file() for path in _paths(name))


def read(name: str) -> bytes | None:
    """The object file under this name, if there is a good one."""
    for path in _paths(name):
        with suppress(OSError):
            content = path.read_bytes()
            code = content[DIGEST:]
            if hashlib.sha256(code).digest() == content[:DIGEST]:
                return code
    return None


def write(name: str, code: bytes) -> None:
    """Keep it; where that is not possible, say so once."""
    try:
        save(_path(name), code)
    except OSError as error:
        _warn_of_folder(cache_folder(), error.strerror or str(error))


def turn(name: str) -> AbstractContextManager[None]:
    """While inside, other processes wait before they enter with this name: one compiles, the others find it."""
    return turns.turn(_path(name).with_suffix(".lock"))


_warned: list[Path] = []


def _warn_of_folder(folder: Path, reason: str) -> None:
    if not _warned:  # Python's own once is per line of code and filter, which pytest and others reset
        _warned.append(folder)
        warnings.warn(
            f"Compiled kernels cannot be kept in {str(folder)!r} ({reason}), so that each process compiles them anew. "
            "Set NUMBA_CACHE_DIR to a folder that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )


def save(path: Path, code: bytes) -> None:
    draft = path.with_name(f"{path.stem}.{os.getpid()}.tmp")  # another process may do the same at this moment
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.write_bytes(hashlib.sha256(code).digest() + code)
    draft.replace(path)
