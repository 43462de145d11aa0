"""Pieces of C text: literals are read back to the bit, comments cannot be ended by a name."""

import numpy as np

from fastmlp.export.c_syntax import array, comment, literal


def test_literals_are_read_back_to_the_bit(rng):
    values = np.concatenate([rng.normal(size=300) * 10.0 ** rng.integers(-38, 38, 300), [0.0, -0.0, 1.0, 3e-45]])
    values = values.astype(np.float32)
    texts = [literal(value) for value in values]
    assert all(text.endswith("f") and ("." in text or "e" in text) for text in texts)
    np.testing.assert_array_equal(np.array([float(text[:-1]) for text in texts], np.float32), values)
    assert np.signbit(float(literal(-0.0)[:-1]))


def test_doubles_of_an_array_are_read_back_to_the_bit(rng):
    values = rng.normal(size=25)
    text = array("double", "name", values)
    assert text.startswith("static const double name[25] = {")
    assert [float(part) for part in text[text.index("{") + 1 : text.index("}")].split(",")] == values.tolist()


def test_a_name_cannot_end_a_comment():
    text = comment(["a */ b /* c", "d\ne", "??/", "é"])
    assert text.count("*/") == text.count("/*") == 1
    assert text.endswith("*/")
    assert "??" not in text
    assert text.isascii()
    assert len(text.splitlines()) == 4
