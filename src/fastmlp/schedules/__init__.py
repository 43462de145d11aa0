"""Schedules of learning rates, dropout rates and the weight decay; formulas.py has one class for each."""

from .formulas import *  # noqa: F403
