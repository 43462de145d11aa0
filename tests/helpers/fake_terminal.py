"""Text stream that claims to be a terminal."""

import io


class Terminal(io.StringIO):
    def isatty(self):
        return True
