"""Plots of training and of trained nets. Every function draws into `ax`, or a new figure, and returns the Axes.

The functions need matplotlib (the extra `plot`), which is imported on the first call. The palette of Okabe and Ito 2008
is safe for colour-blind readers, and no information is given by colour alone.
"""

from .classes import calibration as calibration
from .classes import confusion as confusion
from .curves import history as history
from .decision import boundary as boundary
from .population import epochs_to_converge as epochs_to_converge
from .population import final_losses as final_losses
from .regression import predictions as predictions

__all__ = ["boundary", "calibration", "confusion", "epochs_to_converge", "final_losses", "history", "predictions"]
