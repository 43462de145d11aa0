"""Elements of the report page as HTML."""

import pytest

from fastmlp.report.page import Page, quantity


def test_all_text_is_escaped():
    evil = "<script>x</script>&"
    page = Page(evil, evil)
    page.section(evil)
    page.text(evil)
    page.cards([(evil, evil, evil)])
    page.verdict(evil, [(evil, evil)], {evil: evil})
    page.tables({evil: {evil: evil}})
    page.bars([(evil, 1.0, evil)])
    text = page.html()
    assert "<script" not in text
    assert text.count("&lt;script&gt;x&lt;/script&gt;&amp;") == 18


def test_bars_share_one_scale():
    page = Page("", "")
    page.bars([("a", 4.0, ""), ("b", 1.0, ""), ("c", 0.0, "")])
    assert [part.split("%")[0] for part in page.html().split("width:")[-3:]] == ["80.00", "20.00", "0.00"]


@pytest.mark.parametrize("value, text", [(12.0, "12 FLOP"), (1500.0, "1.5 kFLOP"), (3e18, "3e+03 PFLOP")])
def test_quantity_is_formatted_with_si_prefixes(value, text):
    assert quantity(value, "FLOP") == text


def test_small_sections_share_a_row():
    """Sections with at most one picture share a row; evidence stands beside the verdict."""
    page = Page("", "")
    page.section("Verdict")
    page.verdict("", [("a", "b")], {"fact": "1"})
    for n_pictures in (1, 2):
        page.section(f"{n_pictures}")
        page.pictures(["<img>"] * n_pictures)
    page.section("Settings")
    page.tables({"a": {"b": "c"}})
    kinds = [part.split(">")[0] for part in page.html().split("<section")[1:]]
    assert kinds == ["", ' class="narrow"', "", ' class="narrow"']
    split = page.html().split('<div class="split">')[1].split("</section>")[0]
    assert split.index('class="verdict"') < split.index("<table>")
