"""Pictures of learning. Every function draws into `ax`, or into a new figure, and returns the Axes it drew in.

They need matplotlib, which is imported when the first one is called: the extra `plot`. Colours are those of
Okabe and Ito 2008, which stay apart for colour-blind readers, and what a colour says is said by a shape or a word too.
"""

from .activity import layers as layers
from .classes import calibration as calibration
from .classes import confusion as confusion
from .curves import history as history
from .decision import boundaries as boundaries
from .decision import boundary as boundary
from .movie import animation as animation
from .population import epochs_to_converge as epochs_to_converge
from .population import population as population
from .regression import predictions as predictions
from .slices import landscape as landscape

__all__ = [
    "animation",
    "boundaries",
    "boundary",
    "calibration",
    "confusion",
    "epochs_to_converge",
    "history",
    "landscape",
    "layers",
    "population",
    "predictions",
]
