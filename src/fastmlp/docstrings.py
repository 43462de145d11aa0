"""Docstrings of subclasses, completed with the parameters and attributes that their base class documents.

A setting that several classes share is documented once, in the base class. `help`, Jupyter and the reference show it in
each subclass.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TypeVar

T = TypeVar("T", bound=type)

WHOLE = ("Raises", "References")  # sections that are taken if the docstring has none
ORDER = ("Parameters", "Attributes", "Raises", "See Also", "Notes", "References", "Examples")  # numpydoc's


def with_entries_of(base: type) -> Callable[[T], T]:
    """Return a class decorator that completes a docstring in numpydoc's format from that of a base class.

    Parameters that the docstring lacks are added in the order of the signature, each with its default in the class.
    Attributes are added after its own. Sections Raises and References are taken if it has none.
    """

    def complete(cls: T) -> T:
        if cls.__doc__ is None or base.__doc__ is None:  # python -OO
            return cls
        sections, inherited = dict(_sections(cls.__doc__)), _sections(base.__doc__)
        parameters = _entries(inherited, "Parameters") | _entries(sections, "Parameters")
        sections["Parameters"] = "\n".join(_by_signature(cls, base, parameters))
        attributes = _entries(sections, "Attributes")
        sections["Attributes"] = "\n".join({**attributes, **_entries(inherited, "Attributes"), **attributes}.values())
        for name in WHOLE:
            if name in inherited:
                sections.setdefault(name, inherited[name])
        parts = [sections[""], *(f"{name}\n{'-' * len(name)}\n{sections[name]}" for name in ORDER if name in sections)]
        cls.__doc__ = "\n\n".join(parts) + "\n"
        return cls

    return complete


@cache  # the base class's is read for each subclass
def _sections(doc: str) -> Mapping[str, str]:
    """Return {title: text} of a docstring; the text before the first title has the title ""."""
    first, *rest = re.split(r"^(\w[\w ]*)\n-+\n", inspect.cleandoc(doc), flags=re.M)
    return {"": first.strip(), **{name: text.strip() for name, text in zip(rest[::2], rest[1::2], strict=True)}}


def _entries(sections: Mapping[str, str], name: str) -> dict[str, str]:
    """Return {name: text} of the entries of a section, each of which starts at the margin."""
    starts = re.split(r"^(?=\S)", sections.get(name, ""), flags=re.M)
    return {text.split(" : ")[0].strip(): text.rstrip() for text in starts if text.strip()}


def _by_signature(cls: type, base: type, entries: Mapping[str, str]) -> Iterator[str]:
    """Yield the entries of the parameters of a class, in their order, with the defaults of this class."""
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in entries:
            has_own_default = getattr(base, name, parameter.default) != parameter.default  # a dataclass's attribute
            own = f", default {parameter.default!r}"
            yield re.sub(r", default .*", own, entries[name], count=1) if has_own_default else entries[name]
