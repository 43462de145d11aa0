"""The verdicts of a diagnosis: each is one object, with its rule, evidence, remedy and experiment side by side.

VERDICTS lists them by topic; reports, counts, tests and documentation follow from it.
"""

import numpy as np

from .data import DATA
from .evidence import Evidence
from .progress import HEALTHY, SYMPTOMS
from .steps import STEPS
from .verdict import Verdict
from .weights import PENALTIES, WEIGHTS

VERDICTS: tuple[Verdict, ...] = (*HEALTHY, *DATA, *WEIGHTS, *STEPS, *PENALTIES, *SYMPTOMS)
NAMES = tuple(verdict.name for verdict in VERDICTS)


def score_verdicts(m: Evidence) -> np.ndarray:
    """Return the confidence of every verdict, (n_verdicts, n_nets), in the order of VERDICTS."""
    shape = (m.model.n_nets,)
    return np.stack([np.broadcast_to(np.nan_to_num(verdict.confidence(m)), shape) for verdict in VERDICTS])
