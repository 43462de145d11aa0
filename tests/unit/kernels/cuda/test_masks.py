"""The masks of dropout on CUDA are those of the CPU's kernels, bit by bit: both are read from the buffers of a fit.

That they are what Philox names is tested, against Python's whole numbers, with each family.
"""

import importlib

import numpy as np
import pytest
from cuda_cases import DTYPES, Place

from fastmlp import MLP
from fastmlp.execution.buffer_cache import buffers

SIZES, ROWS = (5, 7, 6, 9, 2), 13  # no hidden layer has a multiple of four elements in a batch
TILE = 16  # samples of a block's tile, which has room for a batch


@pytest.fixture
def returned(monkeypatch):
    """returned(module, name): the list of what this function of fastmlp.kernels returns from now on."""

    def watch(module, name):
        module, found = importlib.import_module(f"fastmlp.kernels.{module}"), []
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: found.append(function(*given)) or found[-1])
        return found

    return watch


def of_cpu(work, layer):
    first, width = work.row_starts[layer + 1], SIZES[layer + 1]
    return work.mask[first : first + ROWS * width].reshape(ROWS, width)


def of_layers(work, layer):
    return work.mask[layer].get()


def of_block(memory, layer):
    """Behind activations, z and deltas of all units, a row of samples for each unit: see include/block_memory.cuh."""
    first, width = 3 * sum(SIZES) + sum(SIZES[: layer + 1]), SIZES[layer + 1]
    return memory.get()[first * TILE : (first + width) * TILE].reshape(width, TILE)[:, :ROWS].T


@pytest.mark.parametrize("rates", [(0.5, 0.3, 0.1), (1 / 3, 0.0, 0.9)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name, made_by, of_cuda",
    [
        ("layers", ("cuda.backend", "make_workspace"), of_layers),
        ("workspace", ("cuda.single_net.small_net", "workspace_for"), of_block),
    ],
)
def test_masks_are_the_cpus(cuda, monkeypatch, returned, name, made_by, of_cuda, dtype, rates, rng):
    """Those of each fit's last step; fits have seeds of their own."""
    place = Place(name, monkeypatch)
    buffers.forget()  # so that the CPU's buffers are made here
    on_cpu, on_cuda = returned("cpu.backend", "make_workspace"), returned(*made_by)
    X, y = rng.normal(size=(3 * ROWS, 5)), rng.normal(size=(3 * ROWS, 2))
    nets = [MLP(SIZES, dropout=rates, dtype=dtype, device=device, random_state=0) for device in ("cpu", "cuda")]
    seen = set()
    for epochs in (1, 2, 3):
        for net in nets:
            net.fit(X, y, epochs=epochs, batch_size=ROWS, verbose=0)
        for layer in np.flatnonzero(rates):
            mask = of_cpu(on_cpu[-1], layer)
            np.testing.assert_array_equal(of_cuda(on_cuda[-1], layer), mask)
            assert set(np.unique(mask)) == {0, np.dtype(dtype).type(1 / (1 - rates[layer]))}
            seen.add(mask.tobytes())
    assert len(seen) == 3 * np.count_nonzero(rates)
    place.check()
