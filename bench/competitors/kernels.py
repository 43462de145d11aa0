"""Competitors for suite/cases/kernels.py.

A form is constructed with the case; `run(n)` computes the case n times, and `result()` returns the last result.

One thread, arrays allocated before, results written into an existing array where the library can do that.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from suite.cases.kernels import RATE

from competitors.numpy_adam import adam


class Fastmlp:
    """The kernels' own helpers inside one compiled loop, on arrays that start on cache lines as the package's do."""

    def __init__(self, case):
        import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what the kernels' helpers are
        from fastmlp.kernels.structs import aligned_zeros

        self.case, self.zeros = case, partial(aligned_zeros, dtype=np.float32)
        self.x = {name: self.zeros(x.shape) for name, x in case.inputs.items()}
        for name, x in case.inputs.items():
            self.x[name][...] = x
        self.loop, self.arguments, self.out = {"product": self.product, "adam": self.adam}.get(
            case.kind, self.elements
        )()

    def product(self):
        import numba

        from fastmlp.kernels.cpu.gemm.gemm import PLAIN, product
        from fastmlp.kernels.cpu.gemm.operands import Matrix
        from fastmlp.kernels.cpu.workspace import scratch_size
        from fastmlp.kernels.jit.decorators import OPTIONS
        from fastmlp.kernels.simd.load_store import offset

        m, n, k = self.case.shape
        transposed, lda = self.case.transposed, m if self.case.transposed else k

        @numba.njit(nogil=True, **OPTIONS)
        def loop(turns, a, b, c, scratch):
            for _ in range(turns):
                A, B, C = Matrix(offset(a, 0), 0, lda), Matrix(offset(b, 0), 0, n), Matrix(offset(c, 0), 0, n)
                product(PLAIN, transposed, m, n, k, A, B, False, C, offset(scratch, 0), 0)

        out, scratch = self.zeros((m, n)), self.zeros(scratch_size(n, 4))
        return loop, (self.x["a"].reshape(-1), self.x["b"].reshape(-1), out.reshape(-1), scratch), out

    def elements(self):
        import numba

        from fastmlp.kernels.jit.decorators import OPTIONS
        from fastmlp.kernels.simd import elementary
        from fastmlp.kernels.simd.load_store import load, store

        function, lanes = getattr(elementary, self.case.kind), 16

        @numba.njit(nogil=True, **OPTIONS)
        def loop(turns, x, out):
            for _ in range(turns):
                for i in range(0, x.size, lanes):
                    store(out, i, function(load(x, i, lanes)))

        out = self.zeros(self.x["x"].shape)
        return loop, (self.x["x"], out), out

    def adam(self):
        import numba

        from fastmlp import Adam
        from fastmlp.kernels.cpu.single_net.optimizer_step import WIDTH, make_update, step_settings
        from fastmlp.kernels.formulas.update_rules import CODES, RULES
        from fastmlp.kernels.jit.decorators import OPTIONS
        from fastmlp.kernels.simd.load_store import offset
        from fastmlp.kernels.structs import N_SCALARS

        n, rule = self.case.shape[0], CODES["adam"]
        update = make_update(RULES[rule])

        @numba.njit(nogil=True, **OPTIONS)
        def loop(turns, p, g, s, hyper, scalars):
            for _ in range(turns):
                settings = step_settings(rule, hyper, scalars, 1.0, 0.0, 0.0, p)
                update(offset(p, 0), offset(g, 0), offset(s, 0), 0, n, n, settings, WIDTH)

        p, state = self.zeros(n), self.zeros(2 * n)
        p[:] = self.x["p"]
        hyper = Adam(RATE, beta1=0.9, beta2=0.999, epsilon=1e-8).hyper
        self.fresh = [(p, self.x["p"])]
        return loop, (p, self.x["g"], state, hyper, np.ones(N_SCALARS)), p

    def reset(self):
        if self.case.kind == "adam":
            self.arguments[0][:] = self.x["p"]
            self.arguments[2][:] = 0
            self.arguments[-1][:] = 1

    def run(self, n):
        self.loop(n, *self.arguments)

    def result(self):
        return self.out


class Numpy:
    def __init__(self, case):
        self.case, x = case, case.inputs
        self.x = {name: value.copy() for name, value in x.items()}
        x = self.x
        if case.kind == "product":
            a, self.out = x["a"].T if case.transposed else x["a"], np.empty(case.shape[:2], np.float32)
            self.call = lambda: np.dot(a, x["b"], out=self.out)
        elif case.kind == "adam":
            self.out, self.t, self.scratch = x["p"], 0, np.empty_like(x["p"])
            self.call = self.adam
        else:
            function, self.out = getattr(np, case.kind), np.empty_like(x["x"])
            self.call = lambda: function(x["x"], out=self.out)

    def adam(self):
        self.t += 1
        adam(*(self.x[name] for name in "pgmv"), self.scratch, self.t, RATE)

    def reset(self):
        if self.case.kind == "adam":
            for name, value in self.case.inputs.items():
                self.x[name][:] = value
            self.t = 0

    def run(self, n):
        for _ in range(n):
            self.call()

    def result(self):
        return self.out


class Torch:
    def __init__(self, case):
        import torch

        torch.set_num_threads(1)
        self.case, self.torch = case, torch
        self.x = {name: torch.from_numpy(value.copy()) for name, value in case.inputs.items()}
        x = self.x
        if case.kind == "product":
            a, self.out = x["a"].T if case.transposed else x["a"], torch.empty(case.shape[:2])
            self.call = lambda: torch.mm(a, x["b"], out=self.out)
        elif case.kind == "adam":
            self.out = x["p"]
            self.call = lambda: self.optimizer.step()
        else:
            function, self.out = getattr(torch, case.kind), torch.empty_like(x["x"])
            self.call = lambda: function(x["x"], out=self.out)

    def reset(self):
        if self.case.kind == "adam":
            self.x["p"].copy_(self.torch.from_numpy(self.case.inputs["p"]))
            self.x["p"].grad = self.x["g"]
            self.optimizer = self.torch.optim.Adam([self.x["p"].requires_grad_(False)], lr=RATE, fused=True)

    def run(self, n):
        with self.torch.no_grad():
            for _ in range(n):
                self.call()

    def result(self):
        return self.out.detach().numpy()


class Jax:
    """All iterations in one fori_loop under jit, like fastmlp's compiled loop.

    Zero times a number of the last iteration's result is added to one of the inputs, so that XLA does not move the
    computation out of the loop.
    """

    def __init__(self, case):
        import jax
        import jax.numpy as jnp

        self.case, self.jax, lax = case, jax, jax.lax
        x = {name: jnp.array(value) for name, value in case.inputs.items()}
        if case.kind == "product":
            function = (lambda a, b: a.T @ b) if case.transposed else (lambda a, b: a @ b)
            inputs, shape = (x["a"], x["b"]), case.shape[:2]
        elif case.kind == "adam":
            g = x["g"]
            loop = lambda n, state: lax.fori_loop(0, n, lambda _, now: self.adam(now, g), state)
            self.step = jax.jit(loop, donate_argnums=1)
            return
        else:
            function, inputs, shape = {"exp": jnp.exp, "tanh": jnp.tanh}[case.kind], (x["x"],), case.shape

        def turn(_, state):
            (first, *others), last = state
            first = first.at[(0,) * first.ndim].add(0.0 * last[(0,) * last.ndim])
            return (first, *others), function(first, *others)

        self.state = inputs, jnp.zeros(shape, jnp.float32)
        self.step = jax.jit(lambda n, state: lax.fori_loop(0, n, turn, state), donate_argnums=1)

    @staticmethod
    def adam(state, g):
        p, m, v, t = state
        t = t + 1
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        root = (1 - 0.999**t) ** 0.5
        return p - RATE * root / (1 - 0.9**t) * m / (v**0.5 + 1e-8 * root), m, v, t

    def reset(self):
        if self.case.kind == "adam":
            import jax.numpy as jnp

            self.state = *(jnp.array(self.case.inputs[name]) for name in "pmv"), jnp.float32(0)

    def run(self, n):
        self.state = self.jax.block_until_ready(self.step(n, self.state))

    def result(self):
        return np.asarray(self.state[0 if self.case.kind == "adam" else 1])


FORMS = {"fastmlp": Fastmlp, "numpy": Numpy, "torch": Torch, "jax": Jax}


class Implementation:
    def __init__(self, variant: str):
        self.name = variant

    def prepare(self, case, threads: int) -> float:
        started = time.perf_counter()
        self.form = FORMS[self.name](case)
        self.form.reset()
        self.form.run(1)
        return time.perf_counter() - started

    def reset(self) -> None:
        self.form.reset()

    def run(self, n: int) -> None:
        self.form.run(n)

    def answer(self, case) -> np.ndarray:
        return np.array(self.form.result())
