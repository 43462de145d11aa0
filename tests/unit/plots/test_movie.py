"""Animations of training: frames, files, progress, errors."""

import io
import sys

import numpy as np
import pytest
from image_comparison import SOLVED, xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
import fastmlp.console.progress_bar
from fastmlp import plots

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def learnt():
    snapshots, net = fastmlp.Snapshots(), xor_net(0.3 * SOLVED)
    net.fit(XOR_X, XOR_Y, epochs=60, optimizer="rprop", callbacks=[snapshots])
    return snapshots


def test_gif_has_frames_and_durations(learnt, tmp_path):
    path = tmp_path / "learning.gif"
    before = learnt.net.params.copy()
    ax = plots.animation(learnt, XOR_X, XOR_Y, path, frames=12, seconds=1.2, resolution=30)
    np.testing.assert_array_equal(learnt.net.params, before)
    with Image.open(path) as film:
        frames = []
        for k in range(film.n_frames):
            film.seek(k)
            frames.append((film.info["duration"], np.asarray(film.convert("RGB"), float)))
    assert 8 <= len(frames) <= 12
    assert [duration for duration, _ in frames[:-1]] == [100] * (len(frames) - 1)
    assert frames[-1][0] == 1600, "the last one stays"
    assert frames[0][1].shape == (500, 480, 3)
    assert np.abs(frames[0][1] - frames[-1][1]).mean() > 3, "something was learnt"
    assert ax.get_title(loc="left") == "epoch 60: 100 % right"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input 0", "input 1")


def test_animation_shows_progress_on_a_terminal(learnt, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(fastmlp.console.progress_bar, "SHOW_AFTER", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Terminal())
        plots.animation(learnt, XOR_X, XOR_Y, tmp_path / "a.gif", frames=3, resolution=20)
        assert "frame" in sys.stderr.getvalue()


def test_invalid_arguments_raise_before_drawing(learnt, tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.gif"):
        plots.animation(learnt, XOR_X, XOR_Y, tmp_path / "learning.mp4")
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere' for the output; make it first"):
        plots.animation(learnt, XOR_X, XOR_Y, tmp_path / "nowhere" / "learning.gif")
    with pytest.raises(ValueError, match="Nothing was recorded: give the Snapshots to fit"):
        plots.animation(fastmlp.Snapshots(), XOR_X, XOR_Y, tmp_path / "a.gif")
    with pytest.raises(ValueError, match="frames must be a whole number of at least 2"):
        plots.animation(learnt, XOR_X, XOR_Y, tmp_path / "a.gif", frames=1)
    assert list(tmp_path.iterdir()) == []


def test_animation_of_regression_targets_raises(tmp_path, rng):
    snapshots, net = fastmlp.Snapshots(), fastmlp.MLP((2, 1), random_state=0)
    net.fit(XOR_X, rng.normal(size=4), epochs=3, callbacks=[snapshots])
    with pytest.raises(ValueError, match="shows exclusive classes"):
        plots.animation(snapshots, XOR_X, rng.normal(size=4), tmp_path / "a.gif")


def test_plots_of_wrong_objects_raise(tmp_path):
    net = xor_net()
    with pytest.raises(ValueError, match=r"needs a fastmlp.Snapshots that was among the callbacks.*given MLP"):
        plots.animation(net, XOR_X, XOR_Y, tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"needs a fastmlp.Snapshots .*given MLP"):
        plots.landscape(net, XOR_X, XOR_Y, snapshots=net)
    with pytest.raises(ValueError, match=r"needs a fastmlp.LayerRecorder .*given MLP"):
        plots.layers(net)
    with pytest.raises(ValueError, match=r"needs the History that fit returned, .*given MLP"):
        plots.history(net)
    with pytest.raises(ValueError, match=r"needs the result of Population.fit .*given MLP"):
        plots.epochs_to_converge(net)
    with pytest.raises(ValueError, match=r"needs a Population, .*given MLP"):
        plots.population(net, XOR_X, XOR_Y)
    for plot in (plots.confusion, plots.calibration, plots.boundary):
        with pytest.raises(ValueError, match=r"needs an MLP or a fitted estimator of fastmlp, .*given History: plot"):
            plot(fastmlp.History(net), XOR_X, XOR_Y)
        with pytest.raises(ValueError, match="needs an MLP or a fitted estimator of fastmlp, but it was given int"):
            plot(3, XOR_X, XOR_Y)
        with pytest.raises(ValueError, match="but it was given NoneType"):
            plot(None, XOR_X, XOR_Y)


def test_plots_of_estimators_of_scikit_learn_say_what_to_do():
    sklearn = pytest.importorskip("sklearn.neural_network")
    fitted = sklearn.MLPClassifier((4,), tol=1e3, n_iter_no_change=1, random_state=0).fit(XOR_X, XOR_Y.ravel())
    for plot in (plots.confusion, plots.calibration, plots.boundary):
        with pytest.raises(ValueError, match=r"given MLPClassifier of scikit-learn: plot fastmlp.from_sklearn\("):
            plot(fitted, XOR_X, XOR_Y)
        with pytest.raises(ValueError, match="given MLPClassifier, which is not fitted: call fit first"):
            plot(fastmlp.MLPClassifier(), XOR_X, XOR_Y)
