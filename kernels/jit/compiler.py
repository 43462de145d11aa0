"""Compiler: turns kernels into object files. The only module that calls numba.njit and passes formulas to Numba.

By default, Numba optimises and emits every function separately, and again inside each caller. Kernels here are trees of
small helpers, five levels deep, so the same code went through LLVM five times. Therefore helpers are optimised and
emitted only once, inside the kernel. LLVM also unrolls every loop of a kernel, which took most of the compile time and
gained nothing where loops already run over vectors: kernels are compiled without unrolling
(bench/log/start.md#no-unrolling).

An object file has one function, ENTRY, which needs neither Numba nor Python:

    library(kernel, arguments)          int ENTRY(const int64_t *words), with words as call.py packs such arguments
    library_of_c(function, result, types)           result ENTRY(types), for functions that kernels call by address;
                                        each field of a named tuple is an argument
    machine_code_of_link(link)          a function with Numba's calling convention, which other object files call by its
                                        symbol or by its address in a table (linker.py)
"""

from __future__ import annotations

import pickle
import re
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import compiler, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering
from numba.extending import overload, typeof_impl
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from . import decorators
from .decorators import ENTRY, OPTIONS, Helper, Kernel
from .linked_types import PREFIX, links_of, result_of
from .linker import Link, ObjectFile

# C and mathematics functions that kernels may call: the libraries that Python itself is linked to have them. Others
# might not be found when the code is loaded.
EVERYWHERE = {"memcpy", "memmove", "memset", "sched_yield", "sqrt"}
# no-jump-tables: an if chain over a table's rows must stay a chain. As a jump through a table of addresses it made a
# step of a small net up to 1.8 times slower, depending on where in memory the code lay. frame-pointer: lets LLVM align
# the stack for vectors on it. Without, LLVM notices too late that alignment is needed, and vectors may cross cache
# lines, depending on the caller's stack: a quarter of an epoch of a tiny net (bench/log/small_nets.md#aligned-stack).
ATTRIBUTES = '"no-jump-tables"="true" "frame-pointer"="all"'
WORD, I8, I32 = ir.IntType(64), ir.IntType(8), ir.IntType(32)
HEAD = object.__basicsize__  # bytes of a NumPy array object before its data pointer


