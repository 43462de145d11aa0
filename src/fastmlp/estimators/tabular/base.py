"""Base class of TabularMLPClassifier and TabularMLPRegressor: encoding of tables, training, and prediction."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...api.stream_arguments import StreamArguments
from ...errors import checked_count, checked_number
from ...interface.keywords import explains_names
from ...interface.user_warnings import warn_user
from ...streams.source_kinds import is_source
from ...table_training.recipes import AUTO, Recipe
from ...table_training.rows_in_memory import Rows
from ...table_training.time_budget import Budget
from ...table_training.training_summary import summary
from ...tables.preprocessing import Preprocessing
from ...tables.target import Target
from ..exporting import Exportable
from ..interruption import keeping_nets
from ..sklearn_callbacks import CallbackSupportMixin, ObservedTask, with_callbacks
from ..sources import TargetSummary, names_target, target_apart
from .columns import TableColumns
from .nets import TableNets
from .parameter_checks import check_executor, check_nets, estimator_recipe
from .rows import TableRows
from .source_fit import SourceFit
from .table_fit import GivenData, TableFit
from .tuning import searched_settings

if TYPE_CHECKING:
    from typing_extensions import Self

NOT_GIVEN = "deprecated"  # default of a parameter's former name, as in scikit-learn


class BaseTabular(TableRows, TableNets, Exportable, CallbackSupportMixin, TableColumns, ABC):
    """Base class of the two tabular estimators. Subclasses define how y is encoded, split and predicted.

    Parameters
    ----------
    quality : {"fast", "good", "best"}, default "good"
        Preset of the parameters whose default is "auto"; one that is given takes the place of the preset's. "fast" is
        one small net, "good" the mean of six, each without another sixth of the rows, and "best" the mean of
        twenty, of which two are trained without each of ten folds.
    hidden_layer_sizes : int or sequence of int, default "auto"
        Number of units in each hidden layer; (128, 128) in "fast", (128, 128, 128) in the others.
    activation : str, default "auto"
        Any hidden activation of fastmlp.MLP; in all presets "silu" for classes, "relu" for numbers and
        for multilabel y.
    dropout : float or sequence of float, default "auto"
        Fraction of hidden units dropped in each training step; 0.1 in all presets.
    learning_rate_init : float, default "auto"
        Peak learning rate of the schedule; 0.005 in "fast", 0.004 in the others.
    weight_decay : float, default "auto"
        Weight decay of AdamW; 0.1 in all presets.
    batch_size : int or "auto", default "auto"
        Number of samples in a batch. "auto" is 256; for fewer than 8,192 rows it is smaller, down to 16.
    max_iter : int, default "auto"
        Largest number of epochs, and the length of the schedule; 40 in "fast", 80 in the others.
    schedule : str, object or callable, default "auto"
        A learning-rate schedule of fastmlp.schedules; "flat_cosine" in all presets.
    n_iter_no_change : int, default "auto"
        Number of epochs without a lower validation loss after which training of a net stops; 24 in "fast", 48 in the
        others. Its best parameters are kept.
    n_nets : int, default "auto"
        Number of nets; of n_folds or "best", of nets without each fold. "fast" has 1, "good" 6, "best" 2 for each of
        10 folds.
    n_folds : int, default "auto"
        Number of folds, 1 for none; 10 in "best". With folds, each net is trained without one fold, on which it stops
        early; every row then has a prediction by nets that have not seen it, `oof_prediction_`. With validation_data,
        all nets are trained on all rows instead. In "good", 4 to 10 nets have a fold each. Fewer and more nets
        hold out the same rows, a fraction validation_fraction, and so do those with validation_fraction, n_folds=1,
        net_weights="greedy", refit=True, or a table that does not fit into memory.
    eval_metric : str or callable, optional
        Metric of the held-out rows after each epoch, `validation_scores_`: a name that metrics= of MLP.fit takes, which
        also chooses the best epoch instead of the loss, or a function (y_true, y_pred) of what the nets are trained on
        and what they return. Several nets are then trained one after another.
    refit : bool, default False
        Whether to train new nets on all rows after early stopping, for the epochs it has found best (the median over
        the nets) with the same schedule. It takes twice the time. The records and `temperature_` are those of the
        first training, and `n_iter_` is of the second one.
    time_limit : float, optional
        Seconds that fit may take, with those in which kernels compile. A measurement of the first batches decides for
        how many epochs there is time; if these are fewer than ten, there are fewer nets, which in "good" then hold out
        the same rows. A warning says so. One epoch of one net is trained in any case, unless it takes longer than the
        limit by itself.
    categorical_features : sequence of str or int, optional
        Names or numbers of columns to treat as categories although they hold numbers.
    text_features : sequence of str or int, or "auto", default "auto"
        Names or numbers of columns of text whose words become features. "auto" takes those of running text (half of
        their cells have three words of letters or more, with spaces between them) that are no categories, because they
        have more than 255 different texts or another one in each row; () takes none. A column has up to 256 features
        (192 words and pairs of words, and 64 parts of words, that at least 16 rows have) and the number of words.
    numeric_encoding : {"auto", "piecewise_linear", "quantile", "standard"}, default "auto"
        Encoding of columns of numbers. "auto" gives columns of more than 32 distinct numbers a normal score and, where
        the targets leap, bins, in each of which the first layer has a slope of its own, if a trial with a cheap model
        finds that bins lower the error of held-out rows; it standardises other columns.
        "piecewise_linear" makes as many bins as it can, "quantile" none, with a normal score for all columns.
        "standard" standardises all.
    n_bins : int, default "auto"
        Largest number of bins of a column, from 2 to 1000; 48 in all presets. A decision tree on each column chooses
        the bins.
    net_weights : {"equal", "greedy"}, default "auto"
        Weights of several nets in the mean that predicts; "equal" in all presets. "greedy" picks as many nets as there
        are, one after another and with repetition, so that the loss of the mean is lowest on held-out rows or, with
        folds, on those of each fold (Caruana et al. 2004, "Ensemble selection from libraries of models"). `net_` then
        has nets of larger weight several times, and others not at all. Metrics of the rows that choose the weights, and
        `oof_prediction_`, are then a little too good. If nets of folds are left out for want of time, all count alike.
    tune : int, optional
        Number of configurations to compare on held-out rows before the nets are trained with the best one, 2 or more.
        Parameters that are "auto" are searched, of hidden_layer_sizes, learning_rate_init, weight_decay, dropout,
        batch_size, label_smoothing, numeric_encoding and n_bins; the first configuration is the preset, which stays
        unless another one is clearly better. Of each three configurations, the best one is trained anew with three
        times the epochs (successive halving). They are compared by their log loss, calibrated if the nets will be, or
        squared error, or by eval_metric if it is a name. With folds, the first fold is held out. A search takes at
        most about half of time_limit.
    callbacks : callable or sequence of callable, optional
        Called as callback(epoch, history) after each epoch; history.net is the MLP being trained, whose training stops
        when a callback returns True. Several nets are then trained one after another, which takes longer. Nets that
        `tune` tries and those of `refit` have no callbacks.
    warm_start : bool, default False
        Whether the next fit continues from the parameters of the last fit. The encoding of columns and y that the first
        fit found, such as categories and quantiles, is kept.
    random_state : int, RandomState or None, default None
        Seed of the validation split, the initial weights, the order of samples and dropout.
    verbose : bool or int, default False
        Whether to show a progress bar over all nets and folds with the best validation loss so far, in a terminal or a
        notebook, and at the end of fit a line with time and loss. 2 is for lines instead of the bar: of one net or nets
        one after another a line per epoch, of several nets at a time a line a second.
    device : str, default "auto"
        Device for training and prediction: "auto", "cpu" or "cuda", as in fastmlp.MLP.
    dtype : {"float32", "float64"}, default "float32"
        Floating-point type of the nets.
    patience : int, optional
        Former name of n_iter_no_change; deprecated.

    Attributes
    ----------
    net_ : MLP or Population
        The trained net, or nets if there are several.
    n_nets_ : int
        Number of nets in `net_`, fewer than n_nets if a time limit, Ctrl-C or the choice of weights has left some out.
    history_ : History or PopulationResult
        What the fit of the net, or of the nets, returned.
    validation_loss_curve_ : list of float or None
        Loss on the held-out samples, one value per epoch; None without any. Only for a single net.
    validation_scores_ : list of float
        With eval_metric, its value after each epoch; of several nets, a list for each.
    oof_prediction_ : ndarray of float64, shape (n_samples, n_classes), (n_samples,) or (n_samples, n_outputs)
        Only with folds: out-of-fold predictions, class probabilities or numbers, of the training rows by the nets that
        were trained without them. NaN in rows of folds that an interrupted fit has not reached. With
        net_weights="greedy", these rows have chosen the weights of the nets.
    best_settings_ : dict
        With tune, the chosen values of the parameters that were searched, which another estimator takes as they are.
    tuning_results_ : list of dict
        With tune, a dict for each configuration that was compared, the chosen one first: its "settings", its "score" on
        the held-out rows (larger is better) and its "epochs" in the last comparison that it came to.
    n_iter_ : int
        Number of epochs; of several nets, the largest.
    columns_ : tuple
        Encoders of the columns that are used.
    notes_ : tuple of str
        Sentences on columns that were left out, on cells that count as missing, and on the choice of bins, with
        reasons.
    n_outputs_ : int
        Number of outputs of a net.
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the columns, if the table had names that are text.

    Raises
    ------
    ImportError
        If scikit-learn or, in fit, pandas is not installed.
    ValueError
        In fit, if a setting is invalid, or no column can be used.

    References
    ----------
    Gorishniy, Rubachev, Khrulkov and Babenko 2021, "Revisiting deep learning models for tabular data",
    arXiv:2106.11959.

    Kadra, Lindauer, Hutter and Grabocka 2021, "Well-tuned simple nets excel on tabular datasets", arXiv:2106.11189.
    """

    quality: str
    n_iter_no_change: Any
    numeric_encoding: str
    n_bins: int | str
    net_weights: str = AUTO  # also of estimators that earlier versions have pickled
    tune: int | None
    callbacks: Any
    eval_metric: Any
    refit: bool
    time_limit: float | None
    warm_start: bool
    random_state: Any
    verbose: Any
    device: str
    dtype: str
    patience: Any

    # Of an estimator that predicts between two epochs for scikit-learn's callbacks, beside net_ and n_iter_.
    _attributes_while_training: ClassVar[dict[str, Any]] = {}

    @property
    def n_nets_(self) -> int:
        return getattr(self.net_, "n_nets", 1)

    @abstractmethod
    def _set_targets(self, y: np.ndarray, training: np.ndarray) -> None:
        """Set the attributes that the encoding of y depends on, such as classes_ or mean and standard deviation.

        training : row numbers of the training samples
        """

    @abstractmethod
    def _encode(self, y: np.ndarray) -> np.ndarray:
        """Return y in the form that the nets are trained on: class indices or scaled numbers."""

    @abstractmethod
    def _predictions_of(self, logits: np.ndarray) -> np.ndarray:
        """Return the predictions that belong to logits of several nets: probabilities of classes, or numbers.

        logits : (n_nets, n_samples, n_outputs), before the output activation
        """

    def _calibrate(self, logits: np.ndarray | None, held_out: Rows | None, calibration: str) -> None:
        """Set what calibrates predictions. A regressor has nothing of the kind.

        logits : (n_nets, n_samples, n_outputs) of the held-out rows, or None without any
        """

    @abstractmethod
    def _net_settings(self) -> dict[str, Any]:
        """Return the keyword arguments of MLP and Population that depend on the kind of y."""

    @abstractmethod
    def _target(self, name: str) -> Target | None:
        """Return the target encoder to store in the file of the net, or None if a Target cannot describe y."""

    @explains_names
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        validation_data: Any = None,
        executor: Any = None,
        memory_limit: int | str | None = None,
        row_cache: str | os.PathLike | None = None,
    ) -> Self:
        """Train on a table X and targets y.

        Cells may be missing; columns that cannot be used are left out with a warning. Ctrl-C ends the fit with a
        warning. Of several nets, those that had begun are kept, and predict. Before the first net has begun, while
        columns are learned, there is none to keep: Ctrl-C raises KeyboardInterrupt, and like after an error, the
        estimator is as it was before the call.

        Parameters
        ----------
        X : data frame of any library, array_like of shape (n_samples, n_features), path, or source of rows
            The table. The path of a Parquet or CSV file or of a folder of Parquet files, a memory map, an array of h5py
            or zarr, an Arrow stream, a dataset of pyarrow, or an iterable or list of pieces is read piece by piece, so
            that it need not fit into memory.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs), or str
            Classes or numbers; of a classifier, several columns hold 0 and 1, whether a row has the label of the
            column (multilabel classification). The name of a column of X that holds them, or a source of as many rows
            beside a source X; None if X is an iterable or list of pairs (X, y).
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss. It also applies to samples that are held out from X.
        validation_data : tuple, optional
            (X, y) or (X, y, sample_weight), held-out samples to use instead of the fraction validation_fraction of X.
            X may be a source of rows, and y the name of its column.
            class_weight applies to training samples and to both kinds of held-out samples, because the loss on held-out
            samples chooses the best epoch.
        executor : object, optional
            Where to train several nets, as for Population.fit. It goes with none of eval_metric, callbacks,
            time_limit, tune, and tables that do not fit into memory.
        memory_limit : int or str, optional
            Bytes that the data of a source may take in memory, as a number or as text such as "300MB"; by default a
            share of the memory that is free. A table within it is trained on as in memory, to the same bits.
        row_cache : str or path, optional
            Folder for the encoded rows of a source, in which those of a file stay for the next fit with the same
            settings and random_state. By default they are in a temporary folder.

        Returns
        -------
        TabularMLPClassifier or TabularMLPRegressor
            The estimator itself.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If settings or data are invalid.
        """
        before = self.__dict__.copy()
        try:
            fitted: Self = self._fit(X, y, sample_weight, validation_data, (memory_limit, row_cache), executor)
        except BaseException:  # columns of this fit do not go with nets of the last one
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        if self.verbose:
            print(summary(self.history_), flush=True)
        return fitted

    @with_callbacks
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, limits: tuple[Any, Any], executor: Any
    ) -> Any:
        recipe, budget = self._recipe(), self._budget()
        has_folds = recipe.n_folds > 1 and validation_data is None
        if executor is not None:
            check_executor(self, recipe)
        stream = StreamArguments.checked(*limits)  # an invalid limit is an error for data in memory, too
        observed = ObservedTask.fit(self, X, y, sample_weight)
        if is_source(X) or names_target(X, y):
            if names_target(X, y):
                X, y = target_apart(X, y)
            else:
                given = SourceFit(self, X, y, recipe, validation_data, stream, observed)
                found = given.run(self._needing_all_rows(sample_weight, has_folds, executor))
                if found is None:
                    with keeping_nets():
                        observed.end(dict)
                    return self
                X, y = found
        TableFit(self, GivenData(X, y, sample_weight, validation_data), recipe, budget, observed, executor).run()
        return self

    def _needing_all_rows(self, sample_weight: Any, has_folds: bool, executor: Any) -> dict[str, Any]:
        """Return {name: value} of parameters that need all rows of a source in memory."""
        return {
            "sample_weight": sample_weight,
            "class_weight": getattr(self, "class_weight", None),
            "n_folds above 1 (quality='best')": has_folds,
            "eval_metric": self.eval_metric,
            "refit": self.refit,
            "warm_start": self.warm_start,
            "tune": self.tune,
            "executor": executor,
        }

    @abstractmethod
    def _set_target_summary(self, found: TargetSummary) -> None:
        """Set the attributes that the encoding of y depends on from a summary of all targets."""

    def _preprocessing(self, name: str) -> Preprocessing | None:
        """Return what the file of the net says of the table; name : of y."""
        target = self._target(name)
        return None if target is None else Preprocessing(self.columns_, target, self.notes_)

    def _recipe(self) -> Recipe:
        """Return the settings of the training, after a check of all parameters that MLP and Population do not check."""
        recipe = estimator_recipe(self)
        check_nets(self, recipe)
        if self.tune is not None:
            searched_settings(self)
        if self.patience == NOT_GIVEN:
            return recipe
        warn_user(
            f"patience has another name now, the one of MLPClassifier: write n_iter_no_change={self.patience!r}.",
            FutureWarning,
        )
        return replace(recipe, patience=checked_count("patience", self.patience))

    def _budget(self) -> Budget:
        if self.time_limit is None:
            return Budget()
        return Budget(checked_number("time_limit", self.time_limit, 0.0, open_low=True))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags
