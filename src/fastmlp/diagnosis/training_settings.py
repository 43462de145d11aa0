"""Training settings of a net, as far as they are known: optimiser, schedule, early stopping, number of samples."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

import numpy as np

from .. import optimizers
from ..errors import checked_setting
from ..history import History
from ..kernels.formulas.update_rules import RULES
from ..optimizers.base import SHARED, Optimizer
from ..optimizers.batch_size import AUTO_ROWS
from ..population_result import PopulationResult

PLAIN = tuple(row.name for row in RULES if row.is_plain_descent)
SIGN_LIKE = tuple(row.name for row in RULES if row.sign_like_steps)  # scikit-learn's Adam has the same name
ADAPTIVE = (*(row.name for row in RULES if not row.is_plain_descent), "lbfgs")  # steps do not shrink with the gradient


class TrainingSettings(NamedTuple):
    """Training settings: numbers or arrays (n_nets,); NaN, 0 or empty if unknown."""

    learning_rate: Any = np.nan
    momentum: Any = 0.0  # of gradient descent
    weight_decay: Any = 0.0  # of the optimiser
    clip_norm: Any = 0.0
    is_plain_descent: bool = False  # whether the update rule is gradient descent, with or without momentum
    rule: str = ""  # name of the update rule, as in kernels.formulas.update_rules.RULES, or scikit-learn's solver
    early_stopping: bool = False  # whether the fit returned to its best epoch
    n_training_samples: int = 0
    schedule: str = ""  # schedule of the learning rate; empty if constant
    is_of_fastmlp: bool = False  # whether fastmlp trained the net
    batch_size: int = 0  # samples of one step; 0 for all of them
    weighted: bool = False  # whether samples had weights, which the samples to be diagnosed do not have
    encoded_inputs: bool = False  # whether fastmlp has encoded the inputs from the columns of a table


def training_settings(history: Any, net: Any, learning_rate: Any, encoded_inputs: bool = False) -> TrainingSettings:
    """Return what is known about the training of a net.

    history : history of the fit, or None
    net : the net, whose attributes are read if it is an estimator of scikit-learn or has a preprocessing of tables
    learning_rate : learning rate given by the user, or None
    encoded_inputs : whether fastmlp has encoded the inputs from a table, for a net that does not know it
    """
    optimizer = optimizer_of(history)
    rule = optimizer.rule.name if optimizer is not None else ""
    settings = TrainingSettings()
    per_net = history.settings if isinstance(history, PopulationResult) else {}
    if optimizer is not None or per_net:
        number = lambda name, default: np.asarray(per_net.get(name, getattr(optimizer, name, default)), np.float64)
        numbers: dict[str, Any] = {name: number(name, getattr(settings, name)) for name in settings._fields[:4]}
        settings = TrainingSettings(**numbers, is_plain_descent=rule in PLAIN, rule=rule)
    elif hasattr(net, "learning_rate_init"):
        rule, batch = str(getattr(net, "solver", "")), getattr(net, "batch_size", "auto")
        settings = TrainingSettings(
            float(net.learning_rate_init),
            float(getattr(net, "momentum", 0.0)) if rule == "sgd" else 0.0,
            is_plain_descent=rule == "sgd",
            rule=rule,
            early_stopping=bool(getattr(net, "early_stopping", False)),
            batch_size=int(batch) if isinstance(batch, (int, np.integer)) else AUTO_ROWS,
        )
    if isinstance(history, (History, PopulationResult)):
        recorded = history.settings if isinstance(history, History) else history.arguments
        schedule = str(recorded.get("schedule") or "")
        settings = settings._replace(
            early_stopping=history.best_epoch is not None,
            n_training_samples=int(recorded.get("n_samples") or 0),
            batch_size=int(recorded.get("batch_size") or 0),
            is_of_fastmlp=True,
            weighted=bool(recorded.get("weighted")),
            schedule="" if schedule in ("None", "constant") else schedule,
        )
    encoded_inputs = encoded_inputs or getattr(net, "preprocessing", None) is not None
    settings = settings._replace(encoded_inputs=encoded_inputs)
    if learning_rate is None:
        return settings
    rate = checked_setting("learning_rate", learning_rate, 0.0)
    return settings._replace(learning_rate=rate, momentum=0.0, is_plain_descent=rule in PLAIN or not rule)


def optimizer_of(history: Any) -> Optimizer | None:
    """Return the optimiser of a fit, or None.

    A history loaded from a file has it as text in its settings, a PopulationResult in its arguments, there without the
    numbers that differ between nets.
    """
    if isinstance(history, PopulationResult):
        return optimizer_from_text(str(history.arguments.get("optimizer", "")))
    if isinstance(history, History) and history.optimizer is None:
        return optimizer_from_text(str(history.settings.get("optimizer", "")))
    return getattr(history, "optimizer", None)


def optimizer_from_text(text: str) -> Optimizer | None:
    """Return the optimiser with the given repr, or None if the text is not the repr of an optimiser.

    >>> optimizer_from_text("SGD(learning_rate=0.1, clip_norm=1.0, momentum=0.9)").rule.name
    'momentum'
    """
    try:
        call = ast.parse(text, mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            return None
        kind = getattr(optimizers, call.func.id, None)
        if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
            return None
        numbers = [keyword for keyword in call.keywords if keyword.arg and keyword.arg not in SHARED]
        return kind(**{str(keyword.arg): ast.literal_eval(keyword.value) for keyword in numbers})
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None
