"""HTML building blocks of a report: a self-contained page that is built from top to bottom."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from html import escape
from typing import Any

CSS = """
:root { color-scheme: light; --ink: #222; --faint: #666; --line: #e2e2e2; --accent: #0072b2; --mark: #d55e00; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color: var(--ink); background: #fff; max-width: 1440px; margin: 0 auto; padding: 32px clamp(16px, 3vw, 40px) 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 36px 0 12px; padding-top: 14px; border-top: 1px solid var(--line); }
p { max-width: 75ch; margin: 8px 0; }
code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--faint);
  overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 24px 0 0; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.card .name, .card .note { color: var(--faint); font-size: 13px; }
.card .value { font-size: 22px; font-weight: 600; line-height: 1.3; }
.verdict { border-left: 4px solid var(--accent); padding: 2px 0 2px 16px; }
.verdict.alarm { border-color: var(--mark); }
.split { display: flex; flex-wrap: wrap; gap: 16px 56px; align-items: flex-start; }
.split > .verdict { flex: 1 1 min(100%, 460px); } .split > .tables { flex: 1 1 min(100%, 340px); }
.verdict .title { font-size: 20px; font-weight: 600; margin: 0; }
.verdict dt { font-weight: 600; margin-top: 10px; } .verdict dd { margin: 0; max-width: 75ch; }
.pictures { display: flex; flex-wrap: wrap; gap: 20px 48px; align-items: flex-start; }
.pictures img { flex: 1 1 min(100%, 400px); min-width: 0; height: auto; }
.tables { display: flex; flex-wrap: wrap; gap: 12px 40px; align-items: flex-start; }
.tables > table { flex: 1 1 min(100%, 290px); }
table { border-collapse: collapse; font-size: 14px; max-width: min(100%, 640px); }
caption { text-align: left; font-weight: 600; padding: 6px 0; }
td, th { text-align: left; vertical-align: top; padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line);
  font-weight: 400; overflow-wrap: break-word; }
th { color: var(--faint); white-space: nowrap; }
.small { color: var(--faint); font-size: 13px; }
footer { margin-top: 40px; color: var(--faint); font-size: 13px; }
@media print { body { padding: 0; max-width: none; }
  h2, .pictures, .card, table { break-inside: avoid; } }
"""


class Page:
    """HTML page whose sections appear in the order in which they are added. `html()` returns it; all text is escaped.

    In a wide window, tables and pictures are laid out side by side; in a narrow window, there is one column.
    """

    def __init__(self, title: str, subtitle: str):
        self.title = title
        self._elements = [f"<h1>{escape(title)}</h1>\n<code>{escape(subtitle)}</code>"]

    def section(self, title: str) -> None:
        self._elements.append(f"<h2>{escape(title)}</h2>")

    def text(self, text: str) -> None:
        self._elements.append(f'<p class="small">{escape(text)}</p>')

    def cards(self, cards: Iterable[tuple[str, str, str]]) -> None:
        """Add cards with key figures, given as (name, value, note)."""
        content = "".join(
            f'<div class="card"><div class="name">{escape(name)}</div><div class="value">{escape(value)}</div>'
            f'<div class="note">{escape(note)}</div></div>'
            for name, value, note in cards
        )
        self._elements.append(f'<div class="cards">{content}</div>')

    def verdict(
        self, title: str, advice: Iterable[tuple[str, Any]], evidence: Mapping[str, str], alarms: bool = False
    ) -> None:
        advice_html = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(text))}</dd>" for name, text in advice if text)
        tables = _tables_html({"Evidence": evidence}) if evidence else ""
        self._elements.append(
            f'<div class="split"><div class="verdict{" alarm" if alarms else ""}"><p class="title">{escape(title)}</p>'
            f"<dl>{advice_html}</dl></div>{tables}</div>"
        )

    def pictures(self, images: Iterable[str]) -> None:
        self._elements.append(f'<div class="pictures">{"".join(images)}</div>')

    def tables(self, tables: Mapping[str, Mapping[str, str]]) -> None:
        """Add tables side by side. The keys are their captions."""
        self._elements.append(_tables_html(tables))

    def html(self) -> str:
        from .. import __version__

        when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        body = "\n".join(self._elements)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
            f"<footer>Written by fastmlp {escape(__version__)} on {when}.</footer>\n</body>\n</html>\n"
        )


def _tables_html(tables: Mapping[str, Mapping[str, str]]) -> str:
    row = lambda name, value: f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
    content = "".join(
        f"<table><caption>{escape(caption)}</caption>{''.join(row(*item) for item in rows.items())}</table>"
        for caption, rows in tables.items()
    )
    return f'<div class="tables">{content}</div>'


def as_svg(text: str, size: tuple[float, float], draw: Callable[..., Any], *arguments: Any, **keywords: Any) -> str:
    """Return an <img> element with the plot that `draw(*arguments, **keywords, ax=ax)` makes, embedded as SVG.

    text : alternative text for readers who cannot see the plot
    size : width and height in inches
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(*arguments, **keywords, ax=figure.add_subplot())
    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "fastmlp", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    width, height = size
    place = f'width="{round(80 * width)}" height="{round(80 * height)}" style="max-width:{round(115 * width)}px"'
    return f'<img {place} alt="{escape(text)}" src="data:image/svg+xml;base64,{data}">'
