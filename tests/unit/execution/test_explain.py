"""Explanations of how a population would be trained: the family, threads and lanes that dispatch chooses."""

import numpy as np
import pytest

from fastmlp import Population
from fastmlp.fit.task import FitTask

CASES = {
    "lanes": ((2, 8, 1), 100, "population_simd", "are trained in SIMD lanes from 20 nets on, and these are 100"),
    "few nets": ((2, 8, 1), 3, "one_by_one", "and these are 3"),
    "large nets": ((64, 200, 10), 50, "one_by_one", "too large for a SIMD lane each"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_family_is_that_of_the_fit(case, monkeypatch):
    sizes, n_nets, family, reason = CASES[case]
    pop = Population(sizes, n_nets, device="cpu", random_state=0)
    X = np.zeros((200, sizes[0]))
    lines = pop.explain(X, batch_size=32, epochs=5).splitlines()
    assert lines[0].startswith(f"Kernel family: {family} on cpu (")
    assert reason in lines[0]
    assert lines[1].startswith("Threads: ")
    assert len(lines) == 3
    assert lines == pop.explain(200, batch_size=32, epochs=5).splitlines()
    chosen = []
    original = FitTask.family.func
    monkeypatch.setattr(FitTask, "family", property(lambda task: chosen.append(original(task)) or chosen[-1]))
    pop.fit(X, np.zeros((200, sizes[-1])), epochs=1, batch_size=32, verbose=0)
    assert set(chosen) == {family}


def test_a_gpu_is_explained_too(cuda):
    lines = Population((2, 8, 1), 100, device="cuda", random_state=0).explain(1000, batch_size=32).splitlines()
    assert "on cuda (" in lines[0]
    assert lines[1] == "Threads: the GPU's own."


def test_invalid_numbers_are_refused():
    with pytest.raises(ValueError, match="batch_size"):
        Population((2, 1), 3).explain(10, batch_size=0)
    with pytest.raises(ValueError, match="the number of samples"):
        Population((2, 1), 3).explain(0)
