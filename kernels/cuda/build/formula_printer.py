"""Prints the scalar formulas of the tables as CUDA C++, so that each formula has one definition.

    formulas()                  a header: the functions of every table row, and selectors over the tables
    statements(...)             the unrolled program of a tiny net, as statements in which every number is a local
    unrolled_source(...)        the unrolled program as a function over small arrays, which stay in registers

The printer walks over the syntax tree of a formula's Python source. The grammar is that of formulas: assignments and
one return at the end, + - * /, comparisons within `where`, calls of functions in CALLS, fields of StepSettings, numbers
and module constants; for the random numbers also `for _ in range(n)`, & ^ >> and np.uint64. Anything else is refused.
Numbers become T(...), so that float stays float.
"""

from __future__ import annotations

import ast
import inspect
import operator
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np

from ... import structs
from ...formulas import counter_rng
from ...formulas.activations import ACTIVATIONS
from ...formulas.losses import LOSSES
from ...formulas.unrolled_program import DIFFERENCE, PRODUCT, SUM, Operand, program
from ...formulas.update_rules import HUGE_SCALE, MOST_STATE, RULES, StepSettings
from ...simd import elementary, vector
from ...system.fork_lock import FORK_LOCK
from .structs import POSITIONS

CALLS = {
    getattr(module, name): f"elementary::{name}"
    for module, names in (
        (elementary, "exp expm1 log log1p sigmoid softplus tanh normal_density normal_cdf"),
        (vector, "where sqrt absolute ratio multiply_add"),
    )
    for name in names.split()
}
ARITHMETIC = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
}
BITS = {ast.BitAnd: "&", ast.BitXor: "^", ast.RShift: ">>"}
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
INLINE = "__device__ __forceinline__"
HEAD = f"template <typename T>\n{INLINE}"
UINT64 = "unsigned long long"  # the C++ type of NumPy's uint64
NET_STATUSES = ("RUNNING", "CONVERGED", "ALL_EPOCHS", "STOPPED_EARLY", "DIVERGED_NET")
CONSTANTS = {
    **{
        f"{prefix}_{row.name.upper()}": code
        for prefix, table in (("ACTIVATION", ACTIVATIONS), ("LOSS", LOSSES), ("RULE", RULES))
        for code, row in enumerate(table)
    },
    **{f"HYPER_{name.upper()}": place for place, name in enumerate(structs.NET_HYPER)},
    **{
        name: value
        for name, value in vars(structs).items()
        if isinstance(value, int) and (name.startswith(("METRIC_", "MONITOR_")) or name in NET_STATUSES)
    },
    "SHUFFLE": counter_rng.SHUFFLE,
    "DROPOUT": counter_rng.DROPOUT,
    "MOST_STATE": MOST_STATE,
    **POSITIONS,
}


class OutsideGrammar(ValueError):
    """A formula uses an expression that cannot be printed."""


