"""Device and kernel family of a fit on the workers of an executor: a worker chooses them, for all workers.

The program that fits may have other devices than its workers, or none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..devices import Device, backend, resolve
from ..execution.dispatch import choose_nets_family
from ..executors.tasks import Task, Tasks, check_version, version_here
from ..executors.worker_device import device_here
from ..executors.workers import Workers
from ..network.spec import Network


class FitFacts(NamedTuple):
    """Facts of a population's fit on which device and kernel family depend."""

    named_device: str  # as the user named it
    network: Network
    n_nets: int
    dtype: np.dtype
    n_bytes: int  # of the training samples
    batch_size: int
    shuffle: bool
    precision: str
    in_one_launch: bool  # whether a GPU would train all nets in one launch


class WorkersChoice(NamedTuple):
    """Device and kernel family of a fit, chosen by a worker."""

    device: Device
    family: str


def choose_on_workers(workers: Workers, facts: FitFacts, work: float, at_once: float) -> WorkersChoice:
    """Return the choice of one of the workers, for all of them.

    work, at_once : amount of work, as for devices.resolve

    Raises
    ------
    RuntimeError
        If the named device is not available on the worker, or its version of fastmlp is another.
    """
    answers: list[WorkersChoice] = []
    questions = [Task((facts, version_here()), "choosing the device")]
    amounts = np.array([work, at_once])
    cut = lambda n_slots: questions.pop() if questions else None
    Tasks(workers, choose_here, [amounts], cut, lambda task, answer: answers.append(answer), on_gpus=True).run()
    return answers[0]


def choose_here(arrays: list[np.ndarray], argument: tuple[FitFacts, str]) -> WorkersChoice:
    """Choose device and kernel family; this runs on the worker.

    arrays : amounts of work
    argument : facts of the fit, and the version of the program that sends them
    """
    facts, version = argument
    check_version(version)
    work, at_once = arrays[0].tolist()
    chosen = resolve(facts.named_device, work, at_once, facts.in_one_launch)
    if facts.named_device == "auto":
        chosen = chosen._replace(reason=f"chosen by a worker of the executor: {chosen.reason}")
    device = device_here(chosen)
    with device.on():
        streams = not backend(device).has_room_for_samples(facts.n_bytes)
    of_nets = facts.network, facts.n_nets, facts.batch_size, device, facts.dtype
    return WorkersChoice(
        chosen, choose_nets_family(*of_nets, streams=streams, shuffle=facts.shuffle, precision=facts.precision)
    )
