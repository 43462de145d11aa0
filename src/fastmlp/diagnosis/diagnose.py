"""diagnose: a verdict on why a net does not learn, with its evidence, a remedy, and an experiment to confirm it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.checked_samples import checked_pair
from ..errors import counted
from ..history import History
from . import argument_checks, verdict_quantities
from .adapters import model_of_other_library, nets_of_estimator
from .from_history import verdict_of_records
from .loss_curves import Curve
from .measurements import Measurements, limit_blas_threads, measured_samples, n_measured
from .measurements import measure as measured_by
from .model_under_test import ModelUnderTest, is_mlp, is_population, model_of_fastmlp
from .recorded_loss import with_recorded_loss
from .result import Diagnosis, PopulationDiagnosis
from .short_descent import short_descent
from .training_settings import TrainingSettings, updates_of
from .verdicts import NAMES, score_verdicts


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
    """Diagnose why a net does not learn, or confirm that it does.

    Parameters
    ----------
    net : MLP, Population, or a net of another library
        An MLP or a Population; a fitted estimator of fastmlp, or MLP of scikit-learn; a PyTorch or Keras model of dense
        layers; a list of arrays [W, b, W, b, ...] or of pairs (W, b), where W has shape (fan_in, fan_out), or a
        state_dict, with `activations`;
        or a forward function of X (n_samples, n_features), of which only the outputs can be diagnosed.
    X : array_like of shape (n_samples, n_features), optional
        Inputs of the training data, in the form that fit takes. NaN and infinity are allowed and reported. Without X
        and y, an MLP is diagnosed on the samples that its history keeps after a fit in this process. For a net loaded
        from a file only the records of its history are available, which support fewer verdicts.
    y : array_like, optional
        Targets of the training data, in the form that fit takes.
    history : History, PopulationResult or sequence of float, optional
        What fit returned, or one loss per epoch. The last result of a Population is used by default.
    validation_data : tuple (X, y), optional
        Samples not used in training; they distinguish over-fitting from learning. Nets of a Population with samples of
        their own, X of shape (n_nets, n_samples, n_features), may have validation samples of their own, too.
    activations : sequence of str or callable, optional
        Name or function of z for each layer, including the output, if weights are given as arrays. For PyTorch and
        Keras models, needed only to correct the activations that are read from the model.
    loss : str, optional
        fastmlp's name of the loss, for nets of other libraries; by default the usual loss for the output activation,
        which is binary_cross_entropy for a sigmoid, or squared_error where the last record of the history shows it.
        Required for a model that ends in logits: "binary_cross_entropy" or "softmax_cross_entropy".
    learning_rate : float or array_like of shape (n_nets,), optional
        Learning rate of the training; not needed if the history is one that fit returned.

    Returns
    -------
    Diagnosis or PopulationDiagnosis
        For a Population, one verdict per net.

    Raises
    ------
    ValueError
        If the net cannot be read, the data do not match it, or there are neither samples nor records.

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
        if net.net is None:
            raise ValueError(
                "This history does not know its net, as that of an estimator of tables: give diagnose the estimator "
                "or its net, est or est.net_, which have the history."
            )
        net, history = net.net, net
    if X is None or y is None:
        if (X is None) != (y is None):
            raise ValueError(
                "Give both X and y, or neither. A history is the fourth argument: diagnose(net, X, y, history), or "
                "diagnose(net, history=history)."
            )
        return _diagnose_fit(net, history, validation_data, learning_rate)
    if hasattr(net, "encoded_samples"):
        return _diagnose_tabular(net, X, y, history, validation_data, learning_rate)
    return _diagnose_samples(net, X, y, history, validation_data, learning_rate, activations, loss)