class _Printer:
    """Printer of one function's body, with numbers of one C++ type."""

    def __init__(self, function: Callable, kind: str = "T"):
        self.function, self.kind = function, kind
        self.names = list(inspect.signature(function).parameters)
        with FORK_LOCK:  # two threads in ast.parse can cause a SystemError (CPython issue 106905)
            text = getattr(function, "source", "") or textwrap.dedent(inspect.getsource(function))
            [tree] = ast.parse(text).body
        assert isinstance(tree, ast.FunctionDef)
        *self.steps, self.end = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
        assigned = [
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
        self.locals = [name for name in dict.fromkeys(assigned) if name not in (*self.names, "_")]

    def body(self, n_returned: int, hand_out: Callable[[list[str]], list[str]]) -> list[str]:
        """Return the statements of the body.

        n_returned : number of values that the formula returns
        hand_out : function of the values' C++ expressions that returns the last statements
        """
        lines = [f"{self.kind} {', '.join(self.locals)};"] if self.locals else []
        for step in self.steps:
            lines += self.statement(step)
        if not isinstance(self.end, ast.Return) or self.end.value is None:
            raise self.refusal(self.end)
        values = self.end.value.elts if isinstance(self.end.value, ast.Tuple) else [self.end.value]
        if len(values) != n_returned:
            raise self.refusal(self.end)
        return lines + hand_out([self.text(value) for value in values])

    def refusal(self, node: ast.AST) -> OutsideGrammar:
        return OutsideGrammar(
            f"{self.function.__name__}: `{ast.unparse(node)}` cannot be printed as CUDA C++. A formula is assignments "
            "and one return at the end, of + - * /, where(comparison, a, b), functions of kernels.simd "
            "and finite constants; write it in these terms or extend cuda/build/formula_printer.py."
        )

    def statement(self, node: ast.stmt) -> list[str]:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return [f"{name} = {self.text(value)};"]
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                names = [self.text(target) for target in targets]
                return assign_together(self.kind, names, [self.text(value) for value in values])
            case ast.For(
                target=ast.Name(id="_"),
                body=body,
                orelse=[],
                iter=ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=int(count))]),
            ):
                inside = [line for step in body for line in self.statement(step)]
                return [f"for (int step = 0; step < {count}; ++step) {{", *[f"  {line}" for line in inside], "}"]
        raise self.refusal(node)

    def text(self, node: ast.expr) -> str:
        return self.text_of(self.expression(node), node)

    def text_of(self, value: Any, node: ast.expr) -> str:
        """Return the C++ text of what `expression` has returned for a node."""
        if isinstance(value, str):
            return value
        if self.kind == UINT64:
            return f"{int(value):#x}ull"
        if not isfinite(value):
            raise self.refusal(node)
        return f"T({float(value)!r})"

    def expression(self, node: ast.expr) -> Any:
        """Return C++ text, or a number if the value is known: constants are folded in float64, as Python does."""
        match node:
            case ast.Constant(value=float() | int() as value) if not isinstance(value, bool):
                return value
            case ast.Name(id=name) if name in self.names or name in self.locals:
                return name
            case ast.Attribute(value=ast.Name(id=name), attr=field) if name in self.names:
                if field not in StepSettings._fields:
                    raise self.refusal(node)
                return f"{name}.{field}"
            case ast.Name() | ast.Attribute():
                value = self.known(node)
                if isinstance(value, bool) or not isinstance(value, (float, int, np.uint64)):
                    raise self.refusal(node)
                return value if isinstance(value, float) else int(value)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self.expression(operand)
                return f"(-{value})" if isinstance(value, str) else -value
            case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC:
                symbol, compute = ARITHMETIC[type(op)]
                a, b = self.expression(left), self.expression(right)
                if not isinstance(a, str) and not isinstance(b, str):
                    return compute(a, b)
                return f"({self.text_of(a, left)} {symbol} {self.text_of(b, right)})"
            case ast.BinOp(op=op, left=left, right=right) if type(op) in BITS and self.kind == UINT64:
                return f"({self.text(left)} {BITS[type(op)]} {self.text(right)})"
            case ast.Call(func=func, args=[argument], keywords=[]) if self.known(func) is np.uint64:
                return f"({UINT64})({self.text(argument)})"
            case ast.Call(func=func, args=[mask, a, b], keywords=[]) if self.known(func) is vector.where:
                return f"{CALLS[vector.where]}({self.comparison(mask)}, {self.text(a)}, {self.text(b)})"
            case ast.Call(func=func, args=several, keywords=[]) if self.known(func) in CALLS:
                return f"{CALLS[self.known(func)]}({', '.join(map(self.text, several))})"
        raise self.refusal(node)

    def comparison(self, node: ast.expr) -> str:
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
                return f"{self.text(left)} {COMPARISONS[type(op)]} {self.text(right)}"
        raise self.refusal(node)

    def known(self, node: ast.expr) -> Any:
        """Return the value of a name in the formula's module or in a module it imports; None where there is none."""
        match node:
            case ast.Name(id=name) if name not in self.names:
                return self.function.__globals__.get(name)
            case ast.Attribute(value=value, attr=name) if inspect.ismodule(self.known(value)):
                return getattr(self.known(value), name, None)
        return None


def assign_together(kind: str, names: Sequence[str], values: Sequence[str]) -> list[str]:
    """Return statements for Python's `a, b = x, y`: values are computed first; unchanged names are left out."""
    moved = [(name, value) for name, value in zip(names, values, strict=True) if name != value]
    if len(moved) < 2:
        return [f"{name} = {value};" for name, value in moved]
    first = [f"  const {kind} new_{name} = {value};" for name, value in moved]
    return ["{", *first, *[f"  {name} = new_{name};" for name, _ in moved], "}"]


