"""Nets with shared weights on the CPU: their workspaces, and the calls of their kernels (single_net/shared_weights.py).

Nothing here is compiled, so that importing it does not import Numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..structs import NetSpec, Samples, TrainConfig, TrainState
from .allocation import WorkspaceRequest, layerwise_workspace
from .threads.thread_team import ThreadTeam
from .workspace import (
    ALIGNMENT,
    CHUNK_SAMPLES,
    TILE_ROWS,
    WEIGHT_CHUNK_ROWS,
    LayerwiseWorkspace,
    NetsWorkspace,
    round_up,
    scratch_size,
    weight_chunks,
)

MODULE = "cpu.single_net.shared_weights"


class Places(NamedTuple):
    """Where the flat vector of parameters has what each net has for itself: after the layers in common."""

    n_nets: int
    first: int  # number of the layer whose inputs have scales
    scales: int  # index of the scales, (n_nets, n_scaled)
    output_weights: int  # index of the output layers' W, (n_nets, n_outputs, n_units)
    output_biases: int  # index of their b, (n_nets, n_outputs)


class Workspaces(NamedTuple):
    layers: LayerwiseWorkspace
    nets: NetsWorkspace


def spec_of_hidden_layers(net: NetSpec, n_padded: int) -> NetSpec:
    """Return the NetSpec that the kernels take: n_layers is without the output layer, of which each net has its own.

    Its arrays have an entry of the output layer, too.

    net : NetSpec of one net
    n_padded : length of the flat vectors
    """
    return net._replace(n_layers=net.n_layers - 1, n_padded=n_padded)


def make_workspaces(
    net: NetSpec, places: Places, rows: int, n_samples: int, n_threads: int, shuffle: bool, dtype: np.dtype
) -> Workspaces:
    """Return every buffer that training or prediction needs.

    net : as spec_of_hidden_layers returns it
    rows : largest number of samples in a micro-batch; in prediction, of all threads together
    n_samples : number of samples in the data
    """
    n_nets, n_layers, first = places.n_nets, net.n_layers, places.first
    sizes, n_outputs = net.sizes[: n_layers + 1].tolist(), int(net.sizes[n_layers + 1])
    hidden = net._replace(keep_z=net.keep_z[:n_layers])
    request = WorkspaceRequest(  # `shuffle` gives room for gathered inputs; the order, of n_samples, is replaced below
        hidden, sizes, rows * n_nets, n_samples=0, n_threads=n_threads, n_shards=1, shuffle=True, dtype=dtype
    )
    layers = layerwise_workspace(request, sharing_threads=n_threads)
    n_scratch = round_up(scratch_size(max(*sizes[1:], n_outputs), dtype.itemsize), ALIGNMENT)
    layers = layers._replace(
        order=np.zeros(n_samples if shuffle else 0, np.int64),
        y=request.zeros(0),
        weight=request.zeros(0),
        n_scratch=n_scratch,
        scratch=request.zeros(n_threads * n_scratch),
    )
    chunks = weight_chunks(sizes, n_threads)
    n_scaled, n_chunks = sizes[first], int(chunks[first + 1] - chunks[first])
    rows_of_chunk = round_up(-(-n_scaled // n_chunks), WEIGHT_CHUNK_ROWS) + WEIGHT_CHUNK_ROWS
    n_products = round_up(rows_of_chunk * sizes[first + 1], ALIGNMENT)
    n_squares = n_nets * (-(-n_scaled // WEIGHT_CHUNK_ROWS) + 2)
    chunk_samples = round_up(max(1, CHUNK_SAMPLES // n_nets), TILE_ROWS)
    samples_of_thread = max(min(chunk_samples, rows), -(-rows // n_threads))
    n_scaled_rows = round_up(samples_of_thread * n_nets * n_scaled, ALIGNMENT) + ALIGNMENT
    of_outputs = lambda: request.zeros(rows * n_nets * n_outputs + ALIGNMENT)
    nets = NetsWorkspace(
        rows=rows,
        chunk_samples=chunk_samples,
        n_nets=n_nets,
        first=first,
        scales=places.scales,
        output_weights=places.output_weights,
        output_biases=places.output_biases,
        n_scaled_rows=n_scaled_rows,
        scaled_rows=request.zeros(n_threads * n_scaled_rows),
        y=of_outputs(),
        weight=request.zeros(rows * n_nets),
        z=of_outputs(),
        a=of_outputs(),
        delta=of_outputs(),
        zeros=request.zeros(n_outputs + ALIGNMENT),
        n_products=n_products,
        products=request.zeros(n_threads * n_products),
        n_squares=n_squares,
        squares=np.zeros(n_squares),
    )
    return Workspaces(layers, nets)


def train(
    team: ThreadTeam,
    n_threads: int,
    net: NetSpec,
    data: Samples,
    config: TrainConfig,
    state: TrainState,
    workspaces: Workspaces,
    first: int,
    n: int,
) -> None:
    """Train all nets for n steps, from step number `first` on, on n_threads threads of the team."""
    layers, nets = workspaces
    if n_threads == 2 and layers.copies == 2 and not team.share_no_cache():
        layers = layers._replace(copies=1)
    team.run(
        f"{MODULE}.train", state.params.dtype, net, data, config, state, layers, nets, first, n, n_threads=n_threads
    )


def predict(
    team: ThreadTeam,
    net: NetSpec,
    data: Samples,
    params: np.ndarray,
    workspaces: Workspaces,
    rows: int,
    output: np.ndarray,
) -> None:
    """Write the mean of the nets' outputs to `output`, (n_samples * n_outputs,).

    rows : number of samples that a thread takes at a time
    """
    team.run(f"{MODULE}.predict", params.dtype, net, data, params, *workspaces, rows, output)
