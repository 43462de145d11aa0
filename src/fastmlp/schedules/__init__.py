"""Schedules of learning rates, dropout rates and the weight decay; formulas.py has a class for each.

`schedule.factors(steps, n_steps)` takes step numbers (n,), counted from 0, and the number of steps of the whole fit,
and returns factors (n,). Any object with this method is a schedule, and so is a function of these two arguments.
"""

from .checked_schedule import SCHEDULES as SCHEDULES
from .checked_schedule import Constant as Constant
from .checked_schedule import Schedule as Schedule
from .checked_schedule import schedule_factors as schedule_factors
from .formulas import *  # noqa: F403
