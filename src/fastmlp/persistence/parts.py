"""Contents of a file: arrays by name, and numbers and text that JSON can hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Parts(NamedTuple):
    """Arrays by name, and numbers and text by name that JSON can hold."""

    arrays: dict[str, np.ndarray]
    numbers: dict[str, Any]
