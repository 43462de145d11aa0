"""Options of the command `fastmlp train`, which commands/train.py carries out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..runtime.checkpoint_interval import DEFAULT
from ..table_training.recipes import DEFAULT_QUALITY, QUALITIES
from . import table_options as table
from .exit_status import console, errors_as_sentences
from .option_parsers import (
    Choices,
    choice_option,
    column_option,
    file_option,
    fraction_option,
    integer_option,
    layer_sizes,
    name_option,
    number_option,
)
from .train_settings import Checkpoints, TrainSettings


class Quality(Choices):
    """Names of the presets. A test compares them with table_training's QUALITIES."""

    fast = "fast"
    good = "good"
    best = "best"


QUALITY_HELP = (
    "Preset of all options about nets: one small net, six that hold out other rows each, or twenty in ten folds. "
    f"Not given: {DEFAULT_QUALITY}."
)
ENCODING_HELP = "How columns of numbers are encoded."


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
    """Options of `fastmlp train`, in the order in which `--help` lists them."""

    file: table.TableFile
    target: table.Target
    task: table.TaskOption = table.Task.auto
    drop: table.Drop = field(default_factory=list)
    keep: table.Keep = field(default_factory=list)
    ids: table.Ids = field(default_factory=list)
    quality: Annotated[Quality | None, choice_option(Quality, QUALITY_HELP)] = None
    n_nets: Annotated[
        int | None, integer_option("Nets whose mean predicts; with --n-folds or best, nets of each fold.", 1)
    ] = None
    hidden: Annotated[
        str | None,
        typer.Option(metavar="INTEGERS", help=f"Units of each hidden layer; '' for a linear model. {of('hidden')}"),
    ] = None
    activation: Annotated[
        str | None, name_option("Activation of the hidden layers. Not given: silu for classes, relu for numbers.")
    ] = None
    dropout: Annotated[
        float | None, fraction_option(f"Share of hidden units left out of each step. {of('dropout')}")
    ] = None
    optimizer: Annotated[str | None, name_option(f"adamw, adam, sgd, rmsprop, adagrad, ... {of('optimizer')}")] = None
    learning_rate: Annotated[
        float | None, number_option(f"Learning rate; of a schedule, its peak. {of('learning_rate')}")
    ] = None
    weight_decay: Annotated[
        float | None, number_option(f"Share of the weights that a step of rate 1 takes off. {of('weight_decay')}")
    ] = None
    schedule: Annotated[
        str | None, name_option(f"How the learning rate moves: one_cycle, cosine, constant, ... {of('schedule')}")
    ] = None
    clip_norm: Annotated[
        float | None, number_option(f"Longest gradient; longer ones are scaled back. 0: no limit. {of('clip_norm')}")
    ] = None
    epochs: Annotated[int | None, integer_option(f"The most passes over the data. {of('epochs')}", 1)] = None
    batch_size: Annotated[
        int | None, integer_option("Rows per training step. Not given: 256, of small tables fewer.", 1)
    ] = None
    validation: Annotated[
        float | None,
        fraction_option(
            "Share of rows that all nets hold out; 0: none. Not given: other rows of each net; 0.2 of one net."
        ),
    ] = None
    patience: Annotated[
        int | None, integer_option(f"Epochs without improvement before stopping. {of('patience')}", 1)
    ] = None
    n_folds: Annotated[
        int | None,
        integer_option(
            "Parts of the rows; --n-nets nets are trained without each. Not given: one a net of good; 10 of best.", 1
        ),
    ] = None
    refit: Annotated[
        bool, typer.Option("--refit", help="Train new nets on all rows, for the epochs found best; twice the time.")
    ] = False
    l2: Annotated[
        float | None, number_option("L2 penalty: this times half the sum of squared weights. Not given: 0.")
    ] = None
    label_smoothing: Annotated[
        float | None,
        fraction_option("Share of a target that is spread over all classes. Not given: 0.1 if calibrated."),
    ] = None
    calibration: Annotated[
        str | None, name_option(f"Of class probabilities: temperature, by held-out rows, or none. {of('calibration')}")
    ] = None
    class_weight: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="balanced, or weights of classes such as yes=5,no=1; for rare classes."),
    ] = None
    tune: Annotated[
        int | None, integer_option("Configurations of the options not given to compare first, on held-out rows.", 2)
    ] = None
    time_limit: Annotated[
        float | None,
        number_option("Seconds of training, with compiling; there are as many epochs and nets as fit into them."),
    ] = None
    memory_limit: table.MemoryLimit = None
    row_cache: table.RowCache = None
    continue_from: Annotated[Path | None, file_option("Nets to go on with, and whose encoding of columns is kept.")] = (
        None
    )
    scaling: Annotated[
        table.NumericEncoding, choice_option(table.NumericEncoding, ENCODING_HELP, "--numeric-encoding", "--scaling")
    ] = table.NumericEncoding.auto
    n_bins: Annotated[int | None, integer_option(f"The most bins of a column of numbers. {of('n_bins')}", 2)] = None
    categorical: Annotated[
        list[str], column_option("A column of numbers that stand for categories. Repeat it for several.")
    ] = field(default_factory=list)
    text: Annotated[list[str], column_option("A column whose words to learn from. Repeat it.")] = field(
        default_factory=list
    )
    no_text: Annotated[bool, typer.Option("--no-text", help="No words of columns of text.")] = False
    net_weights: Annotated[
        str | None, name_option(f"Weights of the nets: equal, or greedy by held-out rows. {of('net_weights')}")
    ] = None
    seed: table.Seed = 0
    device: table.Device = "auto"
    test: table.TestFile = None
    checkpoint: table.CheckpointPath = None
    every: table.Every = DEFAULT
    resume: table.Resume = False
    output: table.Output = table.DEFAULT_OUTPUT

    def settings(self) -> TrainSettings:
        """Return the settings of the net and its training.

        Raises
        ------
        typer.BadParameter
            If the text of `hidden` lists no numbers of units.
        """
        values = {field.name: getattr(self, field.name) for field in fields(TrainSettings)}
        values |= {"task": self.task.value, "scaling": self.scaling.value}
        values["quality"] = None if self.quality is None else self.quality.value
        values |= {"hidden": None if self.hidden is None else layer_sizes(self.hidden)}
        lists = "drop", "keep", "ids", "text", "categorical"
        return TrainSettings(**values | {name: tuple(values[name]) for name in lists})


def train(options: TrainOptions) -> None:
    """Train nets on a table, with preprocessing, held-out validation rows and early stopping; save them, print metrics.

    Numeric columns are scaled, text columns are one-hot encoded, and missing cells are handled. The preprocessing is
    fitted to the training part (with folds to all rows but those of --test), and saved with the nets. The nets of the
    preset that --quality names are trained as those of the estimators for tables in Python. After Ctrl-C, or if the
    training diverges, the output file stays as it was, and the nets as trained so far are saved to OUTPUT.interrupted
    or OUTPUT.diverged. With --checkpoint, the same command with --resume goes on after Ctrl-C or a crash, to the same
    nets; --checkpoint does not go with --quality best, --n-folds, --refit, --time-limit or --tune.
    """
    settings = options.settings()
    with errors_as_sentences():
        from .train import train as train_on_table

        checkpoints = Checkpoints(options.checkpoint, options.every, options.resume)
        further = checkpoints, options.continue_from
        train_on_table(options.file, settings, options.output, options.test, console(), *further)


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
