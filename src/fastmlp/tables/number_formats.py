"""Texts that are numbers to a reader, not to a program: with %, a currency, separators of thousands, a decimal comma.

They are not read as numbers, since "1,234" is another number in Berlin than in Boston; a note says how to convert them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .cells import MAX_BAD_FRACTION, MISSING_TEXTS, NUMBER

SIGNS = "$€£¥%"
CURRENCIES = "USD", "EUR", "GBP", "CHF", "JPY"
SEPARATORS = ",'_ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
THOUSANDS = re.compile(rf"[-+]?\d{{1,3}}([{SEPARATORS}])\d{{3}}(\1\d{{3}})*(\.\d*)?")
DECIMAL_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+")
SIGN = re.compile(rf"[{SIGNS}]|\b({'|'.join(CURRENCIES)})\b")


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
        found = [text for text, number in bare.items() if NUMBER.fullmatch(number) or pattern.fullmatch(number)]
        if found and len(bare) - len(found) <= MAX_BAD_FRACTION * len(texts):
            break
    else:
        return ""
    column = f"table[{name!r}].str"
    if pattern is DECIMAL_COMMA:
        what, call = "a decimal comma", f"{column}.replace('.', '', regex=False).str.replace(',', '.', regex=False)"
    else:
        used = {sign for text in found for sign in text if sign in SIGNS}
        used |= {character for text in found for character in bare[text] if character in SEPARATORS}
        characters = "".join(sorted(used))
        codes = sorted({code for text in found for code in CURRENCIES if code in text})
        removed = "|".join([f"[{characters}]"] * bool(characters) + codes)
        what, call = " and ".join(map(repr, [*characters, *codes])), f"{column}.replace({removed!r}, '', regex=True)"
    return (
        f"its texts look like numbers with {what}, such as {found[0]!r}: to use them as numbers, convert them, in "
        f"pandas by pandas.to_numeric({call})"
    )
