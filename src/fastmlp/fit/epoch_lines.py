"""Lines of verbose=2 about the epochs of one net."""

from __future__ import annotations

from collections.abc import Sequence

from ..loggers import Logger, Row


class EpochLines(Logger):
    """Lines of verbose=2 on standard output, one for each epoch, those of short epochs about ten times a second.

    line_start : what each line begins with
    """

    def __init__(self, n_epochs: int, line_start: str = ""):
        super().__init__(every="0.1 s")
        self._n_epochs, self._line_start = n_epochs, line_start

    def write(self, rows: Sequence[Row]) -> None:
        lines = []
        for row in rows:
            figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
            lines.append(f"{self._line_start}epoch {row['epoch'] + 1}/{self._n_epochs}  {figures}\n")
        # In one write, so that fits on other threads do not print between a line and its end.
        print("".join(lines), end="", flush=True)
