"""Single kernels on one thread: matrix products, element functions, the update by Adam."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from competitors import ARITHMETIC, KERNELS, MEMORY, Competitor

from suite.case import CaseEntry, at_most
from suite.op_counts import DIVISION, EXPONENTIAL

TOLERANCES = {"product": 2e-6, "exp": 4e-7, "tanh": 4e-7, "adam": 1e-5}  # relative to the largest number of a result
MULTIPLY_ADDS = {
    "product": 1,
    "exp": EXPONENTIAL - DIVISION,
    "tanh": EXPONENTIAL,
}  # per product of two numbers, per number
RATE = 1e-3


@dataclass(frozen=True, eq=False)
class KernelCase:
    """A single kernel.

    kind : a key of TOLERANCES
    shape : (m, n, k) of a product C = A B or A' B, or (number of elements,)
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    transposed: bool = False
    most_runs: int = 100_000
    fewest_runs: int = 1
    done_once: bool = False
    verify_runs: int = 1
    group: str = "kernels"
    source: str = "random"
    n_units: int = 1
    curve: None = None

    @property
    def title(self) -> str:
        if self.kind == "product":
            m, n, k = self.shape
            return f"{'A transposed' if self.transposed else 'A'} times B, {m} x {k} x {n}"
        words = {"exp": "exp of {:,} numbers", "tanh": "tanh of {:,} numbers", "adam": "Adam, {:,} parameters"}
        return words[self.kind].format(self.shape[0])

    @property
    def unit(self) -> str:
        return {"product": "product", "adam": "update"}.get(self.kind, "call")

    @property
    def multiply_adds(self) -> int:
        return int(np.prod(self.shape)) * MULTIPLY_ADDS.get(self.kind, 0)

    @property
    def adam_params(self) -> int:
        return self.shape[0] if self.kind == "adam" else 0

    def costs(self) -> dict[str, float]:
        if self.kind == "product":
            return {"FLOP": 2 * self.multiply_adds}
        counted = {"multiply-adds": self.multiply_adds} if self.multiply_adds else {}
        return counted | {"B moved": 4 * self.shape[0] * (7 if self.kind == "adam" else 2)}

    def thread_settings(self, cpus: int) -> tuple[int, ...]:
        return (1,)

    def quick(self) -> KernelCase:
        return replace(self, most_runs=10_000)

    @property
    def verification(self) -> KernelCase:
        return self

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        if self.kind == "product":
            m, n, k = self.shape
            return {
                "a": rng.standard_normal((k, m) if self.transposed else (m, k), np.float32),
                "b": rng.standard_normal((k, n), np.float32),
            }
        if self.kind == "adam":
            n = self.shape[0]
            p, g = rng.standard_normal(n, np.float32), rng.standard_normal(n, np.float32)
            return {"p": p, "g": g, "m": np.zeros_like(p), "v": np.zeros_like(p)}
        return {"x": rng.uniform(-5, 5, self.shape[0]).astype(np.float32)}

    @cached_property
    def expected(self) -> np.ndarray:
        x: dict[str, Any] = {name: value.astype(np.float64) for name, value in self.inputs.items()}
        if self.kind == "product":
            return (x["a"].T if self.transposed else x["a"]) @ x["b"]
        if self.kind == "adam":  # its first step
            return x["p"] - RATE * x["g"] / (np.abs(x["g"]) + 1e-8)
        return {"exp": np.exp, "tanh": np.tanh}[self.kind](x["x"])

    def check(self, competitor: Competitor, answer: np.ndarray) -> dict[str, float]:
        error = float(np.abs(answer - self.expected).max() / np.abs(self.expected).max())
        return at_most({self.kind: error}, {self.kind: TOLERANCES[self.kind]})


def _entry(name, *job, limits=ARITHMETIC, in_quick=False) -> CaseEntry:
    return CaseEntry(name, "kernels", (*limits, *KERNELS), partial(KernelCase, name, *job), in_quick)


ENTRIES = (
    _entry("product_32_64_64", "product", (32, 64, 64), in_quick=True),
    _entry("product_128_512_784", "product", (128, 512, 784)),
    _entry("product_1024_512_512", "product", (1024, 512, 512)),
    _entry("product_transposed_784_512_128", "product", (784, 512, 128), True),
    _entry("exp_16384", "exp", (16384,)),
    _entry("tanh_16384", "tanh", (16384,)),
    _entry("adam_1000000", "adam", (1_000_000,), limits=MEMORY),
)
