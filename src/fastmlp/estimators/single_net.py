"""Training of the net of an estimator: validation split, solver, and the records that scikit-learn keeps."""

from __future__ import annotations

import copy
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from ..callbacks import as_callbacks
from ..errors import DivergenceWarning, counted
from ..fit.interrupt_warnings import warn_of_interrupted_net
from ..fit.optimizer_state import OptimizerState
from ..interface.user_warnings import warn_user
from ..kernels.jit.compile_time import notices
from ..mlp import MLP
from ..runtime.ctrl_c import stop_flag
from .array_input import NON_FINITE
from .parameters import (
    Scale,
    activation_of,
    batch_size_of,
    dtype_of,
    inverse_scaling,
    is_iterative,
    optimizer_of,
    poisson_constant,
    scale_of,
    sklearn_initial_params,
)
from .stopping_rules import EpochRules, ObjectiveOfEpochs, sum_of_squares

INTERRUPTED = -1  # status of a run of SciPy's solver that Ctrl-C has ended: SciPy has none
REMEDY = "Scale X, and y of a regression, with StandardScaler, or lower learning_rate_init."


class SplitSamples(NamedTuple):
    """Samples of one side of a split: training or held out.

    X : (n_samples, n_features), or (n_nets, n_samples, n_features), as the other arrays, for nets with their own
    y : (n_samples,) or (n_samples, n_outputs), as the user passed it
    targets : y in the form that the net is trained on
    weights : (n_samples,) sample weights, or None
    """

    X: np.ndarray
    y: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None

    def take(self, rows: np.ndarray) -> SplitSamples:
        return SplitSamples(
            self.X[rows], self.y[rows], self.targets[rows], None if self.weights is None else self.weights[rows]
        )


def split(
    estimator: Any, samples: SplitSamples, held_out: SplitSamples | None, rng: np.random.RandomState
) -> tuple[SplitSamples, SplitSamples | None]:
    """Return (training samples, held-out samples), which are split off unless the user has given some.

    They are the fraction validation_fraction, split as scikit-learn does with the same rng; None without early
    stopping.
    """
    if held_out is not None or not estimator.early_stopping or not is_iterative(estimator):
        return samples, held_out
    rows, fraction = np.arange(len(samples.X)), estimator.validation_fraction
    of_rows = f"validation_fraction={fraction:g} of {counted(len(rows), 'sample')}"
    strata = estimator._strata(samples.y)
    try:
        train, held = train_test_split(rows, random_state=rng, test_size=fraction, stratify=strata)
    except ValueError as error:  # in the words of train_test_split, whose argument is test_size
        raise ValueError(
            f"{of_rows} cannot be held out for early stopping: {error}. You may also pass validation_data to fit."
        ) from None
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset: "
            f"{of_rows} leaves {len(held)} to validate on. You may also pass validation_data to fit."
        )
    return samples.take(train), samples.take(held)


