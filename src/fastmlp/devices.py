"""The device table: what this machine has, and which device a net runs on. The only module of `src` that says
"cuda".
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import NamedTuple

from .errors import unknown_name


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


def n_threads_available() -> int:
    """Processors this process may use, at most FASTMLP_NUM_THREADS or OMP_NUM_THREADS where one is set."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for name in ("FASTMLP_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0]
        if value.isdigit() and int(value) > 0:
            return min(int(value), count) if name == "OMP_NUM_THREADS" else int(value)
    return count


def _describe_cpu() -> DeviceInfo:
    import platform

    from llvmlite import binding

    features = binding.get_host_cpu_features()
    known = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("neon", "NEON"), ("sse2", "SSE2"))
    vectors = next((text for key, text in known if features.get(key)), "scalar")
    n = n_threads_available()
    text = f"{platform.machine()} {binding.get_host_cpu_name()}, {n} thread{'s' if n > 1 else ''}, {vectors}"
    return DeviceInfo("cpu", True, text, "")


def _describe_cuda() -> DeviceInfo:
    return DeviceInfo("cuda", False, "NVIDIA GPU", "this version of fastmlp has no CUDA kernels")


_TABLE = {"cpu": _describe_cpu, "cuda": _describe_cuda}
NAMES = ("auto", *_TABLE)


def devices() -> list[DeviceInfo]:
    """What this machine has, and why the rest is not available.

    >>> [device.name for device in devices()]
    ['cpu', 'cuda']
    """
    return [describe() for describe in _TABLE.values()]


def check_name(device: object) -> str:
    """A device's kind: "auto", "cpu" or "cuda", for a name such as "cuda:1" too.

    Raises
    ------
    ValueError
        For any other name.
    """
    kind, _, index = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind not in NAMES or (index and (kind != "cuda" or not index.isdigit())):
        raise unknown_name("device", device, NAMES)
    return kind


def resolve(device: str) -> Device:
    """The device for a name. Only "auto" may fall back.

    Raises
    ------
    RuntimeError
        If the named device cannot be had, with the reason.
    """
    kind = check_name(device)
    if kind == "cpu":
        return Device("cpu", "asked for")
    cuda = _describe_cuda()
    if kind == "cuda" and not cuda.available:
        raise RuntimeError(f"device={device!r} cannot be had: {cuda.reason}. Use device='cpu' or device='auto'.")
    return Device("cpu", f"no cuda: {cuda.reason}")


def backend(device: Device) -> ModuleType:
    """The module that honours the device contract."""
    return importlib.import_module(f"fastmlp.kernels.{device.name.partition(':')[0]}.backend")
