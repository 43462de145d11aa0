"""Intrinsics: functions of kernels that are written as the LLVM instructions which they emit.

    @emits(lambda v: v)                     from the Numba types of the arguments to that of the result
    def negative(emit, v):
        return emit.builder.fneg(v)         from LLVM values to an LLVM value

Also here: structs by reference. A named tuple by value is an argument for each of its fields, and the structs of
kernels have up to forty; linked functions take its address instead, as functions of C do.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


class Emit(NamedTuple):
    """What an intrinsic is emitted with."""

    context: Any  # Numba's target context
    builder: ir.IRBuilder
    kinds: tuple[types.Type, ...]  # of the arguments
    result: types.Type

    def call(self, name: str, result: ir.Type, *arguments: Any, **options: Any) -> Any:
        """Emit a call of an LLVM intrinsic or a C function, and return its result."""
        kind = ir.FunctionType(result, [x.type for x in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments, **options)


def nothing(*kinds: types.Type) -> types.Type:
    """Return the type of the result of an intrinsic that returns nothing."""
    return types.none


def emits(result: Callable, prefer_literal: bool = False) -> Callable:
    """Return a decorator that makes an intrinsic of a function (emit, *LLVM values) -> LLVM value.

    result : called with the Numba types of the arguments; returns that of the result, or None for arguments that the
        intrinsic does not take. Integers and Lanes are converted to int64 first, but for a parameter `lanes`
    prefer_literal : as of numba.extending.intrinsic
    """

    def decorate(function: Callable) -> Any:
        names = list(signature(function).parameters)[1:]

        def define(typing_context, *kinds):
            returned = result(*kinds)
            if returned is None:
                return None
            is_number = lambda name, kind: (
                name != "lanes" and getattr(kind, "is_number", isinstance(kind, types.Integer))
            )
            kinds = [types.intp if is_number(*each) else each[1] for each in zip(names, kinds, strict=True)]

            def build(context, builder, sig, args):
                value = function(Emit(context, builder, sig.args, returned), *args)
                return context.get_dummy_value() if value is None else value

            return returned(*kinds), build

        kind = Parameter.POSITIONAL_OR_KEYWORD
        define.__signature__ = Signature([Parameter(name, kind) for name in ("typing_context", *names)])
        define.__name__, define.__qualname__ = function.__name__, function.__qualname__
        define.__module__, define.__doc__ = function.__module__, function.__doc__
        return intrinsic(prefer_literal=prefer_literal)(define)

    return decorate


@emits(types.CPointer)
def reference(emit, struct):
    """Return a pointer to a copy of the named tuple `struct`.

    The copy is in the stack frame of the function that calls this, or into which LLVM inlines that function: it is
    gone when the function returns.
    """
    data = emit.context.data_model_manager[emit.kinds[0]].as_data(emit.builder, struct)
    return cgutils.alloca_once_value(emit.builder, data)


@emits(lambda pointer: pointer.dtype)
def dereference(emit, pointer):
    """Return the named tuple that `pointer`, a result of `reference`, points to."""
    return emit.context.data_model_manager[emit.result].from_data(emit.builder, emit.builder.load(pointer))
