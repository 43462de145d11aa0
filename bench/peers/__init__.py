"""The contestants of the benchmarks, one module each, as that library's experts would write it.

A module offers
    available() -> str | None           None, or what is missing
    Contestant(variant)                 with
        prepare(workload, threads)      build and compile; returns the seconds that took
        reset()                         back to workload.start, with a fresh optimiser
        run(n_epochs)                   train on, in the order of the data; returns when it is finished
        params() -> (n_params,)         flat float32, per layer W (fan_in, fan_out) then b
        loss(X, y) -> float             by the contestant's own forward pass and loss
    products() -> str                   optional: who multiplies its matrices, where threadpoolctl cannot see that
and `prepare` raises Unsupported where a library cannot do a workload. Each contestant lives in a process of its own per
thread setting (worker.py), so nothing here has to undo what it sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class Unsupported(Exception):
    """This library cannot do this workload; the message says why."""


@dataclass(frozen=True)
class Peer:
    name: str
    module: str
    variant: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    is_limit: bool = False  # computes no training, only what training cannot do without
    corrects_epsilon: bool = True  # which of its two published forms Adam has: reference.train
    chooses_threads: bool = False  # decides on its own threads; otherwise it is run with each setting

    @property
    def family(self) -> str:
        return self.name.split()[0]


OURS = Peer("fastmlp", "fastmlp_peer", chooses_threads=True)
LIMITS = (
    Peer("products np.dot", "bare_products", "np.dot", is_limit=True),
    Peer("products gemm", "bare_products", "gemm", is_limit=True),
)
PEERS = (
    Peer("numpy", "peers.numpy_peer"),
    Peer("sklearn", "peers.sklearn_peer", corrects_epsilon=False),
    Peer("torch eager", "peers.torch_peer", "eager"),
    Peer("torch compiled", "peers.torch_peer", "compiled"),
    Peer("jax scan", "peers.jax_peer", "scan"),
    Peer("jax step", "peers.jax_peer", "step"),
    Peer("jax tuned", "peers.jax_peer", "tuned"),
    Peer("keras jax", "peers.keras_peer", "jax", {"KERAS_BACKEND": "jax"}, corrects_epsilon=False),
    Peer("keras torch", "peers.keras_peer", "torch", {"KERAS_BACKEND": "torch"}, corrects_epsilon=False),
)
