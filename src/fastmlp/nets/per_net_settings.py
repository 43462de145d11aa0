"""Settings of a Population that may differ from net to net: the constructor's, with their check, and an optimiser's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import checked_setting, drawn_setting, is_per_net
from ..optimizers import setting_text, settings_of

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


def text_of_shared_settings(optimizer: Any) -> str:
    """Return an optimiser as text, without the settings that differ from net to net.

    >>> from fastmlp import Adam
    >>> text_of_shared_settings(Adam(learning_rate=np.array([0.1, 0.2]), beta1=0.8)).startswith("Adam(weight_decay=")
    True
    """
    settings = settings_of(optimizer).items()
    shared = [f"{name}={setting_text(value)}" for name, value in settings if not is_per_net(value)]
    return f"{type(optimizer).__name__}({', '.join(shared)})"
