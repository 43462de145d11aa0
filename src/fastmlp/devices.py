"""The device table: what this machine has, and which device a net runs on. The only module of `src` that says
"cuda", and that imports CuPy.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache, partial
from types import ModuleType
from typing import Any, NamedTuple

from .errors import install_command, shown, unknown_name
from .gpu_thresholds import Thresholds, thresholds_of

INSTALL = install_command("cuda13", "cuda12 for drivers older than 580")
NO_DEVICE = 100  # cudaErrorNoDevice: a driver's answer without a GPU, or if all are hidden, instead of counting none

ANYWHERE = nullcontext()  # there is one host only


class DeviceInfo(NamedTuple):
    """One row of `fastmlp.devices()`."""

    name: str
    available: bool
    description: str
    reason: str  # why it is not available; empty if it is


class Device(NamedTuple):
    """What was chosen, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"

    @property
    def is_host(self) -> bool:
        """Whether its arrays are NumPy's."""
        return self.name == "cpu"

    @property
    def number(self) -> int:
        """Which of several devices of one kind."""
        return int(self.name.partition(":")[2] or 0)

    def on(self) -> AbstractContextManager:
        """Inside of it, this device is the current one of its kind."""
        return ANYWHERE if self.is_host else backend(self).on(self.number)


MOST_THREADS = 1024  # that FASTMLP_NUM_THREADS may ask for


def n_threads_available() -> int:
    """FASTMLP_NUM_THREADS where it is set, else the processors this process may use, at most OMP_NUM_THREADS of them.

    Raises
    ------
    ValueError
        If FASTMLP_NUM_THREADS is set and is no number of threads.
    """
    if wanted := os.environ.get("FASTMLP_NUM_THREADS", "").strip():
        if wanted.isdecimal() and len(wanted) < 10 and 1 <= int(wanted) <= MOST_THREADS:
            return int(wanted)
        raise ValueError(
            f"FASTMLP_NUM_THREADS must be a whole number from 1 to {MOST_THREADS}, but the environment has "
            f"{shown(wanted)}. Correct or unset it."
        )
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    of_openmp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(int(of_openmp[:9]), count) if of_openmp.isdecimal() and int(of_openmp[:9]) > 0 else count


def _describe_cpu() -> list[DeviceInfo]:
    return [DeviceInfo("cpu", True, _processor(n_threads_available()), "")]


@lru_cache(maxsize=4)
def _processor(n_threads: int) -> str:
    import platform

    from llvmlite import binding

    features = binding.get_host_cpu_features()
    known = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("neon", "NEON"), ("sse2", "SSE2"))
    vectors = next((text for key, text in known if features.get(key)), "scalar")
    threads = f"{n_threads} thread{'s' if n_threads > 1 else ''}"
    return f"{platform.machine()} {binding.get_host_cpu_name()}, {threads}, {vectors}"


def _describe_cuda() -> list[DeviceInfo]:
    gpus, reason = _find_cuda()
    return [look() for look in gpus] or [DeviceInfo("cuda", False, "NVIDIA GPU", reason)]


@lru_cache(maxsize=1)
def _find_cuda() -> tuple[tuple[Callable[[], DeviceInfo], ...], str]:
    """(what gives the row of each GPU, why there is none). Looks once, and at each GPU once, when it is asked for: what
    is missing does not appear while a process runs, and looking at a GPU takes memory there.
    """
    from .kernels.jit import interrupts

    try:
        with interrupts.deferred():  # half imported it would stay
            import cupy

        runtime = cupy.cuda.runtime
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return (), f"CuPy is not installed; {INSTALL} brings it"
        return (), f"CuPy cannot be imported ({_first_line(error)}); {INSTALL} brings one that fits"
    try:
        count = runtime.getDeviceCount()
    except Exception as error:
        if getattr(error, "status", None) != NO_DEVICE:
            remedy = f"install or renew the driver, or take the CuPy that fits it: {INSTALL}"
            return (), f"CuPy {cupy.__version__} finds no usable NVIDIA driver ({_first_line(error)}); {remedy}"
        count = 0
    if not count:
        return (), f"CuPy {cupy.__version__} and the driver are there, but no GPU is; check CUDA_VISIBLE_DEVICES"
    return tuple(cache(partial(_describe_gpu, cupy, index)) for index in range(count)), ""


def _describe_gpu(cupy: Any, index: int) -> DeviceInfo:
    driver, properties = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.getDeviceProperties(index)
    name = properties["name"].decode() if isinstance(properties["name"], bytes) else properties["name"]
    text = (
        f"{name}, {properties['totalGlobalMem'] / 2**30:.0f} GiB, compute capability {properties['major']}."
        f"{properties['minor']}, driver for CUDA {driver // 1000}.{driver % 1000 // 10}, CuPy {cupy.__version__}"
    )
    failure = _try_kernel(cupy, index)
    return DeviceInfo("cuda" if index == 0 else f"cuda:{index}", not failure, text, failure)


def _try_kernel(cupy: Any, index: int) -> str:
    """Why a small kernel of ours or of CuPy's does not compile and run there, or cuBLAS is missing; empty if all is
    there. A driver alone is not enough.
    """
    code = 'extern "C" __global__ void probe(double* x) { x[threadIdx.x] += threadIdx.x; }'
    try:
        # Not by its full name: asking its package for it is what makes CuPy load the library, wherever pip put that.
        from cupy_backends.cuda.libs import cublas  # noqa: F401

        with cupy.cuda.Device(index):
            found = cupy.full(4, 7.0)  # a kernel of CuPy's, which needs CUDA's headers; ours need none
            cupy.RawModule(code=code, backend="nvrtc").get_function("probe")((1,), (4,), (found,))
            return "" if found.get().tolist() == [7, 8, 9, 10] else "a small kernel ran, but gave wrong numbers"
    except Exception as error:
        return f"a small kernel does not compile or run there ({_first_line(error)}); {INSTALL} brings what it takes"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_find_cuda.cache_clear)  # a forked process has no GPU any more

