"""A short run of the fuzzing: valid files, files of the corpus, and some thousand mutations drawn by Hypothesis."""

from collections import Counter

import fuzz_targets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NUMBERS = st.tuples(st.integers(0, 2**31), st.integers(0, 6), st.binary(min_size=1, max_size=8))


def mutated(data, changes):
    """Return data after some changes (place, kind, bytes): overwrite, insert, remove, cut off, repeat, flip a bit."""
    data = bytearray(data)
    for place, kind, piece in changes:
        at = place % (len(data) + 1)
        if kind <= 1:
            data[at : at + len(piece)] = piece
        elif kind == 2:
            data[at:at] = piece
        elif kind == 3:
            del data[at : at + len(piece)]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at:at] = data[at : at + 50 * len(piece)]
        elif at < len(data):
            data[at] ^= 1 << (piece[0] % 8)
    return bytes(data)


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_valid_files_are_read(name):
    assert {fuzz_targets.use(name, data) for data in fuzz_targets.TARGETS[name].seeds()[:1]} == {fuzz_targets.READ}


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_mutated_files_are_read_or_refused_with_a_sentence(name, count):
    files, found = fuzz_targets.corpus(name), Counter()
    for data in files:
        fuzz_targets.use(name, data)

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(st.integers(0, len(files) - 1), st.lists(NUMBERS, min_size=1, max_size=4))
    def check(number, changes):
        found[fuzz_targets.use(name, mutated(files[number], changes))] += 1

    check()
    assert found[fuzz_targets.REFUSED] > 10
    count(f"mutated files of the kind {name}", sum(found.values()))
