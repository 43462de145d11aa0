"""Elements of the report page as HTML."""

from fastmlp.report.html_elements import Page


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
