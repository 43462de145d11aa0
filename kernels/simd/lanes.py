"""Number of lanes as part of a type, as a template argument is in C++: `Lanes(16)` has no data at run time.

A function for vectors of any width takes `lanes` as a parameter. It is compiled for each width that it is called with,
and the number is a constant in its machine code:

    WIDTH = Lanes(16)                                   at module level

    @helper
    def scale(p, n, factor, lanes):
        for i in range(0, n * lanes, lanes):            a number in arithmetic, in range(...) and as an index
            store(p, i, load(p, i, lanes) * factor)     a width in load, load_partial, fill and transpose_square

    scale(p, n, 2.0, WIDTH)                             in a kernel or another helper

`int(lanes)` is the plain number, for `min` and `max`. Pass `lanes` itself on to other helpers: what they get as a plain
number is no constant to them. A struct can carry the width: `with_lanes(struct, WIDTH)` has WIDTH in the field `lanes`
of a named tuple. In Python, Lanes(16) is the int 16.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin, lower_cast, lower_constant
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import models, register_model, typeof_impl

from ..jit.intrinsics import emits


class Lanes(int):
    """Number of lanes of a vector. A kernel is compiled for this number."""

    def __repr__(self):
        return f"Lanes({int(self)})"


class StaticType(types.Type):
    """Numba type of a Python object that is part of the type, and nothing at run time."""

    def __init__(self, value):
        self.value = value
        super().__init__(name=repr(value))


class LanesType(StaticType):
    """Numba type of Lanes(n)."""

    is_number = True  # for jit.intrinsics.emits

    def can_convert_to(self, typing_context, other):
        return Conversion.safe if other == types.intp else None


@register_model(StaticType)
@register_model(LanesType)
class _StaticModel(models.StructModel):
    """An empty struct: as an argument of a compiled function it is nothing."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, [])


@lower_constant(StaticType)
def _constant(context, builder, kind, value):
    return ir.Constant(context.get_value_type(kind), [])


typeof_impl.register(Lanes)(lambda lanes, context: LanesType(lanes))


@lower_cast(LanesType, types.Integer)
def _as_number(context, builder, lanes, number, value):
    return context.get_constant(number, int(lanes.value))


@infer_global(int)
class _Int(AbstractTemplate):
    def generic(self, args, kws):
        return signature(types.intp, *args) if len(args) == 1 and isinstance(args[0], LanesType) else None


@lower_builtin(int, LanesType)
def _int(context, builder, sig, args):
    return context.get_constant(types.intp, int(sig.args[0].value))


def width_of(lanes: types.Type) -> int | None:
    """Return the number of lanes that a Numba type stands for, Lanes(n) or a literal integer; None for other types."""
    if isinstance(lanes, types.IntegerLiteral):
        return lanes.literal_value
    return int(lanes.value) if isinstance(lanes, LanesType) else None


def _with_lanes(struct, lanes):
    kinds = [lanes if name == "lanes" else kind for name, kind in zip(struct.fields, struct, strict=True)]
    return types.NamedTuple(kinds, struct.instance_class)


@emits(_with_lanes)
def with_lanes(emit, struct, lanes):
    """Return the named tuple `struct` with `lanes`, a Lanes, in its field of this name."""
    values = cgutils.unpack_tuple(emit.builder, struct)
    values[emit.result.fields.index("lanes")] = lanes
    return emit.context.make_tuple(emit.builder, emit.result, values)
