"""HTML whose elements end in the order in which they began, with its tags and its text."""

from html.parser import HTMLParser

VOID = {"br", "hr", "img"}


class Checked(HTMLParser):
    """Parser that fails where elements do not end in the order in which they began, and collects the text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
