"""What is exported: nets of one architecture, the preprocessing before them, and the form of the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import counted
from ..network.spec import Network
from ..tables.base_column import Column

OUTPUTS, MEAN, PROBABILITIES, NUMBERS = "outputs", "mean", "probabilities", "numbers"


@dataclass(frozen=True)
class Predictor:
    """A trained net or several, with all that turns a sample into a prediction.

    network : architecture of the nets
    params : (n_params,) of one net, or (n_nets, n_params)
    kind : OUTPUTS, as `predict` of MLP and Population; MEAN, of these over the nets; PROBABILITIES, of classes, and the
        class with the largest one; or NUMBERS, of a regression. The last two are means over the nets, too
    columns : encoders of a table's columns; None for nets that take arrays
    classes : (n_classes,) labels, for PROBABILITIES
    is_multilabel : whether each output is the probability of a label of its own
    mean, std : number or (n_outputs,) by which outputs of a regression are scaled back
    temperature : divisor of the logits of classes
    """

    network: Network
    params: np.ndarray
    kind: str = OUTPUTS
    columns: tuple[Column, ...] | None = None
    classes: np.ndarray | None = None
    is_multilabel: bool = False
    mean: Any = 0.0
    std: Any = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.params).all():
            raise ValueError("The parameters are not all finite, so there is no net to export; train it again.")
        if self.classes is not None and len(self.classes) < 2:
            raise ValueError(
                f"The classifier has seen one class only, {self.classes[0]!r}, so there is nothing to export; train it "
                "with two or more."
            )

    @property
    def dtype(self) -> np.dtype:
        return self.params.dtype

    @property
    def n_nets(self) -> int:
        return len(np.atleast_2d(self.params))

    @property
    def is_regression_scaled(self) -> bool:
        """Whether outputs are on another scale than the predictions."""
        return bool(np.any(np.asarray(self.mean) != 0.0) or np.any(np.asarray(self.std) != 1.0))

    @property
    def is_single_sigmoid(self) -> bool:
        """Whether one output gives the probabilities of two classes."""
        return self.kind == PROBABILITIES and self.network.n_outputs == 1 and not self.is_multilabel

    @property
    def normalises_sigmoids(self) -> bool:
        """Whether exclusive classes have a sigmoid each, which are normalised to sum 1."""
        exclusive = self.kind == PROBABILITIES and not self.is_multilabel and self.network.n_outputs > 1
        return exclusive and self.network.output_row.name != "softmax"

    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (W, b) of each layer: (..., fan_in, fan_out) and (..., fan_out), with n_nets in front for several."""
        layout = self.network.layout
        return list(zip(layout.weights(self.params), layout.biases(self.params), strict=True))


def classifier(
    net: Any, classes: Any, columns: Any = None, is_multilabel: bool = False, temperature: float = 1.0
) -> Predictor:
    """Return what a fitted classifier exports; arguments as for Predictor."""
    labels = checked_labels(classes)
    return Predictor(net.network, net.params, PROBABILITIES, columns, labels, is_multilabel, temperature=temperature)


def checked_labels(classes: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return class labels as an array of text (object), int64 or, for fractions, float64.

    true and false are 1 and 0, and whole numbers int64.

    Raises
    ------
    ValueError
        If the labels are of several kinds, or neither text nor numbers.
    """
    labels = np.asarray(classes)
    kinds = {type(label) for label in labels.tolist()}
    if labels.dtype.kind == "O":
        labels = np.array(labels.tolist(), object if kinds == {str} else None)
    if len(kinds) == 1 and labels.dtype.kind in "USO" and kinds == {str}:
        return labels.astype(object)
    if (kinds <= {int, float} or kinds == {bool}) and labels.dtype.kind in "biuf":
        is_whole = labels.dtype.kind != "f" or bool((labels == labels.round()).all())
        return labels.astype(np.int64 if is_whole else np.float64)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise ValueError(
        f"The {counted(len(labels), 'class', 'classes')} should be all text or all numbers to be exported, but they "
        f"are {names}; train with labels of one kind."
    )
