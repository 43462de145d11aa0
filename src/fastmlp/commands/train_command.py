"""The command `fastmlp train` as the command line knows it; train.py, which is long to import, carries it out."""

from __future__ import annotations

from .exit_status import console, errors_as_sentences
from .option_parsers import layer_sizes
from .train_options import TrainOptions


def train(options: TrainOptions) -> None:
    """Train nets on a table, with preprocessing, held-out rows and early stopping; save them, print metrics.

    Numeric columns are scaled, text columns are one-hot encoded, and missing cells are handled. The preprocessing is
    fitted to the training part (with folds to all rows but those of --test), and saved with the nets. They are the nets
    that the estimators for tables train in Python, where more settings can be given. After Ctrl-C, or if the training
    diverges, the output file stays as it was, and the nets as trained so far are saved to OUTPUT.interrupted or
    OUTPUT.diverged. With --checkpoint, the same command with --resume goes on after Ctrl-C or a crash, to the same
    nets; --checkpoint does not go with --time-limit or --tune.
    """
    with errors_as_sentences():
        if options.hidden is not None:
            layer_sizes(options.hidden)
        from .train import train as train_on_table

        train_on_table(options, console(), options.checkpoints())
