"""The arithmetic limit: the case's multiply-adds with nothing around them, on all threads.

Independent chains of fused multiply-adds, on the processor's widest vectors, stay in registers, so that only the
throughput of the multipliers counts. suite/op_counts.py says as how many multiply-adds other operations count. "chain"
is the limit of the smallest nets: the longest chain of operations of the case in which each needs the result of the
one before, as one chain of multiply-adds on one thread.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from competitors import Unsupported
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# A multiply-add takes four cycles, and a processor starts at most two per cycle: this needs eight chains, and twelve
# leave a margin. With sixteen, AVX2's sixteen registers have no room for x and y, and spills halve the rate.
CHAINS = 12
# The operands are arguments, unknown when the chains are compiled: LLVM had found that the chain from 1 is the chain
# from 0 one step later, and left it out.
X, Y = np.float32(0.5), np.float32(1.0)
LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8


@intrinsic(prefer_literal=True)
def multiply_add_chains(typing_context, n_chains, n, x, y):
    """The sum of n_chains vectors after n times v = v * x + y.

    n_chains : literal int;  n : int;  x, y : float32
    """
    sig = types.float32(n_chains, types.intp, types.float32, types.float32)
    if not isinstance(n_chains, types.IntegerLiteral):
        return None
    count = n_chains.literal_value

    def build(context, builder, sig, args):
        _, n, x, y = args
        vector, index = ir.VectorType(ir.FloatType(), LANES), n.type
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32"
        )

        def splat(value):
            undefined = ir.Constant(vector, ir.Undefined)
            one = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(one, undefined, mask)

        x, y = splat(x), splat(y)
        before = builder.block
        body, after = builder.append_basic_block("turn"), builder.append_basic_block("done")
        builder.branch(body)
        builder.position_at_end(body)
        k = builder.phi(index)
        chains = [builder.phi(vector) for _ in range(count)]
        k.add_incoming(ir.Constant(index, 0), before)
        for c, chain in enumerate(chains):
            chain.add_incoming(ir.Constant(vector, [float(c)] * LANES), before)
        updated = [builder.call(fma, [chain, x, y]) for chain in chains]
        next_k = builder.add(k, ir.Constant(index, 1))
        k.add_incoming(next_k, body)
        for chain, value in zip(chains, updated, strict=True):
            chain.add_incoming(value, body)
        builder.cbranch(builder.icmp_signed("<", next_k, n), body, after)
        builder.position_at_end(after)
        result = updated[0]
        for value in updated[1:]:
            result = builder.fadd(result, value)
        return builder.extract_element(result, ir.Constant(ir.IntType(32), 0))

    return sig, build


@numba.njit(nogil=True)
def independent_chains(n, x, y):
    return multiply_add_chains(CHAINS, n, x, y)


@numba.njit(nogil=True)
def dependent_chain(n, x, y):
    return multiply_add_chains(1, n, x, y)


def preload(variant: str) -> None:
    (dependent_chain if variant == "chain" else independent_chains)(1, X, Y)


class Implementation:
    def __init__(self, variant: str = ""):
        self.name, self.is_chain = variant, variant == "chain"

    def prepare(self, case, threads: int) -> float:
        if self.is_chain:
            self.loop, self.threads, iterations = dependent_chain, 1, case.chain * case.n_units
        else:
            self.loop, self.threads = independent_chains, threads
            iterations = case.multiply_adds * case.n_units / LANES / CHAINS / threads
        if not iterations:
            raise Unsupported("nothing is counted for this case")
        self.iterations = iterations
        started = time.perf_counter()
        self.pool = ThreadPoolExecutor(self.threads)
        self.run(1)
        return time.perf_counter() - started

    def reset(self) -> None:
        pass

    def run(self, n: int) -> None:
        iterations = max(1, round(n * self.iterations))
        if self.threads == 1:
            self.loop(iterations, X, Y)
        else:
            list(self.pool.map(lambda n: self.loop(n, X, Y), [iterations] * self.threads))
