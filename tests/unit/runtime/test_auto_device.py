"""GPU thresholds: the amount of work from which "auto" picks a GPU."""

from math import inf

import pytest

from fastmlp.runtime.auto_device import WorkForGpu


@pytest.mark.parametrize(
    "total, at_once, in_one_launch, expected",
    [
        (100.0, 10.0, False, True),
        (99.0, 99.0, False, False),
        (1e9, 9.0, False, False),
        (100.0, 1.0, False, False),
        (100.0, 1.0, True, True),
        (99.0, 1.0, True, False),
        (100.0, 0.9, True, False),
    ],
)
def test_gpu_needs_total_work_and_work_at_once_or_in_one_launch(total, at_once, in_one_launch, expected):
    thresholds = WorkForGpu(100.0, 10.0, 1.0)
    assert thresholds.are_reached(total, at_once, in_one_launch) == expected
    assert not thresholds._replace(at_once=inf, in_one_launch=inf).are_reached(1e30, 1e30, in_one_launch)
