"""Plot of the loss over a plane through the parameters of a net."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..console.progress_bar import Progress
from ..errors import checked_count, checked_number
from .sample_checks import as_samples, copy_net, require_attributes, unwrap_estimator
from .style import INK, LABEL, SMALL, VERMILLION, axes, label_axes, legend

MAX_SAMPLES = 2000  # largest number of samples; larger data are used with a stride


def landscape(
    net: Any,
    X: Any,
    y: Any,
    *,
    snapshots: Any = None,
    span: float = 1.0,
    resolution: int = 41,
    random_state: int = 0,
    verbose: int = 1,
    ax: Any = None,
) -> Any:
    """Plot the loss over a plane around the current parameters.

    Without snapshots the plane is spanned by two random directions, which are scaled for each unit to the length of its
    weights and bias (filter normalisation), so that flat and sharp minima can be compared. A distance of 1 along an
    axis is a change as large as the weights themselves. With snapshots, the plane is that of the first two principal
    components of the parameters during training, and the path of the parameters is drawn; axes are then distances
    between parameters.

    Parameters
    ----------
    net : MLP, MLPClassifier or MLPRegressor
        A net, or a fitted estimator.
    X : array_like of shape (n_samples, n_features)
        Inputs.
    y : array_like
        Targets as for fit.
    snapshots : Snapshots, optional
        Recorder that was among the callbacks of the fit.
    span : float, default 1.0
        Without snapshots, axes go from -span to span.
    resolution : int, default 41
        Number of grid points along each axis.
    random_state : int, default 0
        Seed of the random directions.
    verbose : int, default 1
        0 for no progress bar; 1 for one in a terminal or notebook if drawing takes long.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For bad samples, or snapshots of another net.
    ImportError
        If matplotlib is not installed.

    References
    ----------
    Li, Xu, Taylor, Studer and Goldstein 2018, "Visualizing the loss landscape of neural nets", arXiv:1712.09913;
    section 7 has the plane of the principal components.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 4, 1), loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=50)
    >>> ax = landscape(net, X, y, resolution=5)
    """
    net, y, _ = unwrap_estimator(net, y)
    samples = as_samples(net, X, y)
    checked_number("span", span, 0.0, open_low=True)
    checked_count("resolution", resolution, at_least=3)
    centre = net.params.astype(np.float64)
    path = None
    if snapshots is None:
        directions = random_directions(net, np.random.default_rng(random_state))
        x = z = np.linspace(-span, span, resolution | 1)  # odd, so that the net itself is a grid point
    else:
        require_attributes(
            snapshots, ("frames", "params"), "a fastmlp.Snapshots that was among the callbacks of the net's fit"
        )
        directions, path = path_directions(centre, snapshots.params)
        x, z = (_around(path[:, k], resolution) for k in (0, 1))
    sample_stride = -(-len(samples.X) // MAX_SAMPLES)
    losses = losses_on(
        net, samples.X[::sample_stride], samples.targets[::sample_stride], centre, directions, x, z, verbose
    )
    ax = axes(ax, 5.4, 4.3)
    _draw(ax, x, z, losses)
    if path is not None:
        ax.plot(path[:, 0], path[:, 1], color="white", linewidth=2.6, alpha=0.9)
        ax.plot(path[:, 0], path[:, 1], color=VERMILLION, linewidth=1.3, label="way taken")
        ax.plot(*path[0], "o", color=VERMILLION, markeredgecolor="white", markersize=6, label="start")
    ax.plot(0.0, 0.0, "*", color=VERMILLION, markeredgecolor="white", markersize=14, label="the net", clip_on=False)
    legend(ax, loc="upper right", frameon=True, framealpha=0.85, edgecolor="none")
    if path is None:
        return label_axes(ax, "Loss around the net, random directions", "first direction", "second direction")
    return label_axes(ax, "Loss where the parameters went", "first principal component", "second principal component")


def random_directions(net: Any, rng: np.random.Generator) -> np.ndarray:
    """Return two random directions, (2, n_params), scaled for each unit to the length of its weights and bias."""
    layout = net.network.layout
    directions = rng.normal(size=(2, layout.n_params))
    for direction in directions:
        arrays = (layout.weights(direction), layout.biases(direction), net.weights, net.biases)
        for dW, db, W, b in zip(*arrays, strict=True):
            unit_norms = np.sqrt(np.square(W, dtype=np.float64).sum(axis=0) + np.square(b, dtype=np.float64))
            scale = unit_norms / np.sqrt(np.square(dW).sum(axis=0) + np.square(db))
            dW *= scale
            db *= scale
    return directions


def path_directions(centre: np.ndarray, params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components of parameters, and the path of the parameters in their plane.

    centre : (n_params,) origin of the plane
    params : (n_snapshots, n_params) parameters during training

    Returns (orthonormal directions (2, n_params), path (n_snapshots, 2)).
    """
    if params.ndim != 2 or params.shape[1:] != centre.shape or len(params) < 3:
        raise ValueError(
            f"snapshots must hold at least three of {len(centre)} parameters, as they are of this net's fit, but they "
            f"have shape {params.shape}."
        )
    displacements = params.astype(np.float64) - centre
    directions = np.linalg.svd(displacements, full_matrices=False)[2][:2]
    path = displacements @ directions.T
    sign = np.where(path[0] > 0, -1.0, 1.0)  # start at the lower left: the SVD leaves the signs arbitrary
    return directions * sign[:, None], path * sign


