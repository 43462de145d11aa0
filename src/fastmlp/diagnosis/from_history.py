"""Diagnosis from the records of a fit alone, for a net loaded from a file without samples.

Records show divergence, over-fitting and a loss that still falls. They do not show whether a net with a constant loss
has learned or is stuck; that needs samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .argument_checks import as_curve
from .curvature import Landscape
from .data_checks import DataChecks
from .dropout_noise import Masks
from .evidence import evidence
from .hidden_units import HIDDEN_EVIDENCE
from .longest_steps import UNKNOWN_STEPS
from .loss_curves import Curve, shape_of
from .measurements import LAYER_EVIDENCE, Measurements
from .model_under_test import ModelUnderTest
from .output_range import Bounds
from .result import Diagnosis
from .training_settings import updates_of
from .verdict_quantities import ramp, training_skill
from .verdicts import VERDICTS

# Verdicts that records alone can support.
RECORD_VERDICTS = ("learning_rate_too_high", "over_fitting", "still_learning")
CONFIDENCE_FACTOR = 0.9  # factor on their confidence, because other causes cannot be checked without samples
# Fall of the training loss below the first epoch's, from which on a net may have memorised its samples: a new net can
# be much worse than a constant, and then losses fall long before anything is learned.
FALLEN = (0.2, 0.5)
UNCLEAR_CONFIDENCE = 0.3  # confidence of "unclear"
# Arrays of Measurements that need samples, besides those of layers and hidden units.
UNKNOWN_ARRAYS = (
    "explained",
    "accuracy",
    "variation",
    "output_low",
    "output_high",
    "mean_gap",
    "agreement",
    "unreachable",
    "merged",
    "loss",
    "validation_loss",
    "validation_explained",
    "validation_signal",
)


def verdict_of_records(model: ModelUnderTest, history: Any, scaled: bool = False) -> Diagnosis:
    """Return the diagnosis of one net from the History of its fit.

    scaled : whether the targets were standardised for training

    Raises
    ------
    ValueError
        If the history has no finished epoch.
    """
    curve = as_curve(history)
    if curve is None or not len(curve.epochs):
        raise ValueError("There is nothing to diagnose: no samples were given, and the history has no finished epoch.")
    known = known_base_loss(model, scaled)
    base = first_loss(curve) if known is None else known
    m = measured_by_records(model, curve, updates_of(history, None, None), base)
    verdicts = {verdict.name: verdict for verdict in VERDICTS}
    confidences = {
        name: CONFIDENCE_FACTOR * float(np.nan_to_num(verdicts[name].score(m))[0]) for name in RECORD_VERDICTS
    }
    if not m.curve.diverged[0]:
        confidences["learning_rate_too_high"] = (
            0.0  # swings do no harm to a net that has learned, which is unknown here
        )
    if known is None:
        confidences["over_fitting"] *= float(ramp(training_skill(m), *FALLEN)[0])
    confidences["unclear"] = UNCLEAR_CONFIDENCE
    best = max(confidences, key=lambda name: confidences[name])
    verdict = verdicts[best]
    remedy, experiment = verdict.remedy(m, 0), verdict.experiment(m, 0)
    if best == "unclear":
        remedy = (
            "Give samples: the records alone show no failure, and only samples show whether the net has learned or is "
            "stuck at this loss."
        )
    runners_up = {
        name: round(value, 3) for name, value in confidences.items() if name not in (best, "unclear") and value >= 0.1
    }
    return Diagnosis(
        verdict.name,
        verdict.title,
        confidences[best],
        evidence(m, 0, verdict.evidence_names),
        remedy,
        experiment,
        runners_up,
        verdict.is_healthy,
        "the records of the fit alone, without samples",
    )


def known_base_loss(model: ModelUnderTest, scaled: bool) -> float | None:
    """Return the loss of the best constant output, as far as it is known without the targets.

    For classes it assumes equal frequencies, for scaled targets a variance of 1. Otherwise None.

    scaled : whether the targets were standardised for training
    """
    if model.is_softmax:
        return float(np.log(model.n_outputs))
    if model.loss.name == "binary_cross_entropy":
        return float(np.log(2.0))
    return 1.0 if scaled and model.loss.name == "squared_error" else None


def first_loss(curve: Curve) -> float:
    """Return the loss of the first epoch, an estimate of a constant's, since a new net is at most a little better."""
    firsts = [curve.loss[0, 0], *([] if curve.validation is None else curve.validation[:1, 0])]
    finite = [value for value in firsts if np.isfinite(value)]
    return float(min(finite, default=1.0))


def measured_by_records(model: ModelUnderTest, curve: Curve, updates: Any, base: float) -> Measurements:
    """Return Measurements of one net in which all values that need samples are NaN.

    base : the base rate's loss
    """
    nan = np.full(1, np.nan)
    arrays = (*UNKNOWN_ARRAYS, *LAYER_EVIDENCE, *HIDDEN_EVIDENCE)
    return Measurements(
        model=model,
        data=_unknown_data(updates.n_samples, model.layout.layer_sizes[0]),
        curve=shape_of(curve, 1, np.full(1, base)),
        landscape=Landscape(*[nan] * len(Landscape._fields)),
        longest=UNKNOWN_STEPS,
        masks=Masks(np.zeros(1), nan, nan),
        bounds=Bounds(-np.inf, np.inf, "", 0.0),
        target_low=0.0,
        target_high=1.0,
        target_spread=1.0,
        target_mean=0.0,
        is_classification=False,
        label_problem="",
        n_samples=updates.n_samples,
        bad_data="",
        first_bad=np.zeros(1, int),
        places=("",),
        base_loss=base,
        floor=0.0,
        majority=np.nan,
        n_weights=model.layout.n_params,
        narrowest=min(model.layout.layer_sizes[1:-1], default=0),
        is_linear=False,
        updates=updates.of_nets(1, slice(None)),
        descent=None,
        **dict.fromkeys(arrays, nan),
    )


def _unknown_data(n_samples: int, n_features: int) -> DataChecks:
    """Return the checks of data that are not available: no defect, and NaN for what simple models explain."""
    return DataChecks(
        n_samples=n_samples,
        n_features=n_features,
        largest_spread=1.0,
        typical_spread=1.0,
        largest_offset=0.0,
        n_constant=0,
        n_constant_targets=0,
        one_hot=False,
        n_values=0,
        contradicted=np.nan,
        linear=np.nan,
        neighbours=np.nan,
        random_features=np.nan,
        signal=np.nan,
        attainable=1.0,
    )
