"""Estimators for scikit-learn: thin wrappers around MLP and Population, with no mathematics of their own.

mlp, base                   MLPClassifier and MLPRegressor, with scikit-learn's parameters and behaviour
tabular/                    TabularMLPClassifier and TabularMLPRegressor: tables, with settings that need no tuning
serialization               their files
cross_validation            all folds trained as one population
from_sklearn, to_sklearn    conversion of fitted estimators from and to scikit-learn; sklearn_names has the names
parameters                  settings: checked, and converted to those of MLP and Population
single_net, lbfgs           training of one net
ensembles                   training of many nets at once
early_stopping              scikit-learn's stopping rules
initial_weights             scikit-learn's initial weights
exporting, skl2onnx_converters  the method export; converters for pipelines
sklearn_conventions         scikit-learn's names, factors of losses, and schedule "invscaling"
regression_targets          check that regression targets are numbers
"""
