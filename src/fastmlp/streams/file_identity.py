"""Identity of files by their content, and changes of files while they are read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from .parquet_batches import parquet_files

WHOLE_UP_TO = 2**24  # bytes of a file up to which all of it is read: 16 MiB take 20 ms
N_BLOCKS = 256  # of larger files, so many evenly spaced blocks are read, together WHOLE_UP_TO bytes
PARQUET = b"PAR1"  # the last bytes of a Parquet file, after the length of its footer
LENGTH_BYTES = 4


def identity_of(path: Path) -> tuple:
    """Return what identifies the content of a file, or of a folder's Parquet files: digests and sizes, no names.

    Of a file that is not read as a whole, also the times of the last change of its content and of its entry in the
    file system: a program can set the first one back, but not the second one.
    """
    return tuple(_identity_of_file(file) for file in parquet_files(path))


def stamps_of(path: Path) -> tuple:
    """Return what changes when somebody writes to a file, or to a folder's Parquet files, in the usual way."""
    return tuple((str(file), (info := file.stat()).st_size, info.st_mtime_ns) for file in parquet_files(path))


def _identity_of_file(path: Path) -> tuple:
    with open(path, "rb") as file:
        info = os.fstat(file.fileno())
        size = info.st_size
        digest = hashlib.blake2b(digest_size=16)
        if size <= WHOLE_UP_TO:
            digest.update(file.read())
            return size, digest.hexdigest()
        length = WHOLE_UP_TO // N_BLOCKS
        for k in range(N_BLOCKS):
            file.seek(k * (size - length) // (N_BLOCKS - 1))
            digest.update(file.read(length))
        digest.update(_parquet_footer(file, size))
        return size, digest.hexdigest(), info.st_mtime_ns, info.st_ctime_ns


def _parquet_footer(file: BinaryIO, size: int) -> bytes:
    """Return the footer of a Parquet file, which has the places and the statistics of all columns; b"" of others."""
    tail = LENGTH_BYTES + len(PARQUET)
    file.seek(size - tail)
    end = file.read(tail)
    n = int.from_bytes(end[:LENGTH_BYTES], "little")
    if not end.endswith(PARQUET) or n > size - tail:
        return b""
    file.seek(size - tail - n)
    return file.read(n)
