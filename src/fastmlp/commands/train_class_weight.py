"""The option --class-weight of `fastmlp train`: a text, and the weights that it gives to classes."""

from __future__ import annotations

import numpy as np

from ..errors import checked_number, is_number, unknown_name
from ..tables.target import CLASSIFICATION, Target

BALANCED = "balanced"


def check_class_weight(class_weight: str | None, target: Target) -> None:
    """Raise ValueError if --class-weight does not go with a target: before columns are encoded."""
    if class_weight is None:
        return
    if target.task != CLASSIFICATION:
        raise ValueError(f"--class-weight is given, but {target.name!r} is predicted as a number.")
    if class_weight != BALANCED:
        parsed_class_weight(class_weight, target)


def weights_of_classes(class_weight: str | None, codes: np.ndarray, target: Target) -> np.ndarray | None:
    """Return the weight of each class, (n_classes,); None without --class-weight.

    codes : (n_rows,) class numbers of the rows that "balanced" counts
    """
    if class_weight is None:
        return None
    if class_weight == BALANCED:
        counts = np.bincount(codes, minlength=target.n_outputs)
        weights: np.ndarray = len(codes) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return weights
    by_class = parsed_class_weight(class_weight, target)
    return np.array([by_class.get(k, 1.0) for k in range(target.n_outputs)])


def checked_weight_items(text: str) -> list[tuple[str, float]]:
    """Return the (class, weight) of a text such as "yes=5,no=1"; none of "balanced".

    Raises
    ------
    ValueError
        If the text is of another form, names a class twice, or a weight is below 0.
    """
    items: list[tuple[str, float]] = []
    for item in text.split(",") if text != BALANCED else ():
        label, _, weight = item.rpartition("=")
        if not label.strip() or not is_number(weight):
            raise ValueError(
                f"--class-weight should be balanced, or weights of classes such as yes=5,no=1, but holds {item!r}."
            )
        if label.strip() in dict(items):
            raise ValueError(f"--class-weight names the class {label.strip()!r} twice: give it one weight.")
        items.append((label.strip(), checked_number(f"--class-weight {label.strip()}", float(weight), 0.0)))
    return items


def parsed_class_weight(text: str, target: Target) -> dict[int, float]:
    """Return the weights by class number of a text such as "yes=5,no=1"; a class that is not named has weight 1.

    Raises
    ------
    ValueError
        If the text is of another form, names an unknown class, or gives all classes the weight 0.
    """
    names = {str(label): number for number, label in enumerate(target.classes)}
    weights = {}
    for label, weight in checked_weight_items(text):
        if label not in names:
            raise unknown_name("class of --class-weight", label, names)
        weights[names[label]] = weight
    if len(weights) == len(names) and not any(weights.values()):
        raise ValueError("--class-weight gives each class the weight 0: give at least one class a weight above 0.")
    return weights
