"""diagnose: a verdict on why a net does not learn, with its evidence, a remedy, and an experiment to confirm it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.arrays import empty_array
from ..data.checked_samples import checked_pair, make_samples
from ..data.standardization import Units
from ..data.targets import metric_of
from ..errors import counted
from ..history import History
from . import checked_inputs
from .adapters import model_of
from .checked_inputs import CheckedSamples
from .loss_curves import Curve, as_curve, with_recorded_loss
from .measurements import measure, measured_samples, n_measured
from .model_under_test import ModelUnderTest
from .result import Diagnosis, PopulationDiagnosis
from .training_settings import TrainingSettings, training_settings


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
        An MLP or a Population; a fitted estimator of fastmlp, or MLP of scikit-learn; a PyTorch module that from_torch
        takes; a list of arrays [W, b, W, b, ...] or of pairs (W, b), where W has shape (fan_in, fan_out), a state_dict,
        another PyTorch module or a Keras model of dense layers, with `activations`; or a forward function of X
        (n_samples, n_features), of which only the outputs can be diagnosed.
    X : array_like of shape (n_samples, n_features), optional
        Inputs of the training data, in the form that fit takes. NaN and infinity are allowed and reported. Without X
        and y, an MLP is diagnosed on the samples that its history keeps after a fit in this process.
    y : array_like, optional
        Targets of the training data, in the form that fit takes.
    history : History, PopulationResult or sequence of float, optional
        What fit returned, or one loss per epoch. The last result of a Population is used by default.
    validation_data : tuple (X, y), optional
        Samples not used in training; they distinguish over-fitting from learning.
    activations : sequence of str or callable, optional
        Name or function of z for each layer, including the output: if weights are given as arrays, or are those of a
        PyTorch module or a Keras model, whose other layers are then left out.
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
        If the net cannot be read, the data do not match it, or there are no samples.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = fastmlp.MLP((2, 8, 1), hidden_activation="tanh", loss="binary_cross_entropy", init="zeros")
    >>> history = net.fit(X, y, epochs=200)
    >>> found = fastmlp.diagnose(net, X, y, history)
    >>> found.verdict, found.evidence["duplicate units"]
    ('unsuitable_weights', 1.0)
    """
    if isinstance(net, History):
        if net.net is None:
            raise ValueError(
                "This history does not know its net, as that of an estimator of tables: give diagnose the estimator "
                "or its net, est or est.net_, which have the history."
            )
        net, history = net.net, net
    if (X is None) != (y is None):
        raise ValueError(
            "Give both X and y, or neither. A history is the fourth argument: diagnose(net, X, y, history), or "
            "diagnose(net, history=history)."
        )
    is_of_table = hasattr(net, "encoded_samples") and hasattr(net, "net_")
    if is_of_table:
        if X is not None:
            X, y = net.encoded_samples(X, y)
            if validation_data is not None:
                validation_data = net.encoded_samples(*checked_pair(validation_data))
        net, history = net.net_, net.history_ if history is None else history
    if X is None:
        history = getattr(net, "history", None) if history is None else history
        if "training" not in getattr(history, "samples", {}):
            raise ValueError("Give samples X and y: only the history of an MLP's fit in this process keeps samples.")
        validation_data = history.samples.get("validation") if validation_data is None else validation_data
        X, y = history.samples["training"]
    classes, trained = getattr(net, "classes_", None), net
    net = getattr(net, "net_", net)  # of an estimator
    if history is None:
        history = net.result if hasattr(net, "n_nets") else getattr(trained, "loss_curve_", None)
    settings, curve = training_settings(history, trained, learning_rate, is_of_table), as_curve(history)
    are_history_samples = any(X is pair[0] for pair in getattr(history, "samples", {}).values())
    X = checked_inputs.as_inputs(X)
    model = model_of(net, X, y, activations, loss)
    checked, held_out = checked_inputs.as_samples(X, y, model, classes), None
    if validation_data is not None:
        X_held_out, y_held_out, *_ = checked_pair(validation_data)
        held_out = checked_inputs.as_samples(X_held_out, y_held_out, model, classes)
    if getattr(net, "standardize", False):
        model, checked, held_out = standardized(net, model, checked, held_out)
    usual_loss = model.loss.name
    if loss is None and not hasattr(net, "network") and not checked.bad_data:
        model = with_recorded_loss(model, checked.X, checked.Y, curve)
    diagnoses = PopulationDiagnosis(measure(model, checked, curve, held_out, settings))
    if hasattr(net, "n_nets"):
        return diagnoses
    basis = _measured_on(len(X), validation_data, settings, curve, are_history_samples)
    if settings.weighted:
        basis = f"{basis or counted(len(X), 'sample')}; without the weights that samples had in the training"
    if model.loss.name != usual_loss:
        basis = f"{basis or counted(len(X), 'sample')}; the loss is {model.loss.name}, as the last record shows"
    return replace(diagnoses.net(0), judged_on=basis)


def standardized(
    net: Any, model: ModelUnderTest, checked: CheckedSamples, held_out: CheckedSamples | None
) -> tuple[ModelUnderTest, CheckedSamples, CheckedSamples | None]:
    """Return model and samples as a fit sees those of a net with standardize=True."""
    no_weight, network = empty_array(checked.X.dtype), net.network
    samples = make_samples(checked.X, checked.Y, no_weight, metric_of(checked.Y, network))
    units = Units.of(samples, (0, 0, 0), network, pooled=True)
    for part in (checked, held_out):
        if part is not None:
            units.apply(part.X, part.Y)
    if net.fits:
        model = replace(model, params=units.for_standardized(model.params, network))
    return model, checked, held_out


def _measured_on(
    n_samples: int, validation_data: Any, settings: TrainingSettings, curve: Curve | None, are_history_samples: bool
) -> str:
    """Return a description of the samples and records behind a verdict; empty for all of the training samples.

    n_samples : number of samples that were given
    are_history_samples : whether the samples come from the history
    """
    samples_text, n_trained = measured_samples(n_samples), settings.n_training_samples
    differ = n_trained not in (0, n_samples)
    if differ and are_history_samples:
        samples_text = f"{n_measured(n_samples, 1):,} of {counted(n_trained, 'training sample')}"
    elif differ:
        trained = counted(n_trained, "sample")
        samples_text += f" that were given; the net was trained on {trained}, which may be others"
    if validation_data is not None:
        n_validation = int(np.shape(checked_pair(validation_data)[0])[0])
        return f"{samples_text}; {measured_samples(n_validation, 'validation sample')}"
    if curve is not None and curve.validation is not None:
        return f"{samples_text}; the validation records of the fit"
    return samples_text if differ or n_measured(n_samples, 1) < n_samples else ""


__all__ = ["Diagnosis", "PopulationDiagnosis", "diagnose"]
