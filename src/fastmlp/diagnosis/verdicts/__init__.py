"""The verdicts of a diagnosis: each is one object, with its rule, evidence, remedy and experiment side by side.

VERDICTS lists them by topic; reports, counts, tests and documentation follow from it.
"""

import numpy as np

from .data import VERDICTS as DATA
from .evidence import Evidence
from .penalties import VERDICTS as PENALTIES
from .progress import VERDICTS as PROGRESS
from .steps import VERDICTS as STEPS
from .symptoms import VERDICTS as SYMPTOMS
from .verdict import Verdict
from .weights import VERDICTS as WEIGHTS

VERDICTS: tuple[Verdict, ...] = (*PROGRESS, *DATA, *WEIGHTS, *STEPS, *PENALTIES, *SYMPTOMS)
NAMES = tuple(verdict.name for verdict in VERDICTS)


def score_verdicts(m: Evidence) -> np.ndarray:
    """Return the confidence of every verdict, (n_verdicts, n_nets), in the order of VERDICTS."""
    shape = (m.model.n_nets,)
    return np.stack([np.broadcast_to(np.nan_to_num(verdict.confidence(m)), shape) for verdict in VERDICTS])
