"""Options that the commands which train on a table, `fastmlp train` and `fastmlp sweep`, have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .option_parsers import (
    Choices,
    choice_option,
    column_option,
    device_option,
    file_argument,
    file_option,
    integer_option,
)


class Task(Choices):
    auto = "auto"
    classification = "classification"
    regression = "regression"


class Scaling(Choices):
    auto = "auto"
    standard = "standard"
    quantile = "quantile"


TASK_HELP = "Predict classes or numbers; auto: classes for text and for at most 20 different whole numbers."
ID_HELP = "A column not to learn from that `predict` puts beside its answers. Repeat it."

TableFile = Annotated[Path, file_argument("A CSV (.csv, .csv.gz, .tsv) or Parquet file, or a folder of Parquet files.")]
Target = Annotated[str, column_option("The column to predict.")]
TaskOption = Annotated[Task, choice_option(Task, TASK_HELP)]
Drop = Annotated[list[str], column_option("A column not to learn from. Repeat it for several.")]
Keep = Annotated[list[str], column_option("A column to learn from, and from no others. Repeat it.")]
Ids = Annotated[list[str], column_option(ID_HELP, "--id")]
ScalingOption = Annotated[Scaling, choice_option(Scaling, "How columns of numbers are scaled.")]
Seed = Annotated[int, integer_option("The same seed gives the same nets.", 0, 2**32 - 1)]
Device = Annotated[str, device_option]
TestFile = Annotated[Path | None, file_option("Another table to report metrics on.")]
CheckpointPath = Annotated[
    Path | None, file_option("Where to write the state of the training at intervals, for --resume.")
]
Every = Annotated[
    str, typer.Option(metavar="INTERVAL", help="Between two checkpoints: a number of epochs, '30 s', '5 min', '2 h'.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one.")]
MemoryLimit = Annotated[
    str | None,
    typer.Option(
        metavar="BYTES",
        help="Bytes of the table in memory, such as 300MB; a larger one is read in pieces. Not given: by what is free.",
    ),
]
Output = Annotated[Path, file_option("Where to save the net; an earlier net there is replaced.")]
DEFAULT_OUTPUT = Path("model.safetensors")