def _around(values: np.ndarray, resolution: int) -> np.ndarray:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    margin = 0.2 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, resolution)


def losses_on(
    net: Any,
    X: np.ndarray,
    y: np.ndarray,
    centre: np.ndarray,
    directions: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    verbose: int = 0,
) -> np.ndarray:
    """Return the loss on a grid of a plane, (len(z), len(x)), without the L2 penalty.

    X, y : samples
    centre : (n_params,) origin of the plane
    directions : (2, n_params) directions of the axes
    x, z : coordinates of the grid points along the first and second direction
    verbose : whether to show a progress bar
    """
    probe = copy_net(net)
    losses = np.empty((len(z), len(x)))
    with Progress(len(z), verbose, unit="row") as progress:
        for i, z_offset in enumerate(z):
            for j, x_offset in enumerate(x):
                probe.params = centre + x_offset * directions[0] + z_offset * directions[1]
                losses[i, j] = probe.evaluate(X, y)["loss"]
            progress.show(i + 1, float(np.nanmin(losses[i])))
    return losses


def _draw(ax: Any, x: np.ndarray, z: np.ndarray, losses: np.ndarray) -> None:
    """Draw filled contours of the loss, with logarithmic levels if the losses are positive and differ enough."""
    from matplotlib.colors import LogNorm, Normalize

    finite = losses[np.isfinite(losses)]
    low, high = float(finite.min()), float(np.quantile(finite, 0.995))
    shown = np.clip(np.nan_to_num(losses, nan=high, posinf=high), low, high)
    is_logarithmic = low > 0 and high > 3 * low
    levels = np.geomspace(low, high, 18) if is_logarithmic else np.linspace(low, high if high > low else low + 1.0, 18)
    levels[-1] *= 1.0 + 1e-9 * np.sign(levels[-1])
    scale = LogNorm(levels[0], levels[-1]) if is_logarithmic else Normalize(levels[0], levels[-1])
    contours = ax.contourf(x, z, shown, levels=levels, cmap="cividis", norm=scale, extend="max")
    ax.contour(x, z, shown, levels=levels[::2], colors="white", linewidths=0.5, alpha=0.6)
    bar = ax.figure.colorbar(contours, ax=ax, pad=0.02, ticks=levels[::3])
    bar.ax.set_yticklabels([f"{level:.2g}" for level in levels[::3]])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label("loss", fontsize=LABEL, color=INK)
    bar.outline.set_visible(False)
