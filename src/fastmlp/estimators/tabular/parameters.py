"""Parameters of TabularMLPClassifier and TabularMLPRegressor, with their defaults and texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from ...table_training.recipes import AUTO, DEFAULT_QUALITY


@dataclass(eq=False, repr=False)
class TabularParameters:
    """Parameters that both tabular estimators have, as fields; a field of a subclass is one more.

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
        hold out the same rows, a fraction validation_fraction, and so do those with validation_fraction, n_folds=1 or a
        table that does not fit into memory.
    time_limit : float, optional
        Seconds that fit may take, with those in which kernels compile. A measurement of the first batches decides for
        how many epochs there is time; if these are fewer than ten, there are fewer nets, which in "good" then hold out
        the same rows. A warning says so. One epoch of one net is trained in any case, unless it takes longer than the
        limit by itself.
    categorical_features : sequence of str or int, optional
        Names or numbers of columns to treat as categories although they hold numbers.
    numeric_encoding : {"auto", "quantile"}, default "auto"
        Encoding of columns of numbers. "auto" gives columns of more than 32 distinct numbers a normal score and, where
        the targets leap, bins, in each of which the first layer has a slope of its own, if a trial with a cheap model
        finds that bins lower the error of held-out rows; it standardises other columns. "quantile" gives all columns a
        normal score and makes no bins.
    tune : int, optional
        Number of configurations to compare on held-out rows before the nets are trained with the best one, 2 or more.
        Parameters that are "auto" are searched, of hidden_layer_sizes, learning_rate_init, weight_decay, dropout,
        batch_size, label_smoothing and numeric_encoding; the first configuration is the preset, which stays unless
        another one is clearly better. Of each three configurations, the best one is trained anew with three times the
        epochs (successive halving). They are compared by their calibrated log loss, or squared error.
        With folds, the first fold is held out. A search takes at most about half of time_limit.
    random_state : int, RandomState or None, default None
        Seed of the validation split, the initial weights, the order of samples and dropout.
    verbose : bool or int, default False
        Whether to show a progress bar over all nets and folds with the best validation loss so far, in a terminal or a
        notebook, and at the end of fit a line with time and loss. 2 is for lines instead of the bar: of one net or nets
        one after another a line per epoch, of several nets at a time a line a second.
    device : str, default "auto"
        Device for training and prediction: "auto", "cpu" or "cuda", as in fastmlp.MLP.
    """

    hidden_layer_sizes: int | Sequence[int] | str = AUTO
    _: KW_ONLY
    quality: str = DEFAULT_QUALITY
    activation: str = AUTO
    dropout: float | Sequence[float] | str = AUTO
    learning_rate_init: float | str = AUTO
    weight_decay: float | str = AUTO
    batch_size: int | str = AUTO
    max_iter: int | str = AUTO
    n_iter_no_change: int | str = AUTO
    validation_fraction: float | str = AUTO
    n_nets: int | str = AUTO
    n_folds: int | str = AUTO
    time_limit: float | None = None
    categorical_features: Iterable[str | int] | None = None
    numeric_encoding: str = AUTO
    tune: int | None = None
    random_state: Any = None
    verbose: Any = False
    device: str = "auto"
