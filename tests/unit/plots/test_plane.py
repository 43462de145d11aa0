"""The plane of two inputs: its grid and its colours."""

import numpy as np
from toy_data import XOR_X

from fastmlp.plots.plane import Plane, colours, palette


def test_plane_fixes_other_inputs_at_their_medians(rng):
    X = rng.normal(size=(51, 4))
    plane = Plane.around(X, (3, 1), 5)
    assert plane.points.shape == (25, 4)
    np.testing.assert_array_equal(plane.points[:, [0, 2]], np.tile(np.median(X[:, [0, 2]], axis=0), (25, 1)))
    left, right, bottom, top = plane.extent
    assert left < X[:, 3].min() < X[:, 3].max() < right
    np.testing.assert_allclose(plane.points[0, [3, 1]], [left, bottom])
    np.testing.assert_allclose(plane.points[-1, [3, 1]], [right, top])


def test_constant_input_gets_a_margin():
    plane = Plane.around(np.array([[1.0, 2.0], [1.0, 3.0]]), (0, 1), 3)
    assert plane.extent[:2] == (0.0, 2.0)


def test_colours_fade_with_uncertainty():
    plane = Plane.around(XOR_X, (0, 1), 2)
    image = colours(plane, np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.6, 0.4]])).reshape(4, 3)
    blue, orange = palette(2)
    np.testing.assert_allclose(image[0], (1 + blue) / 2)
    np.testing.assert_allclose(image[1], (1 + orange) / 2)
    np.testing.assert_allclose(image[2], 1.0)
    assert (image[0] <= image[3]).all()
    assert (image[3] <= 1.0).all()
