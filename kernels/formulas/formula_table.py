"""Table of formulas, of this package and of a program."""

from __future__ import annotations

from typing import Any


class FormulaTable(tuple):
    """Rows by their codes. Iteration and length are those of this package's rows; codes of own formulas follow them."""

    own: list[Any]  # own_rows.py appends to it

    def __new__(cls, *rows: Any) -> FormulaTable:
        table = super().__new__(cls, rows)
        table.own = []
        return table

    def __getitem__(self, code: Any) -> Any:
        return super().__getitem__(code) if code < len(self) else self.own[code - len(self)]
