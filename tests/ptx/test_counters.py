"""Warp instructions and wavefronts of shared memory, kernel by kernel, compared with tests/ptx/kernel_counts.json.

A change that costs a kernel more of either fails here; one that saves some changes the table, too, so that the gain
stays (bench/log/gpu.md#gpu-ptx-counts): `python tests/helpers/kernel_counts.py` counts again.
"""

import pytest
from cuda_emulator import nvrtc
from kernel_counts import COUNTED, WORKS, count, table

pytestmark = [pytest.mark.ptx, pytest.mark.full, pytest.mark.usefixtures("with_nvrtc")]

LARGEST_CHANGE = 0.03
FEW = 1_000  # instructions or wavefronts; of kernels that have fewer, only the sum over all kernels is compared


@pytest.fixture
def counted_with_this_nvrtc(request):
    counted_with, here = table()["nvrtc"], nvrtc.version()
    if counted_with != here:
        told = (
            f"tests/ptx/kernel_counts.json was counted with NVRTC {counted_with}, and this is {here}: install that "
            "version, or run `python tests/helpers/kernel_counts.py`, and see from its change what the new one costs"
        )
        is_required = request.config.getoption("--require-device") == "emulator"
        (pytest.fail if is_required else pytest.skip)(told)


def differences(found, expected):
    """Return what has changed by more than LARGEST_CHANGE: lines of kernel, what is counted, and both numbers.

    found, expected : {kernel: {what: number}}
    """
    lines = [f"kernels: {sorted(found)} instead of {sorted(expected)}"] if found.keys() != expected.keys() else []
    for what in COUNTED:
        pairs = {kernel: (found[kernel][what], expected[kernel][what]) for kernel in found.keys() & expected.keys()}
        pairs = {kernel: pair for kernel, pair in pairs.items() if max(pair) > FEW}
        pairs["all kernels"] = tuple(sum(counts[what] for counts in side.values()) for side in (found, expected))
        lines += [
            f"{kernel}: {here:,} {what} instead of {before:,}"
            for kernel, (here, before) in pairs.items()
            if abs(here - before) > LARGEST_CHANGE * before
        ]
    return lines


@pytest.mark.parametrize("work", WORKS)
def test_step_costs_as_counted(work, emulated_cuda, counted_with_this_nvrtc):
    found = count(work)
    assert found[WORKS[work].kernel]["instructions"]
    assert differences(found, table()["works"][work]) == []


def test_table_has_every_work():
    assert list(table()["works"]) == list(WORKS)


def test_change_of_one_kernel_is_found():
    """A small kernel that doubles changes the sum over all kernels by less than what is allowed."""
    counts = lambda small, tiny=900: {
        "a": {"instructions": 180_000, "wavefronts": 0},
        "b": {"instructions": small, "wavefronts": 1},
        "c": {"instructions": tiny, "wavefronts": 2},
    }
    assert differences(counts(4_100), counts(4_000)) == []
    assert differences(counts(4_200), counts(4_000)) == ["b: 4,200 instructions instead of 4,000"]
    assert differences(counts(4_000, 950), counts(4_000)) == []
    added = {"d": dict.fromkeys(COUNTED, 0)}
    assert differences(counts(4_000), counts(4_000) | added) == [
        "kernels: ['a', 'b', 'c'] instead of ['a', 'b', 'c', 'd']"
    ]
