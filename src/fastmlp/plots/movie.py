"""Animation of a decision boundary during training, as a GIF or MP4 file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..console.progress_bar import Progress
from ..errors import checked_count, checked_number, install_command
from ..runtime.output_files import check_output, replacing
from .curves import thinned
from .plane import Plane, colours, draw_lines, draw_samples, paint_classes
from .sample_checks import (
    PlotSamples,
    as_samples,
    class_labels,
    copy_net,
    feature_labels,
    has_classes,
    probabilities,
    require_attributes,
)
from .style import (
    BLUE,
    GRID,
    INK,
    LABEL,
    VERMILLION,
    axes,
    epoch_axis,
    import_pyplot,
    label_axes,
    legend,
    log_axis,
    percent,
)

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
    ax: Any = None,
) -> Any:
    """Write an animation of a classifier's decision boundary during training to a GIF or MP4 file.

    Parameters
    ----------
    snapshots : Snapshots
        Recorder that was among the callbacks of a fit.
    X : array_like of shape (n_samples, n_features)
        Samples as for fit.
    y : array_like, optional
        Targets as for fit.
    path : str or path, default "learning.gif"
        Path of a .gif or .mp4 file; a GIF repeats forever.
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
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; by default a new figure, which also shows the loss curve.

    Returns
    -------
    matplotlib.axes.Axes
        Axes of the decision boundary, as in the last frame.

    Raises
    ------
    ValueError
        For another file type, a fit that was not recorded, a net without exclusive classes, or bad samples.
    ImportError
        If matplotlib is not installed or, for an MP4, imageio-ffmpeg.

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
    path = Path(path)
    rate = checked_count("frames", frames, at_least=2) / checked_number("seconds", seconds, 0.0, open_low=True)
    write = _writer(path)
    net = copy_net(snapshots.net)
    samples = as_samples(net, X, y)
    if not has_classes(net.network, samples) or (y is not None and samples.classes is None):
        raise ValueError("The animation shows exclusive classes, but these targets are none. Use net.plot_boundary.")
    rows, history = snapshots.frames(frames), snapshots.history
    plane = Plane.around(samples.X, features, resolution)
    stage = _FrameRenderer(net, samples, plane, history, class_labels(net, labels, max(2, net.network.n_outputs)), ax)
    names = feature_labels(net, feature_names)
    label_axes(stage.ax, "", names[plane.features[0]], names[plane.features[1]])

    def pictures() -> Iterable[np.ndarray]:
        params, epochs = snapshots.params, snapshots.epochs
        with Progress(len(rows), verbose, unit="frame") as progress:
            for done, row in enumerate(rows, start=1):
                yield stage.picture(epochs[row], params[row])
                progress.show(done, float(history.loss[epochs[row]]))

    write(pictures(), rate)
    stage.release()
    return stage.ax


