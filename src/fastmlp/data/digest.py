"""Digests of arrays, by which a checkpoint recognises the data of its fit."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ..kernels.structs import Samples
from .arrays import on_host

PREFIX, CRC = "blake2b:", "crc32:"  # of digests of arrays, and of checksums of files of rows
WHOLE_UP_TO = 2**24  # bytes of an array up to which all of it is read: 16 MiB take 20 ms
N_BLOCKS = 1024  # of larger arrays, so many evenly spaced blocks are read, together WHOLE_UP_TO bytes


def digest_of(array: Any) -> str:
    """Return a digest of an array: of its dtype, its shape and its values, or of 16 MiB of them if it is larger.

    array : NumPy or device array

    >>> digest_of(np.zeros(3)) == digest_of(np.zeros(3)), digest_of(np.zeros(3)) == digest_of(np.ones(3))
    (True, False)
    """
    flat, digest = array.reshape(-1), hashlib.blake2b(f"{array.dtype} {array.shape}".encode(), digest_size=16)
    length = WHOLE_UP_TO // array.dtype.itemsize // N_BLOCKS
    if flat.size <= length * N_BLOCKS:
        starts, length = [0], max(1, flat.size)
    else:
        starts = np.linspace(0, flat.size - length, N_BLOCKS).astype(np.int64).tolist()
    for start in starts:
        digest.update(np.ascontiguousarray(on_host(flat[start : start + length])).view(np.uint8).data)
    return PREFIX + digest.hexdigest()


def sample_digests(parts: dict[str, Samples | None]) -> dict[str, Any]:
    """Return numbers of samples and digests of the arrays of a fit's samples, by names such as "training X".

    parts : the samples, or None, by the name of their part
    """
    digests: dict[str, Any] = {}
    for part, data in parts.items():
        digests[f"number of {part} samples"] = 0 if data is None else data.n_samples
        if data is not None:
            digests |= {f"{part} X": digest_of(data.X), f"{part} y": digest_of(data.Y)}
            digests[f"{part} weights"] = digest_of(data.weight) if data.has_weights else None
    return digests
