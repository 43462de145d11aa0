"""fastmlp trains multilayer perceptrons: one XOR net, or one large net, on the CPU or on CUDA.

Names are imported when they are first used, so that `import fastmlp` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Now, not lazily: importing a submodule binds its name here, and this name must stay the function.
from .devices import devices as devices

_MODULES = {
    "mlp": ("MLP",),
    "population": ("Population",),
    "population_result": ("PopulationResult",),
    "convergence": ("Converged",),
    "sampling": ("folds", "bootstrap"),
    "sweeps": ("sweep", "SweepResult"),
    "persistence": ("load",),
    "history": ("History",),
    "callbacks": ("EarlyStopping",),
    "optimizers": ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Quickprop", "Rprop", "optimizer_from_name"),
    "initialization": ("Uniform", "Normal"),
    "errors": ("DivergenceWarning", "TrainingWarning"),
    "diagnosis": ("diagnose", "Diagnosis", "PopulationDiagnosis"),
    "gradient_check": ("check_gradients", "GradientCheck"),
    "verdicts": (),
    "schedules": (),
}
_HOME = {name: module for module, names in _MODULES.items() for name in (*names, module)}

__all__ = sorted(["devices", *(name for names in _MODULES.values() for name in names)])

if TYPE_CHECKING:
    from .callbacks import EarlyStopping as EarlyStopping
    from .convergence import Converged as Converged
    from .diagnosis import Diagnosis as Diagnosis
    from .diagnosis import PopulationDiagnosis as PopulationDiagnosis
    from .diagnosis import diagnose as diagnose
    from .errors import DivergenceWarning as DivergenceWarning
    from .errors import TrainingWarning as TrainingWarning
    from .gradient_check import GradientCheck as GradientCheck
    from .gradient_check import check_gradients as check_gradients
    from .history import History as History
    from .initialization import Normal as Normal
    from .initialization import Uniform as Uniform
    from .mlp import MLP as MLP
    from .optimizers import SGD as SGD
    from .optimizers import Adagrad as Adagrad
    from .optimizers import Adam as Adam
    from .optimizers import AdamW as AdamW
    from .optimizers import Quickprop as Quickprop
    from .optimizers import RMSprop as RMSprop
    from .optimizers import Rprop as Rprop
    from .optimizers import optimizer_from_name as optimizer_from_name
    from .persistence import load as load
    from .population import Population as Population
    from .population_result import PopulationResult as PopulationResult
    from .sampling import bootstrap as bootstrap
    from .sampling import folds as folds
    from .sweeps import SweepResult as SweepResult
    from .sweeps import sweep as sweep


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")
    module = import_module(f".{_HOME[name]}", __name__)
    return getattr(module, name, module)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes longer than the rest of this module

    try:
        return version("fastmlp")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
