"""Structs by reference: linked functions take the address of a named tuple, as functions of C do.

A named tuple by value is an argument for each of its fields, and the structs of kernels have up to forty.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def reference(typing_context, struct):
    """Return a pointer to a copy of the named tuple `struct`.

    The copy is in the stack frame of the function that calls this, or into which LLVM inlines that function: it is
    gone when the function returns.
    """

    def build(context, builder, sig, args):
        return cgutils.alloca_once_value(builder, context.data_model_manager[struct].as_data(builder, args[0]))

    return types.CPointer(struct)(struct), build


@intrinsic
def dereference(typing_context, pointer):
    """Return the named tuple that `pointer`, a result of `reference`, points to."""

    def build(context, builder, sig, args):
        return context.data_model_manager[pointer.dtype].from_data(builder, builder.load(args[0]))

    return pointer.dtype(pointer), build
