"""MLPClassifier and MLPRegressor: drop-in replacements for scikit-learn's estimators of these names.

Parameters keep scikit-learn's names, defaults and meaning. scikit-learn reads them from the signature of __init__, so
each class lists all of them. All mathematics is in MLP and Population.
"""

from __future__ import annotations

import numpy as np

from ..class_probabilities import likeliest, log_probabilities, probabilities
from ..errors import counted, unknown_name
from .base import BaseMLP, float_type
from .parameters import keep_settings
from .regression_targets import as_quantities
from .single_net import SplitSamples

from sklearn.base import ClassifierMixin, RegressorMixin  # isort: skip  # base says what to install
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

CLASSIFIER_LOSSES = ("log_loss", "squared_error", "absolute_error", "huber", "atanh_error")
REGRESSOR_LOSSES = ("squared_error", "poisson", "absolute_error", "huber")


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multilayer perceptron classifier: a drop-in replacement for scikit-learn's, with more options.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Number of units in each hidden layer.
    activation : str, default "relu"
        "identity", "logistic", "tanh", "relu", or any other hidden activation of fastmlp.MLP.
    solver : str or Optimizer, default "adam"
        "lbfgs", "sgd", "adam", or another fastmlp optimiser, given by name or as an object such as
        fastmlp.AdamW(3e-3). An object uses its own settings, not those of the estimator.
    alpha : float, default 0.0001
        Strength of the L2 penalty: alpha / 2 times the sum of squared weights is divided by the batch size and added to
        the loss.
    batch_size : int or "auto", default "auto"
        Number of samples per step; "auto" is 200, or all samples if they are fewer, and all samples for "lbfgs",
        "quickprop" and "rprop".
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        How solver="sgd" changes the learning rate: not at all; by 1 / t ** power_t, for t samples seen; or divided by 5
        whenever training has stalled.
    learning_rate_init : float, default 0.001
        Learning rate at the start, of all solvers but "lbfgs".
    power_t : float, default 0.5
        Exponent of learning_rate="invscaling".
    max_iter : int, default 200
        Largest number of epochs, or of iterations of "lbfgs".
    shuffle : bool, default True
        Whether each epoch visits the samples in a new random order.
    random_state : int, RandomState or None, default None
        Seed of the initial parameters, the validation split, shuffling and dropout.
    tol : float, default 1e-4
        Training has stalled if more than n_iter_no_change epochs do not improve the loss, or the score with
        early_stopping, by tol. For "lbfgs" it is the largest component of the gradient at the end.
    verbose : bool, default False
        Whether to print the loss of each epoch.
    warm_start : bool, default False
        Whether fit continues from the parameters of the last fit.
    momentum : float, default 0.9
        Momentum of solver="sgd", in [0, 1).
    nesterovs_momentum : bool, default True
        Whether solver="sgd" uses Nesterov's variant, if momentum is above 0.
    early_stopping : bool, default False
        Whether to hold out samples, and to end with the parameters of the epoch with the best score on them.
    validation_fraction : float, default 0.1
        Fraction of the samples that early_stopping holds out.
    beta_1 : float, default 0.9
        Decay of Adam's first moment, in [0, 1).
    beta_2 : float, default 0.999
        Decay of Adam's second moment, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root of Adam's corrected second moment.
    n_iter_no_change : int, default 10
        Number of epochs without improvement after which training has stalled; numpy.inf for no such limit.
    max_fun : int, default 15000
        Largest number of evaluations of the loss by "lbfgs".
    loss : str, default "log_loss"
        "log_loss"; or "squared_error", "absolute_error", "huber" or "atanh_error", computed between sigmoid outputs and
        targets 0 or 1.
    class_weight : dict or "balanced", optional
        {class: weight}, multiplied with sample_weight. Used in training only, not in the scores and losses of held-out
        samples. partial_fit takes only a dict, because it never sees all samples.
    label_smoothing : float, default 0.0
        Fraction of each target that is spread evenly over all classes. For more than two exclusive classes.
    dropout : float or sequence of float, default 0.0
        Fraction of hidden units dropped in each training step, one for all hidden layers or one per layer.
    schedule : str, object or callable, optional
        A learning-rate schedule of fastmlp.schedules over max_iter epochs, instead of learning_rate.
    callbacks : callable or sequence of callable, optional
        Called as callback(epoch, history) after each epoch; history.net is the MLP being trained. Training stops when a
        callback returns True. Not for n_nets above 1.
    eval_metric : str or scorer, optional
        The scikit-learn scorer for `validation_scores_`, instead of accuracy. Not for n_nets above 1.
    n_nets : int, default 1
        Number of nets, trained together as one population from different initial weights. Predictions are the mean over
        the nets.
    device : str, default "auto"
        Device for training and prediction: "auto", "cpu" or "cuda", as in fastmlp.MLP.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Floating-point type of the nets; "auto" is float64 for solver="lbfgs", and float32 otherwise. Two checks of
        scikit-learn's check_estimator, check_sample_weight_equivalence_on_dense_data and _on_sparse_data, pass only in
        float64: they compare a fit with weights and a fit with repeated rows to 1e-7, and rounding errors of float32
        sums are larger.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel classification the numbers of the labels.
    net_ : MLP or Population
        The trained net, or nets if n_nets > 1.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer, as views of `net_.params`: write into them, since they are not replaced. With n_nets > 1,
        copies of shape (n_nets, fan_in, fan_out).
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer, in the same way.
    loss_ : float
        Loss of the last epoch, penalty included; the mean over nets if n_nets > 1.
    best_loss_ : float or None
        Lowest loss of an epoch; None with early_stopping.
    loss_curve_ : list of float
        Loss of each epoch, penalty included. Empty if n_nets > 1 or solver="lbfgs".
    validation_scores_ : list of float or None
        Score on the held-out samples after each epoch.
    best_validation_score_ : float or None
        Best of these scores, with early_stopping.
    validation_loss_curve_ : list of float or None
        Loss on the held-out samples after each epoch, without the penalty.
    n_iter_ : int
        Number of epochs, or of iterations of "lbfgs".
    t_ : int
        Number of samples that training has visited, over all fits that continued one another.
    n_layers_ : int
        Number of layers, the input layer included.
    n_outputs_ : int
        Number of outputs of the net.
    out_activation_ : str
        Output activation, by scikit-learn's name.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, if X had names that are text.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    ValueError
        In fit, if a setting is invalid.

    See Also
    --------
    MLPRegressor : The same for numbers.
    TabularMLPClassifier : For data frames with text and missing cells, with settings that need no tuning.
    cross_val_population : All folds of a cross-validation trained as one population.

    Notes
    -----
    Parameters up to max_fun have scikit-learn's names, defaults and meaning. get_params, set_params, score,
    get_metadata_routing, set_fit_request, set_partial_fit_request and set_score_request are those of scikit-learn.

    Pickle, joblib and skops keep a fitted estimator. `net_.save` writes the net alone, without class labels.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(random_state=0, max_iter=300, learning_rate_init=0.01).fit(X, y)
    >>> clf.predict(X[:2])
    array([0, 0])
    >>> clf.score(X, y) > 0.95
    True
    """

    def __init__(  # noqa: PLR0913
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        loss="log_loss",
        class_weight=None,
        label_smoothing=0.0,
        dropout=0.0,
        schedule=None,
        callbacks=None,
        eval_metric=None,
        n_nets=1,
        device="auto",
        dtype="auto",
    ):
        keep_settings(self, locals())

    def fit(self, X, y, sample_weight=None, *, validation_data=None):
        """Train on samples X and labels y.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs; sparse input is converted to a dense array.
        y : array_like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or 0 and 1 for multilabel classification.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss, at least 0.
        validation_data : tuple, optional
            (X, y) or (X, y, sample_weight), held-out samples to evaluate after each epoch; with early_stopping=True,
            also the samples that decide when to stop.

        Returns
        -------
        MLPClassifier
            The estimator itself.

        Raises
        ------
        ValueError
            If settings or data are invalid, or if training diverges.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If training reaches max_iter before it converges.
        """
        return self._fit(X, y, sample_weight, validation_data)

    @available_if(BaseMLP._can_continue)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch on the given samples, starting from the current parameters.

        The optimiser state (momentum, second moments) is kept from call to call.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as in fit.
        y : array_like of shape (n_samples,) or (n_samples, n_labels)
            Labels, as in fit.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss, at least 0.
        classes : array_like of shape (n_classes,), optional
            All class labels that any call will see; required in the first call, except for multilabel targets.

        Returns
        -------
        MLPClassifier
            The estimator itself.

        Raises
        ------
        ValueError
            If settings or data are invalid, the first call lacks classes, or a later call has other ones.
        AttributeError
            For solver="lbfgs".
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} is not supported by partial_fit, which cannot know how often the "
                "classes occur in samples that are still to come. Compute the weights from all labels, or from a large "
                "enough sample y of them, and pass them as a dict: class_weight=dict(zip(classes, sklearn.utils."
                "class_weight.compute_class_weight('balanced', classes=classes, y=y)))."
            )
        if "net_" not in self.__dict__ and classes is None and not type_of_target(y).startswith("multilabel"):
            raise ValueError("classes must list all labels in the first call of partial_fit.")
        if "net_" in self.__dict__ and classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"classes are {self.classes_.tolist()} since the first call, but now {np.unique(classes).tolist()}."
            )
        return self._fit(X, y, sample_weight, None, incremental=True, classes=classes)

    # ---- overrides of BaseMLP

    def _set_targets(self, y, declared_classes):
        if self.loss not in CLASSIFIER_LOSSES:
            raise unknown_name("loss", self.loss, CLASSIFIER_LOSSES)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError("y has several columns of classes: fit one classifier each, with MultiOutputClassifier.")
        check_classification_targets(y)
        self._is_multilabel = kind == "multilabel-indicator"
        if self._is_multilabel:
            self.classes_ = np.arange(y.shape[1])
        else:
            self.classes_ = np.unique(y if declared_classes is None else declared_classes)
        exclusive = len(self.classes_) if len(self.classes_) > 2 else 1
        self.n_outputs_ = y.shape[1] if self._is_multilabel else exclusive

    def _check_targets_unchanged(self, y):
        if self.warm_start and not self._is_multilabel and not np.array_equal(found := np.unique(y), self.classes_):
            raise ValueError(
                f"With warm_start y must have the classes {self.classes_.tolist()}, but has {found.tolist()}."
            )

    def _encode(self, y):
        if self._is_multilabel:
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(f"y must have shape (n_samples, {self.n_outputs_}), but it has shape {y.shape}.")
            return y.astype(np.float64)
        y = column_or_1d(y, warn=True)
        if len(unknown := np.setdiff1d(y, self.classes_)):
            raise ValueError(f"y has the classes {unknown.tolist()}, which are not among {self.classes_.tolist()}.")
        return np.searchsorted(self.classes_, y)

    def _loss_name(self):
        if self.loss != "log_loss":
            return self.loss
        return "binary_cross_entropy" if self._is_multilabel or self.n_outputs_ == 1 else "softmax_cross_entropy"

    def _net_settings(self):
        output = "softmax" if self._loss_name() == "softmax_cross_entropy" else "sigmoid"
        return {"label_smoothing": self.label_smoothing, "output_activation": output}

    def _training_weights(self, samples: SplitSamples):
        if self.class_weight is None:
            return samples.weights
        if isinstance(self.class_weight, dict) and not self._is_multilabel:  # the dict may name classes that y lacks
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
            of_class = weights[samples.targets]
        else:
            of_class = compute_sample_weight(self.class_weight, samples.y)
        return of_class if samples.weights is None else of_class * samples.weights

    def _strata(self, y):
        return y if self.n_outputs_ == 1 and not self._is_multilabel else None  # as scikit-learn: binary classes only

    def _score_from_history(self, held_out):
        if self._is_multilabel:  # its score counts a sample as correct only if all of its labels are
            return None
        return lambda history: float(history.validation_accuracy[-1])

    def _population_monitor(self, held_out, tol):
        return "validation_accuracy", tol

    # ---- prediction

    def predict(self, X):
        """Return the most likely class of each sample.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,), or of int64 and shape (n_samples, n_labels)
            Class labels, or 0 and 1 for multilabel classification.
        """
        found = likeliest(self._net(), self._features(X), self._is_multilabel)
        if self._is_multilabel:
            return found.astype(np.int64)
        return self.classes_[found if len(self.classes_) > 1 else [0] * len(found)]

    def predict_proba(self, X):
        """Return class probabilities.

        Probabilities are computed in float64 from logits, so that very small ones keep their precision. For X in
        float32 the result is rounded to float32, where probabilities above 1 - 6e-8 become 1; predict_log_proba still
        distinguishes them.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1; for multilabel classification each column is the probability of one label.
        """
        return probabilities(self._net(), self._features(X), self._is_multilabel).astype(float_type(X), copy=False)

    def predict_log_proba(self, X):
        """Return the logarithm of predict_proba, computed from logits: finite even where a probability rounds to 0.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return log_probabilities(self._net(), self._features(X), self._is_multilabel).astype(float_type(X), copy=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multilayer perceptron regressor: a drop-in replacement for scikit-learn's, with more options.

    Parameters
    ----------
    loss : str, default "squared_error"
        "squared_error", "poisson", "absolute_error" or "huber".
    hidden_layer_sizes : int or sequence of int, default (100,)
        Number of units in each hidden layer.
    activation : str, default "relu"
        "identity", "logistic", "tanh", "relu", or any other hidden activation of fastmlp.MLP.
    solver : str or Optimizer, default "adam"
        "lbfgs", "sgd", "adam", or another fastmlp optimiser, given by name or as an object such as
        fastmlp.AdamW(3e-3). An object uses its own settings, not those of the estimator.
    alpha : float, default 0.0001
        Strength of the L2 penalty: alpha / 2 times the sum of squared weights is divided by the batch size and added to
        the loss.
    batch_size : int or "auto", default "auto"
        Number of samples per step; "auto" is 200, or all samples if they are fewer, and all samples for "lbfgs",
        "quickprop" and "rprop".
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        How solver="sgd" changes the learning rate: not at all; by 1 / t ** power_t, for t samples seen; or divided by 5
        whenever training has stalled.
    learning_rate_init : float, default 0.001
        Learning rate at the start, of all solvers but "lbfgs".
    power_t : float, default 0.5
        Exponent of learning_rate="invscaling".
    max_iter : int, default 200
        Largest number of epochs, or of iterations of "lbfgs".
    shuffle : bool, default True
        Whether each epoch visits the samples in a new random order.
    random_state : int, RandomState or None, default None
        Seed of the initial parameters, the validation split, shuffling and dropout.
    tol : float, default 1e-4
        Training has stalled if more than n_iter_no_change epochs do not improve the loss, or the score with
        early_stopping, by tol. For "lbfgs" it is the largest component of the gradient at the end.
    verbose : bool, default False
        Whether to print the loss of each epoch.
    warm_start : bool, default False
        Whether fit continues from the parameters of the last fit.
    momentum : float, default 0.9
        Momentum of solver="sgd", in [0, 1).
    nesterovs_momentum : bool, default True
        Whether solver="sgd" uses Nesterov's variant, if momentum is above 0.
    early_stopping : bool, default False
        Whether to hold out samples, and to end with the parameters of the epoch with the best score on them.
    validation_fraction : float, default 0.1
        Fraction of the samples that early_stopping holds out.
    beta_1 : float, default 0.9
        Decay of Adam's first moment, in [0, 1).
    beta_2 : float, default 0.999
        Decay of Adam's second moment, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root of Adam's corrected second moment.
    n_iter_no_change : int, default 10
        Number of epochs without improvement after which training has stalled; numpy.inf for no such limit.
    max_fun : int, default 15000
        Largest number of evaluations of the loss by "lbfgs".
    huber_delta : float, default 1.0
        Absolute error beyond which the Huber loss is linear.
    dropout : float or sequence of float, default 0.0
        Fraction of hidden units dropped in each training step, one for all hidden layers or one per layer.
    schedule : str, object or callable, optional
        A learning-rate schedule of fastmlp.schedules over max_iter epochs, instead of learning_rate.
    callbacks : callable or sequence of callable, optional
        Called as callback(epoch, history) after each epoch; history.net is the MLP being trained. Training stops when a
        callback returns True. Not for n_nets above 1.
    eval_metric : str or scorer, optional
        The scikit-learn scorer for `validation_scores_`, instead of R2. Not for n_nets above 1.
    n_nets : int, default 1
        Number of nets, trained together as one population from different initial weights. Predictions are the mean over
        the nets.
    device : str, default "auto"
        Device for training and prediction: "auto", "cpu" or "cuda", as in fastmlp.MLP.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Floating-point type of the nets; "auto" is float64 for solver="lbfgs", and float32 otherwise.

    Attributes
    ----------
    net_ : MLP or Population
        The trained net, or nets if n_nets > 1.
    coefs_ : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer, as views of `net_.params`: write into them, since they are not replaced. With n_nets > 1,
        copies of shape (n_nets, fan_in, fan_out).
    intercepts_ : list of ndarray of shape (fan_out,)
        Biases of each layer, in the same way.
    loss_ : float
        Loss of the last epoch, penalty included; the mean over nets if n_nets > 1.
    best_loss_ : float or None
        Lowest loss of an epoch; None with early_stopping.
    loss_curve_ : list of float
        Loss of each epoch, penalty included. Empty if n_nets > 1 or solver="lbfgs".
    validation_scores_ : list of float or None
        Score on the held-out samples after each epoch.
    best_validation_score_ : float or None
        Best of these scores, with early_stopping.
    validation_loss_curve_ : list of float or None
        Loss on the held-out samples after each epoch, without the penalty.
    n_iter_ : int
        Number of epochs, or of iterations of "lbfgs".
    t_ : int
        Number of samples that training has visited, over all fits that continued one another.
    n_layers_ : int
        Number of layers, the input layer included.
    n_outputs_ : int
        Number of outputs of the net.
    out_activation_ : str
        Output activation, by scikit-learn's name.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, if X had names that are text.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    ValueError
        In fit, if a setting is invalid.

    See Also
    --------
    MLPClassifier : The same for classes.
    TabularMLPRegressor : For data frames with text and missing cells, with settings that need no tuning.
    cross_val_population : All folds of a cross-validation trained as one population.

    Notes
    -----
    Parameters up to max_fun have scikit-learn's names, defaults and meaning. get_params, set_params, score,
    get_metadata_routing, set_fit_request, set_partial_fit_request and set_score_request are those of scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=20, tol=1e-3, random_state=0))
    >>> model.fit(X, y / 100).score(X, y / 100) > 0.4
    True
    """

    def __init__(  # noqa: PLR0913
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        huber_delta=1.0,
        dropout=0.0,
        schedule=None,
        callbacks=None,
        eval_metric=None,
        n_nets=1,
        device="auto",
        dtype="auto",
    ):
        keep_settings(self, locals())

    def fit(self, X, y, sample_weight=None, *, validation_data=None):
        """Train on samples X and numeric targets y.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs; sparse input is converted to a dense array.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss, at least 0.
        validation_data : tuple, optional
            (X, y) or (X, y, sample_weight), held-out samples, as in MLPClassifier.fit.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            If settings or data are invalid, or if training diverges.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If training reaches max_iter before it converges.
        """
        return self._fit(X, y, sample_weight, validation_data)

    @available_if(BaseMLP._can_continue)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on the given samples, starting from the current parameters.

        The optimiser state (momentum, second moments) is kept from call to call.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs, as in fit.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the loss, at least 0.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            If settings or data are invalid.
        AttributeError
            For solver="lbfgs".
        """
        return self._fit(X, y, sample_weight, None, incremental=True)

    # ---- overrides of BaseMLP

    def _set_targets(self, y, declared_classes):
        if not isinstance(self.loss, str):
            raise ValueError(
                f"loss is {self.loss!r}, but must be a name. It is the first argument, as in scikit-learn since 1.7: "
                f"name the other one, MLPRegressor(hidden_layer_sizes={self.loss!r})."
            )
        if self.loss not in REGRESSOR_LOSSES:
            raise unknown_name("loss", self.loss, REGRESSOR_LOSSES)
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]

    def _encode(self, y):
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(f"y must have {counted(self.n_outputs_, 'column')}, but it has shape {y.shape}.")
        return as_quantities(y, "MLPClassifier")

    def _loss_name(self):
        return self.loss

    def _net_settings(self):
        return {"huber_delta": self.huber_delta}

    def _score_from_history(self, held_out):
        variance = self._variance(held_out)
        if self.loss != "squared_error" or self.n_outputs_ > 1 or not variance > 0.0:
            return None
        return lambda history: 1.0 - float(history.validation_loss[-1]) / variance

    def _variance(self, held_out):
        mean = np.average(held_out.targets, axis=0, weights=held_out.weights)
        return float(np.average((held_out.targets - mean) ** 2, weights=held_out.weights, axis=0).mean())

    def _population_monitor(self, held_out, tol):
        return "validation_loss", tol * self._variance(held_out)

    # ---- prediction

    def predict(self, X):
        """Return predictions.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_outputs) for several outputs
            In float32 for X in float32, else in float64.
        """
        outputs: np.ndarray = self._outputs(X).astype(float_type(X), copy=False)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
