"""Device and kernel family of a fit on the workers of an executor: a worker chooses them, for all workers.

The program that fits may have other devices than its workers, or none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..devices import HOSTS, Device, backend, devices, resolve
from ..errors import counted
from ..execution.dispatch import choose_nets_family
from ..executors.gpu_of_worker import device_here
from ..executors.task_errors import check_version, version_here
from ..executors.task_scheduler import Task, Tasks
from ..executors.workers import Workers
from ..network.spec import Network
from ..runtime.thread_count import n_processors, using_threads


class FitFacts(NamedTuple):
    """Facts of a population's fit on which device and kernel family depend.

    named_device : as the user named it
    work, at_once, in_one_launch : amount of work, as for devices.resolve
    n_bytes : of the training samples
    """

    named_device: str
    network: Network
    n_nets: int
    dtype: np.dtype
    batch_size: int
    shuffle: bool
    precision: str
    work: float
    at_once: float
    in_one_launch: bool
    n_bytes: int


class WorkersChoice(NamedTuple):
    """Device and kernel family of a fit, chosen by a worker."""

    device: Device
    family: str


class Question(NamedTuple):
    """Task of the worker that chooses; n_slots : tasks at a time on one machine; version : of the program that fits"""

    facts: FitFacts
    n_slots: int
    version: str


def choose_on_workers(workers: Workers, facts: FitFacts) -> WorkersChoice:
    """Return the choice of one of the workers, for all of them.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C. Not if `workers.stop` is set and there is a choice, with which the fit ends at once and has a
        result.
    RuntimeError
        If the named device is not available on the worker, or its version of fastmlp is another.
    """
    answers: list[WorkersChoice] = []
    n_slots = max((workers.threads.slots or {}).values(), default=workers.n_slots)
    waiting = [Task(Question(facts, n_slots, version_here()), "choosing the device")]
    cut = lambda _: waiting.pop() if waiting else None
    take = lambda task, answer: answers.append(answer)
    try:
        Tasks(workers, choose_here, [ANY_ARRAY], cut, take, on_gpus=True).run()
    except KeyboardInterrupt:
        if not (answers and workers.stop.is_set()):
            raise
    return answers[0]


ANY_ARRAY = np.zeros(1)  # Dask raises an error for an array, and not for a task, if there are no workers


def choose_here(arrays: list[np.ndarray], question: Question) -> WorkersChoice:
    """Choose device and kernel family; this runs on the worker."""
    check_version(question.version)
    facts = question.facts
    chosen = _auto_device(facts, question.n_slots) if facts.named_device == "auto" else resolve(facts.named_device)
    device = device_here(chosen)
    with device.on():
        streams = not backend(device).has_room_for_samples(facts.n_bytes)
    of_nets = facts.network, facts.n_nets, facts.batch_size, device, facts.dtype
    return WorkersChoice(
        chosen, choose_nets_family(*of_nets, streams=streams, shuffle=facts.shuffle, precision=facts.precision)
    )


def _auto_device(facts: FitFacts, n_slots: int) -> Device:
    """Return the device for "auto": a GPU only if each task on a machine can have one of its own."""
    with using_threads(n_processors()):  # a GPU is compared with all processors, not with those of one task
        chosen = resolve("auto", facts.work, facts.at_once, facts.in_one_launch)
    reason = chosen.reason
    if not chosen.is_host:
        n_gpus = sum(row.available and row.name not in HOSTS for row in devices())
        if n_gpus < n_slots:
            reason = f"{n_slots} tasks at a time would share {counted(n_gpus, 'GPU')}; device='cuda' lets them"
            chosen = resolve("cpu")
    return chosen._replace(reason=f"chosen by a worker of the executor: {reason}")
