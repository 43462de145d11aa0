"""Plots of training and of trained nets. Every function draws into `ax`, or a new figure, and returns the Axes.

The functions need matplotlib (the extra `plot`), which is imported on the first call. The palette of Okabe and Ito 2008
is safe for colour-blind readers, and no information is given by colour alone.
"""

from .calibration_and_confusion import calibration, confusion, predictions
from .decision import boundary
from .learning_curves import history

__all__ = ["boundary", "calibration", "confusion", "history", "predictions"]