class Training:
    """One fit of an estimator: batch size, penalty, settings of its nets, and factors between losses.

    sizes : layer sizes
    n_samples : number of training samples of a net
    weights : (n_samples,) sample weights, or None
    scale : factors from the loss of the nets to scikit-learn's
    penalty : factor p of p / 2 times the sum of squared weights in scikit-learn's objective, which divides alpha by the
        total weight of the samples in a batch
    settings : keyword arguments of MLP and Population, except sizes and random_state
    """

    def __init__(self, estimator: Any, sizes: tuple[int, ...], n_samples: int, weights: np.ndarray | None):
        self.estimator, self.sizes, self.n_samples = estimator, sizes, n_samples
        self.batch, self.scale = batch_size_of(estimator, n_samples), scale_of(estimator._loss_name(), sizes[-1])
        mean_weight = 1.0 if weights is None else float(weights.mean()) or 1.0
        self.penalty = estimator.alpha / (self.batch * mean_weight)
        self.settings = net_settings(estimator) | {"l2": self.penalty / self.scale.objective}

    def initial_params(self, rng: np.random.RandomState) -> np.ndarray:
        return sklearn_initial_params(rng, self.sizes, activation_of(self.estimator))

    def fit(
        self, nets: Any, samples: SplitSamples, held_out: SplitSamples | None, continues: bool = False, **further: Any
    ) -> Any:
        """Train an MLP or a Population; return its History or PopulationResult.

        continues : whether the optimiser state of an earlier fit goes on
        further : arguments of the fit of the nets
        """
        estimator, n = self.estimator, self.n_samples
        schedule = None
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            schedule = inverse_scaling(estimator.power_t, -(-n // self.batch), n, estimator.t_, continues)
        given = {
            "epochs": estimator.max_iter,
            "batch_size": self.batch,
            "optimizer": optimizer_of(estimator, self.scale),
            "schedule": schedule,
            "shuffle": estimator.shuffle,
            "sample_weight": samples.weights,
            "validation_data": None if held_out is None else (held_out.X, held_out.targets, held_out.weights),
        }
        with notices(True), warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)  # an error or a warning in the estimator's words follows
            return nets.fit(samples.X, samples.targets, **given | further)


def net_settings(estimator: Any) -> dict[str, Any]:
    """Return the keyword arguments of MLP and Population, except sizes, l2 and random_state."""
    return {
        "hidden_activation": activation_of(estimator),
        "loss": estimator._loss_name(),
        "dropout": estimator.dropout,
        "init": "zeros",  # sklearn_initial_params draws the parameters
        "dtype": dtype_of(estimator),
        "device": estimator.device,
        **{name: getattr(estimator, name) for name in estimator._net_settings},
    }


def train_net(
    estimator: Any,
    samples: SplitSamples,
    held_out: SplitSamples | None,
    sizes: tuple[int, ...],
    params: np.ndarray | None,
    rng: np.random.RandomState,
    incremental: bool,
) -> None:
    """Train one net as scikit-learn would, and set the fitted attributes of the estimator.

    sizes : layer sizes
    params : (n_params,) parameters to continue from, or None to draw initial ones from rng
    rng : random generator that draws, in scikit-learn's order, parameters, split and seed
    incremental : whether this is a partial_fit: one epoch, with the optimiser state of the last call
    """
    if params is None:
        params = sklearn_initial_params(rng, sizes, activation_of(estimator))
    samples, held_out = split(estimator, samples, held_out, rng)
    training = Training(estimator, sizes, len(samples.X), samples.weights)
    estimator.net_ = net = MLP(sizes, **training.settings, random_state=int(rng.randint(2**31 - 1)))
    net.params = params
    constant = 0.0
    if estimator._loss_name() == "poisson":
        constant = poisson_constant(samples.targets.reshape(len(samples.X), -1).astype(float), samples.weights)
    samples = samples._replace(weights=estimator._training_weights(samples))
    if is_iterative(estimator):
        _run_epochs(training, samples, held_out, constant, incremental)
    else:
        _run_lbfgs(training, samples, constant)


def _run_lbfgs(training: Training, samples: SplitSamples, constant: float) -> None:
    estimator, scale = training.estimator, training.scale
    net = estimator.net_
    result = _minimize(estimator, net, samples, scale.objective)
    check_finite(net.params, bool(np.isfinite(result.fun)))
    if result.status == INTERRUPTED:
        warn_user(
            f"lbfgs was interrupted in iteration {result.nit + 1}; the net has the parameters that iteration "
            f"{result.nit} has found."
        )
    elif result.status:
        warn_user(
            f"lbfgs ended before it converged, after {result.nit} iterations and {result.nfev} evaluations: "
            f"{result.message}. Raise max_iter or max_fun, or scale the data.",
            ConvergenceWarning,
        )
    penalty = 0.5 * net.network.l2 * scale.objective * sum_of_squares(net.weights)
    estimator.n_iter_ = min(int(result.nit), estimator.max_iter)
    estimator.loss_ = scale.reported / scale.objective * (float(result.fun) - penalty) + penalty + constant


def _minimize(estimator: Any, net: MLP, samples: SplitSamples, scale: float) -> Any:
    """Train a net in place by SciPy's L-BFGS-B, on all samples at once, until no component of the gradient exceeds tol,
    or until the objective stops decreasing. Ctrl-C ends the run after an iteration with the status INTERRUPTED.

    estimator : has the settings max_iter, max_fun, tol and verbose
    scale : factor on the objective; tol applies to the scaled gradient

    Returns
    -------
    scipy.optimize.OptimizeResult

    Source: Byrd, Lu, Nocedal, Zhu 1995, as implemented in scipy.optimize.minimize.
    """
    from scipy.optimize import minimize as scipy_minimize
    from threadpoolctl import threadpool_limits

    objective = net.objective(samples.X, samples.targets, sample_weight=samples.weights)
    n_done, status = 0, None

    def scaled(params: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = objective(params)
        return scale * loss, scale * gradient.astype(np.float64)

    def note(intermediate_result: Any) -> None:
        nonlocal n_done, status
        n_done, net.params = n_done + 1, intermediate_result.x
        if estimator.verbose:
            print(f"Iteration {n_done}, loss = {intermediate_result.fun:.8f}")
        if flag.is_set():
            status = INTERRUPTED
            raise StopIteration

    options = {"maxiter": estimator.max_iter, "maxfun": estimator.max_fun, "gtol": estimator.tol}
    # SciPy's own steps are short: 40 us on one thread, 11 ms on two
    with stop_flag() as flag, threadpool_limits(1, "blas"):
        result = scipy_minimize(
            scaled, net.params.astype(np.float64), method="L-BFGS-B", jac=True, callback=note, options=options
        )
    result.status = result.status if status is None else status
    net.params = result.x
    return result


def _run_epochs(
    training: Training, samples: SplitSamples, held_out: SplitSamples | None, constant: float, incremental: bool
) -> None:
    estimator, scale = training.estimator, training.scale
    net, rules = estimator.net_, estimator._rules
    n_batches = -(-training.n_samples // training.batch)
    objective = ObjectiveOfEpochs(net, scale.reported, training.penalty, constant, n_batches)
    continues = incremental and estimator._optimizer_state is not None
    rules.begin(estimator, objective, None if held_out is None else _score_function(estimator, held_out), continues)
    if not continues:
        estimator._optimizer_state = OptimizerState()
    further: dict[str, Any] = {"schedule": rules.factors} if rules.adaptive else {}
    if incremental:
        further["epochs"] = 1
    further["callbacks"] = [rules, *as_callbacks(estimator.callbacks or ())]
    further["optimizer_state"] = estimator._optimizer_state
    history = training.fit(net, samples, held_out, continues, verbose=0, **further)
    keeps_best = estimator.early_stopping and rules.best_params is not None
    check_finite(net.params, history.stopped_by != "divergence" or keeps_best)
    if len(rules.losses) < history.epochs:  # interrupted before the rules were asked about the last epochs
        rules(history.epochs - 1, history)
    if keeps_best:
        net.params = rules.best_params
    if history.stopped_by == "divergence":
        rules.scores.append(float("nan"))  # of the epoch that diverged, as in scikit-learn
    estimator.n_iter_ = history.epochs
    estimator.t_ += len(samples.X) * history.epochs
    _record(estimator, rules, history, scale)
    if history.stopped_by == "interrupt":
        warn_of_interrupted_net(history.epochs, f"validation score, {rules.best_score:.4g}" if keeps_best else "")
    elif history.stopped_by == "divergence":
        warn_user(
            f"Training diverged in epoch {history.epochs + 1}; the net is as it was at its best validation score, "
            f"{rules.best_score:.4g}. {REMEDY}",
            ConvergenceWarning,
        )
    elif history.stopped_by == "epochs" and not incremental:
        warn_of_epochs(estimator)


def warn_of_epochs(estimator: Any) -> None:
    warn_user(
        f"Training reached max_iter={estimator.max_iter} before it converged. Raise max_iter, or tol if the "
        "loss is low enough.",
        ConvergenceWarning,
    )


def check_finite(params: np.ndarray, is_finite: bool) -> None:
    if not is_finite or not np.isfinite(params).all():
        raise ValueError(f"{NON_FINITE} {REMEDY}")


def _score_function(estimator: Any, held_out: SplitSamples) -> Any:
    """Return a function history -> score on the held-out samples, computed from the records if that is possible."""
    from_history = estimator._score_from_history(held_out)
    if from_history is not None:
        return from_history
    # held_out.X is an array without column names: an estimator with feature_names_in_ would warn in each epoch.
    unnamed = copy.copy(estimator)
    unnamed.__dict__.pop("feature_names_in_", None)
    return lambda history: float(unnamed.score(held_out.X, held_out.y, sample_weight=held_out.weights))


def _record(estimator: Any, rules: EpochRules, history: Any, scale: Scale) -> None:
    estimator.loss_curve_ += rules.losses  # in place: a copy would slow partial_fit down as the curve grows
    estimator.loss_ = rules.losses[-1] if rules.losses else float("nan")  # nan: interrupted in the first epoch
    estimator._no_improvement_count = rules.n_stalled
    estimator.best_loss_ = None if estimator.early_stopping else rules.best_loss
    estimator.best_validation_score_ = rules.best_score if estimator.early_stopping else None
    if history.validation_loss is not None:
        for name in ("validation_scores_", "validation_loss_curve_"):  # of the latter from_sklearn knows none
            if getattr(estimator, name) is None:
                setattr(estimator, name, [])
        estimator.validation_scores_ += rules.scores
        estimator.validation_loss_curve_ += (scale.reported * history.validation_loss).tolist()
