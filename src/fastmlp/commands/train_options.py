"""Options of the command `fastmlp train`, which train.py carries out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..runtime.checkpoint_interval import DEFAULT as EVERY
from ..runtime.checkpoint_interval import Checkpoint
from ..table_training.recipes import DEFAULT_QUALITY, QUALITIES

# As target.TASKS, whose module `--help` must not import.
TASKS = "auto", "classification", "regression"
QUALITY_HELP = (
    "Preset of all settings of nets: one small net, six that hold out other rows each, or twenty in ten folds."
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


# For the annotation of a command's parameter: Annotated[int, count_option(help="Rows per training step.")]
model_argument = partial(typer.Argument, metavar="MODEL")
file_argument = partial(typer.Argument, metavar="FILE")
file_option = partial(typer.Option, metavar="FILE")
column_option = partial(typer.Option, metavar="COLUMN")
count_option = partial(typer.Option, min=1)
device_option = typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")
memory_limit_option = typer.Option(
    metavar="BYTES",
    help="Bytes of the table in memory, such as 300MB; a larger one is read in pieces. Not given: by what is free.",
)


def layer_sizes(text: Any) -> tuple[int, ...]:
    """Parse numbers of units such as "256,128"; an empty text means no hidden layer."""
    try:
        return tuple(map(int, text.split(","))) if text else ()
    except ValueError:
        raise typer.BadParameter(f"expected numbers of units, such as 256,128, but got {text!r}") from None


def of(name: str) -> str:
    """Return the end of a help text: the value of the default preset, and those of presets that have another one."""
    values = {quality: _as_option(getattr(recipe, name)) for quality, recipe in QUALITIES.items()}
    default = values[DEFAULT_QUALITY]
    others = [f"; {value} with --quality {quality}" for quality, value in values.items() if value != default]
    return f"Not given: {default}{''.join(others)}."


def _as_option(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class TrainOptions:
    """Options of `fastmlp train`, in the order in which `--help` lists them.

    A setting of nets that is None has the value of the preset `quality`.
    """

    file: Annotated[
        Path, file_argument(help="A CSV (.csv, .csv.gz, .tsv) or Parquet file, or a folder of Parquet files.")
    ]
    target: Annotated[str, column_option(help="The column to predict.")]
    task: Annotated[
        str,
        typer.Option(
            metavar="|".join(TASKS),
            help="Predict classes or numbers; auto: classes for text and for at most 20 different whole numbers.",
        ),
    ] = "auto"
    drop: Annotated[list[str], column_option(help="A column not to learn from. Repeat it for several.")] = field(
        default_factory=list
    )
    ids: Annotated[
        list[str],
        column_option("--id", help="A column not to learn from that `predict` puts beside its answers. Repeat it."),
    ] = field(default_factory=list)
    categorical: Annotated[
        list[str], column_option(help="A column of numbers that stand for categories. Repeat it for several.")
    ] = field(default_factory=list)
    quality: Annotated[str, typer.Option(metavar="|".join(QUALITIES), help=QUALITY_HELP)] = DEFAULT_QUALITY
    n_nets: Annotated[int | None, count_option(help="Nets whose mean predicts; with best, nets of each fold.")] = None
    hidden: Annotated[
        Any,
        typer.Option(
            metavar="INTEGERS",
            parser=layer_sizes,
            help=f"Units of each hidden layer; '' for a linear model. {of('hidden')}",
        ),
    ] = None
    dropout: Annotated[
        float | None, typer.Option(help=f"Share of hidden units left out of each step. {of('dropout')}")
    ] = None
    learning_rate: Annotated[float | None, typer.Option(help=f"Peak learning rate. {of('learning_rate')}")] = None
    epochs: Annotated[int | None, count_option(help=f"The most passes over the data. {of('epochs')}")] = None
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            "--validation",
            help="Share of rows that all nets hold out; 0: none. Not given: other rows of each net; 0.2 of one net.",
        ),
    ] = None
    class_weight: Annotated[
        str | None, typer.Option(metavar="balanced", help="Let all classes count the same, where one is rare.")
    ] = None
    tune: Annotated[
        int | None,
        count_option(min=2, help="Configurations of the settings not given to compare first, on held-out rows."),
    ] = None
    time_limit: Annotated[
        float | None,
        typer.Option(help="Seconds of training, with compiling; there are as many epochs and nets as fit into them."),
    ] = None
    memory_limit: Annotated[str | None, memory_limit_option] = None
    seed: Annotated[int, count_option(min=0, max=2**32 - 1, help="The same seed gives the same nets.")] = 0
    device: Annotated[str, device_option] = "auto"
    test: Annotated[Path | None, file_option(help="Another table to report metrics on.")] = None
    checkpoint: Annotated[
        Path | None, file_option(help="Where to write the state of the training at intervals, for --resume.")
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one.")] = False
    output: Annotated[Path, file_option(help="Where to save the net; an earlier net there is replaced.")] = Path(
        "model.safetensors"
    )

    @property
    def given_settings(self) -> dict[str, Any]:
        """Settings of the recipe that an option gives."""
        return {name: value for name in OF_RECIPE if (value := getattr(self, name)) is not None}

    def checkpoint_arguments(self, k: int | None) -> dict[str, Any]:
        """Return the arguments of fit about checkpoints; none if there is no checkpoint.

        k : number of one of several nets that are trained each by itself, with FILE.0, FILE.1 and so on; None for all
        """
        if self.checkpoint is None:
            return {}
        path = self.checkpoint if k is None else Path(f"{self.checkpoint}.{k}")
        return {"checkpoint": Checkpoint(path, EVERY, self.resume)}


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
