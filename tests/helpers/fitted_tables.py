"""Preprocessing fitted to a training table, as estimators and `fastmlp train` fit it."""

from fastmlp.tables.bins import class_indicators
from fastmlp.tables.features import Preprocessing, fit_columns
from fastmlp.tables.number_columns import NumericEncoding
from fastmlp.tables.table_files import with_text_names
from fastmlp.tables.target import Target, rows_with_target


def fitted(table, target, kind="auto"):
    """Return the preprocessing of a table; target : name of its column; kind : of the encoding of numbers"""
    rows, _ = rows_with_target(with_text_names(table), target)
    of_target = Target.fit(rows[target])
    y = of_target.encode(rows[target])
    y = class_indicators(y, of_target.n_outputs) if of_target.classes else y
    columns, notes, choices = fit_columns(rows.drop(columns=target), NumericEncoding(kind, y))
    return Preprocessing(columns, of_target, notes + choices)