def function(formula: Callable, name: str) -> str:
    """Return the C++ function of a formula that takes numbers and returns one number."""
    printer = _Printer(formula)
    body = printer.body(1, lambda values: [f"return {values[0]};"])
    return _function(f"{HEAD} T {name}({', '.join(f'T {name}' for name in printer.names)})", body)


def rule(formula: Callable, name: str) -> str:
    """Return the C++ function of an update rule, which changes the parameter and its state in place."""
    printer = _Printer(formula)
    p, g, *state, h = printer.names
    body = printer.body(1 + len(state), lambda values: assign_together("T", [p, *state], values))
    parameters = [f"T& {p}", f"T {g}", *[f"T& {name}" for name in state], f"const Settings<T>& {h}"]
    return _function(f"{HEAD} void {name}({', '.join(parameters)})", body)


def settings() -> str:
    """Return struct Settings, the values that rules read, and given_settings(hyper), which reads those of a net.

    hyper : (len(NET_HYPER),), in float64. The fields in STEP_VALUES change from step to step: the caller sets them,
    also the learning rate, which is here without its schedule.
    """
    struct = f"template <typename T>\nstruct Settings {{\n  T {', '.join(StepSettings._fields)};\n}};\n\n"
    lines = [f"h.{name} = T(hyper[HYPER_{name.upper()}]);" for name in structs.HYPER if name in StepSettings._fields]
    head = f"{HEAD} Settings<T> given_settings(const double* hyper)"
    return struct + _function(head, ["Settings<T> h;", *lines, "return h;"])


def update_with_state() -> str:
    """Return the C++ function of a step of one parameter, which writes its new value to *p and its state.

    State value k is state[k * stride], for k < N.
    """
    names = [f"s{k}" for k in range(MOST_STATE)]
    lines = [f"T {name} = N > {k} ? state[{k} * stride] : T(0);" for k, name in enumerate(names)]
    lines += [f"apply_rule(code, value, g, {', '.join(names)}, h);", "*p = value;"]
    lines += [f"if (N > {k}) state[{k} * stride] = {name};" for k, name in enumerate(names)]
    parameters = "int code, T value, T g, T* p, T* state, int stride, const Settings<T>& h"
    return _function(f"template <int N, typename T>\n{INLINE} void update_with_state({parameters})", lines)


def _function(head: str, body: Sequence[str]) -> str:
    return "\n".join([f"{head} {{", *[f"  {line}" for line in body], "}"])


def selector(name: str, kind: str, functions: Mapping[int, str], parameters: str) -> str:
    """Return a C++ function with a switch over {code: function}; for a code known at compile time, it disappears."""
    names = ", ".join(parameter.split()[-1] for parameter in parameters.split(", "))
    lines = [
        f"{'default' if code == [*functions][-1] else f'case {code}'}: return {called}({names});"
        for code, called in functions.items()
    ]
    return _function(f"{HEAD} {kind} {name}(int code, {parameters})", ["switch (code) {", *lines, "}"])


def philox() -> str:
    printer = _Printer(counter_rng.philox.py_func, UINT64)
    body = printer.body(4, lambda values: [f"return {{{', '.join(f'(unsigned int)({value})' for value in values)}}};"])
    parameters = ", ".join(f"{UINT64} {name}" for name in printer.names)
    words = "struct Words {\n  unsigned int x, y, z, w;\n};\n\n"
    return words + _function(f"{INLINE} Words philox({parameters})", body)


