"""Damaged files of nets and estimators: the exceptions that mean damage, and the text of the error that refuses a file.

What is wrong with a file is a clause, such as "it is damaged (its checksum does not match)". Modules that read a file
raise ValueError with such a clause, or another exception of DAMAGE, and the caller who knows the path makes the error.
Checkpoints have a text of their own, since reading falls back to the one before (checkpoint_files.py).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import checksum

# Exceptions that mean a damaged file. RuntimeError (device not available), ImportError and OSError do not.
DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def refusal(path: str | os.PathLike, kind: str, error: Exception) -> ValueError:
    """Return the error for a file that is refused.

    kind : what the file should hold: "a net" or "an estimator"
    error : exception of DAMAGE that reading has raised
    """
    return ValueError(
        f"{str(path)!r} should be {kind} saved by fastmlp, but {reason_of(error)}. Restore it from a copy, or train "
        "and save again."
    )


def reason_of(error: Exception) -> str:
    """Return what is wrong with a file, as a clause."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, ValueError):
        return str(error).rstrip(".")
    return f"its description is not valid ({error})"


def check_checksum(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError if a file has another checksum than its contents."""
    if description["checksum"] != checksum(description, arrays):
        raise ValueError("it is damaged (its checksum does not match)")
