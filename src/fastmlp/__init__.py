"""fastmlp trains multilayer perceptrons, from one XOR net to large nets and populations, on the CPU or on CUDA.

Public names are imported lazily, when they are first used, so that `import fastmlp` takes almost no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not lazy: importing the submodule binds its name in this package, and `fastmlp.devices` must be the function.
from .devices import devices as devices

_MODULES = {
    "mlp": ("MLP",),
    "population": ("Population",),
    "population_result": ("PopulationResult",),
    "convergence": ("Converged",),
    "sampling": ("folds", "bootstrap"),
    "sweeps": ("sweep", "SweepResult"),
    "loading": ("load",),
    "persistence": (),
    "runtime.checkpoint_interval": ("Checkpoint",),
    "history": ("History",),
    "callbacks": ("EarlyStopping",),
    "loggers": ("Logger", "CSVLogger"),
    "plots": (),
    "report": (),
    "optimizers": (
        "optimizer_from_name",  # and the classes of optimizers.OPTIMIZERS:
        "SGD",
        "Adam",
        "AdamW",
        "RMSprop",
        "Adagrad",
        "Quickprop",
        "LBFGS",
        "LevenbergMarquardt",
        "Rprop",
    ),
    "network.own_formulas": ("Activation", "Loss"),
    "initialization": ("NguyenWidrow", "Normal", "Uniform", "UniformByFanIn"),
    "fit.optimizer_state": ("OptimizerState",),
    "errors": ("DivergenceWarning", "TrainingWarning"),
    "diagnosis.diagnose": ("diagnose", "Diagnosis", "PopulationDiagnosis"),
    "diagnosis.gradient_check": ("check_gradients", "GradientCheck"),
    "schedules": (),
    "export.from_torch": ("from_torch",),
}
# These need scikit-learn: `from fastmlp import *` has them where it is installed.
_ESTIMATORS = {
    "estimators.classifier": ("MLPClassifier",),
    "estimators.regressor": ("MLPRegressor",),
    "estimators.tabular": ("TabularMLPClassifier", "TabularMLPRegressor"),
    "estimators.cross_validation": ("cross_val_population",),
    "estimators.from_sklearn": ("from_sklearn",),
}
_HOME = {name: module for module, names in (_MODULES | _ESTIMATORS).items() for name in names}
_HOME |= {module: module for module in _MODULES if "." not in module}

if TYPE_CHECKING:
    from .callbacks import EarlyStopping as EarlyStopping
    from .convergence import Converged as Converged
    from .diagnosis.diagnose import Diagnosis as Diagnosis
    from .diagnosis.diagnose import PopulationDiagnosis as PopulationDiagnosis
    from .diagnosis.diagnose import diagnose as diagnose
    from .diagnosis.gradient_check import GradientCheck as GradientCheck
    from .diagnosis.gradient_check import check_gradients as check_gradients
    from .errors import DivergenceWarning as DivergenceWarning
    from .errors import TrainingWarning as TrainingWarning
    from .estimators.classifier import MLPClassifier as MLPClassifier
    from .estimators.cross_validation import cross_val_population as cross_val_population
    from .estimators.from_sklearn import from_sklearn as from_sklearn
    from .estimators.regressor import MLPRegressor as MLPRegressor
    from .estimators.tabular import TabularMLPClassifier as TabularMLPClassifier
    from .estimators.tabular import TabularMLPRegressor as TabularMLPRegressor
    from .export.from_torch import from_torch as from_torch
    from .fit.optimizer_state import OptimizerState as OptimizerState
    from .history import History as History
    from .initialization import NguyenWidrow as NguyenWidrow
    from .initialization import Normal as Normal
    from .initialization import Uniform as Uniform
    from .initialization import UniformByFanIn as UniformByFanIn
    from .loading import load as load
    from .loggers import CSVLogger as CSVLogger
    from .loggers import Logger as Logger
    from .mlp import MLP as MLP
    from .network.own_formulas import Activation as Activation
    from .network.own_formulas import Loss as Loss
    from .optimizers import LBFGS as LBFGS
    from .optimizers import SGD as SGD
    from .optimizers import Adagrad as Adagrad
    from .optimizers import Adam as Adam
    from .optimizers import AdamW as AdamW
    from .optimizers import LevenbergMarquardt as LevenbergMarquardt
    from .optimizers import Quickprop as Quickprop
    from .optimizers import RMSprop as RMSprop
    from .optimizers import Rprop as Rprop
    from .optimizers import optimizer_from_name as optimizer_from_name
    from .population import Population as Population
    from .population_result import PopulationResult as PopulationResult
    from .runtime.checkpoint_interval import Checkpoint as Checkpoint
    from .sampling import bootstrap as bootstrap
    from .sampling import folds as folds
    from .sweeps import SweepResult as SweepResult
    from .sweeps import sweep as sweep


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name == "__all__":
        return _all()
    if name not in _HOME:
        raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")
    from .kernels.system.fork_lock import FORK_LOCK  # here: a process that trains nothing does without it

    with FORK_LOCK:  # a child process would wait for ever for a module that a thread of its parent imports
        module = import_module(f".{_HOME[name]}", __name__)
    value = globals()[name] = getattr(module, name, module)
    return value


def _all() -> list[str]:
    """Return the names that `from fastmlp import *` imports."""
    from importlib.util import find_spec  # here: a process without a star does without the search

    names = {"devices", *(name for names in _MODULES.values() for name in names)}
    if find_spec("sklearn") is not None:
        names |= {name for names in _ESTIMATORS.values() for name in names}
    return sorted(names)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # here: the import takes longer than this module

    try:
        return version("fastmlp")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), "__all__", *_HOME})