def _diagnose_samples(
    net: Any,
    X: Any,
    y: Any,
    history: Any,
    validation_data: Any,
    learning_rate: Any,
    activations: Sequence[Any] | None = None,
    loss: str | None = None,
    encoded_inputs: bool = False,
) -> Diagnosis | PopulationDiagnosis:
    """Diagnose a net, or the nets of a population, on samples.

    encoded_inputs : whether fastmlp has encoded X from a table
    """
    net, y = nets_of_estimator(net, y)
    if is_population(net):
        return _diagnose_population(net, X, y, history, validation_data, learning_rate, encoded_inputs)
    features, bad_X = argument_checks.as_inputs(X)
    model, classes = _as_model(net, features, activations, loss)
    argument_checks.check_loss_is_known(model, y, loss)
    history = getattr(net, "loss_curve_", None) if history is None else history
    samples = argument_checks.as_samples(features, bad_X, y, model, classes)
    held_out = argument_checks.as_validation(validation_data, model, classes)
    curve, updates = argument_checks.as_curve(history), updates_of(history, net, learning_rate, encoded_inputs)
    usual_loss = model.loss.name
    if loss is None and not is_mlp(net) and not samples.bad_data:
        model = with_recorded_loss(model, samples.X, samples.Y, curve)
    measured = measure(
        model,
        samples.X,
        samples.Y,
        curve,
        label_problem=samples.label_problem,
        bad_data=samples.bad_data,
        validation=held_out,
        updates=updates,
    )
    n_validation = None if validation_data is None else int(np.shape(checked_pair(validation_data)[0])[0])
    are_history_samples = any(
        samples_of_history[0] is X for samples_of_history in getattr(history, "samples", {}).values()
    )
    if needs_descent(measured):
        with limit_blas_threads(model):
            measured = measured._replace(descent=short_descent(model, samples.X, samples.Y, held_out))
    basis = measured_on(len(features), n_validation, updates, curve, are_history_samples)
    if updates.weighted:
        basis = f"{basis or counted(len(features), 'sample')}; without the weights that samples had in the training"
    if model.loss.name != usual_loss:
        basis = f"{basis or counted(len(features), 'sample')}; the loss is {model.loss.name}, as the last record shows"
    return replace(PopulationDiagnosis(measured).net(0), judged_on=basis)


def needs_descent(m: Measurements) -> bool:
    """Return whether a net counts as converged although something may be left to learn."""
    best = NAMES[int(score_verdicts(m)[:, 0].argmax())]
    return best == "converged" and not verdict_quantities.nothing_left(m)[0]


def measured_on(
    n_samples: int,
    n_validation: int | None,
    updates: TrainingSettings,
    curve: Curve | None,
    are_history_samples: bool = False,
) -> str:
    """Return a description of the samples and records behind a verdict; empty for all of the training samples.

    n_samples : number of samples that were given
    n_validation : number of validation samples, or None
    are_history_samples : whether the samples come from the history
    """
    samples_text, trained = measured_samples(n_samples), counted(updates.n_samples, "sample")
    differ = bool(updates.n_samples) and updates.n_samples != n_samples
    if differ and are_history_samples:
        samples_text = f"{n_measured(n_samples, 1):,} of {counted(updates.n_samples, 'training sample')}"
    elif differ:
        samples_text += f" that were given; the net was trained on {trained}, which may be others"
    if n_validation is not None:
        return f"{samples_text}; {measured_samples(n_validation, 'validation sample')}"
    if curve is not None and curve.validation is not None:
        return f"{samples_text}; the validation records of the fit"
    return samples_text if differ or n_measured(n_samples, 1) < n_samples else ""


