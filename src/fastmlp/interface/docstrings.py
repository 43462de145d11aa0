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

    Parameters that the docstring lacks are added in the order of the signature. Where a class has another default than
    its base, ", default ..." in the base's entry is replaced.
    Attributes are added after its own. Sections Raises and References are taken if it has none.
    """

    def complete(cls: T) -> T:
        if cls.__doc__ is not None and base.__doc__ is not None:  # python -OO removes docstrings
            cls.__doc__ = _Completed(cls.__doc__, base)  # type: ignore[assignment]
        return cls

    return complete


class _Completed:
    """A class's docstring that is completed when it is read: to do so on import takes longer than a short training."""

    def __init__(self, own: str, base: type):
        self._own, self._base = own, base
        self._whole: str | None = None

    def __get__(self, instance: object, cls: type) -> str:
        if self._whole is None:
            self._whole = _completed(self._own, cls, self._base)
        return self._whole


def _completed(own: str, cls: type, base: type) -> str:
    sections, inherited = dict(_sections(own)), _sections(base.__doc__ or "")
    parameters = _entries(inherited, "Parameters") | _entries(sections, "Parameters")
    sections["Parameters"] = "\n".join(_by_signature(cls, base, parameters))
    attributes = _entries(sections, "Attributes")  # come first below, and with their own text
    sections["Attributes"] = "\n".join({**attributes, **_entries(inherited, "Attributes"), **attributes}.values())
    for name in WHOLE:
        if name in inherited:
            sections.setdefault(name, inherited[name])
    parts = [sections[""], *(f"{name}\n{'-' * len(name)}\n{sections[name]}" for name in ORDER if name in sections)]
    return "\n\n".join(parts) + "\n"


@cache  # the base class's is read for each subclass
def _sections(doc: str) -> Mapping[str, str]:
    """Return {title: text} of a docstring; the text before the first title has the title ""."""
    first, *rest = re.split(r"^(\w[\w ]*)\n-+\n", inspect.cleandoc(doc), flags=re.M)
    return {"": first.strip(), **{name: text.strip() for name, text in zip(rest[::2], rest[1::2], strict=True)}}


def _entries(sections: Mapping[str, str], name: str) -> dict[str, str]:
    """Return {name: text} of the entries of a section, each of which starts at the margin."""
    starts = re.split(r"^(?=\S)", sections.get(name, ""), flags=re.M)
    return {text.split(" : ")[0].strip(): text.rstrip() for text in starts if text.strip()}


def entries_of(doc: str) -> dict[str, str]:
    """Return {name: text} of the parameters in a docstring."""
    return _entries(_sections(doc), "Parameters")


def _by_signature(cls: type, base: type, entries: Mapping[str, str]) -> Iterator[str]:
    """Yield the entries of the parameters of a class, in their order, with the defaults of this class."""
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in entries:
            has_own_default = getattr(base, name, parameter.default) != parameter.default  # a dataclass's attribute
            own = f", default {parameter.default!r}"
            yield re.sub(r", default .*", own, entries[name], count=1) if has_own_default else entries[name]
