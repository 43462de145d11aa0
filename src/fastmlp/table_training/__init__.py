"""Nets that learn from tables: one recipe for the tabular estimators and for `fastmlp train`.

recipes                 the settings of a training, and the presets "fast", "good" and "best"
model                   TableModel, which the estimators and the command adapt; streamed_fit, for tables in pieces
encoded_rows            encoded rows of a table, in memory or in a file, and their split
fits_in_time            nets, their fits by a recipe, and how many epochs and nets a time limit is enough for
folds                   nets that are each trained without one fold of the rows, on threads or workers
tuning                  search of the settings of a recipe; tuning_configurations draws and compares them
training_summary        sentences on a training
"""
