"""Nets that `fastmlp train --continue-from` goes on with: their file, which options must be as they are, their loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..loading import load_net
from ..mlp import MLP
from ..table_training.folds import nets_share_by_fold
from ..table_training.net_options import SCALES
from ..table_training.quality_presets import Recipe
from ..table_training.rows import Rows
from ..tables.preprocessing import Preprocessing
from .held_out_rows import FOLDS, last_fit
from .train_settings import TrainSettings


def load_known(path: Path | None, settings: TrainSettings) -> Any:
    """Return the nets of --continue-from, or None without it.

    Raises
    ------
    ValueError
        If they were not trained on a table, or predict another column.
    """
    if path is None:
        return None
    known = load_net(path, device=settings.device)
    if known.preprocessing is None:
        raise ValueError(f"--continue-from {str(path)!r}: the net in this file knows no table columns.")
    if known.preprocessing.target.name != settings.target:
        raise ValueError(
            f"--continue-from {str(path)!r}: its nets predict {known.preprocessing.target.name!r}, and --target is "
            f"{settings.target!r}."
        )
    check_columns_of(known.preprocessing, settings)
    return known


def check_columns_of(preprocessing: Preprocessing, settings: TrainSettings) -> None:
    """Raise ValueError if an option asks for other columns, or another encoding, than known nets have."""
    used = {column.name for column in preprocessing.columns}
    left_out = used - set(settings.keep) if settings.keep else set()
    refused = {
        "--drop": used & set(settings.drop),
        "--id": used & set(settings.ids),
        "--keep": left_out,
        "--task": {settings.task} - {"auto", preprocessing.target.task},
        "--numeric-encoding": {settings.scaling} - {"auto"},
        "--category-embedding": {"vectors"} if settings.category_embedding else set(),
        "--bin-embedding": {"piecewise linear functions"} if settings.bin_embedding else set(),
        "--categorical": set(settings.categorical),
        "--n-bins": set() if settings.n_bins is None else {str(settings.n_bins)},
        "--text": set(settings.text),
        "--no-text": {"no words"} if settings.no_text else set(),
    }
    for option, values in refused.items():
        if values:
            raise ValueError(
                f"The nets to go on with keep their columns and their encoding, which {option} would change "
                f"({', '.join(sorted(values))}): leave it out."
            )


def recipe_to_continue(settings: TrainSettings, known: Any) -> Recipe:
    """Return the recipe of the settings, where those of an architecture are of known nets if they are not given."""
    recipe = settings.recipe()
    if known is None:
        return recipe
    architecture = known.get_settings()
    activations = set(architecture["hidden_activation"])
    if settings.activation is not None and activations - {settings.activation}:
        (activation,) = activations
        raise ValueError(f"--activation is {settings.activation!r}, but the nets to go on with have {activation!r}.")
    hidden = tuple(architecture["layer_sizes"][1:-1]) if settings.hidden is None else settings.hidden
    n_nets = recipe.n_nets
    if settings.n_nets is None:
        n_nets = max(1, (1 if isinstance(known, MLP) else known.n_nets) // recipe.n_folds)
    shared_weights = bool(getattr(known, "shared_weights", False)) or nets_share_by_fold(known, recipe.n_folds)
    if settings.shared_weights and not shared_weights:
        raise ValueError("--shared-weights is given, but the nets to go on with share no weights: leave it out.")
    embedding, options = known.network.input_embedding, dict(recipe.net_options)
    if embedding is not None and all(isinstance(entry, int) for entry in embedding.entries):
        options[SCALES] = True
    last = last_fit(known)
    own_folds = recipe.own_folds and last is not None and last.settings.get(FOLDS) == n_nets
    further: dict[str, Any] = {"shared_weights": shared_weights, "own_folds": own_folds, "net_options": options}
    recipe = replace(recipe.continued(known.network), hidden=hidden, n_nets=n_nets, **further)
    return recipe.checked({"validation_fraction": "validation"})


def validation_loss(nets: Any, rows: Rows, held_out: Rows | None, folds: np.ndarray | None) -> str:
    """Return the loss of nets on the rows that they hold out, the mean of several nets, as text; "" if they hold none.

    rows : of training and, with folds, of validation
    folds : (n_rows,) fold of each row, or None
    """
    loss_on = lambda net, held_out: net.evaluate(held_out.X, held_out.y, sample_weight=held_out.weights)["loss"]
    if folds is not None:
        n_each = nets.n_nets // (int(folds.max()) + 1)
        of_fold = lambda k: rows.take(np.flatnonzero(folds == k // n_each))
        losses = [loss_on(nets.net(k), of_fold(k)) for k in range(nets.n_nets)]
    elif held_out is not None:
        losses = loss_on(nets, held_out)
    else:
        return ""
    return f"{'' if np.size(losses) == 1 else 'mean '}validation loss {np.mean(losses):.4g}"
