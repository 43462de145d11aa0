"""Identity of files by their content, and changes of files while they are read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .record_batches import parquet_files

WHOLE_UP_TO = 2**24  # bytes of all files that are read, about: 16 MiB take 20 ms
BLOCK_BYTES = 2**16  # of a block; evenly spaced ones are read of files that are larger than their share


def identity_of(path: Path) -> tuple:
    """Return what identifies the content of a file, or of a folder's Parquet files: digests and sizes, no names.

    Of a file that is not read as a whole, also the times of the last change of its content and of its entry in the
    file system: a program can set the first one back, but not the second one.
    """
    files = parquet_files(path)
    n_blocks = max(2, WHOLE_UP_TO // len(files) // BLOCK_BYTES)
    return tuple(_identity_of_file(file, n_blocks) for file in files)


def stamps_of(path: Path) -> tuple:
    """Return what changes when somebody writes to a file, or to a folder's Parquet files, in the usual way."""
    return tuple((str(file), (info := file.stat()).st_size, info.st_mtime_ns) for file in parquet_files(path))


def _identity_of_file(path: Path, n_blocks: int) -> tuple:
    with open(path, "rb") as file:
        info = os.fstat(file.fileno())
        size = info.st_size
        digest = hashlib.blake2b(digest_size=16)
        if size <= n_blocks * BLOCK_BYTES:
            digest.update(file.read())
            return size, digest.hexdigest()
        for k in range(n_blocks):
            file.seek(k * (size - BLOCK_BYTES) // (n_blocks - 1))
            digest.update(file.read(BLOCK_BYTES))
        return size, digest.hexdigest(), info.st_mtime_ns, info.st_ctime_ns
