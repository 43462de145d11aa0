"""Object cache: compiled kernels on disk, one file each, named by a digest of all that the code depends on.

The digest covers the kernel and the types of its arguments, every source that CPU kernels are made from, the processor,
Python, llvmlite, Numba and its settings. A file begins with a digest of its content, so that truncated files are
detected. Files that somebody but this user and root can have written are not used (cache_dir.py): the digest contains
no secret. Kernels that are not in the cache may have come with a wheel, prebuilt. In all other cases the kernel is
compiled again; if several processes need it, such as the workers of a search, one compiles it while the others wait
(`read_or_write`).
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import llvmlite
from llvmlite import binding

from ..system import atomic_file, interrupts
from .cache_dir import FILE_MODE, base_folder, distrust_reason, make_folder, read_file
from .cpu_features import level

try:
    import fcntl
except ImportError:  # Windows: no process waits
    fcntl = None  # type: ignore[assignment]

# Variables that do not change the code. Joblib sets the number of threads in each worker, which must not recompile for
# that.
OF_NO_CONCERN = {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"}
DIGEST = hashlib.sha256().digest_size
PREBUILT = Path(__file__).parents[1] / "shipped"  # folder of prebuilt kernels; tools/ship.py makes them
OBJECT_HEAD = 16  # bytes of a Python object before its own fields; compiled into prebuilt kernels
# Modules that find and load machine code, but do not influence it, beside those of system/.
LOADERS = {f"jit/{name}.py" for name in ("cache_dir", "call", "compile_process", "compile_time", "object_cache")}


@cache
def sources_tag() -> str:
    """Return a digest of the sources of CPU kernels."""
    digest, folder = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if not name.startswith(("cuda/", "system/")) and name not in LOADERS:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    return base_folder() / sources_tag()


def settings() -> list[str]:
    """Return the NUMBA_* environment variables that may change the compiled code."""
    return sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in OF_NO_CONCERN)


def numba_version() -> str:
    """Return what distinguishes one Numba from another, also one checkout: the file with its version and revision.

    Numba is not imported for that.
    """
    spec = find_spec("numba")
    assert spec is not None
    assert spec.origin is not None
    version = Path(spec.origin).with_name("_version.py")
    return (version if version.is_file() else Path(spec.origin)).read_text(encoding="utf-8")


@cache
def machine() -> str:
    """Return everything a kernel depends on apart from itself."""
    return repr(
        (
            binding.get_process_triple(),
            binding.get_host_cpu_name(),
            binding.get_host_cpu_features().flatten(),
            llvmlite.__version__,
            numba_version(),
            settings(),
            sys.implementation.cache_tag,
            object.__basicsize__,
        )
    )


def _path(name: str) -> Path:
    return cache_folder() / f"{hashlib.sha256((name + machine()).encode()).hexdigest()[:32]}.o"


def prebuilt_file(name: str, cpu_level: str) -> Path:
    """Return where the prebuilt object file under this name is, for an x86-64 level (cpu_features.py)."""
    return PREBUILT / sources_tag() / cpu_level / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.o"


def _prebuilt_path(name: str) -> Path | None:
    """Return the path of the object file that came with the package, which is as trustworthy as the package.

    None if this processor, system, Python or Numba's settings can use none; there need not be such a file.
    """
    usable = sys.platform == "linux" and object.__basicsize__ == OBJECT_HEAD and PREBUILT.is_dir() and not settings()
    cpu_level = level() if usable else None
    return None if cpu_level is None else prebuilt_file(name, cpu_level)


_reasons: dict[Path, str | None] = {}  # why each checked folder is not trusted; None if it is


def _reason_against(folder: Path) -> str | None:
    """Return why a folder is not used for the cache; None if it can be trusted, or does not exist yet."""
    if folder not in _reasons:
        try:
            _reasons[folder] = distrust_reason(folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            _reasons[folder] = error.strerror
    return _reasons[folder]


def exists(name: str) -> bool:
    """Whether there is an object file under this name."""
    path, came = _path(name), _prebuilt_path(name)
    return (path.is_file() and not _reason_against(path.parent)) or (came is not None and came.is_file())


def read(name: str) -> bytes | None:
    """Return the object file under this name, or None if there is no valid one.

    A file that was compiled here, for this processor, takes precedence over a prebuilt one.
    """
    path, came = _path(name), _prebuilt_path(name)
    code = None if _reason_against(path.parent) else _checked(read_file, path)
    return code if code is not None or came is None else _checked(Path.read_bytes, came)


def _checked(read_bytes: Callable[[Path], bytes], path: Path) -> bytes | None:
    with suppress(OSError):
        content = read_bytes(path)
        code = content[DIGEST:]
        if hashlib.sha256(code).digest() == content[:DIGEST]:
            return code
    return None


def write(name: str, code: bytes) -> None:
    """Store an object file; if that is not possible, warn once."""
    path = _path(name)
    folder = path.parent
    try:
        if not _reason_against(folder):
            make_folder(folder)
        reason = _reason_against(folder)  # check again: another process may have created the folder first
        if reason is None:
            save(path, code)
    except OSError as error:
        reason = error.strerror or str(error)
    if reason is not None:
        _warn_of_folder(folder, reason)


def read_or_write(name: str, compiled: Callable[[], bytes]) -> bytes:
    """Return the object file under this name; if there is none, that which `compiled` returns, and store it.

    Of several processes one compiles, and the others wait and find the result.
    """
    path = _path(name)
    with nullcontext() if _reason_against(path.parent) else file_lock(path.with_suffix(".lock")):
        content = read(name)
        if content is None:
            content = compiled()
            write(name, content)
    return content


def is_usable() -> bool:
    """Whether object files can be stored, and read by other processes."""
    folder = cache_folder()
    with suppress(OSError):
        if not _reason_against(folder):
            make_folder(folder)
        return _reason_against(folder) is None and os.access(folder, os.W_OK)
    return False


@cache  # Python's own "once" is per code line and filter, which pytest and others reset
def _warn_of_folder(folder: Path, reason: str) -> None:
    warnings.warn(
        f"Compiled kernels cannot be kept in {str(folder)!r} ({reason}), so that each process compiles them anew. "
        "Set NUMBA_CACHE_DIR to a folder that belongs to you and to which you can write, but nobody else can.",
        RuntimeWarning,
        stacklevel=2,
    )


def save(path: Path, code: bytes) -> None:
    make_folder(path.parent)
    with atomic_file.replacing(path, FILE_MODE) as file:
        file.write(hashlib.sha256(code).digest() + code)


# ---- locks between processes: one compiles, the others wait and find its result

PATIENCE = 120.0  # seconds, longer than any kernel takes to compile; then a process stops waiting
# The lock file is opened as it is: no link is followed, no pipe waited for, no file truncated.
OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path` inside this block; other processes that acquire the same path wait.

    path : a file that is used only as a lock

    Where files cannot be locked, no process waits. The lock of a process that dies is released, unless a process forked
    from it still holds it, hence PATIENCE.
    """
    until = time.monotonic() + PATIENCE
    with ExitStack() as at_the_end:
        with suppress(OSError):
            make_folder(path.parent)
            fd = os.open(path, OPEN, FILE_MODE)
            at_the_end.callback(os.close, fd)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                while not _locked(fd) and time.monotonic() < until:
                    interrupts.deliver_pending()  # Ctrl-C need not wait for another process
                    time.sleep(0.02)
                at_the_end.callback(_end, path, fd)
        yield


def _locked(fd: int) -> bool:
    """Try to take the lock without waiting; return whether that worked."""
    if fcntl is not None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _end(path: Path, fd: int) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)  # waiting processes still hold this file open; later ones find the finished work
        if fcntl is not None:
            fcntl.flock(fd, fcntl.LOCK_UN)
