"""Parser of PTX text, as far as NVRTC prints it for the kernels of this project."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from .arithmetic import COMPUTES
from .program import (
    PREDICATE,
    TYPES,
    U32,
    U64,
    Address,
    Constant,
    DynamicShared,
    Instruction,
    Kernel,
    Negated,
    Operand,
    Parameter,
    PtxError,
    Register,
    Special,
    Type,
    Vector,
)

ENTRY = re.compile(r"\.entry\s+(\w+)\s*\((.*?)\)\s*((?:\.\w+[^\n{]*\n?)*)\s*\{\n(.*?)\n\}", re.S)
SHARED = re.compile(r"\.shared\s+\.align\s+(\d+)\s+\.(\w+)\s+(\w+)\[(\d+)\]")
DYNAMIC = re.compile(r"\.extern\s+\.shared\s+\.align\s+\d+\s+\.b8\s+(\w+)\[\]")
LABEL = re.compile(r"([$A-Za-z_][$\w]*):\s*")
GUARD = re.compile(r"@(!?)(%\w+)\s+(.*)", re.S)
REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+(.*)", re.S)
RANGE = re.compile(r"(%\w+?)<(\d+)>")
ADDRESS = re.compile(r"([%$\w.]+?)(?:\s*\+\s*(-?\w+))?")
IGNORED = (".pragma", ".loc", ".file")
SPECIAL = {"%tid", "%ntid", "%ctaid", "%nctaid", "%laneid"}
# Opcodes of the machine itself, and of memory and warps: types of the sources that are read as they are.
OTHERS = {
    **dict.fromkeys(("ld", "st", "atom", "bra", "ret", "bar", "membar"), ()),
    "shfl": ("type", "u32", "u32", "u32"),
}


def parse(text: str) -> dict[str, Kernel]:
    """Return the kernels of a PTX module by their names."""
    text = re.sub(r"//[^\n]*", "", text)
    outside = re.sub(r"\n\{.*?\n\}", "", text, flags=re.S)
    shared, dynamic = SHARED.findall(outside), DYNAMIC.findall(outside)
    return {found[1]: _KernelParser(found, shared, dynamic).kernel() for found in ENTRY.finditer(text)}


def _split(text: str) -> list[str]:
    """Split operands at commas that are outside of braces and brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "{[") - (letter in "}]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


class _KernelParser:
    def __init__(self, entry: re.Match, shared: list[tuple[str, ...]], dynamic: list[str]):
        self.name, self._body = entry[1], entry[4]
        self._parameters = tuple(self._parameter(part) for part in entry[2].split(",") if part.strip())
        self._ranges: dict[str, int] = {}  # first part of a register's name -> bits
        self._registers: dict[str, Register] = {}
        self._bits: list[int] = []
        self._shared: dict[str, int] = {}
        self._dynamic, self._shared_bytes = set(dynamic), 0
        for found in shared:
            if re.search(rf"\b{found[2]}\b", self._body):
                self._declare_shared(*found)

    @staticmethod
    def _parameter(text: str) -> tuple[str, Type]:
        words = text.split()
        return words[-1], TYPES[words[1].lstrip(".")]

    def kernel(self) -> Kernel:
        labels: dict[str, int] = {}
        lines: list[tuple[Instruction, str]] = []
        for statement in self._statements(labels, lines):
            lines.append(self._instruction(statement))
        code = [i._replace(target=labels[label]) if label else i for i, label in lines]
        return Kernel(self.name, self._parameters, tuple(code), tuple(self._bits), self._shared_bytes)

    # ---- statements

    def _statements(self, labels: dict[str, int], lines: list) -> Iterator[str]:
        """Yield instructions; take note of labels and declarations."""
        for part in self._body.split(";"):
            statement = part.strip()
            while statement:
                if found := LABEL.match(statement):
                    labels[found[1]] = len(lines)
                    statement = statement[found.end() :].strip()
                elif statement[0] in "{}":  # a scope
                    statement = statement[1:].strip()
                else:
                    break
            if statement.startswith("."):
                self._declare(statement)
            elif statement:
                yield statement

    def _declare(self, statement: str) -> None:
        if found := REGISTERS.match(statement):
            bits = TYPES[found[1]].bits
            for name in map(str.strip, found[2].split(",")):
                if several := RANGE.fullmatch(name):
                    self._ranges[several[1]] = bits
                else:
                    self._registers[name] = self._new_register(bits)  # of this scope, like those of earlier ones
        elif found := SHARED.match(statement):
            self._declare_shared(*found.groups())
        elif not statement.startswith(IGNORED):
            raise PtxError(f"{self.name}: unknown directive {statement[:80]!r}")

    def _declare_shared(self, alignment: str, kind: str, name: str, length: str) -> None:
        start = -(-self._shared_bytes // int(alignment)) * int(alignment)
        self._shared[name], self._shared_bytes = start, start + int(length) * TYPES[kind].size

    def _new_register(self, bits: int) -> Register:
        self._bits.append(bits)
        return Register(len(self._bits) - 1, bits)

    # ---- instructions

    def _instruction(self, statement: str) -> tuple[Instruction, str]:
        """Return an instruction, and the label that it branches to."""
        guard = None
        if found := GUARD.match(statement):
            register = self._register(found[2])
            guard, statement = Negated(register) if found[1] else register, found[3].strip()
        word, _, rest = statement.replace("\t", " ").partition(" ")
        opcode, *modifiers = word.split(".")
        operands = _split(rest)
        types = tuple(TYPES[name] for name in modifiers if name in TYPES)
        kind = types[-1] if types else U32
        if opcode == "bra":
            return Instruction(opcode, tuple(modifiers), kind, types, None, (), (), guard, -1, statement), operands[0]
        if opcode not in COMPUTES and opcode not in OTHERS:
            raise PtxError(f"{self.name}: the interpreter has no opcode {word!r}")
        names = COMPUTES[opcode][1] if opcode in COMPUTES else OTHERS[opcode]
        reads = self._types_of(opcode, names, modifiers, types, len(operands))
        has_result = opcode not in ("st", "red", "bar", "barrier", "membar", "fence", "trap", "ret", "exit")
        destination = self._operand(operands[0], self._result_type(opcode, types)) if has_result else None
        sources = tuple(map(self._operand, operands[has_result:], reads))
        kept = tuple(modifiers)
        return Instruction(opcode, kept, kind, types, destination, sources, reads, guard, -1, statement), ""

    @staticmethod
    def _result_type(opcode: str, types: tuple[Type, ...]) -> Type:
        return types[0] if types else U32

    @staticmethod
    def _types_of(opcode: str, names: tuple[str, ...], modifiers: list[str], types: tuple[Type, ...], n: int):
        """Return the type of each source."""
        if not names:
            return (types[-1] if types else U32,) * n
        own = {"type": types[-1] if types else U32, "from": types[-1] if types else U32}
        own["wide"] = own["type"].widened() if "wide" in modifiers else own["type"]
        return tuple(own.get(name) or TYPES[name] for name in names)

    def _register(self, name: str) -> Register:
        if name not in self._registers:
            prefix = name.rstrip("0123456789")
            if prefix not in self._ranges:
                raise PtxError(f"{self.name}: {name} is not declared")
            self._registers[name] = self._new_register(self._ranges[prefix])
        return self._registers[name]

    def _operand(self, text: str, kind: Type) -> Operand:
        if text == "_":
            return None
        if text[0] == "{":
            return Vector(tuple(self._operand(part, kind) for part in _split(text[1:-1])))
        if text[0] == "[":
            return self._address(text[1:-1].strip())
        if "|" in text:
            return Vector(tuple(self._operand(part.strip(), kind) for part in text.split("|")))
        if text[0] == "!":
            return Negated(self._register(text[1:]))
        if text in self._registers:
            return self._registers[text]
        if text[0] == "%":
            return Special(text) if text.partition(".")[0] in SPECIAL else self._register(text)
        if text in self._dynamic:
            return DynamicShared()
        if text in self._shared:
            return Constant(kind.raw.type(self._shared[text]))
        return Constant(_number(text, kind))

    def _address(self, text: str) -> Address | Parameter:
        if text in dict(self._parameters):
            return Parameter(text)
        found = ADDRESS.fullmatch(text)
        if found is None:
            raise PtxError(f"{self.name}: unknown address {text!r}")
        base = self._operand(found[1], U64)
        assert isinstance(base, (Register, Constant, DynamicShared))
        return Address(base, int(found[2], 0) if found[2] else 0)


def _number(text: str, kind: Type) -> np.generic:
    """Return a literal, as a NumPy scalar of the type that it is read as."""
    if text[:2].lower() in ("0f", "0d"):
        bits = np.uint32(int(text[2:], 16)) if text[1] in "fF" else np.uint64(int(text[2:], 16))
        return bits.view(kind.dtype)
    value = int(text.rstrip("U"), 0)
    if kind == PREDICATE:
        return np.bool_(value)
    return kind.raw.type(value & ((1 << kind.bits) - 1)).view(kind.dtype)
