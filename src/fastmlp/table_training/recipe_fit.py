"""Nets for a table, their fits by a recipe in the time that there is, and the temperature of their probabilities."""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any

import numpy as np
from scipy.special import log_expit, log_softmax

from ..callbacks import EarlyStopping
from ..errors import checked_number
from ..fit.rows import OnDisk
from ..history import History
from ..initialization import UniformByFanIn
from ..kernels.jit.compile_time import Stopwatch
from ..mlp import MLP
from ..network.spec import Network
from ..optimizers import AdamW, Optimizer
from ..population import Population
from .encoded_rows import MOST_ROWS, FileRows, Rows
from .recipes import Recipe

SCHEDULE, CLIP_NORM = "flat_cosine", 1.0
SHORTEST = 1e-3  # seconds: time limit of a fit that begins when the time is over, and makes one step
TRIAL_SHARE = 0.05  # of a limit that the trial of bins may take


class Budget:
    """The seconds that a fit may take, with the time in which kernels compile.

    seconds : limit, counted from now; infinity for none
    completes_epoch : whether a fit whose time is over in its first epoch trains it to its end
    """

    def __init__(self, seconds: float = float("inf"), completes_epoch: bool = False):
        self.seconds, self.completes_epoch, self._watch = seconds, completes_epoch, Stopwatch()
        self.is_limited, self.trial_seconds = seconds < float("inf"), TRIAL_SHARE * seconds

    @classmethod
    def of(cls, time_limit: float | None) -> Budget:
        """Return the budget of a time limit after a check; None is for none."""
        return cls() if time_limit is None else cls(checked_number("time_limit", time_limit, 0.0, open_low=True))

    def elapsed(self) -> float:
        return self._watch.read()[0]

    def compiled(self) -> float:
        """Return how long the thread that has made the budget has waited for kernels since then."""
        return self._watch.read()[1]

    def left(self) -> float:
        return max(0.0, self.seconds - self.elapsed())

    def part(self, n_fits: int) -> Budget:
        """Return the budget of the next of n_fits fits, all with the same."""
        return Budget(self.left() / n_fits, self.completes_epoch)


def make_nets(n_features: int, n_outputs: int, recipe: Recipe, settings: dict[str, Any], n_nets: int) -> Any:
    """Return an untrained MLP, or a Population if there are several nets.

    settings : further arguments of MLP and Population, such as loss, dtype, device and random_state
    """
    sizes = (n_features, *recipe.hidden, n_outputs)
    further = {
        "hidden_activation": recipe.activation_for(settings["loss"]),
        "dropout": recipe.dropout,
        "label_smoothing": recipe.label_smoothing_for(settings["loss"]),
        "init": UniformByFanIn(),
        **settings,
    }
    return MLP(sizes, **further) if n_nets == 1 else Population(sizes, n_nets, **further)


def make_optimizer(recipe: Recipe) -> Optimizer:
    """Return the optimiser of a recipe. Raises ValueError if a setting is invalid."""
    return AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, clip_norm=CLIP_NORM)


def fit_nets(
    net: Any, rows: Any, held_out: Rows | None, recipe: Recipe, budget: Budget | None = None, **further: Any
) -> Any:
    """Train a net or a population by a recipe, and return its History or PopulationResult.

    rows : Rows or FileRows
    held_out : rows that early stopping looks at, or None for all epochs
    budget : time that is left; one that completes_epoch ends after the first epoch at the earliest
    further : arguments of the fit, such as verbose
    """
    in_file = isinstance(rows, FileRows)
    X, y = (OnDisk.of(rows.file, rows.memory_limit, announces=False), None) if in_file else (rows.X, rows.y)
    settings = further | {
        "sample_weight": rows.weights,
        "validation_data": held_out,
        "batch_size": recipe.batch_rows(rows.n_rows),
        "optimizer": make_optimizer(recipe),
        "schedule": SCHEDULE,
        "early_stopping": None if held_out is None else EarlyStopping(recipe.patience),
    }
    if budget is None or not budget.is_limited:
        return net.fit(X, y, epochs=recipe.epochs, **settings)
    history = net.fit(X, y, epochs=recipe.epochs, time_limit=max(budget.left(), SHORTEST), **settings)
    lacks_an_epoch = set(np.atleast_1d(history.stopped_by).tolist()) == {"time_limit"} and not np.any(history.epochs)
    if budget.completes_epoch and lacks_an_epoch:
        history = net.fit(X, y, epochs=1, **settings)
        if isinstance(history, History) and history.stopped_by == "epochs":
            history.stopped_by = "time_limit"
    return history


