"""Options of the command `fastmlp sweep`, which commands/sweep.py carries out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import typer

from ..runtime.checkpoint_interval import DEFAULT
from . import table_options as table
from .exit_status import console, errors_as_sentences
from .option_parsers import MOST_SEED, fraction_option, integer_option
from .train_options import Checkpoints, Quality, TrainOptions


@dataclass(frozen=True)
class SweepOptions:
    """Options of `fastmlp sweep`, in the order in which `--help` lists them."""

    file: table.TableFile
    target: table.Target
    n: Annotated[int, integer_option("How many settings to try.", 1, 1_000_000)] = 50
    cv: Annotated[int, integer_option("Folds on which each of them is scored.", 2, 100)] = 3
    epochs: Annotated[int, integer_option("Passes over the data of each net.", 1)] = 50
    workers: Annotated[int | None, integer_option("Processes of this machine that train.", 1, 1024)] = None
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster, such as tcp://10.0.0.1:8786.")
    ] = None
    task: table.TaskOption = table.Task.auto
    drop: table.Drop = field(default_factory=list)
    keep: table.Keep = field(default_factory=list)
    ids: table.Ids = field(default_factory=list)
    validation: Annotated[float, fraction_option("Share of rows that the search does not see; 0: none.")] = 0.2
    patience: Annotated[int, integer_option("Epochs without improvement before the best net stops.", 1)] = 16
    scaling: table.ScalingOption = table.Scaling.auto
    seed: Annotated[int, integer_option("The same seed tries the same settings.", 0, MOST_SEED)] = 0
    device: table.Device = "auto"
    test: table.TestFile = None
    checkpoint: table.CheckpointPath = None
    every: table.Every = DEFAULT
    resume: table.Resume = False
    output: table.Output = table.DEFAULT_OUTPUT

    def of_nets(self) -> TrainOptions:
        """Return the options of the nets, but for what is searched."""
        return TrainOptions(
            self.file,
            self.target,
            task=self.task,
            quality=Quality.fast,
            epochs=self.epochs,
            validation=self.validation,
            seed=self.seed,
            device=self.device,
            drop=self.drop,
            keep=self.keep,
            ids=self.ids,
            test=self.test,
            output=self.output,
        )


def sweep(options: SweepOptions) -> None:
    """Search settings for a net on a table: layer sizes, learning rate, batch size, dropout and weight decay.

    Settings are drawn at random and scored by cross-validation; a table shows the best so far. The net with the best
    settings is then trained and saved as `fastmlp train` does it. Ctrl-C ends the search, and the best settings so far
    are taken; with --checkpoint, the same command with --resume goes on with the search. With --workers or --dask the
    nets are trained by several processes, or on several machines.
    """
    if options.workers is not None and options.dask is not None:
        raise typer.BadParameter("give --workers or --dask, not both", param_hint="--dask")
    with errors_as_sentences():
        from . import sweep as sweep_job

        limits = sweep_job.SearchLimits(options.n, options.cv, options.workers, options.dask)
        checkpoints = Checkpoints(options.checkpoint, options.every, options.resume)
        of_nets = options.of_nets()
        recipe = replace(of_nets.recipe(), patience=options.patience, numeric_encoding=str(options.scaling))
        sweep_job.run(of_nets, recipe, limits, checkpoints, console())
