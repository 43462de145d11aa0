"""Search over settings: configurations are trained as populations, and compared by cross-validation.

random_search     the function sweep
search            configurations trained, here or on workers, and scored
space             spaces of settings, and what is made from a configuration
result            SweepResult
"""

from .random_search import sweep
from .result import SweepResult

__all__ = ["SweepResult", "sweep"]
