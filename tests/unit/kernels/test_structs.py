"""Structs of kernels: aligned buffers, and positions of settings and scalars."""

from itertools import product

import numpy as np

from fastmlp.kernels.structs import LINE, aligned_zeros


def test_aligned_zeros_begin_at_cache_lines():
    shapes, dtypes = (0, 1, 17, 4096, (3, 16), (0, 5), 2**19 + 3, (3, 2**18)), (np.float32, np.float64, np.int64)
    for shape, dtype in [*product(shapes, dtypes)] * 5:  # the allocator's own alignment differs from call to call
        array = aligned_zeros(shape, dtype)
        assert (array.shape, array.dtype) == (np.zeros(shape).shape, dtype)
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not array.any()
        assert array.size == 0 or array.ctypes.data % LINE == 0


def test_large_arrays_begin_at_different_page_offsets():
    """Arrays with equal offsets in a page map to the same cache sets and evict each other."""
    arrays = [aligned_zeros(2**20, np.float32) for _ in range(4)]
    assert len({array.ctypes.data % 4096 for array in arrays}) == 4


def test_large_arrays_work_without_huge_pages(monkeypatch):
    """Some systems have no huge pages, and some kernels refuse them."""
    import mmap

    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 12345, raising=False)
    refused = aligned_zeros(2**19, np.float32)
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
    for array in (refused, aligned_zeros(2**19, np.float32)):
        assert not array.any()
        assert array.ctypes.data % LINE == 0
        array[:] = 1.0
        assert array.sum() == 2**19
