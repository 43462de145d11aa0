"""Schedules of learning rates, dropout rates and the weight decay; formulas.py has a class for each.

`schedule.factors(steps, n_steps)` takes step numbers (n,), counted from 0, and the number of steps of the whole fit,
and returns factors (n,). Any object with this method is a schedule, and so is a function of these two arguments.
"""

from .formulas import *  # noqa: F403
from .formulas import __all__ as __all__
