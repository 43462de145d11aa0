"""Compile-time constants of kernels that are specialised for one architecture, as a C++ header.

Operands are what products read: inputs, activations, deltas and weights, as they are or rounded to bfloat16.
Rounded weights are a copy: the update writes each weight to the parameters in full precision, and rounded to the copy.
Outputs of a net, gradients, biases and sums are never rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import cupy
import numpy as np

from ...formulas.activations import ACTIVATIONS, SOFTMAX
from ...formulas.losses import LOSSES
from ...formulas.update_rules import RULES
from ...structs import METRIC_MARGIN, NO_UPDATE, NetSpec, rounds_to_bfloat16

# CuPy has no dtype for bfloat16: gemm.py takes every array of this dtype as one of bfloat16.
BITS = np.dtype(np.uint16)
ALIGNED = 8  # numbers, 16 bytes: each layer's weights begin at a multiple, for which cuBLAS has faster products
MIN_CAPABILITY = 80  # 8.0, the first compute capability with bfloat16


def by_layer(name: str, values: Sequence[int] | np.ndarray) -> str:
    """Return a C++ function of the layer number; for a layer known at compile time it is a constant."""
    choices = "".join(f"k == {k} ? {value} : " for k, value in enumerate(values[:-1]))
    return f"__device__ __forceinline__ constexpr int {name}(int k) {{ return {choices}{values[-1]}; }}"


def bound_of(net: NetSpec, metric: int) -> float:
    """Return the number that kernels compare outputs with, to count those that are correct."""
    return net.margin if metric == METRIC_MARGIN else net.class_threshold


class Architecture:
    """Sizes, activations, offsets and switches of a net, with which its kernels are compiled."""

    def __init__(self, net: NetSpec, metric: int, dtype: np.dtype):
        self.net, self.metric, self.dtype = net, metric, np.dtype(dtype)
        self.sizes: list[int] = net.sizes.tolist()
        self.activations: list[int] = net.activations.tolist()
        self.n_params = int(net.bias_offsets[-1]) + self.sizes[-1]
        self.n_units = sum(self.sizes)  # including the inputs
        self.drops = bool((net.dropout > 0).any())
        # Whether hidden layers store a second number per unit besides their output.
        self.keeps = self.drops or bool(net.keep_z[:-1].any())

    def header(self, rule: int = NO_UPDATE, n_padded: int = 0, **switches: int) -> str:
        """Return the constants of a kernel that trains with this update rule.

        rule : code of the update rule, or NO_UPDATE
        n_padded : elements from one state vector to the next; 0 for n_params
        switches : further integer constants
        """
        net, row, loss = self.net, RULES[max(rule, 0)], LOSSES[self.net.loss]
        softmax = self.activations[-1] == SOFTMAX
        numbers = {
            "N_LAYERS": net.n_layers,
            "N_INPUTS": self.sizes[0],
            "N_OUTPUTS": self.sizes[-1],
            "N_PARAMS": self.n_params,
            "N_PADDED": n_padded or self.n_params,
            "N_STATE": row.n_state if rule != NO_UPDATE else 0,
            "LOSS": net.loss,
            "LOSS_WIDTH": 1 if softmax else self.sizes[-1],
            "METRIC": self.metric,
            "RULE": rule,
            "NO_UPDATE": NO_UPDATE,
        }
        truths = {
            "DELTA_IS_WRT_LOGIT": loss.delta_is_wrt_logit,
            "KEEPS": self.keeps,
            "DROPS": self.drops,
            "COMPARES": rule != NO_UPDATE and row.compares_loss,
            "CORRECTS": rule != NO_UPDATE and row.bias_correction,
        }
        lines = [f"typedef {'float' if self.dtype == np.float32 else 'double'} T;"]
        lines += [f"constexpr int {name} = {int(value)};" for name, value in {**numbers, **switches}.items()]
        lines += [f"constexpr bool {name} = {str(bool(value)).lower()};" for name, value in truths.items()]
        starts = list(accumulate(self.sizes[:-1], initial=0))
        for name, values in (
            ("width_of", self.sizes),
            ("weights_at", net.weight_offsets),
            ("biases_at", net.bias_offsets),
            ("units_at", starts),
            ("bias_index", list(accumulate(self.sizes[1:-1], initial=0))),
            ("activation_of", self.activations),
            ("derivative_needs_z", net.derivative_needs_z),
        ):
            lines.append(by_layer(name, values))
        names = ", ".join(ACTIVATIONS[code].name for code in self.activations)
        return "\n".join([f"// {'-'.join(map(str, self.sizes))}, {names}", *lines]) + "\n"


def check_card(precision: str) -> None:
    """Raise a ValueError if the current device has no bfloat16."""
    capability = int(cupy.cuda.Device().compute_capability)
    if capability < MIN_CAPABILITY:
        raise ValueError(
            f"precision={precision!r} needs a GPU of compute capability {MIN_CAPABILITY / 10} or higher, but this one "
            f"has {capability / 10}. Use precision='exact'."
        )


class Operands(NamedTuple):
    """Format of the operands of a net's products.

    dtype : np.dtype     of the arrays that hold them: BITS, or the dtype of the net
    weights_at : tuple of int, (n_layers,)     start of each layer's weights, in elements of the copy
    offsets : tuple of int, (n_layers,)     index of a weight in the parameters, minus its index in the copy
    n_weights : int     elements of the copy, with those that align layers; 0 if products read the parameters themselves
    """

    dtype: np.dtype
    weights_at: tuple[int, ...]
    offsets: tuple[int, ...]
    n_weights: int

    @classmethod
    def of(cls, net: NetSpec, dtype: np.dtype, precision: str) -> Operands:
        """Return the format for a net's `precision`, which has no effect in float64.

        Raises
        ------
        ValueError
            If the current device has no bfloat16, before a kernel with its instructions is compiled.
        """
        in_params = tuple(map(int, net.weight_offsets))
        if not rounds_to_bfloat16(precision, np.dtype(dtype).itemsize):
            return cls(np.dtype(dtype), in_params, (0,) * len(in_params), 0)
        check_card(precision)
        sizes = [-(-int(i) * int(j) // ALIGNED) * ALIGNED for i, j in pairwise(net.sizes)]
        *starts, end = accumulate(sizes, initial=0)
        offsets = tuple(place - start for place, start in zip(in_params, starts, strict=True))
        return cls(BITS, tuple(starts), offsets, end)

    @property
    def are_rounded(self) -> bool:
        return self.n_weights > 0

    def source(self) -> str:
        """Return the C++ constants; they follow those of the architecture, which define T.

        before_operands(k) is offsets[k].
        """
        kind, switch = ("struct Bfloat16", ["#define ROUNDS_OPERANDS"]) if self.are_rounded else ("T", [])
        lines = [*switch, f"typedef {kind} Operand;", f"constexpr int N_OPERAND_WEIGHTS = {self.n_weights};"]
        return "\n".join([*lines, by_layer("before_operands", self.offsets)]) + "\n"
