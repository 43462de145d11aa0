"""Recipes: how nets are trained on a table. QUALITIES is the table of presets, and the only place of their values.

The literature behind them is cited in estimators/tabular/; bench/log/tables.md#tabular-defaults has the figures,
bench/log/tables.md#tabular-fast, #tabular-good and #tabular-best those of each preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import checked_count, checked_number, checked_share, unknown_name

AUTO = "auto"  # of a parameter: the value of the preset
FULL_BATCH_SIZE, SMALLEST_BATCH, STEPS = 256, 16, 32  # batch_size="auto": bounds, and steps an epoch aimed at
OF_CLASSES, OF_LABELS, OF_NUMBERS = "softmax_cross_entropy", "binary_cross_entropy", "squared_error"  # losses
DEFAULT_SMOOTHING = 0.1
# Numbers of nets with a fold each: fewer would learn from too few rows, and of more, too few would stop a net early.
LEAST_OWN_FOLDS, MOST_OWN_FOLDS = 4, 10


@dataclass(frozen=True)
class Recipe:
    """Settings of the training of one or several nets on a table.

    hidden : number of units in each hidden layer
    activation, dropout : activation and dropout rates of the hidden layers, as for MLP; the activation "auto" is "silu"
        for classes and "relu" for numbers
    learning_rate, weight_decay : of AdamW
    batch_size : number of samples in a batch, or "auto"
    epochs : largest number of epochs, and length of the schedule of the learning rate
    patience : epochs without a lower validation loss after which training stops
    validation_fraction : fraction of the rows that is held out, if there are no folds
    n_nets : number of nets; with folds, of nets that are trained without each fold
    n_folds : number of folds, or 1 for none
    own_folds : whether each of several nets holds out a fold of its own instead of the same rows, where folds can be:
        see with_own_folds
    label_smoothing : fraction of each target that is spread over all classes, as for MLP; "auto" is 0.1 if
        class probabilities are calibrated, by rows that are held out, else 0
    numeric_encoding : kind of tables.number_columns.NumericEncoding, for columns of numbers
    """

    hidden: tuple[int, ...] = (128, 128, 128)
    activation: str = AUTO
    dropout: Any = 0.1
    learning_rate: float = 0.004
    weight_decay: float = 0.1
    batch_size: int | str = AUTO
    epochs: int = 80
    patience: int = 48
    validation_fraction: float = 0.2
    n_nets: int = 6
    n_folds: int = 1
    own_folds: bool = False
    label_smoothing: float | str = AUTO
    numeric_encoding: str = AUTO

    @property
    def n_nets_of_all_folds(self) -> int:
        """Number of all nets."""
        return self.n_nets * self.n_folds

    def with_own_folds(self, n_rows: int) -> Recipe:
        """Return the recipe with as many folds as nets, one of them held out from each net, if own_folds says so.

        The recipe is unchanged if there are too few or too many nets for that, or fewer rows than nets.

        >>> recipe = QUALITIES["good"].with_own_folds(1000)
        >>> recipe.n_nets, recipe.n_folds
        (1, 6)
        """
        if not (self.own_folds and LEAST_OWN_FOLDS <= self.n_nets <= min(MOST_OWN_FOLDS, n_rows)):
            return self
        return replace(self, n_nets=1, n_folds=self.n_nets)

    def activation_for(self, loss: str) -> str:
        """Return the activation of the hidden layers of nets with this loss.

        >>> Recipe().activation_for(OF_CLASSES), Recipe().activation_for(OF_NUMBERS)
        ('silu', 'relu')
        """
        if not is_auto(self.activation):
            return self.activation
        return "silu" if loss == OF_CLASSES else "relu"

    def label_smoothing_for(self, loss: str) -> float:
        """Return the label smoothing of nets with this loss.

        Calibration takes away the doubt that smoothing adds to probabilities, so there is none without it.

        >>> Recipe().label_smoothing_for(OF_CLASSES), Recipe().label_smoothing_for(OF_NUMBERS)
        (0.1, 0.0)
        """
        if not is_auto(self.label_smoothing):
            return float(self.label_smoothing)
        calibrates = self.n_folds > 1 or self.validation_fraction > 0.0
        return DEFAULT_SMOOTHING if loss == OF_CLASSES and calibrates else 0.0

    def batch_rows(self, n_samples: int) -> int:
        """Return the number of samples in a batch: of "auto", a power of two that gives about 32 steps an epoch.

        >>> [Recipe().batch_rows(n) for n in (500, 5000, 100_000)]
        [16, 128, 256]
        """
        if not is_auto(self.batch_size):
            return int(self.batch_size)
        return min(FULL_BATCH_SIZE, max(SMALLEST_BATCH, 1 << max(0, (n_samples // STEPS).bit_length() - 1)))


QUALITIES = {
    "fast": Recipe(hidden=(128, 128), learning_rate=0.005, n_nets=1, epochs=40, patience=24),
    "good": Recipe(own_folds=True),
    "best": Recipe(n_nets=2, n_folds=10),
}
DEFAULT_QUALITY = "good"
OF_HELD_OUT_ROWS = {"n_folds", "validation_fraction"}  # settings that say by themselves which rows nets hold out


def recipe_of(quality: Any, given: Mapping[str, Any], names: Mapping[str, str] = {}) -> Recipe:  # it is only read
    """Return a preset with the settings that are given, after a check of all that neither MLP nor its fit checks.

    quality : name of the preset
    given : settings by the names of Recipe's fields
    names : names of the user's parameters, by those of the fields; a field that is not in it has its own name

    Raises
    ------
    ValueError
        If the preset does not exist, or a setting is invalid or does not go with the others.

    >>> recipe_of("fast", {"dropout": 0.0}).dropout
    0.0
    """
    if not isinstance(quality, str) or quality not in QUALITIES:
        raise unknown_name("quality", quality, QUALITIES)
    recipe = replace(QUALITIES[quality], **given)
    checked_share(recipe.validation_fraction, None)
    for name in ("n_nets", "n_folds", "epochs", "patience"):
        checked_count(names.get(name, name), getattr(recipe, name))
    if not is_auto(recipe.batch_size):
        checked_count("batch_size", recipe.batch_size)
    checked_number(names.get("learning_rate", "learning_rate"), recipe.learning_rate, 0.0, open_low=True)
    checked_number("weight_decay", recipe.weight_decay, 0.0)
    if recipe.n_folds > 1 and "validation_fraction" in given:
        raise ValueError(
            f"{names.get('validation_fraction', 'validation_fraction')} is given, but with {recipe.n_folds} folds each "
            "fold is held out in turn: leave it out, or have no folds."
        )
    return recipe if OF_HELD_OUT_ROWS.isdisjoint(given) else replace(recipe, own_folds=False)


def is_auto(value: Any) -> bool:
    """Return whether the value of a parameter stands for the preset's; NumPy arrays may be compared."""
    return isinstance(value, str) and value == AUTO
