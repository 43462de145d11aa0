"""The verdicts of a diagnosis: each is one object, with its rule, evidence, remedy and experiment side by side.

VERDICTS lists them; reports, counts, tests and documentation follow from it.
"""

import numpy as np

from ..measurements import Measurements
from .data import (
    ConstantInputs,
    ConstantLabels,
    IndependentOutputs,
    MisEncodedLabels,
    NotFinite,
    ShuffledLabels,
    UnreachableTargets,
    UnscaledInputs,
    UnscaledTargets,
)
from .direction import BrokenUpdates, WrongSign
from .penalties import DropoutTooHigh, WeightDecayTooHigh
from .progress import Converged, OverFitting, StillLearning
from .steps import ClipNormTooLow, LearningRateTooHigh, LearningRateTooLow
from .symptoms import Plateau, Unclear
from .verdict import Verdict
from .weights import DeadUnits, TooSmall, UnsuitableWeights, VanishingGradient, WeightsTooLarge

VERDICTS: tuple[Verdict, ...] = (
    Converged(),
    StillLearning(),
    OverFitting(),
    NotFinite(),
    ConstantLabels(),
    ConstantInputs(),
    MisEncodedLabels(),
    UnreachableTargets(),
    WrongSign(),
    BrokenUpdates(),
    UnsuitableWeights(),
    UnscaledInputs(),
    UnscaledTargets(),
    DeadUnits(),
    WeightsTooLarge(),
    VanishingGradient(),
    ShuffledLabels(),
    IndependentOutputs(),
    LearningRateTooHigh(),
    LearningRateTooLow(),
    ClipNormTooLow(),
    WeightDecayTooHigh(),
    DropoutTooHigh(),
    TooSmall(),
    Plateau(),
    Unclear(),
)
NAMES = tuple(verdict.name for verdict in VERDICTS)


def score_verdicts(m: Measurements) -> np.ndarray:
    """Return the confidence of every verdict, (n_verdicts, n_nets), in the order of VERDICTS."""
    shape = (m.model.n_nets,)
    return np.stack([np.broadcast_to(np.nan_to_num(verdict.confidence(m)), shape) for verdict in VERDICTS])
