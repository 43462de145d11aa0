"""Settings of a Population that may differ from net to net: the constructor's, with their check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import checked_setting, drawn_setting

# Constructor arguments that may differ from net to net, with their bounds.
PER_NET: dict[str, dict[str, Any]] = {
    "dropout": {"low": 0.0, "high": 1.0, "open_high": True},
    "l2": {"low": 0.0},
    "init_scale": {"low": 0.0},
}


def checked_per_net_setting(name: str, value: Any, n_nets: int, rng: Callable[[], np.random.Generator] | None) -> Any:
    """Return a setting as a number or an array (n_nets,), drawn if it is a distribution, and checked against PER_NET.

    name : str     name of the setting, a key of PER_NET
    value : number, array (n_nets,) or frozen SciPy distribution
    n_nets : int     number of nets
    rng : function that returns the generator to draw with; needed for a distribution only

    The bounds are checked twice, since the numbers of a distribution are known only after the draw.
    """
    drawn = drawn_setting(name, checked_setting(name, value, **PER_NET[name]), n_nets, rng)
    return checked_setting(name, drawn, **PER_NET[name])
