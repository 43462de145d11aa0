"""Texts that are numbers or dates to a reader, not to a program: "12.5 EUR", "1,234", 31.12.2020.

They are not read as numbers, since "1,234" is another number in Berlin than in Boston; a note says how to convert them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .cells import MAX_BAD_FRACTION, MISSING_TEXTS, NUMBER

ISO_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T]\d\d:\d\d.*)?", re.ASCII)
DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T].*)?|\d\d?[./]\d\d?[./](\d{4}|\d\d)([ ].*)?", re.ASCII)
SIGNS = "$€£¥%"
CURRENCIES = "USD", "EUR", "GBP", "CHF", "JPY"
SEPARATORS = ",'_ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
THOUSANDS = re.compile(rf"[-+]?\d{{1,3}}([{SEPARATORS}])\d{{3}}(\1\d{{3}})*(\.\d*)?")
DECIMAL_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+")
SHORT = re.compile(r"[-+]?\d{1,3}", re.ASCII)
GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}([.,])\d{3}(\1\d{3})*", re.ASCII)
SIGN = re.compile(rf"[{SIGNS}]|\b({'|'.join(CURRENCIES)})\b")


def mark_of_thousands(texts: Iterable[str]) -> str:
    """Return the mark, "." or ",", of texts that may be whole numbers with separators of thousands; "" for others.

    Some of them have no mark and up to three digits, and all others a mark before each group of three digits: 2.390
    beside 754 may be 2390, or 2.39. Texts without a digit are not looked at.

    >>> mark_of_thousands(["754", "2.390", "12.000", "none"]), mark_of_thousands(["754", "2.39"])
    ('.', '')
    """
    marks, has_short = set(), False
    for text in map(str.strip, texts):
        if SHORT.fullmatch(text):
            has_short = True
        elif match := GROUPED.fullmatch(text):
            marks.add(match[1])
        elif any(map(str.isdigit, text)):
            return ""
    return marks.pop() if has_short and len(marks) == 1 else ""


def thousands_of(texts: Iterable[str]) -> str:
    """Return the end of a sentence on a column as of mark_of_thousands, and how to say what is meant; "" for others.

    texts : its distinct texts

    >>> thousands_of(["754", "2.390"]).partition(":")[0]
    "each '.' in its texts stands before three digits, so that '2.390' may be 2390 or 2.390"
    """
    texts = list(texts)
    if not (mark := mark_of_thousands(texts)):
        return ""
    example = min((text for text in texts if mark in text), key=lambda text: text.count(mark))
    meant = " or ".join(example.replace(mark, other) for other in ("", ".") if not other or example.count(mark) == 1)
    return (
        f"each {mark!r} in its texts stands before three digits, so that {example!r} may be {meant}: to use them as "
        f"numbers, write them without {mark!r}, or pass a table that pandas.read_csv has read with thousands={mark!r}, "
        f"or with decimal={mark!r}"
    )


def dates_of(name: str) -> str:
    """Return how to convert a column of texts like 31.12.2020, whose order of day and month nobody knows."""
    call = f"pandas.to_datetime(table[{name!r}], dayfirst=True)"
    return f"write them like 2020-12-31, or convert them, in pandas by {call}, with dayfirst=False if months are first"


def conversion_of(name: str, texts: Iterable[str]) -> str:
    """Return the end of a sentence on a column whose texts look like numbers, and how to convert them; "" for others.

    name : name of the column
    texts : its distinct texts

    >>> conversion_of("share", ["42%", "7.5%", "?"])
    "its texts look like numbers with '%', such as '42%': to use them as numbers, convert them, in pandas by \
pandas.to_numeric(table['share'].str.replace('[%]', '', regex=True))"
    >>> conversion_of("price", ["12.5 EUR", "7 EUR"]).partition("pandas by ")[2]
    "pandas.to_numeric(table['price'].str.replace('EUR', '', regex=True))"
    >>> conversion_of("size", ["S", "M", "7%"])
    ''
    """
    texts = [text for text in map(str.strip, texts) if text.lower() not in MISSING_TEXTS]
    bare = {text: SIGN.sub("", text, count=2).strip() for text in texts if not NUMBER.fullmatch(text)}
    for pattern in (THOUSANDS, DECIMAL_COMMA):
        alike = [text for text, number in bare.items() if NUMBER.fullmatch(number) or pattern.fullmatch(number)]
        if alike and len(bare) - len(alike) <= MAX_BAD_FRACTION * len(texts):
            break
    else:
        return ""
    used = {sign for text in alike for sign in text if sign in SIGNS}
    used |= {character for text in alike for character in bare[text] if character in SEPARATORS}
    used -= {","} if pattern is DECIMAL_COMMA else set()
    characters = "".join(sorted(used))
    codes = sorted({code for text in alike for code in CURRENCIES if code in text})
    removed = "|".join([f"[{characters}]"] * bool(characters) + codes)
    what, call = " and ".join(map(repr, [*characters, *codes])), f"table[{name!r}]"
    if removed:
        call += f".str.replace({removed!r}, '', regex=True)"
    if pattern is DECIMAL_COMMA:
        what = f"{what} and a decimal comma" if removed else "a decimal comma"
        call += ".str.replace('.', '', regex=False).str.replace(',', '.', regex=False)"
    return (
        f"its texts look like numbers with {what}, such as {alike[0]!r}: to use them as numbers, convert them, in "
        f"pandas by pandas.to_numeric({call})"
    )
