"""Estimators for scikit-learn: thin wrappers around MLP and Population, with no mathematics of their own.

base                  what MLPClassifier and MLPRegressor have in common: parameters, and the steps of a fit
classifier, regressor the two estimators: their targets, and predictions
fitted_net            a fitted estimator: its net, its weights, outputs for samples
tabular/              TabularMLPClassifier and TabularMLPRegressor: tables, with settings that need no tuning
parameters            settings: checked, and converted to those of MLP and Population
single_net, lbfgs     training of one net
epoch_rules           what scikit-learn does after each epoch: records, stopping, lower learning rates
ensembles             training of many nets at once
cross_validation      all folds trained as one population
interruption          what a fit keeps after Ctrl-C
array_input           samples and targets of users on their way through scikit-learn's checks
sources               tables that are read piece by piece
table_input           tables of other libraries
sklearn_conventions   scikit-learn's names, initial weights, factors of losses, schedule "invscaling"; to_sklearn
from_sklearn          conversion of scikit-learn's fitted estimators
serialization         files of the tabular estimators, and what a row cache keeps of them
exporting, skl2onnx_converters  the method export; converters for pipelines
"""

from ..errors import install_command

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(f"The estimators need scikit-learn 1.7 or newer: {install_command('sklearn')}.") from error
