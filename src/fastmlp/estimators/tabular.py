"""TabularMLPClassifier and TabularMLPRegressor: settings that the literature finds to work for plain nets on tables.

Quantile-normal numbers and one-hot categories (column_encoders.py), dropout, AdamW with clipped gradients, patience on
a validation part (Gorishniy et al. 2021, arXiv:2106.11959; Kadra et al. 2021, arXiv:2106.11189), one cycle of the
learning rate (Smith and Topin 2019), and the mean of a few nets. bench/accuracy/tabular.py measures it;
bench/LOG.md has the figures.
"""

from __future__ import annotations

import numpy as np

from ..class_probabilities import likeliest, log_probabilities, probabilities
from ..tables.target_encoder import CLASSIFICATION, REGRESSION, Target, class_numbers, listed
from .parameters import keep_settings
from .regression_targets import as_quantities
from .tabular_base import NOT_GIVEN, BaseTabular

from sklearn.base import ClassifierMixin, RegressorMixin  # isort: skip  # after it, which says what to install
from sklearn.utils.class_weight import compute_class_weight
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
    n_iter_no_change : int
        Epochs without a lower validation loss after which a net stops; its best parameters are kept.
    validation_fraction : float
        Share of rows held out, of each class alike; 0 trains all epochs on all rows.
    n_nets : int
        How many nets; 1 takes a fifth of the time of 5.
    class_weight : dict or "balanced", optional
        {class: weight}, multiplied with sample_weight. Unlike MLPClassifier's, it counts for samples held out as well:
        the loss on these chooses the epoch, and without weights it would choose one before they have had an effect.
    label_smoothing : float
    categorical_features : sequence of column names or numbers, optional
        Columns to take for categories although they hold numbers.
    callbacks : function or sequence of functions, optional
        Called as (epoch, history) after each epoch, with history.net the MLP in training; returning True stops. For
        n_nets=1.
    warm_start : bool
        Whether a further fit goes on from the parameters that the last one has left. What the first one has learned of
        columns and y, such as categories and quantiles, is kept.
    random_state : int, RandomState or None
    verbose : bool
        Whether to show a progress bar.
    device : "auto", "cpu" or "cuda"
    dtype : "float32" or "float64"
    patience : int
        The former name of n_iter_no_change; deprecated.

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_, n_iter_
    net_ : fastmlp.MLP, or fastmlp.Population for several nets
    history_ : fastmlp.History, or fastmlp.PopulationResult
    loss_curve_, validation_loss_curve_ : list of float
        The net's loss on the samples to train on and on those held out (None if there are none), one for each epoch;
        of a regression, for y with a deviation of 1. A population has none.
    columns_ : tuple of the encoders
    notes_ : tuple of str
        What was left out or counts as missing, and why.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"size": [1.0, 2.0, None, 4.0] * 20, "colour": ["red", "blue", "blue", "red"] * 20})
    >>> y = ["a", "b", "b", "a"] * 20
    >>> model = TabularMLPClassifier(n_nets=2, max_iter=30, random_state=0).fit(X, y)
    >>> print(model.predict(X[:4]))
    ['a' 'b' 'b' 'a']
    >>> model.notes_on(pd.DataFrame({"size": [1.0, 2.0], "colour": ["mauve", "red"]}))
    ("Column 'colour' has categories unseen in training in 1 of 2 cells ('mauve'), which count as none of its own.",)
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
        n_iter_no_change=24,
        validation_fraction=0.2,
        n_nets=5,
        class_weight=None,
        label_smoothing=0.0,
        categorical_features=None,
        callbacks=None,
        warm_start=False,
        random_state=None,
        verbose=False,
        device="auto",
        dtype="float32",
        patience=NOT_GIVEN,
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
        """Numbers of the classes, by any spelling: true and 1 are the same where there are no classes but 0 and 1."""
        found, inverse = np.unique(y, return_inverse=True)
        codes = class_numbers(found.tolist(), self.classes_.tolist())
        if (codes < 0).any():
            unknown = found[np.argmin(codes)]
            raise ValueError(
                f"y has the class {unknown!r}, which was not among those to train on: {listed(self.classes_.tolist())}."
            )
        return codes[inverse]

    def _strata(self, y, n_held):
        """Classes, where each can have a row on either side."""
        counts = np.unique(y, return_counts=True)[1]
        return y if counts.min() > 1 and len(counts) <= min(n_held, len(y) - n_held) else None

    def _weigh_classes(self, y):
        self._class_weights = None
        if self.class_weight is not None:
            codes = self._encode(y)
            present = np.unique(codes)
            self._class_weights = np.ones(len(self.classes_))
            self._class_weights[present] = compute_class_weight(
                self.class_weight, classes=self.classes_[present], y=self.classes_[codes]
            )

    def _weights(self, table, y, sample_weight):
        weights = super()._weights(table, y, sample_weight)
        if self._class_weights is None:
            return weights
        of_class = self._class_weights[self._encode(y)]
        return of_class if weights is None else weights * of_class

    def _target(self, name):
        try:
            return Target(name, CLASSIFICATION, tuple(self.classes_.tolist()))
        except ValueError:  # classes that are neither text nor numbers
            return None

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
        n_iter_no_change=24,
        validation_fraction=0.2,
        n_nets=5,
        categorical_features=None,
        callbacks=None,
        warm_start=False,
        random_state=None,
        verbose=False,
        device="auto",
        dtype="float32",
        patience=NOT_GIVEN,
    ):
        keep_settings(self, locals())

    def _checked_y(self, y):
        return as_quantities(super()._checked_y(y), "TabularMLPClassifier")

    def _learn(self, y, training):
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self._mean, std = y[training].mean(axis=0), y[training].std(axis=0)
        self._std = np.where(std > 0.0, std, 1.0)

    def _encode(self, y):
        if (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} columns, but it has shape {y.shape}.")
        return (y - self._mean) / self._std

    def _target(self, name):
        if self.n_outputs_ > 1:
            return None
        return Target(name, REGRESSION, mean=float(self._mean), std=float(self._std))

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
