"""Digests of data: any difference in small arrays, blocks of large ones."""

import numpy as np
import pytest

from fastmlp.data import digest
from fastmlp.data.digest import digest_of


def test_equal_arrays_have_equal_digests_wherever_they_lie():
    array = np.arange(24.0).reshape(4, 6)
    assert digest_of(array) == digest_of(np.asfortranarray(array)) == digest_of(array.copy())


@pytest.mark.parametrize("n", [1, 100, 10_000])
def test_every_element_of_a_small_array_counts(n):
    array = np.zeros(n, np.float32)
    array[-1] = 1e-30
    assert digest_of(array) != digest_of(np.zeros(n, np.float32))


def test_first_and_last_elements_of_a_large_array_count_and_its_cost_is_bounded(monkeypatch):
    monkeypatch.setattr(digest, "WHOLE_UP_TO", 2**14)
    read, on_host = [], digest.on_host
    monkeypatch.setattr(digest, "on_host", lambda part: read.append(part.size) or on_host(part))
    found = set()
    for place in (None, 0, -1):
        array = np.zeros(1_000_000)
        if place is not None:
            array[place] = 1.0
        found.add(digest_of(array))
    assert len(found) == 3
    assert sum(read) == 3 * 2**14 // 8
