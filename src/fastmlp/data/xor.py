"""XOR: the four samples on which demos, benchmarks and warm-ups train."""

from __future__ import annotations

import numpy as np

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([0, 1, 1, 0])  # class numbers