_TABLE = {"cpu": _describe_cpu, "cuda": _describe_cuda}
NAMES = ("auto", *_TABLE)


def devices() -> list[DeviceInfo]:
    """What this machine has, and why the rest is not available: one row per processor and per GPU.

    >>> [device.name for device in devices()][:2]
    ['cpu', 'cuda']
    """
    return [row for describe in _TABLE.values() for row in describe()]


def check_name(device: object) -> str:
    """A device's kind: "auto", "cpu" or "cuda", for a name such as "cuda:1" too.

    Raises
    ------
    ValueError
        For any other name.
    """
    kind, colon, index = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind not in NAMES or (colon and (kind != "cuda" or not index.isdigit())):
        raise unknown_name("device", device, NAMES)
    return kind


def thresholds(gpu: DeviceInfo) -> Thresholds:
    """From which work on "auto" takes this GPU, instead of this machine's processor."""
    return thresholds_of(gpu.description, _processor(n_threads_available()))


def resolve(device: str, work: float = 0.0, at_once: float = 0.0, in_one_launch: bool = False) -> Device:
    """The device for a name. Only "auto" may fall back, and it weighs the work.

    work : multiply-adds of what is to be done; 0 if that is not known yet
    at_once : of one step of all nets
    in_one_launch : whether a GPU trains all nets in one, with all their steps

    Raises
    ------
    RuntimeError
        If the named device cannot be had, with the reason.
    """
    kind = check_name(device)
    if kind == "cpu":
        return Device("cpu", "asked for")
    if kind == "auto":
        return _by_work(work, at_once, in_one_launch)
    gpus, reason = _find_cuda()
    index = int(device.partition(":")[2] or 0)
    if gpus:
        reason = gpus[index]().reason if index < len(gpus) else f"the highest number here is {len(gpus) - 1}"
    if reason:
        raise RuntimeError(f"device={device!r} cannot be had: {reason}. Use device='cpu' or device='auto'.")
    return Device(device, "asked for")


def _by_work(work: float, at_once: float, in_one_launch: bool) -> Device:
    gpus, reason = _find_cuda()
    usable = next((row for row in (look() for look in gpus) if row.available), None)
    if usable is None:
        return _without_cuda(gpus[0]().reason if gpus else reason)
    needed, given = thresholds(usable), f"{work:.1e} multiply-adds, {at_once:.1e} at once"
    if in_one_launch:
        given += " in one launch"
    if needed.are_reached(work, at_once, in_one_launch):
        return Device(usable.name, f"{given}; {needed} pay for the way to {usable.name}")
    return Device("cpu", f"{given}; {usable.name} would be taken from {needed} on")


@lru_cache(maxsize=1)
def _without_cuda(reason: str) -> Device:
    return Device("cpu", f"no cuda: {reason}")  # the same at each of many predictions


def choose_device(
    name: str, present: Device, inputs: Any, work: float, at_once: float, in_one_launch: bool = False
) -> Device:  # fmt: skip
    """The device of the next fit or prediction: under "auto" where the inputs lie, or else by the work; the present one
    under any other name.
    """
    if name != "auto":
        return present
    place = device_of(inputs)
    return Device(place, "the inputs lie there") if place else _by_work(work, at_once, in_one_launch)


def backend(device: Device) -> ModuleType:
    """The module that honours the device contract."""
    return importlib.import_module(f"fastmlp.kernels.{device.name.partition(':')[0]}.backend")


def device_of(values: Any) -> str | None:
    """The name of the device on which an array of CuPy, PyTorch, JAX or another library with DLPack lies; None for the
    host.
    """
    if type(values).__module__ == "numpy":  # by name: what lists devices needs no NumPy
        return None
    place = getattr(values, "__dlpack_device__", None)
    if place is None or isinstance(values, type):
        return None
    kind, index = place()
    return f"cuda:{index}" if int(kind) in (2, 13) else None  # kDLCUDA, kDLCUDAManaged


def device_context(values: Any) -> AbstractContextManager:
    """Inside of it, the device on which an array lies is the current one of its kind; nothing, for one of the host."""
    place = device_of(values)
    return ANYWHERE if place is None else Device(place, "an array lies there").on()


def library_of(array: Any) -> ModuleType:
    """The module with the functions for it: NumPy, or CuPy for arrays that lie on a device."""
    return importlib.import_module("numpy" if device_of(array) is None else "cupy")


def as_device_array(values: Any, dtype: Any = None) -> Any:
    """Such an array as CuPy's, C-contiguous and of this dtype; a copy is made only if it is not."""
    import cupy

    with device_context(values):
        array = values if isinstance(values, cupy.ndarray) else cupy.from_dlpack(values)
        return cupy.ascontiguousarray(array, dtype)


def to_library_of(result: Any, like: Any) -> Any:
    """A device array as one of the library that `like` is of, without a copy. Arrays of the host stay NumPy's."""
    if device_of(result) is None:
        return result
    library = type(like).__module__.partition(".")[0]
    if library == "torch":
        return importlib.import_module("torch").from_dlpack(result)
    if library in ("jax", "jaxlib"):
        return importlib.import_module("jax.dlpack").from_dlpack(result)
    return result
