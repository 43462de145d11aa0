"""bench/tools/svg_picture.py: pictures whose bytes depend on their data alone."""

from tools.svg_picture import svg_picture


def test_the_same_data_give_the_same_bytes():
    draw = lambda figure: figure.add_subplot().plot([1, 2], [3, 5], label="a line")
    assert svg_picture((3.0, 2.0), draw) == svg_picture((3.0, 2.0), draw)


def test_text_stays_text_and_lines_have_no_space_at_their_ends():
    text = svg_picture((3.0, 2.0), lambda figure: figure.add_subplot().set(title="Rows per second"))
    assert text.startswith("<svg")
    assert ">Rows per second</text>" in text
    assert all(line == line.rstrip() for line in text.split("\n"))


def test_panels_have_no_lines_above_and_at_the_right():
    panels = []
    svg_picture((4.0, 2.0), lambda figure: panels.extend(figure.subplots(1, 2)))
    assert [axes.spines[side].get_visible() for axes in panels for side in ("top", "right", "left")] == [
        False,
        False,
        True,
    ] * 2
