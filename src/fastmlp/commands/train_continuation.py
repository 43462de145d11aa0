"""Nets that `fastmlp train --continue-from` goes on with: their file, which options must be as they are, their loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..console.stopwatch import format_time
from ..errors import counted
from ..loading import load_net
from ..mlp import MLP
from ..population import Population
from ..population_result import PopulationResult
from ..table_training.epochs_in_time import NetsToPlan
from ..table_training.recipe_fit import continue_from, described, fit_nets
from ..table_training.recipes import Recipe
from ..table_training.rows_in_file import FileRows
from ..table_training.rows_in_memory import Rows
from ..table_training.training_summary import final_figures, summary
from ..tables.preprocessing import Preprocessing
from ..training.interruption import was_interrupted
from .train_settings import TrainSettings
from .training_split import FOLDS, last_fit


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
    """Return the recipe of the settings, where those of an architecture are of known nets if they are not given.

    Raises
    ------
    ValueError
        If the settings ask for other nets.
    """
    recipe = settings.recipe()
    if known is None:
        return recipe
    architecture = known.get_settings()
    activations = set(architecture["hidden_activation"])
    if settings.activation is not None and activations - {settings.activation}:
        (activation,) = activations
        raise ValueError(f"--activation is {settings.activation!r}, but the nets to go on with have {activation!r}.")
    hidden = tuple(architecture["layer_sizes"][1:-1]) if settings.hidden is None else settings.hidden
    n_known, n_nets = 1 if isinstance(known, MLP) else known.n_nets, recipe.n_nets
    if settings.n_nets is None:
        if settings.quality is not None and recipe.n_folds == 1 and n_nets != n_known:
            raise ValueError(
                f"--quality {settings.quality} asks for {counted(n_nets, 'net')}, but there "
                f"{'is' if n_known == 1 else 'are'} {counted(n_known, 'net')} to go on with: leave it out."
            )
        n_nets = max(1, n_known // recipe.n_folds)
    last = last_fit(known)
    own_folds = recipe.own_folds and last is not None and last.settings.get(FOLDS) == n_nets
    recipe = replace(recipe.continued(known.network), hidden=hidden, n_nets=n_nets, own_folds=own_folds)
    return recipe.checked({"validation_fraction": "validation"})


def losses_on(nets: Any, held_out: Rows) -> np.ndarray:
    """Return the loss of each net on held-out rows, (n_nets,); nets : an MLP or Population"""
    return np.atleast_1d(nets.evaluate(held_out.X, held_out.y, sample_weight=held_out.weights)["loss"])


def validation_loss(nets: Any, rows: Any, held_out: Rows | None, folds: np.ndarray | None) -> str:
    """Return the loss of nets on the rows that they hold out, the mean of several nets, as text; "" if they hold none.

    rows : of training and, with folds, of validation
    folds : (n_rows,) fold of each row, or None
    """
    if folds is not None:
        n_each = nets.n_nets // (int(folds.max()) + 1)
        of_fold = lambda k: rows.take(np.flatnonzero(folds == k // n_each))
        losses = np.concatenate([losses_on(nets.net(k), of_fold(k)) for k in range(nets.n_nets)])
    elif held_out is not None:
        losses = losses_on(nets, held_out)
    else:
        return ""
    weighted = "weighted " * ((rows if held_out is None else held_out).weights is not None)
    return f"{'' if losses.size == 1 else 'mean '}{weighted}validation loss {losses.mean():.4g}"


class ContinuedFits:
    """Fits of nets that may have been trained before.

    known : MLP or Population whose nets keep their parameters and records if their new epochs are no better on held-out
        rows, or None where the last epochs are kept in any case
    """

    def __init__(self, known: Any = None):
        self._known, self._n_kept = known, list[int]()

    def fit_nets(self, nets: Any, rows: Rows | FileRows, held_out: Rows | None, recipe: Recipe, **further: Any) -> Any:
        """Train an MLP or Population as recipe_fit.fit_nets does."""
        if held_out is None or self._known is None:
            return fit_nets(nets, rows, held_out, recipe, **further)
        params, before = nets.params.copy(), losses_on(nets, held_out)
        record = fit_nets(nets, rows, held_out, recipe, **further)
        found = _best_losses(record, len(before))
        is_kept = found >= before  # not without a whole epoch, nor if the loss before was NaN
        if isinstance(nets, MLP):
            nets.params = params if is_kept[0] else nets.params
        else:
            nets.params[is_kept] = params[is_kept]
        self._n_kept.append(int(np.count_nonzero(is_kept)))
        return record

    def finish(self, nets: Any, log: Callable[[str], Any]) -> str:
        """Give nets that keep their parameters the records of the fit that led to them, and return a summary.

        nets : MLP or Population after the fits
        log : prints a sentence on the nets that keep their parameters, if there are some
        """
        history: Any = nets.history if isinstance(nets, MLP) else nets.result
        n, text = sum(self._n_kept), summary(history)
        if not n:
            return text
        their = "it keeps its" if n == 1 else "they keep their"
        log(f"No new epoch of {counted(n, 'net')} was better than before: {their} parameters and records.")
        if was_interrupted(history) or "divergence" in np.atleast_1d(history.stopped_by):
            return text
        if isinstance(nets, MLP):
            time = format_time(history.seconds, history.compile_seconds, ".1f")
            nets.history = self._known.history
            nets.history.net = nets
            return f"Trained {counted(history.epochs, 'epoch')} in {time}: {final_figures(nets.history)} as before."
        nets.result = with_records_of_kept(nets, self._known)
        return summary(replace(nets.result, epochs=history.epochs))


def with_records_of_kept(nets: Population, known: Population) -> PopulationResult:
    """Return the result of nets after a fit, in which those with parameters of known nets have the records of these."""
    result, before = nets.result, known.result
    assert result is not None, "the nets are trained"
    assert before is not None, "the split of the known nets was compared"
    is_same = [np.flatnonzero((known.params == params).all(axis=1))[:1] for params in nets.params]
    kept, known_places = np.flatnonzero([len(places) for places in is_same]), np.concatenate(is_same)
    epochs = np.union1d(result.record_epochs, before.record_epochs)
    records = np.full((len(epochs), nets.n_nets), np.nan)
    records[np.searchsorted(epochs, result.record_epochs)] = result.records
    records[:, kept] = np.nan
    records[np.searchsorted(epochs, before.record_epochs)[:, None], kept] = before.records[:, known_places]
    found: dict[str, Any] = {"record_epochs": epochs, "records": records}
    for name in ("converged", "epochs", "loss", "accuracy", "best_value", "best_epoch", "restarts", "status"):
        values, values_before = getattr(result, name), getattr(before, name)
        if values is not None and values_before is not None:
            found[name] = values.copy()
            found[name][kept] = values_before[known_places]
    return replace(result, **found)


def go_on(nets: Any, known: Any, given: NetsToPlan, has_same_split: bool, log: Callable[[str], Any]) -> ContinuedFits:
    """Give nets the parameters of known ones, and return the fits that go on with them.

    given : the rows
    has_same_split : whether the last fit of the known nets has held out the rows that are held out now
    log : prints their loss, and a sentence on rows that they may know
    """
    continue_from(nets, known, "Leave --hidden, --n-nets and --quality as they were.")
    before = validation_loss(nets, given.rows, given.held_out, given.folds)
    log(f"Training goes on with {described(nets)}{before and f', of {before}'}.")
    if before and not has_same_split:
        log(
            "The rows that are held out now are not those that the last training held out: the table has other rows, "
            "or the same in another order, or it is split in another way. These nets may have been trained on them, "
            "and early stopping, calibration and the figures of these rows are then too good. So the best of the new "
            "epochs are kept, even if their loss is higher than before."
        )
    return ContinuedFits(known if has_same_split else None)


def _best_losses(record: Any, n_nets: int) -> np.ndarray:
    """Return the lowest validation loss of each net, (n_nets,), from the record of a fit; NaN without a whole epoch."""
    if isinstance(record, PopulationResult):
        return np.full(n_nets, np.nan) if record.best_value is None else record.best_value
    losses, best = record.validation_loss, record.best_epoch
    return np.array([np.nan if losses is None or best is None or best >= len(losses) else losses[best]])
