"""Tables as HTML, for objects that are the last line of a cell in a notebook. All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], note: str = "") -> str:
    """Return a table with a line above it, and a note below.

    title : str     one line
    header : sequence of str     names of the columns
    rows : cells of each row; numbers are aligned to the right

    >>> html_table("a < b", ["x"], [[1]])
    '<div><p><b>a &lt; b</b></p><table><thead><tr><th>x</th></tr></thead><tbody><tr><td style="text-align:right">1</td></tr></tbody></table></div>'
    """  # noqa: E501
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p><b>{escape(title)}</b></p>{table}{f'<p>{escape(note)}</p>' if note else ''}</div>"


def layers_of(network: Any) -> tuple[list[str], list[list[Any]]]:
    """Return header and rows of a table of the layers of a Network, and of its loss.

    >>> import fastmlp
    >>> layers_of(fastmlp.MLP((2, 3, 1)).network)[1]
    [['hidden 1', 2, 3, 'relu', 9], ['output', 3, 1, 'identity', 4], ['loss', '', '', 'squared_error', 13]]
    """
    settings = network.arguments()
    names = [*(f"hidden {k + 1}" for k in range(len(settings["hidden_activation"]))), "output"]
    functions = [*settings["hidden_activation"], settings["output_activation"]]
    for k, rate in enumerate(network.dropout):
        functions[k] += f", dropout {rate:g}" if rate else ""
    rows = [[name, i, j, f, i * j + j] for name, (i, j), f in zip(names, network.layout.shapes, functions, strict=True)]
    loss = settings["loss"] + (f", l2 {network.l2:g}" if network.l2 else "")
    return ["layer", "inputs", "units", "function", "parameters"], [
        *rows,
        ["loss", "", "", loss, network.layout.n_params],
    ]


def html_text(text: str) -> str:
    """Return text of several lines with its spacing."""
    # Pages that nbconvert makes have another font for pre.
    return f'<pre style="font-family: monospace">{escape(text)}</pre>'


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f'<td style="text-align:left">{escape(str(value))}</td>'
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f'<td style="text-align:right">{text}</td>'