@lru_cache(maxsize=16)
def formulas(own_activations: tuple[int, ...] = (), own_losses: tuple[int, ...] = ()) -> str:
    """Return the C++ functions of all formulas in the tables; include/elementary.cuh must come before them.

    own_activations, own_losses : codes of the own formulas that are printed, too: those of the net
    """
    activations = dict(enumerate(ACTIVATIONS)) | {code: ACTIVATIONS[code] for code in own_activations}
    losses = dict(enumerate(LOSSES)) | {code: LOSSES[code] for code in own_losses}
    parts = ["// Printed by kernels/cuda/build/formula_printer.py from the Python formulas."]
    parts += ["\n".join(f"constexpr int {name} = {value};" for name, value in CONSTANTS.items())]
    parts += [f"{INLINE} double huge_scale() {{ return {HUGE_SCALE!r}; }}"]
    parts += [settings()]
    for a in activations.values():
        parts += [function(a.value, f"value_{a.symbol}"), function(a.derivative, f"derivative_{a.symbol}")]
    for loss in losses.values():
        parts += [function(loss.value, f"loss_{loss.symbol}"), function(loss.delta, f"delta_{loss.symbol}")]
    parts += [rule(row.update, f"rule_{row.name}") for row in RULES]
    names = lambda prefix, table: {code: f"{prefix}_{row.symbol}" for code, row in table.items()}
    state = ", ".join(f"T& s{k}" for k in range(MOST_STATE))
    parts += [
        selector("activation_value", "T", names("value", activations), "T z"),
        selector("activation_derivative", "T", names("derivative", activations), "T stored"),
        selector("loss_value", "T", names("loss", losses), "T z, T a, T y, T c"),
        selector("loss_delta", "T", names("delta", losses), "T a, T y, T c"),
        selector(
            "apply_rule",
            "void",
            {code: f"rule_{row.name}" for code, row in enumerate(RULES)},
            f"T& p, T g, {state}, const Settings<T>& h",
        ),
        update_with_state(),
        philox(),
    ]
    return "\n\n".join(parts) + "\n"


def statements(layer_sizes: Sequence[int], activations: Sequence[int], loss: int) -> list[str]:
    """Return the unrolled program of one net and one sample, as C++ statements.

    The caller declares the variables p<i>, g<i>, x<i>, y<i>, w and c, to which formulas/unrolled_program.py gives their
    meaning; gradients are added to g<i>. The statements declare all other variables, each where it is first assigned.
    """
    functions = {name: f"elementary::{name}" for name in ("exp", "log", "inverse", "if_larger")}
    functions["loss_delta"] = f"delta_{LOSSES[loss].symbol}"
    declared, lines = set(), []
    for target, value in program(layer_sizes, activations, loss):
        is_new = target[0] != "g" and target not in declared
        declared.add(target)
        lines.append(f"{'T ' if is_new else ''}{target} = {expression(value, functions)};")
    return lines


def expression(operand: Operand, functions: Mapping[str, str]) -> str:
    """Return a variable or an operation of an unrolled program as a C++ expression.

    functions : {name in the program: C++ name} of functions that have another name in C++
    """
    if isinstance(operand, str):
        return operand
    # no parentheses: only sums have operations as operands, and these are products and calls (Operation)
    operands = [expression(x, functions) for x in operand.operands]
    if operand.name in (SUM, DIFFERENCE, PRODUCT):
        return f" {operand.name} ".join(operands)
    return f"{functions.get(operand.name, operand.name)}({', '.join(operands)})"


def unrolled_source(layer_sizes: Sequence[int], activations: Sequence[int], loss: int) -> str:
    """Return the C++ function gradient_unrolled(p, g, x, y, w, c, a) over arrays that are the caller's locals.

    It adds to the gradients g, writes the outputs a, and returns the loss without the weight w.
    """
    n_params, top = sum((i + 1) * j for i, j in pairwise(layer_sizes)), len(activations) - 1
    n_in, n_out = layer_sizes[0], layer_sizes[-1]
    lines = statements(layer_sizes, activations, loss)
    losses = [f"loss_{LOSSES[loss].symbol}(z{top}_{j}, a{top}_{j}, y{j}, c)" for j in range(n_out)]
    lines += [f"a[{j}] = a{top}_{j};" for j in range(n_out)] + [f"return {' + '.join(losses)};"]
    lines = [re.sub(r"\b([pgxy])(\d+)\b", r"\1[\2]", line) for line in lines]
    arrays = {"const T (&p)": n_params, "T (&g)": n_params, "const T (&x)": n_in, "const T (&y)": n_out}
    parameters = [f"{name}[{size}]" for name, size in arrays.items()] + ["T w", "T c", f"T (&a)[{n_out}]"]
    return _function(f"{HEAD} T gradient_unrolled({', '.join(parameters)})", lines)
