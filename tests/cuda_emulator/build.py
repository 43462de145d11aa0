"""Compiles C++ sources with g++ for the emulator. A temporary folder caches the libraries by a hash of their inputs."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

from fastmlp.kernels.jit.cache_dir import distrust_reason, make_folder

HERE = Path(__file__).parent
CACHE = Path(tempfile.gettempdir()) / f"fastmlp-cuda-emulator-{os.getuid() if hasattr(os, 'getuid') else 0}"
ASAN = bool(os.environ.get("FASTMLP_EMULATOR_ASAN"))  # set for a process that has libasan preloaded
FLAGS = ["-std=gnu++20", "-Og", "-fPIC", "-fno-strict-aliasing", "-ffp-contract=off", "-w"]
FLAGS += ["-fsanitize=address", "-U_FORTIFY_SOURCE", "-g1"] if ASAN else []


class CompilerFailed(RuntimeError):
    """Error with the messages of g++."""


@cache
def _headers() -> bytes:
    return b"".join((HERE / name).read_bytes() for name in ("scheduler.h", "emulator.h"))


def shared_library(source: str, options: tuple[str, ...] = ()) -> Path:
    """Return the path of the shared library of a C++ source, compiled if it is not cached."""
    # -Bsymbolic: a kernel may have the name of a function of the C library, such as `step`, and is meant itself
    flags = ["-shared", "-Wl,-Bsymbolic", f"-I{_precompiled().parent}", f"-I{HERE}", *options]
    library = CACHE / f"{_key(source, tuple(flags))}.so"
    if not library.exists():
        text = library.with_suffix(".cpp")
        text.write_text(source)
        _compile([*flags, str(text)], library)
    return library


@cache
def cache_folder() -> Path:
    """Return the folder of compiled kernels, made if it is not there."""
    make_folder(CACHE)  # the name can be guessed, so another user may have made the folder and put libraries into it
    if reason := distrust_reason(CACHE):
        raise RuntimeError(f"The emulator's libraries cannot be kept in {str(CACHE)!r}: {reason}. Set TMPDIR.")
    return CACHE


@cache
def _precompiled() -> Path:
    """Return the path of the precompiled header of emulator.h. Reading the header takes most of the compile time."""
    header = cache_folder() / _key("", ()) / "emulator.h.gch"
    if not header.exists():
        header.parent.mkdir(exist_ok=True)
        _compile(["-x", "c++-header", str(HERE / "emulator.h")], header)
    return header


def _key(source: str, options: tuple[str, ...]) -> str:
    return hashlib.sha256(b"\0".join([source.encode(), _headers(), repr([FLAGS, options]).encode()])).hexdigest()[:24]


def _compile(arguments: list[str], result: Path) -> None:
    """Compile to a temporary file and rename it, since another process or thread may compile the same source now."""
    part = result.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    done = subprocess.run(["g++", *FLAGS, *arguments, "-o", str(part)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompilerFailed(done.stderr[:8000])
    os.replace(part, result)


@cache
def scheduler() -> ctypes.CDLL:
    """Return the library of scheduler.cpp, loaded so that the libraries of kernels find its symbols."""
    source = (HERE / "scheduler.cpp").read_text()
    return ctypes.CDLL(str(shared_library(source)), mode=ctypes.RTLD_GLOBAL)
