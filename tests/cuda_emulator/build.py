"""Compiles for the emulator with g++, and keeps the libraries in a temporary folder, by a hash of all that counts."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(tempfile.gettempdir()) / f"fastmlp-cuda-emulator-{os.getuid() if hasattr(os, 'getuid') else 0}"
ASAN = bool(os.environ.get("FASTMLP_EMULATOR_ASAN"))  # set for a process that has libasan preloaded
FLAGS = ["-std=gnu++20", "-O1", "-g1", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=off", "-w"]
FLAGS += ["-fsanitize=address", "-U_FORTIFY_SOURCE"] if ASAN else []


class CompilerFailed(RuntimeError):
    """What g++ said."""


@cache
def _headers() -> bytes:
    return b"".join((HERE / name).read_bytes() for name in ("scheduler.h", "emulator.h", "mma.h"))


def shared_library(source: str, options: tuple[str, ...] = ()) -> Path:
    """The shared library of a C++ source."""
    flags = [*FLAGS, f"-I{HERE}", *options]
    key = hashlib.sha256(b"\0".join([source.encode(), _headers(), repr(flags).encode()])).hexdigest()[:24]
    library = CACHE / f"{key}.so"
    if not library.exists():
        CACHE.mkdir(exist_ok=True)
        text, part = CACHE / f"{key}.cpp", CACHE / f"{key}.{os.getpid()}-{threading.get_ident()}.part"
        text.write_text(source)
        done = subprocess.run(["g++", *flags, str(text), "-o", str(part)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompilerFailed(done.stderr[:8000])
        os.replace(part, library)  # another process or thread may do the same at this moment
    return library


def preprocessed(source: str, options: tuple[str, ...]) -> str:
    """A kernel source after macros of its own and conditions, before those of the emulator."""
    command = ["g++", "-E", "-P", "-x", "c++", "-std=gnu++20", "-DFM_CUDA_EMU=1", *options, "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompilerFailed(done.stderr[:8000])
    return done.stdout


@cache
def scheduler() -> ctypes.CDLL:
    """The fibers, loaded so that libraries of kernels find its names."""
    source = (HERE / "scheduler.cpp").read_text()
    return ctypes.CDLL(str(shared_library(source)), mode=ctypes.RTLD_GLOBAL)
