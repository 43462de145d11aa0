"""Import paths that users and their pickles know stay valid, wherever a class is now defined."""

import pickle
from importlib import import_module

import pytest

import fastmlp

NAMES = {
    "optimizers": "SGD Adam AdamW RMSprop Adagrad Quickprop Rprop Optimizer optimizer_from_name",
    "schedules": "Schedule Constant Step Exponential InverseScaling Cosine Warmup OneCycle FlatCosine",
    "callbacks": "EarlyStopping",
    "runtime.checkpoint_interval": "Checkpoint",
    "loggers": "Logger CSVLogger",
    "initialization": "NguyenWidrow Uniform Normal UniformByFanIn",
    "convergence": "Converged EpochStatistics",
    "history": "History",
    "population_result": "PopulationResult",
    "persistence": "save",
    "report": "write",
    "devices": "Device DeviceInfo",
    "mlp": "MLP",
    "population": "Population",
    "estimators.classifier": "MLPClassifier",
    "estimators.regressor": "MLPRegressor",
    "estimators.tabular": "TabularMLPClassifier TabularMLPRegressor",
}


@pytest.mark.parametrize("module", NAMES)
def test_pickles_find_their_classes(module):
    for name in NAMES[module].split():
        found = pickle.loads(f"cfastmlp.{module}\n{name}\n.".encode())  # what a pickle of an object says of its class
        assert found is getattr(import_module(f"fastmlp.{module}"), name)
        if name in fastmlp.__all__:
            assert found is getattr(fastmlp, name)
