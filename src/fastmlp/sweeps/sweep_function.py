"""Search over settings with cross-validation: nets of one architecture are trained as one population."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import checked_verbose
from ..fit.interrupt_warnings import warn_caller_of_search
from ..interface.keywords import explains_names
from ..kernels.jit.compile_time import Stopwatch, notices
from ..runtime.checkpoint_interval import Checkpoint, as_checkpoint
from .result import SweepResult
from .search import Search
from .search_file import SearchFile
from .space import refit


@explains_names
def sweep(  # noqa: PLR0913
    X: Any,
    y: Any,
    space: Mapping[str, Any],
    *,
    n: int = 50,
    cv: int = 3,
    epochs: int = 100,
    batch_size: int | str | None = 32,
    device: str = "auto",
    dtype: Any = "float32",
    random_state: Any = None,
    verbose: int = 1,
    executor: Any = None,
    checkpoint: str | os.PathLike | Checkpoint | None = None,
) -> SweepResult:
    """Train n configurations from a space of settings, and refit the best one on all samples.

    Configurations are drawn at random, each at most once. Nets are trained as one
    population if they differ only in dropout, l2, init_scale and numeric settings of the optimiser. Ctrl-C ends the
    search; the result has the configurations that were finished.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
        Inputs.
    y : array_like of shape (n_samples, n_outputs) or (n_samples,)
        Targets, as for MLP.fit.
    space : dict
        {setting: a list of choices, a frozen SciPy distribution, or one value}. Settings are hidden_layer_sizes (a
        tuple with the units of each hidden layer), those of MLP but for dtype, device, precision and random_state,
        optimizer and its settings such as learning_rate, and epochs, batch_size, schedule and shuffle of fit. The
        default loss depends on y: whole numbers from 0 to 49 are classes.
    n : int, default 50
        Number of configurations. If a space of lists has fewer, all of them are tried.
    cv : int, default 3
        Number of cross-validation folds; each configuration is trained cv times and scored on the fold that was held
        out.
    epochs : int, default 100
        Number of passes over the data, for configurations whose space has no such setting.
    batch_size : int, "auto" or None, default 32
        Number of samples per step, as for Population.fit, for configurations whose space has no such setting. It is
        smaller than the default of fit, so that 100 epochs suffice for data of some hundred samples.
    device : str, default "auto"
        Where to train, as for MLP.
    dtype : {"float32", "float64"}, default "float32"
        Data type of the parameters and of all computations.
    random_state : int, numpy.random.Generator or RandomState, optional
        Seed of the configurations that are drawn, the folds and the nets. By default the seed is random.
    verbose : {0, 1, 2}, default 1
        As for Population.fit.
    executor : object, optional
        Where to train the configurations, as for Population.fit: one population after another, to scores with the same
        bits. The best configuration is refitted in this process.
    checkpoint : str, path or Checkpoint, optional
        File of the search. Each population has a checkpoint of its own beside it, `FILE.0` and so on, written at
        intervals and at its end. With resume, the search goes on, to the same scores as without an interruption.

    Returns
    -------
    SweepResult

    Raises
    ------
    ValueError
        If a setting is unknown, a list of choices is empty, or the configurations have losses that cannot be compared;
        if the checkpoint is of another search; and as MLP and its fit do.
    FileExistsError
        If there is a checkpoint, and the search is not to go on from it.

    Warns
    -----
    UserWarning
        If the space has fewer than n configurations; if y has whole numbers as floats, which are taken for classes; if
        Ctrl-C ended the search.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import loguniform
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(90, 2)); y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> space = {"hidden_layer_sizes": [(4,), (8,)], "learning_rate": loguniform(1e-3, 1e-1)}
    >>> result = sweep(X, y, space, n=6, epochs=50, random_state=0)
    >>> len(result.settings), result.scoring, result.best.network.layer_sizes[0]
    (6, 'accuracy', 2)
    """
    verbose = checked_verbose(verbose)
    with notices(verbose > 0):
        settings = as_checkpoint(checkpoint)
        file = None if settings is None else SearchFile(settings, verbose)
        if file is not None and random_state is None:
            random_state = file.seed
        search = Search(X, y, space, n, cv, epochs, batch_size, device, dtype, random_state)
        return _search(search, executor, verbose, file)


def _search(search: Search, executor: Any, verbose: int, file: SearchFile | None) -> SweepResult:
    watch = Stopwatch()
    search.run(verbose, executor, file=file)
    order = search.order()
    if not order.size:
        raise KeyboardInterrupt
    row = search.configuration(order[0])
    best = refit(row, search.features, search.targets, search.device, search.dtype, search.seed, verbose)
    interrupted = search.interrupted or (best.history is not None and best.history.stopped_by == "interrupt")
    if interrupted:
        warn_caller_of_search(len(order), search.n)
    seconds, compile_seconds = watch.read()
    return SweepResult(
        settings=[search.rows[k] for k in order],
        scores=search.fold_scores.mean(axis=1)[order],
        fold_scores=search.fold_scores[order],
        train_losses=search.losses[order],
        scoring=search.scoring,
        best=best,
        seconds=seconds,
        interrupted=interrupted,
        compile_seconds=compile_seconds,
    )