def _diagnose_fit(net: Any, history: Any, validation_data: Any, learning_rate: Any) -> Diagnosis | PopulationDiagnosis:
    """Diagnose an MLP without samples: on the samples that its history keeps, otherwise by its records alone.

    Of an estimator of tables, its net is diagnosed.
    """
    is_of_table = hasattr(net, "encoded_samples") and hasattr(net, "net_")
    if is_of_table:
        net, history = net.net_, net.history_ if history is None else history
    history = getattr(net, "history", None) if history is None else history
    if not is_mlp(net) or not isinstance(history, History):
        raise ValueError(
            "Give samples X and y: only an MLP with the history of a fit can be diagnosed without samples."
        )
    if "training" not in history.samples:
        # The net is asked, and not history.net, which is None for the net of an estimator of tables.
        is_scaled = getattr(net, "preprocessing", None) is not None
        return verdict_of_records(_as_model(net, np.empty((0, 0)), None, None)[0], history, is_scaled)
    held_out = history.samples.get("validation") if validation_data is None else validation_data
    X, y = history.samples["training"]
    return _diagnose_samples(net, X, y, history, held_out, learning_rate, encoded_inputs=is_of_table)


def measure(model: ModelUnderTest, *arguments: Any, **settings: Any) -> Measurements:
    """Return measurements.measure(...), with one BLAS thread for small nets."""
    with limit_blas_threads(model):
        return measured_by(model, *arguments, **settings)


def _as_model(net: Any, X: np.ndarray, activations: Sequence[Any] | None, loss: Any) -> tuple[ModelUnderTest, Any]:
    """Return (model under test, its class labels or None)."""
    if is_mlp(net):
        network = net.network
        return model_of_fastmlp(network, net.params[None], network.l2, np.asarray(network.dropout)[None]), None
    return model_of_other_library(net, X, activations, loss), getattr(net, "classes_", None)


def _diagnose_tabular(
    model: Any, X: Any, y: Any, history: Any, validation_data: Any, learning_rate: Any
) -> Diagnosis | PopulationDiagnosis:
    """Diagnose the net, or the nets, of an estimator of tables on the encoded table."""
    held_out = None if validation_data is None else model.encoded_samples(*checked_pair(validation_data))
    history = model.history_ if history is None else history
    features, targets = model.encoded_samples(X, y)
    return _diagnose_samples(model.net_, features, targets, history, held_out, learning_rate, encoded_inputs=True)


def _diagnose_population(
    pop: Any, X: Any, y: Any, history: Any, validation_data: Any, learning_rate: Any, encoded_inputs: bool
) -> PopulationDiagnosis:
    history = pop.result if history is None else history
    data_per_net = argument_checks.data_per_net(X, y, pop.n_nets, pop.network.n_outputs)
    dropout = np.broadcast_to(np.asarray(pop.dropout)[..., None], (pop.n_nets, pop.network.n_hidden_layers))
    model = model_of_fastmlp(pop.network, pop.params, pop.l2, dropout)
    updates = updates_of(history, pop, learning_rate, encoded_inputs)
    curve = argument_checks.as_curve(history)
    if data_per_net is None:
        held_out = argument_checks.as_validation(validation_data, model, None)
        features, bad_X = argument_checks.as_inputs(X)
        samples = argument_checks.as_samples(features, bad_X, y, model, None)
        return PopulationDiagnosis(
            measure(
                model,
                samples.X,
                samples.Y,
                curve,
                label_problem=samples.label_problem,
                bad_data=samples.bad_data,
                validation=held_out,
                updates=updates,
            )
        )
    held_out_of = argument_checks.validation_per_net(validation_data, model, pop.n_nets)
    measurements = []
    for k, (net_X, net_y) in enumerate(data_per_net):  # nets with different data: measure each net on its own samples
        net_slice = slice(k, k + 1)
        features, bad_X = argument_checks.as_inputs(net_X)
        samples = argument_checks.as_samples(features, bad_X, net_y, model, None)
        net_curve = None if curve is None else argument_checks.curve_of_net(curve, net_slice)
        measurements.append(
            measure(
                model.of_nets(net_slice),
                samples.X,
                samples.Y,
                net_curve,
                label_problem=samples.label_problem,
                bad_data=samples.bad_data,
                validation=held_out_of[k],
                updates=updates.of_nets(pop.n_nets, net_slice),
            )
        )
    return PopulationDiagnosis(*measurements)


__all__ = ["Diagnosis", "PopulationDiagnosis", "diagnose"]
