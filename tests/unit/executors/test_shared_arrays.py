"""Memory-mapped arrays: read back as they were, mapped once, deleted with their folder."""

import numpy as np
import pytest

from fastmlp.executors import shared_arrays
from fastmlp.executors.shared_arrays import ArrayFolder, as_array


def test_an_array_is_mapped_once_and_deleted_with_its_folder():
    folder = ArrayFolder()
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    shared = folder.write(array)
    found = as_array(shared)
    np.testing.assert_array_equal(found, array)
    assert as_array(shared) is found
    assert found.flags.c_contiguous
    folder.remove()
    assert not folder.path.exists()
    np.testing.assert_array_equal(found, array)  # its pages stay


def test_few_arrays_stay_mapped(monkeypatch):
    monkeypatch.setattr(shared_arrays, "MOST_MAPPED", 2)
    folder = ArrayFolder()
    shared = [folder.write(np.full(3, k)) for k in range(4)]
    assert [int(as_array(one)[0]) for one in shared] == [0, 1, 2, 3]
    assert list(shared_arrays._mapped) == [shared[2].path, shared[3].path]
    folder.remove()


def test_objects_are_not_written():
    folder = ArrayFolder()
    with pytest.raises(ValueError):
        folder.write(np.array([{}], dtype=object))
    folder.remove()
