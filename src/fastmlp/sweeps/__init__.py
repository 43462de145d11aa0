"""Search over settings: configurations are trained as populations, and compared by cross-validation.

sweep_function    the function sweep
search            configurations trained as populations and scored
search_file       checkpoints of a search
space             spaces of settings, what is made from a configuration, and the loss where the user names none
result            SweepResult
"""

from .result import SweepResult
from .sweep_function import sweep

__all__ = ["SweepResult", "sweep"]
