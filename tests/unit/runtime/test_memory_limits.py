"""Memory checks: sizes beyond the memory or 64 bits raise a readable error before anything is allocated."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import fastmlp
from fastmlp import MLP, Population
from fastmlp.runtime import memory_limits
from fastmlp.runtime.memory_limits import check_epochs, check_memory, format_count, memory_bytes

HUGE = 10**399
X = np.random.default_rng(0).normal(size=(20, 3))
y = (X[:, 0] > 0).astype(int)


def net():
    return MLP((3, 4, 1), loss="binary_cross_entropy", random_state=0)


def nets():
    return Population((3, 4, 1), 2, loss="binary_cross_entropy", random_state=0)


def test_memory_bytes_is_plausible():
    assert 2**28 < memory_bytes() <= memory_limits.ADDRESSES


def test_memory_limit_of_a_container_counts_and_what_it_has_used_is_not_free(monkeypatch, tmp_path):
    files = [str(tmp_path / name) for name in ("limit", "usage", "stat")]
    absent = (*[str(tmp_path / "none")] * 3, "inactive_file")
    monkeypatch.setattr(memory_limits, "CONTAINERS", (absent, (*files, "inactive_file")))
    for limit in ("1000\n", "max\n"):
        for file, text in zip(files, (limit, "700\n", "anon 500\ninactive_file 150\n"), strict=True):
            Path(file).write_text(text)
        has_limit = limit != "max\n"
        assert (memory_limits.memory_bytes.__wrapped__() == 1000) == has_limit
        assert memory_limits.free_in_container() == (450 if has_limit else memory_limits.ADDRESSES)


def test_sizes_and_counts_are_formatted_in_messages():
    assert format_count(HUGE) == "2**1325 and more"
    check_memory(memory_bytes(), "All of it", "")
    with pytest.raises(ValueError, match=r"Things would take .* but this machine has .* of memory\. Buy more\."):
        check_memory(memory_bytes() + 1, "Things", "Buy more.")


def test_epochs_are_limited_by_memory_for_records_and_step_counter():
    most = memory_bytes() // 16
    check_epochs(most, 1, 2)
    with pytest.raises(ValueError, match=f"at most {most:,} here, since 2 figures of each epoch are kept, but it is"):
        check_epochs(most + 1, 1, 2)
    check_epochs(2**62, 1, 0)
    with pytest.raises(ValueError, match="since more steps cannot be counted"):
        check_epochs(2**62, 4, 0)


PARAMS = r"The .* parameters of .*layers .* would take .* TB, but this machine has .* of memory\."
COUNT = r"must be a whole number .*but it is a whole number of 400 digits"
NUMBER = r"must be a number .*but it is a whole number of 400 digits"
ABSURD = {
    "a layer of 2**62": (lambda: MLP((3, 2**62, 1)), PARAMS),
    "nets with a layer of 2**62": (lambda: Population((3, 2**62, 1), 2), PARAMS),
    "too many nets": (lambda: Population((3, 4, 1), 10**13), "The seeds of .* nets would take"),
    "nets of 400 digits": (lambda: Population((3, 4, 1), HUGE), f"n_nets {COUNT}"),
    "an estimator's layer": (lambda: fastmlp.MLPClassifier((2**62,)).fit(X, y), PARAMS),
    "l2": (lambda: MLP((3, 1), l2=HUGE), f"l2 {NUMBER}"),
    "class weight": (lambda: net().fit(X, y, class_weight={0: HUGE}), NUMBER),
    "patience beyond 64 bits": (lambda: fastmlp.EarlyStopping(2**63), "patience must be a whole number from 1 to 9,"),
    "epochs of 400 digits": (lambda: net().fit(X, y, epochs=HUGE), f"epochs {COUNT}"),
    "epochs that have no room": (lambda: net().fit(X, y, epochs=10**13), "epochs must be .* at most .* 10,000,000,000"),
    "epochs of nets": (lambda: nets().fit(X, y, epochs=2**62, batch_size=1), "more steps cannot be counted"),
    "rates of nets": (
        lambda: Population((3, 4, 1), 99).fit(X, y, epochs=10**13, schedule="cosine"),
        "The learning rates of .* steps",
    ),
    "a cell of X": (lambda: net().fit([[HUGE, 0, 0]], [1]), "X must hold numbers that fit into float64"),
    "a weight": (lambda: net().fit(X[:1], y[:1], sample_weight=[HUGE]), "sample_weight must hold numbers that fit"),
    "a sparse matrix": (
        lambda: net().fit(scipy.sparse.csr_matrix((2_000_000, 1_000_000)), [1]),
        "X as a dense array of shape .* take",
    ),
    "one-hot rows": (
        lambda: MLP((1, 1, 1_000_000), loss="softmax_cross_entropy").fit(np.zeros((10**6, 1)), np.zeros(10**6, int)),
        "y as one-hot rows of shape .* would take",
    ),
    "outputs": (lambda: MLP((1, 1, 1_000_000)).predict(np.zeros((10**6, 1))), "Outputs of shape .* would take"),
    "bags": (lambda: fastmlp.bootstrap(10**7, 10**7), "Weights of shape .* would take"),
}


@pytest.mark.parametrize("attempt, message", ABSURD.values(), ids=ABSURD)
def test_sizes_beyond_memory_or_64_bits_raise(attempt, message):
    with pytest.raises(ValueError, match=message) as error:
        attempt()
    assert len(str(error.value)) < 500


def test_huge_random_state_is_reduced_to_63_bits():
    seeds = [MLP((3, 1), random_state=HUGE).seed, Population((3, 1), 2, random_state=HUGE).seed]
    assert seeds == [HUGE % 2**63] * 2
    assert fastmlp.folds(4, 2, random_state=HUGE).shape == (2, 4)
