"""Command line of `fastmlp`: the commands and their options.

Each command imports the heavy modules it needs when it runs, so that `fastmlp --help` is quick.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..errors import unknown_name
from .error_handling import Command, console
from .train_options import (
    TrainOptions,
    as_command,
    column_option,
    count_option,
    device_option,
    file_argument,
    file_option,
    memory_limit_option,
    model_argument,
)

app = typer.Typer(
    help="Trains multilayer perceptrons.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # paragraphs fill the width
)
command = partial(app.command, cls=Command)


def main() -> None:
    """Entry point of the `fastmlp` command."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Trains multilayer perceptrons."""


@command()
def xor(
    stuck: Annotated[bool, typer.Option("--stuck", help="Show a net that is stuck, why, and the cure.")] = False,
) -> None:
    """Train four small nets on XOR and show their outputs."""
    from . import stuck_demo, xor_demo

    raise typer.Exit((stuck_demo if stuck else xor_demo).run(console()))


# Names of the groups of benchmark cases, whose module `--help` must not import.
BENCH_GROUPS = "all", "xor", "population", "minibatch", "large"


CLASSICS = "all", "xor-quickprop", "trainlm"


@command()
def reproduce(
    experiment: Annotated[str, typer.Argument(metavar="|".join(CLASSICS), help="A result of the literature.")] = "all",
    nets: Annotated[int | None, count_option(min=2, help="Number of nets; as many as published if not given.")] = None,
) -> None:
    """Repeat experiments of the literature and compare the results with the published figures."""
    from .reproduce import EXPERIMENTS

    if experiment not in CLASSICS:
        raise unknown_name("experiment", experiment, CLASSICS)
    for name, found in EXPERIMENTS.items():
        if experiment in ("all", name):
            found.show(console(), *(() if nets is None else (nets,)))


@command()
def bench(
    group: Annotated[str, typer.Argument(metavar="|".join(BENCH_GROUPS), help="What to measure.")] = "all",
) -> None:
    """Measure fastmlp against hand-written NumPy on this machine, in a minute or two."""
    from . import numpy_benchmark

    if group not in BENCH_GROUPS:
        raise unknown_name("group", group, BENCH_GROUPS)
    for line in numpy_benchmark.lines(group):
        typer.echo(line)


@command()
def devices() -> None:
    """List the devices of this machine and, if one cannot be used, the reason."""
    from rich.table import Table

    from ..devices import devices as all_devices
    from ..runtime.auto_device import WORK_FOR_GPU

    table, rows, out = Table("device", "available", "description"), all_devices(), console()
    for device in rows:
        table.add_row(device.name, "yes" if device.available else "no", device.description)
    out.print(table)
    for device in rows:
        if device.reason:  # on one line, since it may name a command to copy
            out.print(f"{device.name}: {device.reason}", soft_wrap=True, markup=False, highlight=False)
    for device in rows[1:]:
        if device.available:
            typer.echo(f"device='auto' takes {device.name} from {WORK_FOR_GPU} on")


@command()
def warmup(
    float64: Annotated[bool, typer.Option("--float64", help="Nets in float64, too, such as of lbfgs.")] = False,
) -> None:
    """Compile the kernels for this processor, in one to two minutes: later fits of all kinds of nets start at once."""
    from . import warmup as warmup_job

    warmup_job.run(float64)


def train(options: TrainOptions) -> None:
    """Train nets on a table, with preprocessing, held-out rows and early stopping; save them, print metrics.

    Numeric columns are scaled, text columns are one-hot encoded, and missing cells are handled. The preprocessing is
    fitted to the training part (with folds to all rows but those of --test), and saved with the nets. They are the nets
    that the estimators for tables train in Python, where more settings can be given. After Ctrl-C, or if the training
    diverges, the output file stays as it was, and the nets as trained so far are saved to OUTPUT.interrupted or
    OUTPUT.diverged. With --checkpoint, the same command with --resume goes on after Ctrl-C or a crash, to the same
    nets; --checkpoint does not go with --time-limit or --tune.
    """
    from .train import train as train_on_table

    train_on_table(options, console())


command()(as_command(train, TrainOptions))


@command()
def report(
    model: Annotated[Path, model_argument(help="A net saved by `fastmlp train` or by net.save(...).")],
    file: Annotated[Path | None, file_argument(help="Samples to judge it on: CSV or Parquet.")] = None,
    target: Annotated[str | None, column_option(help="The column to predict, if the net does not know it.")] = None,
    output: Annotated[Path | None, file_option(help="The page; beside the net if not given.")] = None,
    device: Annotated[str, device_option] = "auto",
) -> None:
    """Write an HTML report on a trained net: verdict, curves, time, settings; with samples, plots of predictions."""
    from . import diagnose as report_job

    typer.echo(f"Wrote {report_job.report(model, file, target, output, device)}")


@command()
def diagnose(
    model: Annotated[Path, model_argument(help="A net or population saved by fastmlp.")],
    file: Annotated[Path, file_argument(help="The CSV or Parquet file it was trained on.")],
    target: Annotated[
        str | None, column_option(help="The column to predict; a net of `fastmlp train` knows it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Explain why a net does not learn: the verdict, its evidence, the remedy, and an experiment to confirm it."""
    from . import diagnose as diagnosis_job

    typer.echo(diagnosis_job.run(model, file, target, as_json))


@command()
def predict(
    model: Annotated[Path, model_argument(help="A net saved by `fastmlp train`.")],
    file: Annotated[
        Path, file_argument(help="CSV, Parquet or a folder of Parquet files with the columns of the training.")
    ],
    ids: Annotated[
        list[str],
        column_option(
            "--id", help="A column to put beside the predictions; those of `train --id` if not given. Repeat it."
        ),
    ] = [],  # noqa: B006  # Typer copies it
    output: Annotated[
        Path | None, file_option(help="A CSV (.csv, .csv.gz, .tsv) or Parquet file; stdout without it.")
    ] = None,
    memory_limit: Annotated[str | None, memory_limit_option] = None,
    device: Annotated[str, device_option] = "auto",
) -> None:
    """Predict each row of a table: a column `prediction` and, for each class, a column `probability_<label>`.

    The predictions are printed as CSV, or written to the file that --output names.
    """
    from ..fit.interrupt_warnings import interrupt_message
    from ..runtime.output_files import left_alone
    from . import predict as predict_job

    with interrupt_message(f"Interrupted; {'nothing was written' if output is None else left_alone(output)}."):
        if output is not None:
            predict_job.check_table_path(output, model, file)
        pieces = predict_job.predictions(model, file, device, ids, memory_limit)
        predict_job.write(pieces, output, typer.get_binary_stream("stdout") if output is None else None)


@command()
def export(
    model: Annotated[Path, model_argument(help="A net, population or estimator saved by fastmlp.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The file to write: .onnx for ONNX, .h for C.")],
    prefix: Annotated[
        str, typer.Option(help="With .h: beginning of the names in the file, such as NAME_predict.")
    ] = "",
) -> None:
    """Write a trained net, with the preprocessing of its table, as an ONNX model or as a C file."""
    from ..export.export_to_file import checked_suffix
    from ..fit.interrupt_warnings import interrupt_message
    from ..loading import load
    from ..runtime.output_files import check_output, left_alone

    with interrupt_message(f"Interrupted; {left_alone(output)}."):
        checked_suffix(output, prefix)
        check_output(output, model)
        load(model).export(output, prefix=prefix)
        typer.echo(f"Wrote {output}")
