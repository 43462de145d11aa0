"""Compile-time constants of kernels that are specialised for one architecture, as a C++ header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from ...formulas.activations import ACTIVATIONS, SOFTMAX
from ...formulas.losses import LOSSES
from ...formulas.update_rules import RULES
from ...structs import METRIC_MARGIN, NO_UPDATE, NetSpec


def by_layer(name: str, values: Sequence[int]) -> str:
    """Return a C++ function of the layer number; for a layer known at compile time it is a constant."""
    choices = "".join(f"k == {k} ? {value} : " for k, value in enumerate(values[:-1]))
    return f"__device__ __forceinline__ constexpr int {name}(int k) {{ return {choices}{values[-1]}; }}"


def bound_of(net: NetSpec, metric: int) -> float:
    """Return the number that kernels compare outputs with, to count those that are correct."""
    return net.margin if metric == METRIC_MARGIN else net.class_threshold


@dataclass(frozen=True)
class Architecture:
    """Sizes, activations, offsets and switches of a net; hashable, so that it can name a compiled module."""

    sizes: tuple[int, ...]
    activations: tuple[int, ...]
    weights_at: tuple[int, ...]
    biases_at: tuple[int, ...]
    keep_z: tuple[bool, ...]
    derivative_needs_z: tuple[bool, ...]
    loss: int
    metric: int
    drops: bool
    dtype: str

    @classmethod
    def of(cls, net: NetSpec, metric: int, dtype: np.dtype) -> Architecture:
        numbers = lambda array: tuple(int(x) for x in array)
        return cls(
            numbers(net.sizes),
            numbers(net.activations),
            numbers(net.weight_offsets),
            numbers(net.bias_offsets),
            tuple(bool(x) for x in net.keep_z),
            tuple(bool(x) for x in net.derivative_needs_z),
            net.loss,
            metric,
            bool((net.dropout > 0).any()),
            np.dtype(dtype).name,
        )

    @property
    def n_layers(self) -> int:
        return len(self.activations)

    @property
    def n_params(self) -> int:
        return self.biases_at[-1] + self.sizes[-1]

    @property
    def n_units(self) -> int:
        """Number of units, including the inputs."""
        return sum(self.sizes)

    @property
    def keeps(self) -> bool:
        """Whether hidden layers store a second number per unit besides their output."""
        return self.drops or any(self.keep_z[:-1])

    def header(self, rule: int = NO_UPDATE, n_padded: int = 0, **switches: int) -> str:
        """Return the constants of a kernel that trains with this update rule.

        rule : code of the update rule, or NO_UPDATE
        n_padded : elements from one state vector to the next; 0 for n_params
        switches : further integer constants
        """
        row, loss = RULES[max(rule, 0)], LOSSES[self.loss]
        softmax = self.activations[-1] == SOFTMAX
        numbers = {
            "N_LAYERS": self.n_layers,
            "N_INPUTS": self.sizes[0],
            "N_OUTPUTS": self.sizes[-1],
            "N_PARAMS": self.n_params,
            "N_PADDED": n_padded or self.n_params,
            "N_STATE": row.n_state if rule != NO_UPDATE else 0,
            "LOSS": self.loss,
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
        lines = [f"typedef {'float' if self.dtype == 'float32' else 'double'} T;"]
        lines += [f"constexpr int {name} = {int(value)};" for name, value in {**numbers, **switches}.items()]
        lines += [f"constexpr bool {name} = {str(bool(value)).lower()};" for name, value in truths.items()]
        starts = list(accumulate(self.sizes[:-1], initial=0))
        for name, values in (
            ("width_of", self.sizes),
            ("weights_at", self.weights_at),
            ("biases_at", self.biases_at),
            ("units_at", starts),
            ("bias_index", list(accumulate(self.sizes[1:-1], initial=0))),
            ("activation_of", self.activations),
            ("derivative_needs_z", [int(x) for x in self.derivative_needs_z]),
        ):
            lines.append(by_layer(name, values))
        names = ", ".join(ACTIVATIONS[code].name for code in self.activations)
        return "\n".join([f"// {'-'.join(map(str, self.sizes))}, {names}", *lines]) + "\n"
