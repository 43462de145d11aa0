"""Comparison of plots with stored baselines, independent of the Matplotlib version and the installed fonts.

Versions differ in text, whose size moves everything in an automatic layout, and in the anti-aliasing of edges.
Therefore a plot is drawn into Axes at a fixed position, its text and legends are hidden (their content is tested as
text), and pixels are averaged over blocks of 5 x 5. A baseline has 96 x 72 pixels and takes a few kB. To accept a
changed plot, look at it, delete its baseline and run the tests with FASTMLP_WRITE_BASELINES=1.
"""

import os
from pathlib import Path

import numpy as np

import fastmlp

FOLDER = Path(__file__).parents[1] / "baselines"
BLOCK, WIDTH, HEIGHT = 5, 480, 360
# Largest mean difference, of 255; largest fraction of pixels that may differ by more than FAR. Between Matplotlib 3.8
# and 3.11, they are at most 0.33 and 0.26 %.
MEAN_OFF, MOST_OFF, FAR = 0.8, 0.004, 40
SOLVED = 8.0 * np.array([1, 1, 1, 1, -0.5, -1.5, 1, -1, -0.5])  # one hidden unit computes "or", the other "and"


def xor_net(params=SOLVED):
    """Return a 2-2-1 net that computes XOR, with parameters that are set and not trained."""
    net = fastmlp.MLP((2, 2, 1), hidden_activation="sigmoid", loss="binary_cross_entropy", random_state=0)
    net.params = params
    return net


def stage():
    """Return Axes at a fixed position in a new figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100)
    return figure.add_axes((0.12, 0.12, 0.8, 0.78))


def pixels(figure):
    """Return the block means, (72, 96, 3), of a figure without its text."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    for artist in [*figure.findobj(Text), *figure.findobj(Legend)]:
        artist.set_visible(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[:, :, :3].astype(float)
    assert image.shape == (HEIGHT, WIDTH, 3)
    return image.reshape(HEIGHT // BLOCK, BLOCK, WIDTH // BLOCK, BLOCK, 3).mean(axis=(1, 3))


def differences(image, baseline):
    """Return (mean difference, fraction of pixels that differ by more than FAR)."""
    off = np.abs(image - baseline)
    return float(off.mean()), float((off.max(axis=2) > FAR).mean())


def compare(figure, name):
    from PIL import Image

    image, path = pixels(figure), FOLDER / f"{name}.png"
    if os.environ.get("FASTMLP_WRITE_BASELINES") and not path.exists():
        Image.fromarray(image.round().astype(np.uint8)).save(path, optimize=True)
    baseline = np.asarray(Image.open(path).convert("RGB"), float)
    mean, far = differences(image, baseline)
    assert mean <= MEAN_OFF, f"{name} is {mean:.2f} off on average"
    assert far <= MOST_OFF, f"{far:.1%} of {name} is far off"
