"""Plot of a decision boundary: the outputs of a net over the plane of two inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import counted
from .plane import Plane, draw_samples, paint_classes, paint_values
from .sample_checks import as_samples, class_labels, feature_labels, has_classes, one_output, probabilities, unwrap
from .style import axes, label_axes, legend, percent


def boundary(
    net: Any,
    X: Any,
    y: Any = None,
    *,
    features: Sequence[int] = (0, 1),
    output: int | None = None,
    feature_names: Any = None,
    labels: Any = None,
    resolution: int = 200,
    ax: Any = None,
) -> Any:
    """Plot the outputs of a net over the plane of two inputs, with the samples.

    Each class has a colour and a marker. The plane is paler where the net is less sure, and lines are the decision
    boundaries. Misclassified samples have a black rim. In a regression, outputs and targets are shown as colours.

    Parameters
    ----------
    net : MLP, MLPClassifier or MLPRegressor
        A net, or a fitted estimator.
    X : array_like of shape (n_samples, n_features)
        Samples; inputs other than the two in `features` are held at their medians.
    y : array_like, optional
        Targets as for fit.
    features : sequence of two ints, default (0, 1)
        Numbers of the inputs on the two axes.
    output : int, optional
        Number of the only output to show, as classes 0 and 1. By default the most likely class is shown or, for
        regression and multilabel targets, the first output.
    feature_names : sequence of str, optional
        Names of all inputs.
    labels : sequence of str, optional
        Names of the classes; class numbers by default.
    resolution : int, default 200
        Number of grid points along each axis.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the samples do not match the net, or features are not two different inputs.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=1000, optimizer="rprop")
    >>> boundary(net, X, y, resolution=20).get_title(loc="left")
    'Decision boundary: 100 % of 4 samples right'
    """
    net, X, y, labels = unwrap(net, X, y, labels, is_of_one_net=True)
    samples = as_samples(net, X, y)
    plane = Plane.around(samples.X, features, resolution)
    names = feature_labels(net, feature_names)
    are_classes, n_outputs = has_classes(net.network, samples), net.network.n_outputs
    if output is None and n_outputs > 1 and samples.targets is not None and samples.classes is None:
        output = 0
    if output is not None:
        samples = one_output(net.network, samples, output)
    columns = slice(None) if output is None else slice(output, output + 1)
    outputs = net.predict(plane.points)[:, columns]
    ax = axes(ax, 5.4, 4.2)
    if are_classes:
        predicted = None
        if samples.classes is not None:
            predicted = probabilities(net.network, net.predict(samples.X)[:, columns]).argmax(axis=1)
        paint_classes(ax, plane, probabilities(net.network, outputs))
        of_one = output is not None and n_outputs > 1
        names_of_classes = ["0", "1"] if of_one else class_labels(net, labels, max(2, n_outputs))
        draw_samples(ax, plane, samples, names_of_classes, predicted)
        text = "Decision boundary"
        if predicted is not None:
            legend(ax, beside=True, title="class" if labels is None and net.preprocessing is None else None)
            text += f": {percent(np.mean(predicted == samples.classes))} of {counted(len(predicted), 'sample')} right"
    else:
        paint_values(ax, plane, outputs[:, 0], samples)
        text = "Output" if samples.targets is None else "Output, and targets as points"
    if output is not None and n_outputs > 1:
        text += f" (output {output})"
    n_others = samples.X.shape[1] - 2
    if n_others:
        text += (
            "\n(the other input at its median)"
            if n_others == 1
            else f"\n(the other {n_others} inputs at their medians)"
        )
    return label_axes(ax, text, names[plane.features[0]], names[plane.features[1]])
