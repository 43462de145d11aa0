"""diagnose: why is my net stuck? A verdict, its evidence, what to change, and the experiment that would confirm it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.validation import checked_pair
from ..history import History
from . import input_checks as border
from .adapters import model_of_other_library
from .from_history import verdict_of_records
from .loss_curves import Curve
from .measurements import Measurements, calm_blas
from .measurements import measure as measured_by
from .model_under_test import ModelUnderTest, is_mlp, is_population, model_of_fastmlp
from .result import Diagnosis, PopulationDiagnosis
from .training_settings import Updates, updates_of


def diagnose(
    net: Any,
    X: Any = None,
    y: Any = None,
    history: Any = None,
    *,
    validation_data: tuple[Any, Any] | None = None,
    activations: Sequence[Any] | None = None,
    loss: str | None = None,
    learning_rate: Any = None,
) -> Any:
    """Say what keeps a net from learning, or that nothing does.

    net : an MLP or a Population; a fitted scikit-learn MLP; a PyTorch or Keras model of dense layers; a list of arrays
        [W, b, W, b, ...] (W of shape (fan_in, fan_out)) or a state_dict, with `activations`; or a forward function of X
        (n_samples, n_features), of which only the outputs can be judged
    X, y : what it was trained on, as fit takes them; they may hold NaN, which is found. Without them an MLP is judged
        on the samples that its history holds after a fit in this process or, of a net from a file, by the history's
        records alone, which tell less
    history : what fit returned, or a sequence with a loss per epoch; a population's last result is taken by itself
    validation_data : (X, y) that training has not seen, which tells over-fitting from learning
    activations : a name or a function of z per layer, the output's last, for weights given as arrays; for PyTorch and
        Keras models only to correct what is read from them
    loss : of a foreign net, by fastmlp's name; the usual one for the output activation unless given. A model that ends
        in logits needs it: loss="binary_cross_entropy" or "softmax_cross_entropy"
    learning_rate : of the training; taken from the history where fit returned it. For a population also (n_nets,)

    Returns
    -------
    Diagnosis, or PopulationDiagnosis with a verdict per net for a Population

    Raises
    ------
    ValueError
        If the net cannot be read, the data do not fit it, or there is nothing to judge by.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = fastmlp.MLP((2, 8, 1), hidden_activation="tanh", loss="binary_cross_entropy", init="zeros")
    >>> history = net.fit(X, y, epochs=200)
    >>> found = fastmlp.diagnose(net, X, y, history)
    >>> found.verdict, found.evidence["duplicate units"]
    ('symmetric_units', 1.0)
    """
    if isinstance(net, History):
        net, history = net.net, net
    if X is None or y is None:
        if (X is None) != (y is None):
            raise ValueError("Give both X and y, or neither.")
        return _diagnose_fit(net, history, validation_data, learning_rate)
    if is_population(net):
        return _diagnose_population(net, X, y, history, validation_data, learning_rate)
    features, bad_X = border.as_inputs(X)
    subject, classes = _as_model(net, features, activations, loss)
    border.check_loss_is_known(subject, y, loss)
    history = getattr(net, "loss_curve_", None) if history is None else history
    samples = border.as_samples(features, bad_X, y, subject, classes)
    held_out = border.as_validation(validation_data, subject, classes)
    curve, updates = border.as_curve(history), updates_of(history, net, learning_rate)
    measured = measure(
        subject, samples.X, samples.Y, curve, label_problem=samples.label_problem, bad_data=samples.bad_data,
        validation=held_out, updates=updates,
    )  # fmt: skip
    n_validation = None if validation_data is None else int(np.shape(checked_pair(validation_data)[0])[0])
    own = any(part[0] is X for part in getattr(history, "samples", {}).values())
    basis = measured_on(len(features), n_validation, updates, curve, own)
    return replace(PopulationDiagnosis(measured).net(0), judged_on=basis)


def measured_on(
    n_samples: int, n_validation: int | None, updates: Updates, curve: Curve | None, own: bool = False
) -> str:
    """The samples and records behind a verdict, in words; empty where it is just the samples of the training.

    own : whether the samples are those that the history has kept
    """
    given, trained = f"{n_samples:,} samples", f"{updates.n_samples:,}"
    are_others = bool(updates.n_samples) and updates.n_samples != n_samples
    if are_others and own:
        given = f"{n_samples:,} of {trained} training samples"
    elif are_others:
        given += f" that were given, where the net was trained on {trained}: they may hold others than those"
    if n_validation is not None:
        return f"{given}; {n_validation:,} validation samples"
    if curve is not None and curve.validation is not None:
        return f"{given}; the fit's own records of validation"
    return given if are_others else ""


def _diagnose_fit(net: Any, history: Any, validation_data: Any, learning_rate: Any) -> Diagnosis:
    """Of an MLP without samples: on those that its history holds, else by the records."""
    history = getattr(net, "history", None) if history is None else history
    if not is_mlp(net) or not isinstance(history, History):
        raise ValueError("Give samples X and y: only an MLP with the history of a fit can be judged without.")
    if "training" not in history.samples:
        return verdict_of_records(_as_model(net, np.empty((0, 0)), None, None)[0], history)
    held_out = history.samples.get("validation") if validation_data is None else validation_data
    return diagnose(net, *history.samples["training"], history, validation_data=held_out, learning_rate=learning_rate)


def measure(subject: ModelUnderTest, *arguments: Any, **settings: Any) -> Measurements:
    """measurements.measure, gently to whatever else runs."""
    with calm_blas(subject):
        return measured_by(subject, *arguments, **settings)


def _as_model(net: Any, X: np.ndarray, activations: Sequence[Any] | None, loss: Any) -> tuple[ModelUnderTest, Any]:
    """(subject, the labels of its classes or None)"""
    if is_mlp(net):
        network = net.network
        return model_of_fastmlp(network, net.params[None], network.l2, np.asarray(network.dropout)[None]), None
    return model_of_other_library(net, X, activations, loss), getattr(net, "classes_", None)


def _diagnose_population(
    pop: Any, X: Any, y: Any, history: Any, validation_data: Any, learning_rate: Any
) -> PopulationDiagnosis:
    history = pop.result if history is None else history
    own = border.own_data_axes(X, y, pop.n_nets, pop.network.n_outputs)
    dropout = np.reshape(pop.dropout, (-1, 1)) if np.ndim(pop.dropout) else pop.dropout
    subject = model_of_fastmlp(pop.network, pop.params, pop.l2, dropout)
    updates = updates_of(history, pop, learning_rate)
    curve = border.as_curve(history)
    held_out = border.as_validation(validation_data, subject, None)
    if own is None:
        features, bad_X = border.as_inputs(X)
        samples = border.as_samples(features, bad_X, y, subject, None)
        return PopulationDiagnosis(
            measure(
                subject, samples.X, samples.Y, curve, label_problem=samples.label_problem, bad_data=samples.bad_data,
                validation=held_out, updates=updates,
            )
        )  # fmt: skip
    parts = []
    for k, (own_X, own_y) in enumerate(own):  # data of their own: each net is measured on its own samples
        one = slice(k, k + 1)
        features, bad_X = border.as_inputs(own_X)
        samples = border.as_samples(features, bad_X, own_y, subject, None)
        part = None if curve is None else border.curve_of_net(curve, one)
        parts.append(
            measure(
                subject.of_nets(one), samples.X, samples.Y, part, label_problem=samples.label_problem,
                bad_data=samples.bad_data, validation=held_out, updates=updates.of_nets(pop.n_nets, one),
            )
        )  # fmt: skip
    return PopulationDiagnosis(*parts)


__all__ = ["Diagnosis", "PopulationDiagnosis", "diagnose"]
