"""Operands of instructions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Register(NamedTuple):
    """A register of every thread: its place among the registers of a machine, and its bits (1 for a predicate)."""

    number: int
    bits: int


class Negated(NamedTuple):
    """The opposite of a predicate."""

    register: Register


class Constant(NamedTuple):
    """A number, of the type that the instruction reads."""

    value: np.generic


class Special(NamedTuple):
    """A register that the launch sets, such as %tid.x."""

    name: str


class DynamicShared(NamedTuple):
    """The address of the shared memory that a launch asks for."""


class Parameter(NamedTuple):
    """A parameter of the kernel."""

    name: str


class Address(NamedTuple):
    """[base + offset]"""

    base: Register | Constant | DynamicShared
    offset: int


class Vector(NamedTuple):
    """{a, b, ..}: registers of a vector access, halves of a register, or a fragment of a matrix; None for `_`."""

    elements: tuple


Operand = Register | Negated | Constant | Special | DynamicShared | Parameter | Address | Vector | None
