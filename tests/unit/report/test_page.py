"""Elements of the report page as HTML."""

from fastmlp.report.page import Page


def test_all_text_is_escaped():
    evil = "<script>x</script>&"
    page = Page(evil, evil)
    page.section(evil)
    page.text(evil)
    page.cards([(evil, evil, evil)])
    page.verdict(evil, [(evil, evil)], {evil: evil})
    page.tables({evil: {evil: evil}})
    text = page.html()
    assert "<script" not in text
    assert text.count("&lt;script&gt;x&lt;/script&gt;&amp;") == 16


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
