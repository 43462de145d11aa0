"""Options of the command `fastmlp train`, which commands/train.py carries out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..intervals import DEFAULT
from .option_parsers import (
    MOST_SEED,
    choice_option,
    column_option,
    device_option,
    file_argument,
    file_option,
    fraction_option,
    integer_option,
    layer_sizes,
    name_option,
    number_option,
)
from .terminal import console, errors_as_sentences
from .train_settings import Checkpoints, TrainSettings


class Task(str, Enum):
    auto = "auto"
    classification = "classification"
    regression = "regression"


class Scaling(str, Enum):
    auto = "auto"
    standard = "standard"
    quantile = "quantile"


@dataclass(frozen=True)
class TrainOptions:
    """Options of `fastmlp train`, in the order in which `--help` lists them."""

    file: Annotated[Path, file_argument("A CSV (.csv, .csv.gz, .tsv) or Parquet file with a header.")]
    target: Annotated[str, column_option("The column to predict.")]
    task: Annotated[
        Task,
        choice_option(
            Task, "Predict classes or numbers; auto: classes for text and for at most 20 different whole numbers."
        ),
    ] = Task.auto
    drop: Annotated[list[str], column_option("A column not to learn from. Repeat it for several.")] = field(
        default_factory=list
    )
    keep: Annotated[list[str], column_option("A column to learn from, and from no others. Repeat it.")] = field(
        default_factory=list
    )
    ids: Annotated[
        list[str],
        column_option("A column not to learn from that `predict` puts beside its answers. Repeat it.", "--id"),
    ] = field(default_factory=list)
    hidden: Annotated[
        str, typer.Option(metavar="INTEGERS", help="Units of each hidden layer; '' for a linear model.")
    ] = "256,256"
    activation: Annotated[str, name_option("Activation of the hidden layers.")] = "relu"
    dropout: Annotated[float, fraction_option("Share of hidden units left out of each step.")] = 0.1
    optimizer: Annotated[str, name_option("adamw, adam, sgd, rmsprop, adagrad, ...")] = "adamw"
    learning_rate: Annotated[float, number_option("Learning rate; of a schedule, its peak.")] = 3e-3
    schedule: Annotated[str, name_option("How the learning rate moves: one_cycle, cosine, constant, ...")] = "one_cycle"
    clip_norm: Annotated[float, number_option("Longest gradient; longer ones are scaled back. 0: no limit.")] = 0.0
    epochs: Annotated[int, integer_option("The most passes over the data.", 1)] = 100
    batch_size: Annotated[int, integer_option("Rows per training step.", 1)] = 128
    validation: Annotated[float, fraction_option("Share of rows held out for validation; 0: none.")] = 0.2
    patience: Annotated[int, integer_option("Epochs without improvement before stopping.", 1)] = 16
    scaling: Annotated[Scaling, choice_option(Scaling, "How columns of numbers are scaled.")] = Scaling.auto
    seed: Annotated[int, integer_option("The same seed gives the same net.", 0, MOST_SEED)] = 0
    device: Annotated[str, device_option] = "auto"
    test: Annotated[Path | None, file_option("Another table to report metrics on.")] = None
    checkpoint: Annotated[
        Path | None, file_option("Where to write the state of the training at intervals, for --resume.")
    ] = None
    every: Annotated[
        str,
        typer.Option(metavar="INTERVAL", help="Between two checkpoints: a number of epochs, '30 s', '5 min', '2 h'."),
    ] = DEFAULT
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one.")] = False
    output: Annotated[Path, file_option("Where to save the net; an earlier net there is replaced.")] = Path(
        "model.safetensors"
    )

    def settings(self) -> TrainSettings:
        """Return the settings of the net and its training.

        Raises
        ------
        typer.BadParameter
            If the text of `hidden` lists no numbers of units.
        """
        values = {field.name: getattr(self, field.name) for field in fields(TrainSettings)}
        values |= {"task": self.task.value, "scaling": self.scaling.value, "hidden": layer_sizes(self.hidden)}
        return TrainSettings(**values | {name: tuple(values[name]) for name in ("drop", "keep", "ids")})


def train(options: TrainOptions) -> None:
    """Train a net on a table, with preprocessing, held-out validation rows and early stopping; save it, print metrics.

    Numeric columns are scaled, text columns are one-hot encoded, and missing cells are handled. The preprocessing is
    fitted to the training part only, and saved with the net. After Ctrl-C, or if the training diverges, the output file
    stays as it was, and the net as trained so far is saved to OUTPUT.interrupted or OUTPUT.diverged. With --checkpoint,
    the same command with --resume goes on after Ctrl-C or a crash, to the same net.
    """
    settings = options.settings()
    with errors_as_sentences():
        from . import train_predict

        checkpoints = Checkpoints(options.checkpoint, options.every, options.resume)
        train_predict.train(options.file, settings, options.output, options.test, console(), checkpoints)


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
