"""Damaged files: one text for each kind of damage, with the path and what to do."""

import numpy as np
import pytest

from fastmlp.persistence import checksum
from fastmlp.persistence.damaged_file import DAMAGE, check_checksum, reason_of, refusal

REASONS = [
    (KeyError("settings"), "it lacks 'settings'"),
    (ValueError("it is damaged."), "it is damaged"),
    (TypeError("no number"), "its description is not valid (no number)"),
    (RecursionError("too deep"), "its description is not valid (too deep)"),
]


@pytest.mark.parametrize("error, reason", REASONS, ids=lambda value: type(value).__name__)
def test_a_refusal_says_what_is_wrong_and_what_to_do(error, reason):
    assert isinstance(error, DAMAGE)
    assert reason_of(error) == reason
    assert str(refusal("a/net.safetensors", "a net", error)) == (
        f"'a/net.safetensors' should be a net saved by fastmlp, but {reason}. Restore it from a copy, or train and "
        "save again."
    )


@pytest.mark.parametrize("error", [OSError, ImportError, RuntimeError, MemoryError, KeyboardInterrupt])
def test_what_is_no_damage(error):
    assert not issubclass(error, DAMAGE)


def test_another_checksum_is_damage():
    arrays = {"params": np.arange(3.0)}
    description = {"format": 1}
    description["checksum"] = checksum(description, arrays)
    check_checksum(description, arrays)
    arrays["params"][1] = np.nextafter(1.0, 2.0)
    with pytest.raises(ValueError, match=r"^it is damaged \(its checksum does not match\)$"):
        check_checksum(description, arrays)
    with pytest.raises(KeyError):
        check_checksum({"format": 1}, arrays)
