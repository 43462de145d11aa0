"""Kept values: what a first pass over a source has found, in a file of a row cache, for later fits to the same source.

The file is JSON with a digest before it. Nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from typing import Any

from ..kernels.jit.cache_dir import FILE_MODE, distrust_reason, make_folder, read_file
from ..kernels.system.atomic_file import replacing
from .row_cache import RowCache

DIGEST_BYTES = 16


class KeptValue:
    """Value of JSON in a row cache.

    cache : RowCache
    key : what the value depends on
    """

    def __init__(self, cache: RowCache, key: tuple):
        self._file = cache.place_of(key, kind="found")

    def read(self) -> Any:
        """Return the value; None if there is none, or what is there is damaged or not to be trusted."""
        with suppress(OSError, ValueError, RecursionError):
            if distrust_reason(self._file.parent) is None:
                content = read_file(self._file)
                digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
                if digest == _digest(data):
                    value = json.loads(data)
                    with suppress(OSError):  # of a cache that this process may only read
                        os.utime(self._file)  # the time of the last use
                    return value
        return None

    def write(self, value: Any) -> None:
        """Write the value, in place of an earlier one. Where that fails, a later fit finds it again."""
        data = json.dumps(value).encode()
        with suppress(OSError):
            make_folder(self._file.parent)
            if distrust_reason(self._file.parent) is None:
                with replacing(self._file, FILE_MODE) as file:
                    file.write(_digest(data) + data)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
