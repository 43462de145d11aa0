"""The report of predicted cycles, for one loop that is written here, and for a loop of the kernels."""

import shutil

import pytest

from tools import predicted_cycles

LOOP = """
.LBB0_1:
\tvmovups\t(%rdi), %ymm1
\tvfmadd231ps\t(%rsi), %ymm1, %ymm2
\tvfmadd231ps\t32(%rsi), %ymm1, %ymm3
\tdecq\t%rax
\tjne\t.LBB0_1
.LBB0_2:
\tvfmadd231ps\t(%rsi), %ymm1, %ymm2
\tjne\t.LBB0_2
\tret
"""


def test_loop_with_most_multiply_adds_is_chosen():
    loop = predicted_cycles.innermost_loop(LOOP, predicted_cycles.MULTIPLY_ADD)
    assert loop.splitlines()[-1] == "\tdecq\t%rax"
    assert predicted_cycles.bytes_of_results(loop, predicted_cycles.MULTIPLY_ADD) == 64


def test_code_without_loops_is_refused():
    with pytest.raises(ValueError, match="no innermost loop"):
        predicted_cycles.innermost_loop(".LBB0_1:\n\tret\n", predicted_cycles.MULTIPLY_ADD)


@pytest.mark.skipif(not shutil.which("llvm-mca"), reason="llvm-mca is not installed")
def test_prediction_of_a_loop_bound_by_latency():
    """A chain of multiply-adds takes five cycles each on Haswell (Intel's optimisation manual)."""
    chain = "\tvfmadd231ps\t%ymm0, %ymm1, %ymm2\n"
    assert predicted_cycles.cycles(chain, "haswell") == pytest.approx(5.0, rel=0.05)
    assert predicted_cycles.cycles(chain + chain, "haswell") == pytest.approx(10.0, rel=0.05)


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("llvm-mca"), reason="llvm-mca is not installed")
def test_predictions_of_the_hot_loops():
    """A vector of 64 bytes is two registers of Haswell, which has two multiply-add units."""
    found = predicted_cycles.predictions("haswell")
    assert found["product"] >= 1.0
    assert all(0.5 < value < 100 for value in found.values())
    assert "product" in predicted_cycles.table({"haswell": found})
