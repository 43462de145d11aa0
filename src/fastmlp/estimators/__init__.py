"""Estimators for scikit-learn: thin wrappers around MLP and Population, with no mathematics of their own.

base                  what MLPClassifier and MLPRegressor have in common: parameters, and the steps of a fit
classifier, regressor the two estimators: their targets, and predictions
fitted_net            a fitted estimator: its net, its weights, samples for the net
tabular/              TabularMLPClassifier and TabularMLPRegressor: tables, with settings that need no tuning
parameters            settings: checked, and converted to those of MLP; scikit-learn's conventions
single_net            training of the net, epoch by epoch or by L-BFGS
stopping_rules        what scikit-learn does after each epoch: records, stopping, lower learning rates
cross_validation      all folds trained as one population
array_input           arrays, tables in memory and targets of users on their way through scikit-learn's checks
from_sklearn          conversion of scikit-learn's fitted estimators
serialization         files of the tabular estimators
"""

from ..errors import install_command

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(f"The estimators need scikit-learn 1.7 or newer: {install_command('sklearn')}.") from error
