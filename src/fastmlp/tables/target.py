"""The target column of a table: its lookup, its task, classes or scale, and the rows that have it.

Classification or regression is decided by infer_task; Target encodes the cells, and decodes outputs of nets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import counted, unknown_name
from .cells import MIXTURES, NUMBERS, Spellings, contents, examples, listed, numbers_in, read_numbers, text_of
from .numbers_as_text import conversion_of, thousands_of
from .table_files import with_columns
from .training_column import TrainingColumn

if TYPE_CHECKING:
    import pandas as pd

CLASSIFICATION, REGRESSION = "classification", "regression"
TASKS = ("auto", CLASSIFICATION, REGRESSION)
MAX_NUMBERED_CLASSES = 20  # whole numbers with more distinct values mean regression
MAX_CLASSES = 1000
SMALLEST, LARGEST = 1e-150, 1e150  # of targets: their squares, and sums of these, are numbers of float64

Label = bool | int | float | str


def find_target(table: pd.DataFrame, target: str) -> pd.Series:
    """Return the target column, or raise a ValueError that lists the columns and suggests the nearest name."""
    if target in table.columns:
        return table[target]
    names = [name.strip() for name in target.split(",")]
    if len(names) > 1 and set(names) <= set(table.columns):
        raise ValueError(
            f"There is one target column, but {target!r} names {len(names)}: train a model for each, or one model for "
            "all with the estimators for tables in Python, whose y may have several columns."
        )
    raise unknown_name("target column", target, table.columns)


def no_target(target: str) -> ValueError:
    return ValueError(f"All cells of the target column {target!r} are missing, so there is nothing to learn from.")


def check_columns(table: pd.DataFrame, names: Sequence[str], option: str) -> None:
    """Check that all names given to an option are columns of the table.

    option : name of the command-line option, for the error message

    Raises
    ------
    ValueError
        If a name is not a column. The message suggests a similar name, or how to name several columns.
    """
    columns = list(map(str, table.columns))
    for name in names:
        if name in columns:
            continue
        names_in_name = [column.strip() for column in name.split(",")]
        if len(names_in_name) > 1 and set(names_in_name) <= set(columns):
            example = " ".join(f"{option} {column!r}" for column in names_in_name)
            raise ValueError(f"{option} takes one column at a time, but it is {name!r}: give {example}.")
        raise unknown_name(f"{option} column", name, columns)


def rows_with_target(table: pd.DataFrame, target: str, task: str = "auto") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return (the rows with a known target, sentences on the rows that were dropped).

    In a regression target up to 5 % of the cells may not be numbers; rows with such cells are dropped too, and the
    target column of the returned table holds floats.

    Raises
    ------
    ValueError
        If the target column does not exist, all of its cells are missing, or they may have separators of thousands.
    """
    column = find_target(table, target)
    missing = column.isna().to_numpy()
    if missing.all():
        raise no_target(target)
    if task != CLASSIFICATION and contents(column) == "string" and (hint := thousands_of(_texts_of(column))):
        raise ValueError(f"The target {target!r} is text: {hint}.")
    notes, reading = [], read_numbers(column, reads_booleans=True)
    bad = ""
    if reading.is_half and reading.n_bad:
        bad = f"{counted(reading.n_bad, 'row')} of {len(table)} ({examples(column, reading.bad)})"
    if infer_task(column, task) == CLASSIFICATION:
        if bad:
            notes.append(f"The target {target!r} is taken for classes, since it holds no numbers in {bad}.")
        elif task == "auto" and (hint := conversion_of(target, _texts_of(column))):
            notes.append(f"The target {target!r} is taken for classes; {hint}.")
    elif reading.is_tolerable:
        missing = np.isnan(reading.values) & ~reading.bad
        table = with_columns(table, {target: reading.values})
        if TrainingColumn(column).kind == "category" and not reading.n_bad:
            notes.append(f"The target {target!r} holds text that is numbers, and is taken for numbers.")
        if bad:
            notes.append(f"The target {target!r} holds no numbers in {bad}, which {_are(reading.n_bad)} left out.")
    n_missing = int(np.count_nonzero(missing))
    if n_missing:
        notes.append(f"{counted(n_missing, 'row')} whose target {target!r} is missing {_are(n_missing)} left out.")
    return table[table[target].notna()], tuple(notes)


def _texts_of(column: pd.Series) -> list[str]:
    """Return the distinct cells of a column that are text."""
    return [cell for cell in column.dropna().unique() if isinstance(cell, str)]


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def infer_task(series: pd.Series, task: str = "auto") -> str:
    """Return the task of a target column, "classification" or "regression".

    With task="auto", text, booleans and at most 20 distinct whole numbers mean classification; a few cells that are no
    numbers do not change the task of a column of numbers.

    Raises
    ------
    ValueError
        If `task` is none of "auto", "classification", "regression", the column is neither numbers nor categories, or
        "auto" finds numbers with too many cells that are none.
    """
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    kind = TrainingColumn(series).kind
    if kind not in ("number", "category"):
        raise ValueError(f"The target column {series.name!r} should hold numbers or classes, but it holds {kind}.")
    if task != "auto":
        return task
    reading = read_numbers(series)
    if contents(series) not in (*NUMBERS, *MIXTURES) or not reading.is_half:
        return CLASSIFICATION
    values = numbers_in(series).values
    values = np.unique(values[~np.isnan(values)])
    if len(values) <= MAX_NUMBERED_CLASSES and bool((values == np.round(values)).all()):
        return CLASSIFICATION
    if reading.is_tolerable:
        return REGRESSION
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
    position = dict(zip(classes, range(len(classes)), strict=True))
    find = Spellings([text_of(label) for label in classes]).find
    numbers = [position.get(label, -1) for label in labels]
    return np.array([find(text_of(label)) if k < 0 else k for k, label in zip(numbers, labels, strict=True)], np.int64)


def check_range(low: np.ndarray, high: np.ndarray, std: np.ndarray | float, called: str) -> None:
    """Raise ValueError if targets are too large to be standardised in float64, or vary too little.

    low, high, std : smallest and largest target, and standard deviation; arrays, or numbers, of one output or several
    called : what the message calls the targets
    """
    largest = float(np.max(np.maximum(np.abs(low), np.abs(high))))
    too_small = np.broadcast_to((low < high) & (std < SMALLEST), np.shape(low))
    if largest <= LARGEST and not too_small.any():
        return
    fault = f"it holds {largest:g}" if largest > LARGEST else f"all of its values are within {SMALLEST:g} of each other"
    raise ValueError(
        f"{called} should hold numbers up to {LARGEST:g} in size, with a standard deviation of {SMALLEST:g} or more, "
        f"but {fault}: multiply it by a constant, as by a choice of other units."
    )


@dataclass(frozen=True)
class Target:
    """Encoder of the target column, fitted to the training table.

    `classes` are for classification, `mean` and `std` for regression. `temperature` is the divisor of logits with which
    class probabilities are calibrated (table_training/fits_in_time.py).
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
        values = numbers_in(series, 0.0).values
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
            return ((numbers_in(series, 0.0).values - self.mean) / self.std)[:, None]
        codes = class_numbers(labels_of(series), self.classes)
        if (codes < 0).any():
            unknown = labels_of(series)[int(np.argmin(codes))]
            raise ValueError(
                f"The target column {self.name!r} holds the class {unknown!r}, which did not occur in training; "
                f"the model knows {listed(map(repr, self.classes), 10)}. Remove such rows or train with them."
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
        return asdict(self)

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
