"""Settings of `fastmlp train` that determine the nets and their training."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from ..runtime.checkpoint_interval import DEFAULT
from ..table_training.recipes import DEFAULT_QUALITY, Recipe, recipe_of
from ..table_training.time_budget import Budget


@dataclass(frozen=True)
class TrainSettings:
    """Settings of `fastmlp train` that determine the nets and their training. train_options.py describes each.

    A setting that is None has the value of the preset `quality`, which is DEFAULT_QUALITY if it is None itself.
    """

    target: str
    task: str = "auto"
    scaling: str = "auto"
    quality: str | None = None
    n_nets: int | None = None
    hidden: tuple[int, ...] | None = None
    activation: str | None = None
    dropout: float | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    validation: float | None = None
    patience: int | None = None
    class_weight: str | None = None
    time_limit: float | None = None
    seed: int = 0
    device: str = "auto"
    clip_norm: float | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    memory_limit: str | None = None
    row_cache: Path | None = None
    tune: int | None = None
    text: tuple[str, ...] = ()
    no_text: bool = False
    net_weights: str | None = None
    n_folds: int | None = None
    n_bins: int | None = None
    label_smoothing: float | None = None
    calibration: str | None = None
    l2: float | None = None
    refit: bool = False
    categorical: tuple[str, ...] = ()

    def recipe(self) -> Recipe:
        """Return the preset with the settings that are given.

        Raises
        ------
        ValueError
            If a setting is invalid, or does not go with the others.
        """
        names = {field.name for field in fields(Recipe)}
        given = {name: value for name, value in vars(self).items() if name in names and value is not None}
        if self.validation is not None:
            given["validation_fraction"] = self.validation
        given["numeric_encoding"] = self.scaling
        recipe = recipe_of(self.quality or DEFAULT_QUALITY, given).checked({"validation_fraction": "validation"})
        if recipe.n_folds > 1 and self.validation is not None:
            raise ValueError(
                f"--validation is given, but {self.of_folds} holds out each of {recipe.n_folds} folds in turn: leave "
                "it out."
            )
        if self.text and self.no_text:
            raise ValueError("--text names columns of text, and --no-text wants none: drop one.")
        if both := set(self.text) & set(self.categorical):
            raise ValueError(f"--text and --categorical both name {min(both)!r}: drop one of them.")
        return recipe

    @property
    def of_folds(self) -> str:
        """Option, with its value, that asks for folds."""
        return f"--quality {self.quality or DEFAULT_QUALITY}" if self.n_folds is None else f"--n-folds {self.n_folds}"

    @property
    def texts(self) -> tuple[str, ...] | None:
        """Names of the columns whose words become features; None for those that look like text."""
        return self.text if self.text or self.no_text else None

    def budget(self) -> Budget:
        """Return the time that all trainings may take, which begins now."""
        return Budget() if self.time_limit is None else Budget(self.time_limit)


class Checkpoints(NamedTuple):
    """Options of `fastmlp train` about checkpoints, which do not change the nets."""

    path: Path | None = None
    every: str = DEFAULT
    resume: bool = False

    def of_net(self, k: int) -> Checkpoints:
        """Return the checkpoints of one of several nets that are trained each by itself: FILE.0, FILE.1 and so on."""
        return self if self.path is None else self._replace(path=Path(f"{self.path}.{k}"))

    def fit_arguments(self) -> dict[str, Any]:
        """Return the arguments of fit about checkpoints; none of them if there is no checkpoint."""
        if self.path is None:
            return {}
        return {"checkpoint": self.path, "every": interval_option(self.every), "resume": self.resume}


def interval_option(text: str) -> int | str:
    """Return the text of --every as fit's argument: a whole number counts epochs."""
    return int(text) if text.strip().isdecimal() else text


NO_CHECKPOINTS = Checkpoints()
