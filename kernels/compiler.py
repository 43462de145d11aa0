"""Numba pipelines for helpers that only kernels call, and for the kernels.

By default Numba optimises and emits every function by itself, then again with each caller it is linked into. Kernels
here are trees of small helpers, five deep, so that the same code went through LLVM five times: helpers are now
optimised and emitted once, inside the kernel. And LLVM unrolls every loop of a kernel, which took most of the time to
compile it and gained nothing where loops are over vectors already: kernels are compiled without (bench/LOG.md).
"""

from __future__ import annotations

from llvmlite import binding
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


class KernelLibrary(JITCodeLibrary):
    """LLVM code that is optimised with all loops left as they are."""

    def _optimize_final_module(self):
        codegen = self._codegen
        if not hasattr(codegen, "_pass_builder"):  # LLVM's old pass manager, in Numba before 0.62
            super()._optimize_final_module()
            return
        passes, builder = codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False, opt=0, cost="cheap")
        passes.run(self._final_module, builder)
        tuning = binding.create_pipeline_tuning_options(speed_level=3)
        tuning.loop_unrolling = tuning.loop_interleaving = False
        builder = binding.create_pass_builder(codegen._tm, tuning)
        builder.getModulePassManager().run(self._final_module, builder)


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):
    _name = "kernel_lowering"

    def run_pass(self, state):
        state.library = KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return super().run_pass(state)


def _with_lowering(lowering):
    """Numba's default pipeline with another last step."""

    class Compiler(compiler.CompilerBase):
        def define_pipelines(self):
            manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
            manager.passes = [(lowering if step is NativeLowering else step, text) for step, text in manager.passes]
            manager._finalized = False
            manager.finalize()
            return [manager]

    return Compiler


HelperCompiler, KernelCompiler = _with_lowering(HelperLowering), _with_lowering(KernelLowering)
