"""Settings of `fastmlp train` that determine the net and its training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..intervals import DEFAULT


@dataclass(frozen=True)
class TrainSettings:
    """Settings of `fastmlp train` that determine the net and its training. train_options.py describes each."""

    target: str
    task: str = "auto"
    scaling: str = "auto"
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    dropout: float = 0.1
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    schedule: str = "one_cycle"
    epochs: int = 100
    batch_size: int = 128
    validation: float = 0.2
    patience: int = 16
    seed: int = 0
    device: str = "auto"
    clip_norm: float = 0.0
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


class Checkpoints(NamedTuple):
    """Options of `fastmlp train` about checkpoints, which do not change the net."""

    path: Path | None = None
    every: str = DEFAULT
    resume: bool = False


NO_CHECKPOINTS = Checkpoints()
