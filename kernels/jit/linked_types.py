"""Linked helpers and tables as Numba sees them: their types, and the calls of their functions by name.

A symbol, the name of a function in machine code, is made from the helper's name and the types of the arguments. It is
the same in every process, as are the pickled types that a link is compiled from.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, registry
from numba.core.imputils import lower_constant
from numba.core.typing.templates import signature
from numba.extending import models, register_model, typeof_impl

from .decorators import LANES_OF, LinkedHelper, LinkedTable
from .linker import Link, attribute

PREFIX = "fastmlp_linked_"  # of every symbol
RESULTS = {None: types.none, float: types.float64, int: types.int64, bool: types.boolean}
I32 = ir.IntType(32)
_links: dict[str, Link] = {}  # by symbol: all links that this process has compiled calls of
listeners: list[Callable[[Link], None]] = []  # called with each link of which a call is compiled


def links_of(names: Iterable[str]) -> tuple[Link, ...]:
    """Return the links among the names that an object file does not define."""
    return tuple(_links[name] for name in sorted(names) if name.startswith(PREFIX))


def result_of(returns: Any, kinds: Sequence[types.Type]) -> types.Type:
    """Return the type of what a linked function returns; kinds : types of its arguments, the lanes last"""
    if returns == LANES_OF:
        from ..simd.vector import Vector  # here: it needs this folder

        return Vector(kinds[0][0].dtype, int(kinds[-1].value))
    return RESULTS[returns]


class LinkedType(types.Callable, types.Opaque):
    """Numba type of a LinkedHelper or LinkedTable."""

    def __init__(self, helper: LinkedHelper | LinkedTable):
        assert attribute(helper.name) is helper, f"{helper.name} is to be linked, but is no attribute of its module"
        self.helper = helper
        super().__init__(f"Linked({helper.name})")

    def get_call_type(self, context, args, kws):
        function = inspect.signature(self.helper.py_func) if isinstance(self.helper, LinkedHelper) else None
        args = args if function is None else function.bind(*args, **kws).args
        kinds = tuple(map(types.unliteral, args))
        result = result_of(self.helper.returns, kinds[isinstance(self.helper, LinkedTable) :])
        return signature(result, *kinds).replace(pysig=function)

    def get_call_signatures(self):
        return (), True  # no fixed signatures, but for arguments of any types

    def get_impl_key(self, sig):
        """Return the key of the code that calls the helper with these types, and create the code if it is new."""
        is_table = isinstance(self.helper, LinkedTable)
        kinds = sig.args[1:] if is_table else sig.args
        text = ", ".join((self.helper.name, *map(_name_of, kinds))).encode()
        symbol = f"{PREFIX}{self.helper.name.rpartition('.')[2]}_{hashlib.sha256(text).hexdigest()[:32]}"
        if symbol not in _links:
            _links[symbol] = Link(symbol, self.helper.name, self.helper.codes if is_table else "", pickle.dumps(kinds))
            call = _call(symbol, sig.return_type, kinds, is_table)
            registry.cpu_target.target_context.insert_func_defn([(call, symbol, sig.args)])
        for tell in listeners:
            tell(_links[symbol])
        return symbol


register_model(LinkedType)(models.OpaqueModel)


@lower_constant(LinkedType)
def _constant(context, builder, kind, value):
    return context.get_dummy_value()


@typeof_impl.register(LinkedHelper)
@typeof_impl.register(LinkedTable)
def _typeof_linked(helper, context):
    return LinkedType(helper)


def _call(symbol, result, kinds, is_table):
    """Return Numba's implementation of a call: of the function with this name, or of a row of the table."""

    def implementation(context, builder, sig, args):
        function_type = context.call_conv.get_function_type(result, kinds)
        if is_table:
            array = ir.ArrayType(function_type.as_pointer(), 0)
            rows = _global(builder.module, array, symbol)
            function, args = builder.load(builder.gep(rows, [ir.Constant(I32, 0), args[0]])), args[1:]
        else:
            function = cgutils.get_or_insert_function(builder.module, function_type, symbol)
        _, value = context.call_conv.call_function(builder, function, result, kinds, args)  # kernels raise nothing
        return value

    implementation.signature = kinds
    implementation.libs = ()
    return implementation


def _global(module, kind, name):
    variable = module.globals.get(name)
    return ir.GlobalVariable(module, kind, name) if variable is None else variable


# ---- types, in a form that is the same in every process


def _name_of(kind: types.Type) -> str:
    if isinstance(kind, types.BaseNamedTuple):
        return f"{kind.instance_class.__qualname__}({', '.join(map(_name_of, kind))})"
    if isinstance(kind, types.CPointer):
        return f"{_name_of(kind.dtype)}*"
    assert not isinstance(kind, types.Callable), f"{kind} is an argument of a linked helper, which has no name for it"
    return str(kind)