class HelperLibrary(JITCodeLibrary):
    """LLVM code that is only linked into callers: not optimised as a module, not turned into machine code."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


class KernelLibrary(HelperLibrary):
    """LLVM code of a kernel, optimised without unrolling loops."""

    def _optimize_final_module(self):
        codegen = self._codegen
        passes, builder = codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False, opt=0, cost="cheap")
        passes.run(self._final_module, builder)
        tuning = binding.create_pipeline_tuning_options(speed_level=3)
        tuning.loop_unrolling = tuning.loop_interleaving = False
        builder = binding.create_pass_builder(codegen._tm, tuning)
        builder.getModulePassManager().run(self._final_module, builder)

    def emit(self) -> ObjectFile:
        """Return the object file."""
        self.finalize()
        code = self._codegen._tm.emit_object(self._complete())
        values = (*self._final_module.functions, *self._final_module.global_variables)
        return ObjectFile(code, links_of(value.name for value in values if value.is_declaration))

    def assembly(self) -> str:
        """Return the assembly of the object file."""
        return self._codegen._tm.emit_assembly(self._complete())

    def _complete(self):
        missing = {f.name for f in self._final_module.functions if f.is_declaration} - EVERYWHERE
        missing = {name for name in missing if not name.startswith(("llvm.", PREFIX))}
        assert not missing, f"a kernel calls {', '.join(sorted(missing))}, which is in no process by itself"
        text = re.sub(r"^(define [^\n]*) \{$", rf"\1 {ATTRIBUTES} {{", str(self._final_module), flags=re.M)
        return binding.parse_assembly(text)


class LinkedLibrary(KernelLibrary):
    """LLVM code of a linked function: ENTRY alone is visible, so that no second copy of the function is kept."""

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if not function.is_declaration and function.name != ENTRY:
                function.linkage = "internal"
        super()._optimize_final_module()


# Passes that change nothing in kernels, which have no closures, no `with`, no array expressions and no overloads that
# are inlined in Numba's own representation. Machine code is the same without them, and a tenth of the compile time is
# saved (bench/log/start.md#fewer-passes).
LEFT_OUT = {
    typed_passes.AnnotateTypes,
    typed_passes.DumpParforDiagnostics,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.InlineClosureLikes,
    untyped_passes.InlineInlinables,
    untyped_passes.LiteralPropagationSubPipelinePass,
    untyped_passes.LiteralUnroll,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.WithLifting,
}


def _compiler(name, library_class, add_entry=None):
    """Return Numba's default compiler without the passes LEFT_OUT, whose last pass makes a library of this class.

    name : of the last pass
    add_entry : called as add_entry(context, module, callee, fndesc) to add ENTRY, which calls the compiled function;
        the object file is emitted then. None for helpers
    """

    @register_pass(mutates_CFG=True, analysis_only=False)
    class Lowering(NativeLowering):
        _name = name

        def run_pass(self, state):
            context, flags = state.targetctx, state.flags
            state.library = library = library_class(context.codegen(), state.func_id.func_qualname)
            flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
            super().run_pass(state)
            result = state["cr"]
            # Numba looks up code by its entry point, which must be a built-in method. This one raises if called.
            entry_point = {}.__getitem__
            context.insert_user_function(entry_point, result.fndesc, [library])
            state["cr"] = compiler._LowerResult(result.fndesc, result.call_helper, cfunc=entry_point, env=result.env)
            if add_entry is not None:
                module = library.create_ir_module("entry")
                add_entry(context, module, context.declare_function(module, result.fndesc), result.fndesc)
                library.add_ir_module(module)
                library.object_code = library.emit()
            return True

    class Compiler(compiler.CompilerBase):
        def define_pipelines(self):
            manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
            steps = [(step, text) for step, text in manager.passes if step not in LEFT_OUT]
            manager.passes = [(Lowering if step is NativeLowering else step, text) for step, text in steps]
            manager._finalized = False
            manager.finalize()
            return [manager]

    return Compiler


def _add_entry_of_words(context, module, callee, fndesc):
    function = ir.Function(module, ir.FunctionType(I32, [WORD.as_pointer()]), ENTRY)
    builder = ir.IRBuilder(function.append_basic_block())
    n_read = 0

    def word():
        nonlocal n_read
        n_read += 1
        return builder.load(builder.gep(function.args[0], [ir.Constant(I32, n_read - 1)]))

    def argument(kind):
        if isinstance(kind, types.BaseTuple):
            return context.make_tuple(builder, kind, [argument(part) for part in kind])
        if isinstance(kind, types.Array):
            return _array(context, builder, kind, word())
        if kind == types.boolean:
            return builder.trunc(word(), ir.IntType(1))
        value = word()
        return builder.bitcast(value, ir.DoubleType()) if kind == types.float64 else value

    arguments = [argument(kind) for kind in fndesc.argtypes]
    status, _ = context.call_conv.call_function(builder, callee, fndesc.restype, fndesc.argtypes, arguments)
    builder.ret(status.code)


def _array(context, builder, kind, address):
    """Return Numba's array for the NumPy array object at `address`, from the fields that NumPy's C API guarantees."""
    start = builder.inttoptr(builder.add(address, ir.Constant(WORD, HEAD)), I8.as_pointer().as_pointer())
    number = context.get_value_type(types.intp)

    def field(index, to):  # 0: data pointer, 1: number of dimensions, 2: dimensions
        place = builder.gep(start, [ir.Constant(I32, index)])
        return builder.bitcast(builder.load(place), to.as_pointer())

    dimensions = field(2, number)
    shape = [builder.load(builder.gep(dimensions, [ir.Constant(I32, axis)])) for axis in range(kind.ndim)]
    item = kind.dtype.bitwidth // 8
    strides = [ir.Constant(number, item)]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    result = context.make_array(kind)(context, builder)
    data = field(0, context.get_data_type(kind.dtype))
    populate_array(result, data=data, shape=shape, strides=strides, itemsize=ir.Constant(number, item), meminfo=None)
    return result._getvalue()


def _add_entry_of_c(context, module, callee, fndesc):
    packer = context.get_arg_packer(fndesc.argtypes)  # a named tuple's fields are arguments of their own
    kind = ir.FunctionType(context.get_value_type(fndesc.restype), packer.argument_types)
    function = ir.Function(module, kind, ENTRY)
    builder = ir.IRBuilder(function.append_basic_block())
    arguments = packer.from_arguments(builder, function.args)
    _, result = context.call_conv.call_function(builder, callee, fndesc.restype, fndesc.argtypes, arguments)
    builder.ret(result)


def _add_entry_of_link(context, module, callee, fndesc):
    """Add ENTRY with Numba's calling convention, as those have that call it."""
    kind = context.call_conv.get_function_type(fndesc.restype, fndesc.argtypes)
    function = ir.Function(module, kind, ENTRY)
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(builder.call(callee, function.args))


