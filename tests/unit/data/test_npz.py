"""`read_npz`: arrays of .npz files, and errors for damaged and foreign files."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from fastmlp.data.npz import read_npz


def test_read_npz_returns_the_named_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones(2), z=np.zeros(1))
    assert {name: len(array) for name, array in read_npz(tmp_path / "a.npz", ("x", "y")).items()} == {"x": 3, "y": 2}
    with pytest.raises(ValueError, match=r"must hold arrays x and w, but it holds x, y, z\."):
        read_npz(tmp_path / "a.npz", ("x", "w"))
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_npz(tmp_path / "b.npz", ("x", "y"))


def test_damaged_and_foreign_files_raise(tmp_path):
    """Errors are readable, no file stays open, and no object is unpickled."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(3000), y=np.ones(2))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "objects.npz", x=np.array([{}, {}]), y=np.ones(2))
    others = [(tmp_path / name).read_bytes() for name in ("array.npy", "objects.npz")]
    for damaged in (b"", b"no zip", whole[:100], whole[:-30], bytes(flipped), *others):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"should be a file of arrays x and y, as numpy\.savez writes it"):
            read_npz(path, ("x", "y"))


@pytest.mark.parametrize("announced", [None, 2 * 10**9], ids=["in the header", "in the directory, too"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_announced_sizes_beyond_the_file_allocate_nothing(tmp_path, compression, announced):
    """NumPy makes an array of the announced shape before it finds that the file has fewer numbers."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (10**7, 3)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
        archive.writestr("x.npy", member.getvalue() + bytes(400))
        archive.writestr("y.npy", member.getvalue())
        for info in archive.infolist() if announced else ():
            info.file_size = announced  # which the directory at the end of the file has
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="should be a file of arrays x and y"):
            read_npz(tmp_path / "a.npz", ("x", "y"))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
