"""Dropout masks of CUDA and CPU are equal to the bit; both are read from the buffers of a fit.

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
    """returned(module, name): the list of values that this function of fastmlp.kernels returns from then on."""

    def watch(module, name):
        module, found = importlib.import_module(f"fastmlp.kernels.{module}"), []
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: found.append(function(*given)) or found[-1])
        return found

    return watch


def cpu_mask(work, layer):
    first, width = work.row_starts[layer + 1], SIZES[layer + 1]
    return work.mask[first : first + ROWS * width].reshape(ROWS, width)


def layerwise_mask(work, layer):
    return work.passes.mask[layer].get()[0]


def block_mask(memory, layer):
    """Masks follow activations, z and deltas of all units, with a row of samples per unit: include/block_memory.cuh."""
    from fastmlp.kernels.cuda.population.launch import pitch_of

    first, width, pitch = 3 * sum(SIZES) + sum(SIZES[: layer + 1]), SIZES[layer + 1], pitch_of(TILE, memory.itemsize)
    return memory.get()[first * pitch : (first + width) * pitch].reshape(width, pitch)[:, :ROWS].T


@pytest.mark.parametrize("rates", [(0.5, 0.3, 0.1), (1 / 3, 0.0, 0.9)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name, made_by, of_cuda",
    [
        ("layers", ("cuda.backend", "make_workspace"), layerwise_mask),
        ("workspace", ("cuda.population.launch", "workspace_for"), block_mask),
    ],
)
@pytest.mark.thinned(8)
def test_cuda_masks_equal_cpu_masks(cuda, monkeypatch, returned, name, made_by, of_cuda, dtype, rates, rng):
    """Masks of the last step of each fit, whose seeds differ."""
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
            mask = cpu_mask(on_cpu[-1], layer)
            np.testing.assert_array_equal(of_cuda(on_cuda[-1], layer), mask)
            assert set(np.unique(mask)) == {0, np.dtype(dtype).type(1 / (1 - rates[layer]))}
            seen.add(mask.tobytes())
    assert len(seen) == 3 * np.count_nonzero(rates)
    place.check()
