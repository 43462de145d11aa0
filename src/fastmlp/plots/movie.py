"""The decision boundary while it is learnt, as a GIF or an MP4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..console.progress_bar import Progress
from ..errors import checked_count, checked_number, install_command
from ..files import check_output, replacing
from .curves import thinned
from .decision import Plane, colours, draw_lines, draw_samples, paint_classes
from .sample_checks import (
    PlotSamples,
    as_samples,
    class_labels,
    copy_of,
    feature_labels,
    has_classes,
    need,
    probabilities,
)
from .style import BLUE, GRID, INK, LABEL, VERMILLION, axes, epoch_axis, import_pyplot, legend, log_axis, named, percent

SNAPSHOTS = "a fastmlp.Snapshots that was among the callbacks of a fit, fit(..., callbacks=[snapshots])"
HOLD = 1.5  # seconds that the last frame stays


def animation(
    snapshots: Any, X: Any, y: Any = None, path: Any = "learning.gif", *, frames: int = 60, seconds: float = 4.0,
    features: Sequence[int] = (0, 1), feature_names: Any = None, labels: Any = None, resolution: int = 100,
    verbose: int = 1, ax: Any = None,
) -> Any:  # fmt: skip
    """Write the decision boundary of a classifier while it is learnt to a GIF or an MP4.

    snapshots : a fastmlp.Snapshots that was among the callbacks of a fit
    X, y : samples as for fit
    path : a file that ends in .gif or .mp4; a GIF repeats for ever
    frames : about how many pictures; they are closer in time where the net changes fast
    seconds : how long they take to play, before the last one stays for a moment
    features, feature_names, labels, resolution : as for boundary
    verbose : 0 never shows a progress bar; 1 does where a terminal is watched and drawing takes long
    ax : Axes to draw in; without it there is a curve of the loss below

    Returns
    -------
    The Axes of the boundary, as they stand in the last frame

    Raises
    ------
    ValueError
        For another kind of file, a fit that was not recorded, a net without classes, or bad samples.
    ImportError
        If matplotlib is not installed or, for an MP4, imageio-ffmpeg.
    """
    need(snapshots, ("frames", "params"), SNAPSHOTS)
    path = Path(path)
    rate = checked_count("frames", frames, at_least=2) / checked_number("seconds", seconds, 0.0, open_low=True)
    write = _writer(path)
    net = copy_of(snapshots.net)
    samples = as_samples(net, X, y)
    if not has_classes(net.network, samples) or (y is not None and samples.classes is None):
        raise ValueError("The animation shows exclusive classes, but these targets are none. Use net.plot_boundary.")
    rows, history = snapshots.frames(frames), snapshots.history
    plane = Plane.around(samples.X, features, resolution)
    stage = _Stage(net, samples, plane, history, class_labels(net, labels, max(2, net.network.n_outputs)), ax)
    names = feature_labels(net, feature_names)
    named(stage.ax, "", names[plane.features[0]], names[plane.features[1]])

    def pictures() -> Iterable[np.ndarray]:
        params, epochs = snapshots.params, snapshots.epochs
        with Progress(len(rows), verbose, unit="frame") as progress:
            for done, row in enumerate(rows, start=1):
                yield stage.picture(epochs[row], params[row])
                progress.show(done, float(history.loss[epochs[row]]))

    write(pictures(), rate)
    stage.release()
    return stage.ax


class _Stage:
    """The figure of which frames are taken. What never changes is drawn once, and kept as a background."""

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
            log_axis(self.curve.yaxis, few=True)
        self.curve.set_xlim(1, max(2, self.history.epochs))
        epoch_axis(self.curve)
        named(self.curve, "", "epoch", "loss")
        (self.dot,) = self.curve.plot([], [], "o", markersize=6, color=VERMILLION, clip_on=False)
        self.dot.set_in_layout(False)  # it has no place yet

    def _set_up(self, shares: np.ndarray) -> None:
        """Everything at its place, what moves invisible to an ordinary drawing, and the background taken."""
        self.image, self.lines = paint_classes(self.ax, self.plane, shares)
        before = set(self.ax.collections)
        draw_samples(self.ax, self.plane, self.samples, self.labels)
        self.above = [*(points for points in self.ax.collections if points not in before), *self.above]
        if self.curve is not None:
            self.above.append(self.dot)
            if self.samples.classes is not None:
                legend(
                    self.ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=min(len(self.labels), 5),
                    borderaxespad=0.2, columnspacing=1.0,
                )  # fmt: skip
        if not hasattr(self.ax.figure.canvas, "copy_from_bbox"):
            from matplotlib.backends.backend_agg import FigureCanvasAgg

            FigureCanvasAgg(self.ax.figure.canvas.figure)
        for artist in (self.image, *self.lines, *self.above):
            artist.set_animated(True)
        canvas = self.ax.figure.canvas
        canvas.draw()
        self.background = canvas.copy_from_bbox(canvas.figure.bbox)

    def picture(self, epoch: int, params: np.ndarray) -> np.ndarray:
        """(height, width, 3) uint8: the figure as it is for these parameters."""
        self.net.params = params
        shares = probabilities(self.net.network, self.net.predict(self.plane.points))
        if self.image is None:
            self._set_up(shares)
        self.image.set_data(colours(self.plane, shares))
        for line in self.lines:
            line.remove()
        self.lines = draw_lines(self.ax, self.plane, shares)
        text = f"epoch {epoch + 1:,}"
        if self.samples.classes is not None:
            right = float((self.net.predict_classes(self.samples.X) == self.samples.classes).mean())
            text += f": {percent(right)} right"
        self.title.set_text(text)
        if self.curve is not None:
            self.dot.set_data([epoch + 1], [self.history.loss[epoch]])
        canvas = self.ax.figure.canvas
        canvas.restore_region(self.background)
        for artist in (self.image, *self.lines, *self.above):
            artist.axes.draw_artist(artist)
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()

    def release(self) -> None:
        """The last frame becomes an ordinary picture."""
        for artist in (self.image, *self.above):
            artist.set_animated(False)


def _writer(path: Path) -> Any:
    """The function (pictures, rate) that writes a file of this kind.

    Raises
    ------
    OSError, ValueError, ImportError
        Before anything is drawn, if no file can be written there, or there is no such kind of file or library.
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
    """One palette for all frames: no flicker, and small differences."""
    from PIL import Image

    frames = [Image.fromarray(picture) for picture in pictures]
    some = np.concatenate([np.asarray(frames[k]) for k in {0, len(frames) // 2, len(frames) - 1}])
    palette = Image.fromarray(some).quantize(colors=128, method=Image.Quantize.MEDIANCUT)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    each = max(20, round(1000 / rate))  # milliseconds; browsers slow down what is faster
    durations = [each] * (len(frames) - 1) + [each + round(1000 * HOLD)]
    with replacing(path) as file:
        frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _write_mp4(imageio_ffmpeg: Any, path: Path, pictures: Iterable[np.ndarray], rate: float) -> None:
    with replacing(path) as file:  # which ffmpeg, another process, opens once more
        _encode(imageio_ffmpeg, file.name, pictures, rate)


def _encode(imageio_ffmpeg: Any, name: str, pictures: Iterable[np.ndarray], rate: float) -> None:
    """H.264 in the one pixel format that every player knows, which needs an even size."""
    stream: Any = None
    for picture in pictures:
        height, width = (side - side % 2 for side in picture.shape[:2])
        frame = np.ascontiguousarray(picture[:height, :width])
        if stream is None:
            stream = imageio_ffmpeg.write_frames(
                name, (width, height), fps=rate, quality=None, macro_block_size=2,
                output_params=["-crf", "20", "-movflags", "+faststart", "-f", "mp4"],
            )  # fmt: skip
            stream.send(None)
        stream.send(frame)
    for _ in range(round(HOLD * rate)):
        stream.send(frame)
    stream.close()
