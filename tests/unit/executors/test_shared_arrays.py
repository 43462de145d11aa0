"""Memory-mapped arrays: read back as they were, mapped once, deleted with their folder."""

import numpy as np
import pytest

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


def test_objects_are_not_written():
    folder = ArrayFolder()
    with pytest.raises(ValueError):
        folder.write(np.array([{}], dtype=object))
    folder.remove()
