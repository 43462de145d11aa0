"""Animation of a decision boundary during training, as a GIF file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..console.progress_bar import Progress
from ..errors import checked_count, checked_number
from ..runtime.output_files import check_output, replacing
from .curves import thinned
from .plane import Plane, draw_samples, paint_classes
from .sample_checks import (
    as_samples,
    class_labels,
    copy_net,
    feature_labels,
    has_classes,
    probabilities,
    require_attributes,
)
from .style import BLUE, GRID, INK, LABEL, VERMILLION, axes, epoch_axis, import_pyplot, label_axes, legend, percent

SNAPSHOTS = "a fastmlp.Snapshots that was among the callbacks of a fit, fit(..., callbacks=[snapshots])"
LAST_FRAME_SECONDS = 1.5  # seconds for which the last frame is shown


def animation(
    snapshots: Any,
    X: Any,
    y: Any = None,
    path: Any = "learning.gif",
    *,
    frames: int = 60,
    seconds: float = 4.0,
    features: Sequence[int] = (0, 1),
    feature_names: Any = None,
    labels: Any = None,
    resolution: int = 100,
    verbose: int = 1,
) -> Any:
    """Write an animation of a classifier's decision boundary during training to a GIF file.

    Parameters
    ----------
    snapshots : Snapshots
        Recorder that was among the callbacks of a fit.
    X : array_like of shape (n_samples, n_features)
        Samples as for fit.
    y : array_like, optional
        Targets as for fit.
    path : str or path, default "learning.gif"
        Path of a .gif file, which repeats forever.
    frames : int, default 60
        Approximate number of frames; they are closer in time where the net changes fast.
    seconds : float, default 4.0
        Playing time of the frames, without the pause at the last one.
    features : sequence of two ints, default (0, 1)
        Numbers of the inputs on the two axes.
    feature_names : sequence of str, optional
        Names of all inputs.
    labels : sequence of str, optional
        Names of the classes; class numbers by default.
    resolution : int, default 100
        Number of grid points along each axis.
    verbose : int, default 1
        0 for no progress bar; 1 for one in a terminal or notebook if drawing takes long.

    Returns
    -------
    matplotlib.axes.Axes
        Axes of the decision boundary, as in the last frame.

    Raises
    ------
    ValueError
        For another file type, a fit that was not recorded, a net without exclusive classes, or bad samples.
    ImportError
        If matplotlib or Pillow is not installed.

    Examples
    --------
    >>> import fastmlp, os, tempfile
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> snapshots, net = fastmlp.Snapshots(), fastmlp.MLP((2, 4, 1), loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=20, callbacks=[snapshots])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ax = animation(snapshots, X, y, f"{folder}/xor.gif", frames=2, seconds=0.1, resolution=10)
    ...     os.listdir(folder)
    ['xor.gif']
    """
    require_attributes(snapshots, ("frames", "params"), SNAPSHOTS)
    rate = checked_count("frames", frames, at_least=2) / checked_number("seconds", seconds, 0.0, open_low=True)
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"path must end in .gif, but it is {str(path)!r}.")
    check_output(path)
    net, history = copy_net(snapshots.net), snapshots.history
    samples = as_samples(net, X, y)
    if not has_classes(net.network, samples) or (y is not None and samples.classes is None):
        raise ValueError("The animation shows exclusive classes, but these targets are none. Use net.plot_boundary.")
    plane = Plane.around(samples.X, features, resolution)
    plt = import_pyplot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = plt.figure(figsize=(4.8, 5.0), dpi=100, layout="constrained", facecolor="white")
    canvas: Any = figure.canvas if hasattr(figure.canvas, "buffer_rgba") else FigureCanvasAgg(figure)
    (ax, dot), names = _panels(figure, history), feature_labels(net, feature_names)
    label_axes(ax, " ", names[plane.features[0]], names[plane.features[1]])
    draw_samples(ax, plane, samples, class_labels(net, labels, max(2, net.network.n_outputs)))
    if samples.classes is not None:
        legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=5, borderaxespad=0.2, columnspacing=1.0)
    painted: list[Any] = []
    images: list[np.ndarray] = []
    rows = snapshots.frames(frames)
    with Progress(len(rows), verbose, unit="frame") as progress:
        for epoch, params in ((snapshots.epochs[row], snapshots.params[row]) for row in rows):
            net.params = params
            for artist in painted:
                artist.remove()
            image, lines = paint_classes(ax, plane, probabilities(net.network, net.predict(plane.points)))
            painted, text = [image, *lines], f"epoch {epoch + 1:,}"
            if samples.classes is not None:
                text += f": {percent(float((net.predict_classes(samples.X) == samples.classes).mean()))} right"
            ax.set_title(text, loc="left", fontsize=LABEL + 1, color=INK)
            dot.set_data([epoch + 1], [history.loss[epoch]])
            canvas.draw()
            figure.set_layout_engine("none")  # as in the first frame, and faster
            images.append(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
            progress.show(len(images), float(history.loss[epoch]))
    _write_gif(path, images, rate)
    return ax


def _panels(figure: Any, history: Any) -> tuple[Any, Any]:
    """Return the Axes of the boundary, and the dot that marks the epoch on the curve of the loss below it."""
    above, below = figure.subplots(2, 1, height_ratios=(5, 1))
    ax, curve = axes(above), axes(below)
    curve.grid(axis="y", color=GRID, linewidth=0.8)
    x, loss = thinned(history.loss)
    curve.plot(x, loss, color=BLUE, linewidth=1.4)
    if np.isfinite(loss).all() and loss.min() > 0:
        curve.set_yscale("log")
    curve.set_xlim(1, max(2, history.epochs))
    epoch_axis(curve)
    label_axes(curve, "", "epoch", "loss")
    (dot,) = curve.plot([], [], "o", markersize=6, color=VERMILLION, clip_on=False)
    dot.set_in_layout(False)  # its position is not known yet
    return ax, dot


def _write_gif(path: Path, images: list[np.ndarray], rate: float) -> None:
    """Write a GIF with one palette for all frames, which avoids flicker and keeps differences between frames small.

    rate : frames per second
    """
    from PIL import Image

    sample_frames = np.concatenate([images[k] for k in {0, len(images) // 2, len(images) - 1}])
    palette = Image.fromarray(sample_frames).quantize(colors=128, method=Image.Quantize.MEDIANCUT)
    frames = [Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    frame_milliseconds = max(20, round(1000 / rate))  # milliseconds; browsers slow down faster animations
    durations = [frame_milliseconds] * (len(frames) - 1) + [frame_milliseconds + round(1000 * LAST_FRAME_SECONDS)]
    with replacing(path) as file:
        frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
