"""Device table: the devices of this machine, the choice of a device, and conversion between array libraries.

With runtime/found_devices.py the only module of src/fastmlp that imports CuPy or depends on a particular device.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from .errors import unknown_name
from .runtime.auto_device import WORK_FOR_GPU
from .runtime.found_devices import DeviceInfo as DeviceInfo
from .runtime.found_devices import find_cpu, find_cuda

FROM_DLPACK = {"torch": "torch", "jax": "jax.dlpack", "jaxlib": "jax.dlpack"}  # modules with it, by package of arrays
NO_CONTEXT = nullcontext()  # the host needs no context


@dataclass(frozen=True)
class Device:
    """Chosen device of a net, and the reason for the choice.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:1" and so on.
    reason : str
        Why this device was chosen, in words.

    Attributes
    ----------
    is_host : bool
        Whether the device's arrays are NumPy arrays.
    number : int
        Index among the devices of one kind, 0 for "cuda" and 1 for "cuda:1".

    Examples
    --------
    >>> import fastmlp
    >>> print(fastmlp.MLP((2, 1), device="cpu").device)
    cpu (as requested)
    """

    name: str
    reason: str
    is_host: bool = field(init=False, repr=False, compare=False)  # no property: a fit asks for it twenty times

    def __post_init__(self) -> None:
        vars(self).update(is_host=self.name in HOSTS)

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"

    @property
    def number(self) -> int:
        """Index among the devices of one kind, 0 for "cuda" and 1 for "cuda:1"."""
        return int(self.name.partition(":")[2] or 0)

    def on(self) -> AbstractContextManager:
        """Return a context in which this device is the current one of its kind.

        Returns
        -------
        context manager
        """
        return NO_CONTEXT if self.is_host else backend(self).on(self.number)


class DeviceKind(NamedTuple):
    """Row of the device table: a kind of device, whose backend is kernels/<name>/backend.py."""

    description: str
    find: Callable[[], tuple[tuple[Callable[[], DeviceInfo], ...], str]]  # (a function per device, why there is none)
    is_host: bool  # whether its arrays are NumPy arrays; then there is one device, which is always available


KINDS = {
    "cpu": DeviceKind("this machine's CPU", find_cpu, is_host=True),
    "cuda": DeviceKind("NVIDIA GPU", find_cuda, is_host=False),
}
HOSTS = frozenset(name for name, kind in KINDS.items() if kind.is_host)
NAMES = ("auto", *KINDS)


def devices() -> list[DeviceInfo]:
    """Return the devices of this machine: a row for the CPU and one per GPU, or one that says why there is no GPU.

    Returns
    -------
    list of DeviceInfo
        Named tuples (name, available, description, reason).

    Examples
    --------
    >>> [device.name for device in devices()][:2]
    ['cpu', 'cuda']
    """
    rows = []
    for name, kind in KINDS.items():
        describers, reason = kind.find()
        rows += [look() for look in describers] or [DeviceInfo(name, False, kind.description, reason)]
    return rows


def check_name(device: object) -> str:
    """Return the kind of a device name, "auto" or a key of KINDS. A name may have an index, as in "cuda:1".

    Raises
    ------
    ValueError
        If the name is not one of a device.
    """
    kind, colon, index = device.partition(":") if isinstance(device, str) else ("", "", "")
    if kind not in NAMES or (colon and (kind in ("auto", *HOSTS) or not index.isdigit())):
        raise unknown_name("device", device, NAMES)
    return kind


def resolve(device: str, work: float = 0.0, at_once: float = 0.0, in_one_launch: bool = False) -> Device:
    """Return the device for a name; "auto" chooses by the amount of work, and takes the CPU if there is no GPU.

    device : str     "auto" or the name of a device, such as "cpu", "cuda" or "cuda:1"
    work : float     multiply-adds of the whole fit or prediction; 0 if not known yet
    at_once : float     multiply-adds of one step of all nets
    in_one_launch : bool     whether a GPU trains all steps of all nets in one kernel launch

    Raises
    ------
    RuntimeError
        If the named device is not available; the message gives the reason.
    """
    kind = check_name(device)
    if kind in HOSTS:
        return Device(kind, "as requested")
    if kind == "auto":
        return _choose_by_work(work, at_once, in_one_launch)
    describers, reason = KINDS[kind].find()
    index = int(device.partition(":")[2] or 0)
    if describers:
        highest = f"the highest {kind} number of this machine is {len(describers) - 1}"
        reason = describers[index]().reason if index < len(describers) else highest
    if reason:
        raise RuntimeError(f"device={device!r} is not available: {reason}. Use device='cpu' or device='auto'.")
    return Device(device, "as requested")


def _choose_by_work(work: float, at_once: float, in_one_launch: bool) -> Device:
    gpus, reason = find_cuda()
    gpu = next((row for row in (look() for look in gpus) if row.available), None)
    if gpu is None:
        return _without_cuda(gpus[0]().reason if gpus else reason)
    amount = f"{work:.1e} multiply-adds, {at_once:.1e} at once{' in one launch' if in_one_launch else ''}"
    chosen = gpu.name if WORK_FOR_GPU.are_reached(work, at_once, in_one_launch) else "cpu"
    return Device(chosen, f"{amount}; {gpu.name} is chosen from {WORK_FOR_GPU} on")


@lru_cache(maxsize=1)
def _without_cuda(reason: str) -> Device:
    return Device("cpu", f"no cuda: {reason}")  # cached, since every prediction needs it


def choose_device(
    name: str, current: Device, inputs: Any, work: float, at_once: float, in_one_launch: bool = False
) -> Device:
    """Return the device of the next fit or prediction.

    With the name "auto", it is the device that holds the inputs or, for inputs on the host, the choice by the amount of
    work; with any other name, it is the present device.

    name : str     device as the user named it
    current : Device     device of the net so far
    inputs : array X of the call
    work, at_once, in_one_launch : amount of work, as for resolve
    """
    if name != "auto":
        return current
    holder = device_of(inputs)
    return Device(holder, "it holds the inputs") if holder else _choose_by_work(work, at_once, in_one_launch)


def backend(device: Device) -> ModuleType:
    """Return the module that implements the device contract: kernels/cpu/backend.py or kernels/cuda/backend.py."""
    return _import_backend(device.name.partition(":")[0])


@cache
def _import_backend(kind: str) -> ModuleType:
    """Import a backend, and LLVM with it, once.

    Ctrl-C and forks of other threads wait: a library whose import was cut off may stay half imported, and a child
    process would wait for ever for an import that a thread of its parent has begun.
    """
    from .kernels.system.fork_lock import FORK_LOCK

    with FORK_LOCK:
        from .kernels.system import interrupts

        with interrupts.deferred():
            return importlib.import_module(f"fastmlp.kernels.{kind}.backend")


def device_of(values: Any) -> str | None:
    """Return the name of the device that holds an array, such as "cuda:0"; None for the host.

    values : array of NumPy, CuPy, PyTorch, JAX or another library with DLPack
    """
    if type(values).__module__ == "numpy":  # by name, since `fastmlp devices` does not import NumPy
        return None
    protocol = getattr(values, "__dlpack_device__", None)
    if protocol is None or isinstance(values, type):
        return None
    kind, index = protocol()
    return f"cuda:{index}" if int(kind) in (2, 13) else None  # kDLCUDA, kDLCUDAManaged


def device_context(values: Any) -> AbstractContextManager:
    """Return a context in which the device that holds an array is current; for a host array it does nothing."""
    holder = device_of(values)
    return NO_CONTEXT if holder is None else Device(holder, "it holds an array").on()


def library_of(array: Any) -> ModuleType:
    """Return the module with the functions for an array: cupy for device arrays, else numpy."""
    return importlib.import_module("numpy" if device_of(array) is None else "cupy")


def as_device_array(values: Any, dtype: Any = None) -> Any:
    """Return a device array as a C-contiguous CuPy array of the given dtype, without a copy if possible.

    Raises
    ------
    ImportError
        If CuPy is not installed, as where the array is of PyTorch.
    """
    try:
        import cupy
    except ImportError:
        raise ImportError(
            f"The array is on a GPU ({device_of(values)}), and {find_cuda()[1]}; or copy the array to the host."
        ) from None

    with device_context(values):
        array = values if isinstance(values, cupy.ndarray) else cupy.from_dlpack(values)
        return cupy.ascontiguousarray(array, dtype)


def to_library_of(result: Any, like: Any) -> Any:
    """Return a device array as an array of the library of `like`, without a copy; NumPy arrays are returned as is."""
    if device_of(result) is None:
        return result
    module = FROM_DLPACK.get(type(like).__module__.partition(".")[0])
    return result if module is None else importlib.import_module(module).from_dlpack(result)