class _FrameRenderer:
    """Figure from which the frames are taken. Artists that never change are drawn once, into a background image."""

    def __init__(self, net: Any, samples: PlotSamples, plane: Plane, history: Any, labels: list[str], ax: Any):
        self.net, self.samples, self.plane, self.history, self.labels = net, samples, plane, history, labels
        self.curve: Any = None
        if ax is None:
            figure = import_pyplot().figure(figsize=(4.8, 5.0), dpi=100, layout="constrained", facecolor="white")
            above, below = figure.subplots(2, 1, height_ratios=(5, 1))
            self.ax, self.curve = axes(above), axes(below)
            self.curve.set_facecolor("white")
            self._draw_curve()
        else:
            self.ax = axes(ax)
        self.title = self.ax.text(0.0, 1.02, " ", transform=self.ax.transAxes, fontsize=LABEL + 1, color=INK)
        self.image: Any = None
        self.lines: list[Any] = []
        self.above: list[Any] = [self.ax.spines["left"], self.ax.spines["bottom"], self.title]
        self.background: Any = None

    def _draw_curve(self) -> None:
        self.curve.grid(axis="y", color=GRID, linewidth=0.8)
        x, loss = thinned(self.history.loss)
        self.curve.plot(x, loss, color=BLUE, linewidth=1.4)
        if np.isfinite(loss).all() and loss.min() > 0:
            self.curve.set_yscale("log")
            log_axis(self.curve.yaxis, few_ticks=True)
        self.curve.set_xlim(1, max(2, self.history.epochs))
        epoch_axis(self.curve)
        label_axes(self.curve, "", "epoch", "loss")
        (self.dot,) = self.curve.plot([], [], "o", markersize=6, color=VERMILLION, clip_on=False)
        self.dot.set_in_layout(False)  # its position is not known yet

    def _set_up(self, class_probabilities: np.ndarray) -> None:
        """Create all artists, mark the moving ones as animated, and store the background without them."""
        self.image, self.lines = paint_classes(self.ax, self.plane, class_probabilities)
        artists_before = set(self.ax.collections)
        draw_samples(self.ax, self.plane, self.samples, self.labels)
        self.above = [*(points for points in self.ax.collections if points not in artists_before), *self.above]
        if self.curve is not None:
            self.above.append(self.dot)
            if self.samples.classes is not None:
                legend(
                    self.ax,
                    loc="lower right",
                    bbox_to_anchor=(1.0, 1.0),
                    ncols=min(len(self.labels), 5),
                    borderaxespad=0.2,
                    columnspacing=1.0,
                )
        if not hasattr(self.ax.figure.canvas, "copy_from_bbox"):
            from matplotlib.backends.backend_agg import FigureCanvasAgg

            FigureCanvasAgg(self.ax.figure.canvas.figure)
        for artist in (self.image, *self.lines, *self.above):
            artist.set_animated(True)
        canvas = self.ax.figure.canvas
        canvas.draw()
        self.background = canvas.copy_from_bbox(canvas.figure.bbox)

    def picture(self, epoch: int, params: np.ndarray) -> np.ndarray:
        """Return the frame for the parameters (n_params,) after an epoch, uint8 (height, width, 3)."""
        self.net.params = params
        class_probabilities = probabilities(self.net.network, self.net.predict(self.plane.points))
        if self.image is None:
            self._set_up(class_probabilities)
        self.image.set_data(colours(self.plane, class_probabilities))
        for line in self.lines:
            line.remove()
        self.lines = draw_lines(self.ax, self.plane, class_probabilities)
        text = f"epoch {epoch + 1:,}"
        if self.samples.classes is not None:
            accuracy = float((self.net.predict_classes(self.samples.X) == self.samples.classes).mean())
            text += f": {percent(accuracy)} right"
        self.title.set_text(text)
        if self.curve is not None:
            self.dot.set_data([epoch + 1], [self.history.loss[epoch]])
        canvas = self.ax.figure.canvas
        canvas.restore_region(self.background)
        for artist in (self.image, *self.lines, *self.above):
            artist.axes.draw_artist(artist)
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()

    def release(self) -> None:
        """Turn the artists of the last frame into ordinary ones, so that the figure can be drawn again."""
        for artist in (self.image, *self.above):
            artist.set_animated(False)


def _writer(path: Path) -> Any:
    """Return the function (pictures, rate) that writes the file; rate is in frames per second.

    Raises
    ------
    OSError, ValueError, ImportError
        If the file cannot be written, its type is unknown, or a library is missing. Raised before anything is drawn.
    """
    check_output(path)
    import_pyplot()
    if path.suffix.lower() == ".gif":
        return lambda pictures, rate: _write_gif(path, pictures, rate)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path must end in .gif or .mp4, but it is {str(path)!r}.")
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ImportError(f"An MP4 needs ffmpeg: {install_command('movie')}. Or write a .gif instead.") from error
    return lambda pictures, rate: _write_mp4(imageio_ffmpeg, path, pictures, rate)


def _write_gif(path: Path, pictures: Iterable[np.ndarray], rate: float) -> None:
    """Write a GIF with one palette for all frames, which avoids flicker and keeps differences between frames small."""
    from PIL import Image

    frames = [Image.fromarray(picture) for picture in pictures]
    sample_frames = np.concatenate([np.asarray(frames[k]) for k in {0, len(frames) // 2, len(frames) - 1}])
    palette = Image.fromarray(sample_frames).quantize(colors=128, method=Image.Quantize.MEDIANCUT)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    frame_milliseconds = max(20, round(1000 / rate))  # milliseconds; browsers slow down faster animations
    durations = [frame_milliseconds] * (len(frames) - 1) + [frame_milliseconds + round(1000 * LAST_FRAME_SECONDS)]
    with replacing(path) as file:
        frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _write_mp4(imageio_ffmpeg: Any, path: Path, pictures: Iterable[np.ndarray], rate: float) -> None:
    with replacing(path) as file:  # ffmpeg, a process of its own, opens the file by name
        _encode(imageio_ffmpeg, file.name, pictures, rate)


def _encode(imageio_ffmpeg: Any, name: str, pictures: Iterable[np.ndarray], rate: float) -> None:
    """Encode H.264 in the pixel format that all players support, which needs even width and height."""
    stream: Any = None
    for picture in pictures:
        height, width = (side - side % 2 for side in picture.shape[:2])
        frame = np.ascontiguousarray(picture[:height, :width])
        if stream is None:
            stream = imageio_ffmpeg.write_frames(
                name,
                (width, height),
                fps=rate,
                quality=None,
                macro_block_size=2,
                output_params=["-crf", "20", "-movflags", "+faststart", "-f", "mp4"],
            )
            stream.send(None)
        stream.send(frame)
    for _ in range(round(LAST_FRAME_SECONDS * rate)):
        stream.send(frame)
    stream.close()
