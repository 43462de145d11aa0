"""Compiles CUDA C++ for real architectures with NVRTC, without a GPU or driver, and reads the reports of ptxas.

It needs the wheels of `cuda-toolkit[nvrtc,cudart,crt,cccl]`, which the extra `test` installs on Linux, or a CUDA
toolkit.
"""

from __future__ import annotations

import ctypes
import os
import re
import site
import sysconfig
from functools import cache
from pathlib import Path

ARCHITECTURES = ("sm_80", "sm_90a", "sm_100")
AS_CUPY = ("-ftz=true", "--device-as-default-execution-space")  # options that CuPy adds to those of the backend
USED = {
    "registers": r"Used (\d+) registers",
    "smem": r"(\d+) bytes smem",
    "stack": r"(\d+) bytes stack frame",
    "spill": r"(\d+) bytes spill stores",
}


class CompileError(RuntimeError):
    """Error with the messages of NVRTC."""


def _roots():
    for base in {sysconfig.get_paths()["purelib"], *site.getsitepackages()}:
        yield from sorted(Path(base, "nvidia").glob("cu1[3-9]"))
    yield from (Path(os.environ[name]) for name in ("CUDA_PATH", "CUDA_HOME") if os.environ.get(name))


@cache
def find():
    """Return (library, options that name the include folders); None if NVRTC is not installed."""
    for root in _roots():
        for library in (path for folder in ("lib64", "lib") for path in sorted((root / folder).glob("libnvrtc.so*"))):
            for builtins in library.parent.glob("libnvrtc-builtins.so*"):
                ctypes.CDLL(str(builtins))  # NVRTC 13.0 does not search its own folder for this library
            folders = [root / "include", root / "include" / "cccl"]
            return ctypes.CDLL(str(library)), [f"-I{folder}" for folder in folders if folder.is_dir()]
    return None


def _text(library, program, what) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, buffer)
    return buffer.raw.rstrip(b"\0")


def build(source: str, options=(), arch="sm_80"):
    """Compile a source, and return (PTX, log)."""
    library, include = find()
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    try:
        every = [f"-arch={arch}", "--std=c++17", "--ptxas-options=-v", *AS_CUPY, *include, *options]
        array = (ctypes.c_char_p * len(every))(*[option.encode() for option in every])
        failed = library.nvrtcCompileProgram(program, len(every), array)
        log = _text(library, program, "ProgramLog").decode()
        if failed:
            raise CompileError(log)
        return _text(library, program, "PTX").decode(), log
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def check(source: str, options=(), arch="sm_80") -> dict[str, dict[str, int]]:
    """Return the resource usage of each kernel.

    It is the number of registers per thread, and the bytes of static shared memory, of a thread's stack, and of spilled
    registers.
    """
    _, log = build(source, options, arch)
    report: dict[str, dict[str, int]] = {}
    kernel = None
    for line in log.splitlines():
        if entry := re.search(r"Compiling entry function '(\S+)'", line):
            kernel = report.setdefault(entry[1], dict.fromkeys(USED, 0))
        elif kernel is not None:
            kernel.update({what: int(found[1]) for what, form in USED.items() if (found := re.search(form, line))})
    return report


def version() -> str:
    """Return the version of NVRTC, such as 13.0."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    find()[0].nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"
