"""Tools that learn from a table, all with their defaults: this package's estimators and their competitors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd

Make = Callable[[bool, int, int], Any]  # (is a regression, seed, number of threads) -> estimator of scikit-learn's kind


class Tool(NamedTuple):
    """A row of TOOLS.

    make : returns the estimator, of this number of threads where it can be told
    package : on PyPI
    takes : form of the columns of text: "text" as they are, "filled" without missing cells, or pandas' "category"
    title : in tables and pictures
    """

    make: Make
    package: str
    takes: str
    title: str


def default(is_regression: bool, seed: int, threads: int) -> Any:
    from fastmlp import TabularMLPClassifier, TabularMLPRegressor

    return (TabularMLPRegressor if is_regression else TabularMLPClassifier)(random_state=seed)


def fast(is_regression: bool, seed: int, threads: int) -> Any:
    return default(is_regression, seed, threads).set_params(quality="fast")


def best(is_regression: bool, seed: int, threads: int) -> Any:
    return default(is_regression, seed, threads).set_params(quality="best")


def lightgbm(is_regression: bool, seed: int, threads: int) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    return (LGBMRegressor if is_regression else LGBMClassifier)(random_state=seed, n_jobs=threads, verbose=-1)


def catboost(is_regression: bool, seed: int, threads: int) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostRegressor if is_regression else CatBoostClassifier
    return kind(random_seed=seed, thread_count=threads, verbose=False, allow_writing_files=False)


def gradient_boosting(is_regression: bool, seed: int, threads: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    return (HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier)(random_state=seed)


def realmlp(is_regression: bool, seed: int, threads: int) -> Any:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    kind = RealMLP_TD_Regressor if is_regression else RealMLP_TD_Classifier
    return kind(random_state=seed, n_threads=threads, device="cpu")


def tabm(is_regression: bool, seed: int, threads: int) -> Any:
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    kind = TabM_D_Regressor if is_regression else TabM_D_Classifier
    return kind(random_state=seed, n_threads=threads, device="cpu")


TOOLS = {
    "fast": Tool(fast, "fastmlp", "text", "fast (one net)"),
    "default": Tool(default, "fastmlp", "text", "good (default)"),
    "best": Tool(best, "fastmlp", "text", "best"),
    "lightgbm": Tool(lightgbm, "lightgbm", "category", "LightGBM"),
    "catboost": Tool(catboost, "catboost", "filled", "CatBoost"),
    "gradient_boosting": Tool(gradient_boosting, "scikit-learn", "category", "scikit-learn's boosting"),
    "realmlp_td": Tool(realmlp, "pytabkit", "category", "RealMLP-TD"),
    "tabm_d": Tool(tabm, "pytabkit", "category", "TabM-D"),
}
SLOW = ("best", "realmlp_td", "tabm_d")  # minutes to hours a fit; only if named


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

    model : what the tool makes
    """
    X, X_test = prepared(TOOLS[name].takes, split.X, split.X_test)
    further = {"cat_features": text_columns(X)} if name == "catboost" else {}
    predicted = model.fit(X, split.y, **further).predict(X_test)
    return predicted.reshape(len(X_test))
