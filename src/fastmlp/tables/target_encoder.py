"""Encoding of the target column of a table: classification or regression, classes or scale, and decoding of outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import unknown_name
from .cells import MIXTURES, NUMBERS, Spellings, contents, examples, read_numbers, text_of
from .columns_as_numbers import column_kind, numbers_of, tolerated_numbers
from .moments import check_range
from .number_formats import conversion_of

if TYPE_CHECKING:
    import pandas as pd

CLASSIFICATION, REGRESSION = "classification", "regression"
TASKS = ("auto", CLASSIFICATION, REGRESSION)
MAX_NUMBERED_CLASSES = 20  # whole numbers with more distinct values mean regression
MAX_CLASSES = 1000

Label = bool | int | float | str


def infer_task(series: pd.Series, task: str = "auto") -> str:
    """Return the task of a target column, "classification" or "regression".

    With task="auto", text, booleans and at most 20 distinct whole numbers mean classification.

    Raises
    ------
    ValueError
        If `task` is none of "auto", "classification", "regression", or the column is neither numbers nor categories.
    """
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    kind = column_kind(series)
    if kind not in ("number", "category"):
        raise ValueError(f"The target column {series.name!r} should hold numbers or classes, but it holds {kind}.")
    return CLASSIFICATION if is_classification(series, task) else REGRESSION


def is_classification(series: pd.Series, task: str = "auto") -> bool:
    """Return whether a target column means classification.

    In a column of numbers a few cells that are not numbers do not change the task.

    Raises
    ------
    ValueError
        If the task is "auto" and a column of numbers has too many cells that are not numbers.
    """
    reading = read_numbers(series)
    if task != "auto" or contents(series) not in (*NUMBERS, *MIXTURES) or not reading.is_half:
        return task != REGRESSION
    values = tolerated_numbers(series, 1.0)[0]
    values = np.unique(values[~np.isnan(values)])
    if len(values) <= MAX_NUMBERED_CLASSES and bool((values == np.round(values)).all()):
        return True
    if reading.is_tolerable:
        return False
    raise ValueError(
        f"The target column {series.name!r} looks like numbers, but {reading.n_bad} of its {reading.n_present} cells "
        f"hold {examples(series, reading.bad)}; correct or empty these cells, or ask for the task 'classification'."
    )


def numbers_as_classes(name: str, labels: Iterable[Any]) -> str:
    """Return a sentence on a target of many classes whose texts look like numbers, such as "12 EUR"; "" for others.

    labels : the distinct classes
    """
    labels = list(labels)
    if len(labels) <= MAX_NUMBERED_CLASSES or not all(isinstance(label, str) for label in labels):
        return ""
    what = conversion_of(name, labels)
    return what and f"The target {name!r} is taken for {len(labels):,} classes: {what}."


def labels_of(series: pd.Series) -> list[Label]:
    """Return the cells as plain Python values, with whole numbers as int, so that 1 and 1.0 are the same class."""
    cells = [cell.item() if isinstance(cell, np.generic) else cell for cell in series.tolist()]
    cells = [float(cell) if isinstance(cell, Decimal) else cell for cell in cells]
    return [int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in cells]


def distinct_labels(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (distinct labels, index of each row's label among them); text is not sorted, which would take long.

    y : (n_rows,), without missing labels
    """
    if y.dtype != object:
        values, codes = np.unique(y, return_inverse=True)
        return values, codes
    import pandas as pd

    codes, values = pd.factorize(y)
    return np.asarray(values, object), codes


