"""Kernel family `fused_tensor_core`: forward, loss and backward of a batch in one kernel, with tensor cores.

For nets of narrow layers. Operands of products are bfloat16; sums, master weights and optimiser state are float32. A
step launches narrow_weights, narrow_gradient, reduce and update, whatever the depth. Samples are read where they are.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import cupy
import numpy as np

from ...structs import NetSpec
from ..build.compiled_module import Module, source
from ..build.net_constants import by_layer
from ..build.structs import ChunkSum
from ..layers.passes import MOST_BLOCKS, PER_BLOCK, Batch
from ..population.launch import shared_limit
from .batches import BatchesInPlace
from .layerwise import LayerwiseWorkspace, Written

BLOCK_ROWS = 64  # samples that a block processes at once
SKEW = 8  # numbers between rows in shared memory
WARPS = 8  # as in include/outputs.cuh
PARTIALS_PER_WARP = 16  # gradients of blocks that a warp of `reduce` adds up before a further one helps


def _wide(size: int) -> int:
    return -(-size // 16) * 16


class Layout(NamedTuple):
    """Layout of a block's shared memory: outputs and deltas of BLOCK_ROWS samples, and the gradient if it fits.

    wide : (n_layers + 1,), widths of the layers, rounded up
    outputs_at, matrix_at, biases_after : (n_layers + 1,), starts of a layer's arrays, and the end of the last one
    """

    wide: list[int]
    outputs_at: list[int]
    matrix_at: list[int]
    biases_after: list[int]
    keeps: bool

    @classmethod
    def of(cls, net: NetSpec) -> Layout:
        wide = [_wide(int(size)) for size in net.sizes]
        starts = lambda sizes, first=0: list(accumulate(sizes, initial=first))
        matrices = starts(a * b for a, b in pairwise(wide))
        keeps = any(bool(of_z) for of_z in net.derivative_needs_z[:-1])
        outputs = starts(BLOCK_ROWS * (width + SKEW) for width in wide[:-1])
        return cls(wide, outputs, matrices, starts(wide[1:], matrices[-1]), keeps)

    @property
    def n_weights(self) -> int:
        return self.matrix_at[-1]

    @property
    def n_grads(self) -> int:
        return self.biases_after[-1]

    @property
    def deltas(self) -> int:
        """Numbers of the deltas of the largest layer."""
        return BLOCK_ROWS * (max(self.wide) + SKEW)

    @property
    def tile_bytes(self) -> int:
        return 4 * BLOCK_ROWS * self.wide[-1] + 2 * (self.outputs_at[-1] * (1 + self.keeps) + 2 * self.deltas)

    def constants(self) -> str:
        """Return the C++ constants of fused_tensor_core.cu."""
        lines = [
            by_layer("wide", self.wide),
            by_layer("stride", [width + SKEW for width in self.wide]),
            by_layer("outputs_at", self.outputs_at),
            by_layer("matrix_at", self.matrix_at),
            by_layer("biases_after", self.biases_after),
            f"constexpr int DELTA = {self.deltas};",
            f"constexpr int BLOCK_ROWS = {BLOCK_ROWS};",
        ]
        return "\n".join(lines) + "\n"


def has_room_for_tile(net: NetSpec) -> bool:
    """Whether all layers of BLOCK_ROWS samples fit into a block's shared memory."""
    return Layout.of(net).tile_bytes <= shared_limit()


class FusedWorkspace(LayerwiseWorkspace):
    """Workspace of a net in the family `fused_tensor_core`. Evaluation is that of LayerwiseWorkspace, in float32."""

    def __init__(self, net: NetSpec, rows: int, dtype: np.dtype):
        super().__init__(net, rows, dtype, "exact")
        self.batches = BatchesInPlace(self.passes)
        self._narrow: dict[str, Module] = {}
        layout = self._layout = Layout.of(net)
        self._n_weights, self._n_grads, tile_bytes = layout.n_weights, layout.n_grads, layout.tile_bytes
        limit = shared_limit()
        self._in_shared = tile_bytes + 4 * self._n_grads <= limit
        self._shared = tile_bytes + 4 * self._n_grads * self._in_shared
        most = cupy.cuda.Device().attributes["MultiProcessorCount"]
        self._n_blocks = min(-(-rows // BLOCK_ROWS), most * max(1, limit // self._shared))
        self._weights = cupy.empty(2 * self._n_weights, np.uint16)
        self._partials = cupy.empty(self._n_blocks * self._n_grads, np.float32)
        self.passes.sums = cupy.zeros((1, max(self._n_blocks, self.passes.most_chunks), len(ChunkSum)))

    def text(self, header: str) -> str:
        header += f"constexpr bool GRADS_IN_SHARED = {str(self._in_shared).lower()};\n" + self._layout.constants()
        return source(
            header,
            "include/layout.cuh",
            "include/reductions.cuh",
            "include/outputs.cuh",
            "include/bfloat16.cuh",
            "include/tensor_cores.cuh",
            "single_net/fused_tensor_core.cu",
        )

    def narrow(self, header: str) -> Module:
        """Return the module with this family's kernels.

        header : constants; the same text at every step
        """
        if header not in self._narrow:
            self._narrow[header] = self.compiled(self.text(header))
        return self._narrow[header]

    def can_be_recorded(self) -> bool:
        return True

    def gradient(self, module: Module, header: str, params: Any, grads: Any, batch: Batch, bound: float) -> Written:
        narrow, net, passes, rows = self.narrow(header), self.net, self.passes, batch.x.shape[1]
        grid = (passes.blocks(self._n_weights),)
        narrow["narrow_weights"](grid, PER_BLOCK, params, self._weights)
        narrow["narrow_gradient"](
            (self._n_blocks,),
            32 * WARPS,
            passes.clock.array,
            batch.x,
            batch.y,
            batch.weight,
            batch.order,
            batch.batch_size,
            self._weights,
            params,
            rows,
            net.loss_constant,
            bound,
            passes.sums,
            self._partials,
            shared=self._shared,
        )
        narrow["reduce"](
            (min(MOST_BLOCKS, -(-self._n_grads // 32)),),
            32 * min(WARPS, -(-self._n_blocks // PARTIALS_PER_WARP)),
            self._partials,
            self._n_blocks,
            1.0 / (rows * net.loss_width),
            grads,
            passes.bias_parts,
        )
        return Written(1, 1)

    def n_sums(self, rows: int) -> int:
        return self._n_blocks
