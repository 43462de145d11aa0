"""Tools that learn from a table, all with their defaults: this package's estimators and their competitors."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import pandas as pd


class Tool(NamedTuple):
    """A row of TOOLS.

    title : in tables and pictures
    package : on PyPI
    takes : form of the columns of text: "text" as they are, "filled" without missing cells, or pandas' "category"
    module, estimator : the estimator's name has {} in the place of "Classifier" or "Regressor"
    threads, seed : names of the estimator's parameters; threads is "" where the number of threads cannot be told
    settings : further parameters
    """

    title: str
    package: str
    takes: str
    module: str
    estimator: str
    threads: str
    seed: str = "random_state"
    settings: dict[str, Any] = {}  # noqa: RUF012  # read only


def _ours(title: str, quality: str) -> Tool:
    return Tool(title, "fastmlp", "text", "fastmlp", "TabularMLP{}", "", settings={"quality": quality})


def _of_pytabkit(title: str, estimator: str) -> Tool:
    return Tool(title, "pytabkit", "category", "pytabkit", estimator, "n_threads", settings={"device": "cpu"})


TOOLS = {
    "fast": _ours("fast (one net)", "fast"),
    "default": _ours("good (default)", "good"),
    "best": _ours("best", "best"),
    "lightgbm": Tool("LightGBM", "lightgbm", "category", "lightgbm", "LGBM{}", "n_jobs", settings={"verbose": -1}),
    "catboost": Tool(
        "CatBoost",
        "catboost",
        "filled",
        "catboost",
        "CatBoost{}",
        "thread_count",
        "random_seed",
        {"verbose": False, "allow_writing_files": False},
    ),
    "gradient_boosting": Tool(
        "scikit-learn's boosting", "scikit-learn", "category", "sklearn.ensemble", "HistGradientBoosting{}", ""
    ),
    "realmlp_td": _of_pytabkit("RealMLP-TD", "RealMLP_TD_{}"),
    "tabm_d": _of_pytabkit("TabM-D", "TabM_D_{}"),
}
SLOW = ("best", "realmlp_td", "tabm_d")  # minutes to hours a fit; only if named


def make(name: str, is_regression: bool, seed: int, threads: int) -> Any:
    """Return the estimator of a tool; imports its package."""
    tool = TOOLS[name]
    kind = getattr(import_module(tool.module), tool.estimator.format("Regressor" if is_regression else "Classifier"))
    return kind(**{tool.seed: seed}, **({tool.threads: threads} if tool.threads else {}), **tool.settings)


def text_columns(X: pd.DataFrame) -> list[str]:
    return [name for name in X.columns if not pd.api.types.is_numeric_dtype(X[name])]


def prepared(takes: str, X: pd.DataFrame, X_test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the inputs in the form that a tool takes columns of text in."""
    names = text_columns(X)
    if takes == "text" or not names:
        return X, X_test
    if takes == "filled":
        return tuple(part.assign(**{n: part[n].fillna("missing").astype(str) for n in names}) for part in (X, X_test))
    types = {name: pd.CategoricalDtype(sorted(X[name].dropna().unique())) for name in names}
    return X.astype(types), X_test.astype(types)


def predictions(name: str, model: Any, split: Any) -> Any:
    """Return the predictions of a tool for the test rows of a split, after a fit to its training rows.

    model : what `make` returns
    """
    X, X_test = prepared(TOOLS[name].takes, split.X, split.X_test)
    further = {"cat_features": text_columns(X)} if name == "catboost" else {}
    predicted = model.fit(X, split.y, **further).predict(X_test)
    return predicted.reshape(len(X_test))
