"""Nets that `fastmlp train --continue-from` goes on with: their file, and which options must be as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import counted
from ..loading import load_net
from ..mlp import MLP
from ..table_training.recipes import Recipe
from ..tables.preprocessing import Preprocessing
from .train_options import TrainOptions
from .training_split import FOLDS, last_fit


def load_known(options: TrainOptions) -> Any:
    """Return the nets of --continue-from, or None without it.

    Raises
    ------
    ValueError
        If they were not trained on a table, or predict another column.
    """
    path = options.continue_from
    if path is None:
        return None
    known = load_net(path, device=options.device)
    if known.preprocessing is None:
        raise ValueError(f"--continue-from {str(path)!r}: the net in this file knows no table columns.")
    if known.preprocessing.target.name != options.target:
        raise ValueError(
            f"--continue-from {str(path)!r}: its nets predict {known.preprocessing.target.name!r}, and --target is "
            f"{options.target!r}."
        )
    check_columns_of(known.preprocessing, options)
    return known


def check_columns_of(preprocessing: Preprocessing, options: TrainOptions) -> None:
    """Raise ValueError if an option asks for other columns, or another encoding, than known nets have."""
    used = {column.name for column in preprocessing.columns}
    refused = {
        "--drop": used & set(options.drop),
        "--id": used & set(options.ids),
        "--keep": used - set(options.keep) if options.keep else set(),
        "--task": {str(options.task)} - {"auto", preprocessing.target.task},
        "--categorical": set(options.categorical),
    }
    for option, values in refused.items():
        if values:
            raise ValueError(
                f"The nets to go on with keep their columns and their encoding, which {option} would change "
                f"({', '.join(sorted(values))}): leave it out."
            )


def recipe_to_continue(options: TrainOptions, known: Any) -> Recipe:
    """Return the recipe of the options, where layers and the number of nets are of known nets if they are not given.

    Raises
    ------
    ValueError
        If the options ask for other nets.
    """
    recipe = options.recipe()
    hidden = tuple(known.network.layer_sizes[1:-1]) if options.hidden is None else recipe.hidden
    n_known, n_nets = 1 if isinstance(known, MLP) else known.n_nets, recipe.n_nets
    if options.n_nets is None:
        if options.quality is not None and recipe.n_folds == 1 and n_nets != n_known:
            raise ValueError(
                f"--quality {options.preset} asks for {counted(n_nets, 'net')}, but there "
                f"{'is' if n_known == 1 else 'are'} {counted(n_known, 'net')} to go on with: leave it out."
            )
        n_nets = max(1, n_known // recipe.n_folds)
    last = last_fit(known)
    own_folds = recipe.own_folds and last is not None and last.settings.get(FOLDS) == n_nets
    return replace(recipe, hidden=hidden, n_nets=n_nets, own_folds=own_folds).checked()
