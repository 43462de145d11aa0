"""A Numba pipeline for helpers that only kernels call: their code is optimised and emitted once, inside the kernel.

By default Numba optimises and emits every function by itself, then again with each caller it is linked into. Kernels
here are trees of small helpers, five deep, so that the same code went through LLVM five times.
"""

from __future__ import annotations

from numba.core import compiler
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class HelperLibrary(JITCodeLibrary):
    """LLVM code to be linked into callers only: neither optimised as a module nor turned into machine code."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class HelperLowering(NativeLowering):
    _name = "helper_lowering"

    def run_pass(self, state):
        codegen = state.targetctx.codegen()
        state.library = HelperLibrary(codegen, state.func_id.func_qualname)
        flags = state.flags
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().run_pass(state)
        result = state["cr"]
        # Callers find the code under the entry point, which must be a built-in method. This one raises if called.
        entry_point = {}.__getitem__
        state.targetctx.insert_user_function(entry_point, result.fndesc, [state.library])
        state["cr"] = compiler._LowerResult(result.fndesc, result.call_helper, cfunc=entry_point, env=result.env)
        return True


class HelperCompiler(compiler.CompilerBase):
    def define_pipelines(self):
        manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(HelperLowering if step is NativeLowering else step, text) for step, text in manager.passes]
        manager._finalized = False
        manager.finalize()
        return [manager]
