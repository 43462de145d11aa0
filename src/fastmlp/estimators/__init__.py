"""Estimators for scikit-learn: thin faces over MLP and Population, with no mathematics of their own.

nets                   MLPClassifier, MLPRegressor: scikit-learn's own, by parameters and by what they do
tabular, tabular_base  TabularMLPClassifier, TabularMLPRegressor: accuracy on tables without choosing settings
tables, saving         the tables these take, and their files
cross_validation       all folds as one population
from_sklearn, to_sklearn   fitted models from and to scikit-learn's
base, settings, training, populations, rules, lbfgs, regression_targets    what they are made of
"""
