"""TabularMLPClassifier and TabularMLPRegressor: settings that the literature finds to work for plain nets on tables.

Quantile-normal numbers and one-hot categories (columns.py), dropout, AdamW with clipped gradients, patience on a
validation part (Gorishniy et al. 2021, arXiv:2106.11959; Kadra et al. 2021, arXiv:2106.11189), one cycle of the
learning rate (Smith and Topin 2019), and the mean of a few nets. bench/tabular.py measures it; bench/LOG.md has the
figures.
"""

from __future__ import annotations

import numpy as np

from ..probabilities import likeliest, log_probabilities, probabilities
from .settings import keep_settings
from .tabular_base import BaseTabular

from sklearn.base import ClassifierMixin, RegressorMixin  # isort: skip  # after it, which says what to install
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target


class TabularMLPClassifier(ClassifierMixin, BaseTabular):
    """Classes from a table, for those who want accuracy without choosing settings.

    Columns of numbers become normal scores, text and categories a feature per category, missing cells are handled. A
    share of the rows decides when each net has learned enough, and the nets' mean probability predicts.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
    activation : str
    dropout : float
    learning_rate_init : float
        The peak of the schedule.
    weight_decay : float
        Of AdamW.
    batch_size : int or "auto"
        "auto" is 256, and less for fewer than 8,192 rows, down to 16.
    max_iter : int
        Epochs, over which the schedule goes.
    schedule : str, object or function
        Of fastmlp.schedules.
    patience : int
        Epochs without a lower validation loss after which a net stops; its best parameters are kept.
    validation_fraction : float
        Share of rows held out, of each class alike; 0 trains all epochs on all rows.
    n_nets : int
        How many nets; 1 takes a fifth of the time of 5.
    class_weight : dict or "balanced", optional
    label_smoothing : float
    categorical_features : sequence of column names or numbers, optional
        Columns to take for categories although they hold numbers.
    random_state : int, RandomState or None
    verbose : bool
        Whether to show a progress bar.
    device : "auto", "cpu" or "cuda"
    dtype : "float32" or "float64"

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_, n_iter_
    net_ : fastmlp.MLP, or fastmlp.Population for several nets
    history_ : fastmlp.History, or fastmlp.PopulationResult
    columns_ : tuple of the encoders
    notes_ : tuple of str
        What was left out, and why.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"size": [1.0, 2.0, None, 4.0] * 20, "colour": ["red", "blue", "blue", "red"] * 20})
    >>> y = ["a", "b", "b", "a"] * 20
    >>> model = TabularMLPClassifier(n_nets=2, max_iter=30, random_state=0).fit(X, y)
    >>> print(model.predict(X[:4]))
    ['a' 'b' 'b' 'a']
    """

    def __init__(
        self,
        hidden_layer_sizes=(256, 256, 256),
        *,
        activation="relu",
        dropout=0.2,
        learning_rate_init=0.003,
        weight_decay=0.1,
        batch_size="auto",
        max_iter=100,
        schedule="one_cycle",
        patience=24,
        validation_fraction=0.2,
        n_nets=5,
        class_weight=None,
        label_smoothing=0.0,
        categorical_features=None,
        random_state=None,
        verbose=False,
        device="auto",
        dtype="float32",
    ):
        keep_settings(self, locals())

    def _checked_y(self, y):
        y = super()._checked_y(y)
        check_classification_targets(y)
        if type_of_target(y) not in ("binary", "multiclass"):
            raise ValueError("y must be one column of classes. For several, fit one model each.")
        return y

    def _learn(self, y, training):
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class only, {self.classes_[0]!r}; a classifier needs two or more.")
        self.n_outputs_ = len(self.classes_)

    def _encode(self, y):
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"validation_data has the class {unknown[0]!r}, which y has not.")
        return np.searchsorted(self.classes_, y)

    def _strata(self, y, n_held):
        """Classes, where each can have a row on either side."""
        counts = np.unique(y, return_counts=True)[1]
        return y if counts.min() > 1 and len(counts) <= min(n_held, len(y) - n_held) else None

    def _weights(self, table, y, sample_weight):
        weights = super()._weights(table, y, sample_weight)
        if self.class_weight is None:
            return weights
        of_class = compute_sample_weight(self.class_weight, y)
        return of_class if weights is None else weights * of_class

    def _net_settings(self):
        return {"loss": "softmax_cross_entropy", "label_smoothing": self.label_smoothing}

    def predict(self, X):
        """Classes (n_samples,)."""
        features = self._features(X)
        return self.classes_[likeliest(self.net_, features)]

    def predict_proba(self, X):
        """Probabilities (n_samples, n_classes), in the order of classes_."""
        features = self._features(X)
        return probabilities(self.net_, features)

    def predict_log_proba(self, X):
        """The logarithm of predict_proba, computed from logits: finite where the probability itself rounds to 0."""
        features = self._features(X)
        return log_probabilities(self.net_, features)


class TabularMLPRegressor(RegressorMixin, BaseTabular):
    """Numbers from a table, for those who want accuracy without choosing settings.

    As TabularMLPClassifier, with targets (n_samples,) or (n_samples, n_outputs) brought to mean 0 and deviation 1.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = TabularMLPRegressor(n_nets=2, max_iter=30, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.4
    True
    """

    def __init__(
        self,
        hidden_layer_sizes=(256, 256, 256),
        *,
        activation="relu",
        dropout=0.2,
        learning_rate_init=0.003,
        weight_decay=0.1,
        batch_size="auto",
        max_iter=100,
        schedule="one_cycle",
        patience=24,
        validation_fraction=0.2,
        n_nets=5,
        categorical_features=None,
        random_state=None,
        verbose=False,
        device="auto",
        dtype="float32",
    ):
        keep_settings(self, locals())

    def _checked_y(self, y):
        y = super()._checked_y(y)
        try:
            return y.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError("y must hold numbers; for classes use TabularMLPClassifier.") from None

    def _learn(self, y, training):
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self._mean, std = y[training].mean(axis=0), y[training].std(axis=0)
        self._std = np.where(std > 0.0, std, 1.0)

    def _encode(self, y):
        return (y - self._mean) / self._std

    def _net_settings(self):
        return {"loss": "squared_error"}

    def predict(self, X):
        """(n_samples,), or (n_samples, n_outputs) for several."""
        outputs = self._outputs(X)
        return (outputs[:, 0] if self.n_outputs_ == 1 else outputs) * self._std + self._mean

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
