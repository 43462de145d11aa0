"""Blocks of rows that are copied to the device while kernels train on others: none is overwritten too early."""

import numpy as np
import pytest

SIZES = (10, 4)
FLOAT32 = np.dtype(np.float32)
KEEP = """
extern "C" __global__ void keep(const float* x, long long n, float* kept) {
  for (long long i = threadIdx.x; i < n; i += blockDim.x) kept[i] = x[i];
}
"""


@pytest.fixture
def module(cuda, monkeypatch):
    """The module, with page-locked buffers of three numbers."""
    from fastmlp.kernels.cuda.runtime import block_copies

    monkeypatch.setattr(block_copies, "STAGED_BYTES", 12)
    return block_copies


@pytest.fixture
def keep(cuda):
    """A kernel that copies a block that it uses."""
    from fastmlp.kernels.cuda.build.compiled_module import compiled

    return compiled(KEEP)["keep"]


def arrays_of(k, sizes=SIZES):
    return [np.arange(n, dtype=np.float32) + 100 * k + 10 * i for i, n in enumerate(sizes)]


@pytest.mark.parametrize("late", ["", "all", "null"])
def test_kernels_find_each_block_as_it_was_sent(be_late, cuda, module, keep, late):
    """Though kernels and copies run late, and the host's arrays are changed after each block."""
    copies, kept = module.block_copies(SIZES, FLOAT32, 0), [cuda.zeros((7, n), np.float32) for n in SIZES]
    host, lengths = [np.empty(n, np.float32) for n in SIZES], [SIZES] * 6 + [(5, 2)]
    be_late(late)
    for k, sizes in enumerate(lengths):
        parts = [array[:n] for array, n in zip(host, sizes, strict=True)]
        for part, values in zip(parts, arrays_of(k, sizes), strict=True):
            part[:] = values
        copies.send(k, parts)
        for array in host:
            array[:] = -1.0
        for there, n, to in zip(copies.arrived(k, sizes), sizes, kept, strict=True):
            assert there.shape == (n,)
            keep((1,), 32, there, n, to[k])
    for k, sizes in enumerate(lengths):
        for found, values in zip(kept, arrays_of(k, sizes), strict=True):
            np.testing.assert_array_equal(found.get()[k, : len(values)], values)


def test_a_block_is_copied_while_kernels_use_the_one_before_and_not_the_one_before_that(
    emulated_cuda, cuda, module, keep
):
    copies, kept = module.block_copies(SIZES, FLOAT32, 0), cuda.zeros(SIZES[0], np.float32)
    emulated_cuda.settings.late = "null"  # kernels run when somebody waits for them, and copies at once
    copies.send(0, arrays_of(0))
    keep((1,), 32, copies.arrived(0, SIZES)[0], SIZES[0], kept)
    copies.send(1, arrays_of(1))
    assert not kept._host.any(), "the copy of block 1 has waited for the kernel"
    np.testing.assert_array_equal(copies._there[1][0]._host, arrays_of(1)[0])
    copies.arrived(1, SIZES)
    copies.send(2, arrays_of(2))
    np.testing.assert_array_equal(kept._host, arrays_of(0)[0])
    np.testing.assert_array_equal(copies._there[0][0]._host, arrays_of(2)[0])


def test_without_room_for_two_blocks_there_are_no_copies(emulated_cuda, cuda, module):
    emulated_cuda.settings.limit = 4_000 + cuda.get_default_memory_pool().used_bytes()
    assert module.block_copies((200, 149), FLOAT32, 0) is not None  # 2,792 bytes, of 2,800
    assert module.block_copies((200, 151), FLOAT32, 0) is None
    assert module.block_copies((100, 100), FLOAT32, 100) is not None  # the order of a shuffled block has 1,200 bytes
    assert module.block_copies((101, 101), FLOAT32, 101) is None


def test_without_memory_to_lock_there_are_no_copies(cuda, module, monkeypatch):
    def fail(n, dtype):
        raise MemoryError("nothing to pin")

    monkeypatch.setattr(module, "pinned", fail)
    assert module.block_copies(SIZES, FLOAT32, 0) is None


def test_pending_copies_are_awaited_before_their_memory_is_free(emulated_cuda, cuda, module):
    emulated_cuda.settings.late = "all"
    copies = module.block_copies(SIZES, FLOAT32, 0)
    copies.send(0, arrays_of(0))
    there, stream = copies._there[0][1], copies._stream
    assert not stream.done
    del copies
    assert stream.done
    np.testing.assert_array_equal(there._host, arrays_of(0)[1])


TICK = 'extern "C" __global__ void tick(void* clock) { ++*(long long*)clock; }'


def test_reused_memory_is_not_overwritten_before_its_kernels_finish(emulated_cuda, cuda, module):
    """Kernels may still use memory that the pool has reassigned; a copy must wait for them."""
    from fastmlp.kernels.cuda.build.compiled_module import compiled

    emulated_cuda.settings.late = "null"
    compiled(TICK)["tick"]((1,), 1, cuda.zeros(1, np.int64))
    assert not cuda.cuda.get_current_stream().done
    module.block_copies(SIZES, FLOAT32, 0).send(0, arrays_of(0))
    assert cuda.cuda.get_current_stream().done
