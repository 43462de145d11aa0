"""Plot of predictions over true values of a regression."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tables.metrics import regression_metrics
from .sample_checks import MAX_NAME_LENGTH, as_samples, one_output, unwrap
from .style import BLUE, FAINT, GRID, INK, SMALL, axes, label_axes, literal_text

MAX_POINTS = 3000  # largest number of samples to draw; larger data are drawn with a stride


def predictions(net: Any, X: Any, y: Any, *, output: int = 0, ax: Any = None) -> Any:
    """Plot predictions over true values, with a dashed line on which they are equal.

    Parameters
    ----------
    net : MLP, Population, MLPRegressor or TabularMLPRegressor
        A net, nets, whose mean output is drawn, or a fitted estimator.
    X : array_like of shape (n_samples, n_features)
        Inputs.
    y : array_like
        Targets as for fit; for a net trained on a table, they are shown in the units of the target columns.
    output : int, default 0
        Number of the output.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The title has the root mean squared error and R2.

    Raises
    ------
    ValueError
        For bad samples, or an output that the net does not have.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = fastmlp.MLP((1, 8, 1), hidden_activation="tanh", random_state=0)
    >>> history = net.fit(X, X**2, epochs=100)
    >>> predictions(net, X, X**2).get_ylabel()
    'predicted value'
    """
    model, table, targets = net, X, y
    net, X, y, _ = unwrap(net, X, y)
    samples = one_output(net.network, as_samples(net, X, y), output)
    outputs = net.ensemble_predict(samples.X) if hasattr(net, "n_nets") else net.predict(samples.X)
    true, predicted = samples.targets[:, 0].astype(np.float64), outputs[:, output].astype(np.float64)
    name = "value" if net.network.n_outputs == 1 else f"output {output}"
    if net.preprocessing is not None:
        target = net.preprocessing.target
        true, predicted, name = (
            true * target.std + target.mean,
            predicted * target.std + target.mean,
            literal_text(target.name, 2 * MAX_NAME_LENGTH),
        )
    elif hasattr(model, "encoded_samples"):  # of several targets, which the net has in standard deviations
        true, predicted = (np.asarray(values, np.float64)[:, output] for values in (targets, model.predict(table)))
    figures = regression_metrics(true, predicted)
    ax = axes(ax, 4.6, 4.2)
    ax.grid(color=GRID, linewidth=0.8)
    step = -(-len(true) // MAX_POINTS)
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    margin = 0.05 * (high - low) or 1.0
    size = float(np.clip(4000.0 / len(true), 4.0, 30.0))
    ax.scatter(true[::step], predicted[::step], s=size, color=BLUE, alpha=0.5 if len(true) > 200 else 0.9, linewidths=0)
    ax.plot([low, high], [low, high], color=INK, linewidth=1.0, linestyle="--")
    along = {"rotation": 45, "rotation_mode": "anchor", "ha": "right", "va": "top"}
    ax.text(high, high, "equal", fontsize=SMALL, color=FAINT, **along)
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(low - margin, high + margin)
    ax.set_aspect("equal", anchor="W")
    title = f"Predictions: RMSE {figures['RMSE']:.3g}, R² {figures['R2']:.3f}"
    return label_axes(ax, title, f"true {name}", f"predicted {name}")
