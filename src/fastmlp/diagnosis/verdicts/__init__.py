"""The verdicts of a diagnosis: each is one object, with its rule, evidence, remedy and experiment side by side.

VERDICTS lists them; reports, counts, tests and documentation follow from it.
"""

import numpy as np

from ..measurements import Measurements
from . import data, direction, penalties, progress, steps, symptoms, weights
from .verdict import Verdict

VERDICTS: tuple[Verdict, ...] = (
    progress.Converged(),
    progress.StillLearning(),
    progress.OverFitting(),
    data.NotFinite(),
    data.ConstantLabels(),
    data.ConstantInputs(),
    data.MisEncodedLabels(),
    data.UnreachableTargets(),
    direction.WrongSign(),
    direction.BrokenUpdates(),
    weights.UnsuitableWeights(),
    data.UnscaledInputs(),
    data.UnscaledTargets(),
    weights.DeadUnits(),
    weights.WeightsTooLarge(),
    weights.VanishingGradient(),
    data.ShuffledLabels(),
    data.IndependentOutputs(),
    steps.LearningRateTooHigh(),
    steps.LearningRateTooLow(),
    steps.ClipNormTooLow(),
    penalties.WeightDecayTooHigh(),
    penalties.DropoutTooHigh(),
    weights.TooSmall(),
    symptoms.Plateau(),
    symptoms.Unclear(),
)
NAMES = tuple(verdict.name for verdict in VERDICTS)


def score_verdicts(m: Measurements) -> np.ndarray:
    """Return the confidence of every verdict, (n_verdicts, n_nets), in the order of VERDICTS."""
    shape = (m.model.n_nets,)
    return np.stack([np.broadcast_to(np.nan_to_num(verdict.confidence(m)), shape) for verdict in VERDICTS])
