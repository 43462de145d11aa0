"""Options of the command `fastmlp train`, which commands/train.py carries out."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .option_parsers import (
    COLUMN,
    DEVICES,
    FILE,
    INTEGER,
    MOST_SEED,
    NAME,
    NUMBER,
    choice,
    layer_sizes,
    number,
    share,
    whole_number,
)
from .terminal import console, errors_as_sentences


class Task(str, Enum):
    auto = "auto"
    classification = "classification"
    regression = "regression"


class Scaling(str, Enum):
    auto = "auto"
    standard = "standard"
    quantile = "quantile"


def train(
    file: Annotated[
        Path, typer.Argument(metavar=FILE, help="A CSV (.csv, .csv.gz, .tsv) or Parquet file with a header.")
    ],
    target: Annotated[str, typer.Option(metavar=COLUMN, help="The column to predict.")],
    task: Annotated[
        Task,
        typer.Option(
            parser=choice(Task),
            metavar="auto|classification|regression",
            help="Predict classes or numbers; auto: classes for text and for at most 20 different whole numbers.",
        ),
    ] = Task.auto,
    drop: Annotated[
        list[str], typer.Option(metavar=COLUMN, help="A column not to learn from. Repeat it for several.")
    ] = [],  # noqa: B006  # Typer copies it
    keep: Annotated[
        list[str], typer.Option(metavar=COLUMN, help="A column to learn from, and from no others. Repeat it.")
    ] = [],  # noqa: B006
    ids: Annotated[
        list[str],
        typer.Option(
            "--id", metavar=COLUMN, help="A column not to learn from that `predict` puts beside its answers. Repeat it."
        ),
    ] = [],  # noqa: B006
    hidden: Annotated[
        str, typer.Option(metavar="INTEGERS", help="Units of each hidden layer; '' for a linear model.")
    ] = "256,256",
    activation: Annotated[str, typer.Option(metavar=NAME, help="Activation of the hidden layers.")] = "relu",
    dropout: Annotated[
        float, typer.Option(parser=share, metavar=NUMBER, help="Share of hidden units left out of each step.")
    ] = 0.1,
    optimizer: Annotated[str, typer.Option(metavar=NAME, help="adamw, adam, sgd, rmsprop, adagrad, ...")] = "adamw",
    learning_rate: Annotated[
        float, typer.Option(parser=number, metavar=NUMBER, help="Learning rate; of a schedule, its peak.")
    ] = 3e-3,
    schedule: Annotated[
        str, typer.Option(metavar=NAME, help="How the learning rate moves: one_cycle, cosine, constant, ...")
    ] = "one_cycle",
    clip_norm: Annotated[
        float,
        typer.Option(parser=number, metavar=NUMBER, help="Longest gradient; longer ones are scaled back. 0: no limit."),
    ] = 0.0,
    epochs: Annotated[
        int, typer.Option(parser=whole_number(1), metavar=INTEGER, help="The most passes over the data.")
    ] = 100,
    batch_size: Annotated[
        int, typer.Option(parser=whole_number(1), metavar=INTEGER, help="Rows per training step.")
    ] = 128,
    validation: Annotated[
        float, typer.Option(parser=share, metavar=NUMBER, help="Share of rows held out for validation; 0: none.")
    ] = 0.2,
    patience: Annotated[
        int, typer.Option(parser=whole_number(1), metavar=INTEGER, help="Epochs without improvement before stopping.")
    ] = 16,
    scaling: Annotated[
        Scaling,
        typer.Option(
            parser=choice(Scaling), metavar="auto|standard|quantile", help="How columns of numbers are scaled."
        ),
    ] = Scaling.auto,
    seed: Annotated[
        int, typer.Option(parser=whole_number(0, MOST_SEED), metavar=INTEGER, help="The same seed gives the same net.")
    ] = 0,
    device: Annotated[str, typer.Option(metavar=DEVICES, help="Where to compute.")] = "auto",
    test: Annotated[Path | None, typer.Option(metavar=FILE, help="Another table to report metrics on.")] = None,
    output: Annotated[
        Path, typer.Option(metavar=FILE, help="Where to save the net; an earlier net there is replaced.")
    ] = Path("model.safetensors"),
) -> None:
    """Train a net on a table, with preprocessing, held-out validation rows and early stopping; save it, print metrics.

    Numeric columns are scaled, text columns are one-hot encoded, and missing cells are handled. The preprocessing is
    fitted to the training part only, and saved with the net. After Ctrl-C, or if the training diverges, the output file
    stays as it was, and the net as trained so far is saved to OUTPUT.interrupted or OUTPUT.diverged.
    """
    sizes = layer_sizes(hidden)
    with errors_as_sentences():
        from . import train_predict

        settings = train_predict.TrainSettings(
            target=target,
            task=task.value,
            scaling=scaling.value,
            hidden=sizes,
            activation=activation,
            dropout=dropout,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            clip_norm=clip_norm,
            epochs=epochs,
            batch_size=batch_size,
            validation=validation,
            patience=patience,
            seed=seed,
            device=device,
            drop=tuple(drop),
            keep=tuple(keep),
            ids=tuple(ids),
        )
        train_predict.train(file, settings, output, test, console())
