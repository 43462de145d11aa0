"""Options of the command `fastmlp train`, which commands/train.py carries out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import typer

from ..runtime.checkpoint_interval import DEFAULT
from ..table_training.recipes import DEFAULT_QUALITY, QUALITIES, Recipe, recipe_of
from ..table_training.time_budget import Budget
from . import table_options as table
from .option_parsers import (
    Choices,
    choice_option,
    column_option,
    file_option,
    fraction_option,
    integer_option,
    layer_sizes,
    number_option,
)


class Quality(Choices):
    """Names of the presets. A test compares them with table_training's QUALITIES."""

    fast = "fast"
    good = "good"
    best = "best"


QUALITY_HELP = (
    "Preset of all settings of nets: one small net, six that hold out other rows each, or twenty in ten folds. "
    f"Not given: {DEFAULT_QUALITY}."
)
# Options that give a setting of the recipe, by the fields of Recipe.
OF_RECIPE = {
    "hidden": "--hidden",
    "n_nets": "--n-nets",
    "dropout": "--dropout",
    "learning_rate": "--learning-rate",
    "epochs": "--epochs",
    "validation_fraction": "--validation",
}


def of(name: str) -> str:
    """Return the end of a help text: the value of the default preset, and those of presets that have another one."""
    values = {quality: _as_option(getattr(recipe, name)) for quality, recipe in QUALITIES.items()}
    default = values[DEFAULT_QUALITY]
    others = [f"; {value} with --quality {quality}" for quality, value in values.items() if value != default]
    return f"Not given: {default}{''.join(others)}."


def _as_option(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class Checkpoints(NamedTuple):
    """Options about checkpoints, which do not change the nets."""

    path: Path | None = None
    every: str = DEFAULT
    resume: bool = False

    def of_net(self, k: int) -> Checkpoints:
        """Return the checkpoints of one of several nets that are trained each by itself: FILE.0, FILE.1 and so on."""
        return self if self.path is None else self._replace(path=Path(f"{self.path}.{k}"))

    def fit_arguments(self, k: int | None = None) -> dict[str, Any]:
        """Return the arguments of fit about checkpoints, of net k or of all nets; none if there is no checkpoint."""
        if self.path is None:
            return {}
        path = self.path if k is None else self.of_net(k).path
        return {"checkpoint": path, "every": interval_option(self.every), "resume": self.resume}


def interval_option(text: str) -> int | str:
    """Return the text of --every as fit's argument: a whole number counts epochs."""
    return int(text) if text.strip().isdecimal() else text


@dataclass(frozen=True)
class TrainOptions:
    """Options of `fastmlp train`, in the order in which `--help` lists them.

    A setting of nets that is None has the value of the preset `quality`, which is DEFAULT_QUALITY if it is None itself.
    """

    file: table.TableFile
    target: table.Target
    task: table.TaskOption = table.Task.auto
    drop: table.Drop = field(default_factory=list)
    keep: table.Keep = field(default_factory=list)
    ids: table.Ids = field(default_factory=list)
    categorical: Annotated[
        list[str], column_option("A column of numbers that stand for categories. Repeat it for several.")
    ] = field(default_factory=list)
    quality: Annotated[Quality | None, choice_option(Quality, QUALITY_HELP)] = None
    n_nets: Annotated[int | None, integer_option("Nets whose mean predicts; with best, nets of each fold.", 1)] = None
    hidden: Annotated[
        str | None,
        typer.Option(metavar="INTEGERS", help=f"Units of each hidden layer; '' for a linear model. {of('hidden')}"),
    ] = None
    dropout: Annotated[
        float | None, fraction_option(f"Share of hidden units left out of each step. {of('dropout')}")
    ] = None
    learning_rate: Annotated[float | None, number_option(f"Peak learning rate. {of('learning_rate')}")] = None
    epochs: Annotated[int | None, integer_option(f"The most passes over the data. {of('epochs')}", 1)] = None
    validation: Annotated[
        float | None,
        fraction_option(
            "Share of rows that all nets hold out; 0: none. Not given: other rows of each net; 0.2 of one net."
        ),
    ] = None
    class_weight: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="balanced, or weights of classes such as yes=5,no=1; for rare classes."),
    ] = None
    tune: Annotated[
        int | None, integer_option("Configurations of the settings not given to compare first, on held-out rows.", 2)
    ] = None
    time_limit: Annotated[
        float | None,
        number_option("Seconds of training, with compiling; there are as many epochs and nets as fit into them."),
    ] = None
    memory_limit: table.MemoryLimit = None
    continue_from: Annotated[Path | None, file_option("Nets to go on with, and whose encoding of columns is kept.")] = (
        None
    )
    seed: table.Seed = 0
    device: table.Device = "auto"
    test: table.TestFile = None
    checkpoint: table.CheckpointPath = None
    resume: table.Resume = False
    output: table.Output = table.DEFAULT_OUTPUT

    @property
    def layers(self) -> tuple[int, ...] | None:
        """Units of the hidden layers. Raises typer.BadParameter if --hidden lists no numbers."""
        return None if self.hidden is None else layer_sizes(self.hidden)

    def recipe(self) -> Recipe:
        """Return the preset with the settings that are given.

        Raises
        ------
        ValueError
            If a setting is invalid, or does not go with the others.
        """
        given = {name: getattr(self, name, None) for name in OF_RECIPE} | {
            "hidden": self.layers,
            "validation_fraction": self.validation,
        }
        given = {name: value for name, value in given.items() if value is not None}
        recipe = recipe_of(self.preset, given).checked({"validation_fraction": "validation"})
        if recipe.n_folds > 1 and self.validation is not None:
            raise ValueError(
                f"--validation is given, but --quality {self.preset} holds out each of {recipe.n_folds} folds in turn: "
                "leave it out."
            )
        return recipe

    @property
    def preset(self) -> str:
        return DEFAULT_QUALITY if self.quality is None else str(self.quality)

    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.checkpoint, resume=self.resume)

    def budget(self) -> Budget:
        """Return the time that all trainings may take, which begins now."""
        return Budget() if self.time_limit is None else Budget(self.time_limit)


def as_command(function: Callable[[Any], None], options: type) -> Callable[..., None]:
    """Return a function that Typer can take as a command: its parameters are the fields of a dataclass.

    function : called with an instance of the dataclass; its name and docstring are those of the command
    options : dataclass whose fields are annotated as Typer wants parameters to be
    """
    hints = get_type_hints(options, include_extras=True)

    def command(**values: Any) -> None:
        function(options(**values))

    def parameter(row: Any) -> Parameter:
        default = Parameter.empty if row.default is MISSING else row.default
        if row.default_factory is not MISSING:
            default = row.default_factory()
        return Parameter(row.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[row.name])

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = hints
    command.__signature__ = Signature(list(map(parameter, fields(options))))  # type: ignore[attr-defined]
    return command
