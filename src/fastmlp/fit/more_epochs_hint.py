"""The line that says that a fit ended while its loss still fell steeply."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..console.output_target import NOTEBOOK, NOWHERE, NotebookText, output_target
from ..history import History

SMALL_BATCH = 32
_told = False  # whether the line was written in this process


def tell_of_falling_loss(history: History, keywords: Mapping[str, Any]) -> None:
    """Tell the user that the loss of a fit still fell: once, in a terminal or notebook, or after each with verbose=2.

    It is no warning: few epochs may be what the user wants, and a program that makes warnings errors should go on. A
    schedule has its own end, and fits that share an optimiser state go on.

    keywords : mapping     keywords of MLP.fit
    """
    global _told
    verbose, target = keywords["verbose"], output_target()
    if not verbose or (verbose == 1 and (_told or target == NOWHERE)):
        return
    if keywords["schedule"] is not None or keywords["optimizer_state"] is not None or not history.still_falling:
        return
    _told = True
    has_large_batches = history.settings["batch_size"] > SMALL_BATCH and not history.optimizer.rule.needs_full_batch
    batches = f", batch_size={SMALL_BATCH}" if has_large_batches else ""
    text = (
        f"The loss still fell steeply when the {history.epochs:,} epochs ended: more epochs{batches} or a higher "
        "learning rate may lower it much further."
    )
    if verbose == 2:
        print(text, flush=True)
    elif target == NOTEBOOK:
        NotebookText().write(text)
    else:
        print(text, file=sys.stderr)
