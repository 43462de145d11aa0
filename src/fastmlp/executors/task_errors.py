"""Errors of tasks on the workers of an executor: those of their functions, lost workers, another version there."""

from __future__ import annotations

from ..errors import counted

NOT_SENT = "pickle", "can't get local object"  # in errors of pickle; since Python 3.13 the second stands alone


def named(error: BaseException, text: str) -> BaseException:
    """Return an error of a task with a note that says what the task does, and how it may be avoided."""
    note = f"This is the error of the task of {text}, on a worker of the executor."
    said = f"{type(error).__name__} {error}".lower()
    if any(words in said for words in NOT_SENT):
        note += (
            " Functions and objects that are given to fit, such as a schedule, must be those of a module that the "
            "workers can import; Dask and loky also take those of the main program."
        )
    if hasattr(error, "add_note"):
        error.add_note(note)
    elif len(error.args) == 1:  # Python 3.10 has no notes: what is caught must be the error of the task there, too
        error.args = (f"{error.args[0]} {note}",)
    return error


def lost_too_often(text: str, n: int) -> RuntimeError:
    """Return the error for a task whose worker was lost each time.

    text : what the task does, such as "nets 0 to 63"
    """
    return RuntimeError(
        f"Workers were lost {counted(n, 'time')} while they had the task of {text}, so it is not tried again. A worker "
        "that is killed has often run out of memory: give each worker more of it, or train fewer or smaller nets."
    )


def version_here() -> str:
    """Return the version of this package."""
    from .. import __version__  # found out at its first use

    return __version__


def check_version(version: str) -> None:
    """Raise RuntimeError on a worker whose version of this package is not that of the program that sends its tasks."""
    if version != version_here():
        raise RuntimeError(
            f"A worker has fastmlp {version_here()}, but the program that sends its tasks has {version}. Install the "
            "same version everywhere."
        )