def are_unknown(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return for each label whether it is not among the classes, bool (n_rows,).

    Text is never a number. NumPy would compare the texts of both, and "10" comes before "2".

    >>> are_unknown(np.array(["3", "10"]), np.arange(20)).tolist()
    [True, True]
    """
    kinds = y.dtype.kind + classes.dtype.kind
    if any(kind in "SUT" for kind in kinds) and any(kind in "biuf" for kind in kinds):
        return np.ones(len(y), bool)
    return ~np.isin(y, classes)


def class_numbers(labels: Iterable[Any], classes: Sequence[Label]) -> np.ndarray:
    """Return the class index of each label, int64 (n_rows,), with -1 for unknown labels.

    Different spellings of a class match: 1, 1.0 and "1" are the same, and true is 1 if 0 and 1 are the only classes.
    """
    position = {label: k for k, label in enumerate(classes)}
    find = Spellings([text_of(label) for label in classes]).find
    numbers = [position.get(label, -1) for label in labels]
    return np.array([find(text_of(label)) if k < 0 else k for k, label in zip(numbers, labels, strict=True)], np.int64)


@dataclass(frozen=True)
class Target:
    """Encoder of the target column, fitted to the training table.

    `classes` are for classification, `mean` and `std` for regression. `temperature` is the divisor of logits with which
    class probabilities are calibrated (table_training/temperature.py).
    """

    name: str
    task: str
    classes: tuple[Label, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.task not in TASKS[1:] or (self.task == CLASSIFICATION) != (len(self.classes) > 1):
            raise ValueError(f"target {self.name!r} needs a task, and two or more classes if that is classification")
        if not all(isinstance(label, Label) for label in self.classes):
            raise ValueError(f"target {self.name!r} needs classes that are text, true or false, or numbers")
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(f"target {self.name!r} needs a finite mean and a positive std")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"target {self.name!r} needs a positive temperature")

    @classmethod
    def fit(cls, series: pd.Series, task: str = "auto") -> Target:
        """Return the encoder of a column without missing cells: its classes, or its mean and standard deviation."""
        task = infer_task(series, task)
        name = str(series.name)
        if task == CLASSIFICATION:
            return cls(name, task, classes=_classes(series))
        values = numbers_of(series)
        if values.min() == values.max():
            raise ValueError(f"The target column {name!r} is {values[0]:g} in every row, so there is nothing to learn.")
        std = values.std()
        check_range(values.min(), values.max(), std, f"The target column {name!r}")
        return cls(name, task, mean=float(values.mean()), std=float(std))

    @property
    def is_text(self) -> bool:
        """Whether cells must be read as text even if they look like numbers."""
        return bool(self.classes) and all(isinstance(label, str) for label in self.classes)

    @property
    def n_outputs(self) -> int:
        return len(self.classes) if self.task == CLASSIFICATION else 1

    def encode(self, series: pd.Series) -> np.ndarray:
        """Return class indices, int64 (n_rows,), or standardised values, float64 (n_rows, 1)."""
        if self.task == REGRESSION:
            return ((numbers_of(series) - self.mean) / self.std)[:, None]
        codes = class_numbers(labels_of(series), self.classes)
        if (codes < 0).any():
            unknown = labels_of(series)[int(np.argmin(codes))]
            raise ValueError(
                f"The target column {self.name!r} holds the class {unknown!r}, which did not occur in training; "
                f"the model knows {listed(self.classes)}. Remove such rows or train with them."
            )
        return codes

    def knows(self, series: pd.Series) -> np.ndarray:
        """Return for each cell whether it is a class of training, bool (n_rows,); all are for regression."""
        if self.task == REGRESSION:
            return np.ones(len(series), bool)
        return class_numbers(labels_of(series), self.classes) >= 0

    def decode(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return named columns for the outputs of a net, (n_rows, n_outputs).

        The columns are the prediction and, for classification, the probability of each class.
        """
        if self.task == REGRESSION:
            return {"prediction": outputs[:, 0].astype(np.float64) * self.std + self.mean}
        labels = np.array(self.classes, dtype=object)
        columns = {"prediction": labels[outputs.argmax(axis=1)]}
        for k, label in enumerate(self.classes):
            columns[f"probability_{label}"] = outputs[:, k]
        return columns

    def to_dict(self) -> dict[str, Any]:
        description = asdict(self)
        if self.temperature == 1.0:  # earlier versions, which do not know it, then read the file
            del description["temperature"]
        return description

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Target:
        return cls(**{**description, "classes": tuple(description["classes"])})


def _classes(series: pd.Series) -> tuple[Label, ...]:
    labels = set(labels_of(series))
    invalid = [label for label in labels if not isinstance(label, Label)]
    if invalid:
        raise ValueError(f"Classes should be text, true or false, or numbers; {series.name!r} holds {invalid[0]!r}.")
    if len(labels) < 2:
        raise ValueError(
            f"The target column {series.name!r} holds one class only, {labels.pop()!r}; it needs two or more."
        )
    texts = [label for label in labels if isinstance(label, str)]
    # Numbers most of which are different are quantities: of classes with a row or two nothing could be learned.
    are_quantities = not texts and len(labels) > max(MAX_NUMBERED_CLASSES, len(series) // 2)
    if len(labels) > MAX_CLASSES or len(labels) == len(series) > 2 or are_quantities:
        remedy = conversion_of(str(series.name), texts) or (
            "choose another column, or the task 'regression' if it holds quantities"
        )
        raise ValueError(
            f"The target column {series.name!r} holds {len(labels)} different values in {len(series)} rows, too many "
            f"for classes; {remedy}."
        )
    return tuple(sorted(labels, key=lambda label: (isinstance(label, str), label)))


def listed(labels: tuple[Label, ...]) -> str:
    shown = ", ".join(repr(label) for label in labels[:10])
    return f"{shown} and {len(labels) - 10} more" if len(labels) > 10 else shown