HelperCompiler = _compiler("helper_lowering", HelperLibrary)
KernelCompiler = _compiler("kernel_lowering", KernelLibrary, _add_entry_of_words)
CFunctionCompiler = _compiler("c_function_lowering", KernelLibrary, _add_entry_of_c)
LinkedCompiler = _compiler("linked_lowering", LinkedLibrary, _add_entry_of_link)


@typeof_impl.register(Helper)
def _typeof_helper(helper, context):
    if helper.dispatcher is None:
        options = {**OPTIONS, "forceinline": True} if helper.is_inlined else OPTIONS
        helper.dispatcher = numba.njit(pipeline_class=HelperCompiler, **options)(helper.py_func)
    return numba.typeof(helper.dispatcher)


def _register_formula(function):
    overload(function, strict=False, jit_options={**OPTIONS, "pipeline_class": HelperCompiler})(
        lambda *arguments: function
    )


decorators.register_formula = _register_formula
for formula in decorators.early_formulas:
    _register_formula(formula)


def _numba_type(argument: Any) -> types.Type:
    if isinstance(argument, np.ndarray):
        return types.Array(from_dtype(argument.dtype), argument.ndim, "C")
    if isinstance(argument, tuple):
        return types.NamedTuple([_numba_type(part) for part in argument], type(argument))
    if isinstance(argument, (bool, np.bool_)):
        return types.boolean
    return types.float64 if isinstance(argument, (float, np.floating)) else types.int64


def _compiled(function, pipeline, signature, forceinline=False) -> KernelLibrary:
    # _nrt=False: no reference counts, since kernels allocate nothing and callers keep the arrays alive.
    dispatcher = numba.njit(pipeline_class=pipeline, _nrt=False, forceinline=forceinline, **OPTIONS)(function)
    dispatcher.compile(signature)
    (result,) = dispatcher.overloads.values()
    return result.library


def library(kernel: Kernel, arguments: tuple) -> KernelLibrary:
    """Compile a kernel for arguments of these types."""
    return _compiled(kernel.py_func, KernelCompiler, tuple(map(_numba_type, arguments)))


def library_of_c(function, result, kinds) -> KernelLibrary:
    """Compile a C function with this signature.

    result : Numba type of the return value
    kinds : Numba types of the arguments
    """
    return _compiled(function, CFunctionCompiler, result(*kinds))


def machine_code_of_link(link: Link) -> ObjectFile:
    """Return the object file of a linked function."""
    kinds = pickle.loads(link.kinds)
    signature = result_of(link.returns(), kinds)(*kinds)
    # forceinline: Numba passes it on to the helpers that the function calls.
    return _compiled(link.function(), LinkedCompiler, signature, forceinline=True).object_code