LARGEST = 20.0  # bounds of the temperature: from 1 / LARGEST to LARGEST
TOLERANCE = 1e-4  # of the logarithm of the temperature
LEAST_GAIN = 1.92  # nats over all samples: the likelihood-ratio test of one parameter at 5 %
ANY_GAIN = 1e-3  # nats, beyond what rounding can make
GOLDEN = (sqrt(5.0) - 1.0) / 2.0


def row_losses(
    logits: np.ndarray, y: np.ndarray, temperature: float = 1.0, is_multilabel: bool = False, doubt: float = 0.0
) -> np.ndarray:
    """Return the log loss of each sample by the mean probabilities of nets, float64 (n_samples,).

    It is that of class_probabilities.log_probabilities_of; of labels, the mean over them.

    logits : (n_nets, n_samples, n_outputs)
    y : (n_samples,) class numbers, or (n_samples, n_labels) of 0 and 1
    doubt : probability with which a class or label is taken for another one
    """
    z = logits.astype(np.float64) / temperature
    if is_multilabel:
        log_p, log_q = (np.logaddexp.reduce(log_expit(of)) - log(len(z)) for of in (z, -z))
        y = y + doubt * (1.0 - 2.0 * y)
        losses: np.ndarray = -(y * log_p + (1.0 - y) * log_q).mean(axis=1)
        return losses
    log_p = np.logaddexp.reduce(log_softmax(z, axis=-1)) - log(len(z))
    own = log_p[np.arange(len(y)), y]
    return -own - doubt * ((log_p.sum(axis=1) - own) / (log_p.shape[1] - 1) - own)


def fit_temperature(
    logits: np.ndarray, y: np.ndarray, weights: np.ndarray | None, network: Network, is_multilabel: bool = False
) -> float:
    """Return the temperature with the lowest loss of held-out samples, by golden-section search; arguments as above.

    Logits are divided by it, of each of several nets, whose mean probabilities then fit. Answers of one net do not
    change, since the order of its logits does not. Source: Guo, Pleiss, Sun and Weinberger 2017.

    1.0 if no temperature lowers the loss by more than chance would, or the logits are not finite. Of nets that learned
    smoothed targets, whose probabilities are too small on purpose, any gain counts. The loss is that of targets that
    are smoothed as by Platt 1999, with the probability 1 / (n_samples + 2) of another class, so that samples that are
    all predicted correctly do not make a net infinitely sure.

    >>> from fastmlp import MLP
    >>> network = MLP((1, 2), loss="softmax_cross_entropy").network
    >>> logits = np.tile([4.0, 0.0], (1, 100, 1))  # sure of class 0, which 3 of 4 samples have
    >>> temperature = fit_temperature(logits, np.arange(100) % 4 == 3, None, network)
    >>> round(float(np.exp(4 / temperature)), 1)  # odds
    2.9
    """
    y = np.asarray(y)
    if len(y) > MOST_ROWS:
        rows = np.linspace(0, len(y) - 1, MOST_ROWS).astype(np.intp)
        logits, y, weights = logits[:, rows], y[rows], None if weights is None else weights[rows]
    if not len(y) or not np.isfinite(logits).all() or (weights is not None and not weights.sum() > 0.0):
        return 1.0
    y = y.astype(np.float64 if is_multilabel else np.intp)
    n = len(y) if weights is None else float(weights.sum() ** 2 / np.square(weights).sum())  # Kish's effective size
    loss = lambda log_t: np.average(row_losses(logits, y, exp(log_t), is_multilabel, 1.0 / (n + 2.0)), weights=weights)
    best = golden_section(loss, -log(LARGEST), log(LARGEST), TOLERANCE)
    gain = n * (y.shape[1] if is_multilabel else 1) * (loss(0.0) - loss(best))
    return exp(best) if gain > (ANY_GAIN if network.label_smoothing else LEAST_GAIN) else 1.0


def golden_section(function, low: float, high: float, tolerance: float) -> float:
    """Return the minimum of a function with one minimum between low and high (Kiefer 1953).

    >>> round(golden_section(lambda x: (x - 1.0) ** 2, -3.0, 4.0, 1e-6), 5)
    1.0
    """
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = function(a), function(b)
    while high - low > tolerance:
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - GOLDEN * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + GOLDEN * (high - low)
            at_b = function(b)
    return (low + high) / 2.0
