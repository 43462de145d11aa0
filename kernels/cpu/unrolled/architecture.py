"""Architectures for which unrolled code is generated: what a compiled function depends on besides the dtype."""

from __future__ import annotations

from typing import NamedTuple


class SingleNetArchitecture(NamedTuple):
    layer_sizes: tuple[int, ...]
    activations: tuple[int, ...]  # codes
    loss: int  # code
    rule: int  # code of the update rule
    one_sample: bool  # whether a batch has one sample, which is in all lanes


class PopulationArchitecture(NamedTuple):
    layer_sizes: tuple[int, ...]
    activations: tuple[int, ...]  # codes
    loss: int  # code
    rule: int  # code of the update rule
    lanes: int  # nets of a block
    loops: bool  # whether a batch may have more than INTERLEAVED_SAMPLES samples
