"""Files written array by array are files of the library safetensors."""

import numpy as np
from safetensors.numpy import load

from fastmlp.persistence.safetensors_file import DTYPES, parts_of_file, read


def bytes_of(arrays, text):
    return b"".join(bytes(part) for part in parts_of_file(arrays, text))


def test_the_library_reads_what_is_written_part_by_part():
    rng = np.random.default_rng(0)
    arrays = {f"a.{name}": rng.integers(0, 9, (3, k)).astype(name) for k, name in enumerate(DTYPES)}
    arrays |= {"one": np.float32([1.5]), "z": np.zeros((2, 0, 3))}
    data = bytes_of(arrays, "täxt")
    found = load(data)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_text_and_arrays_are_read_back(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes_of({"params": np.arange(3.0)}, '{"a": "ö", "format": 1}'))
    description, arrays = read(path)
    assert description == {"a": "ö", "format": 1}
    np.testing.assert_array_equal(arrays["params"], [0, 1, 2])
