"""Registers of CUDA kernels: the committed table belongs to the present sources."""

from gpu import registers


def test_committed_registers_match_the_sources():
    """With an outdated table, a new register spill would go unnoticed."""
    first, *rows = registers.RESULTS.read_text(encoding="utf-8").splitlines()
    digest = registers.digest()
    assert first.endswith(f", sources {digest}"), (
        "run `python bench/gpu/registers.py > bench/results/cuda_registers.txt`"
    )
    kernels = {row.split()[0] for row in rows[1:]}
    assert {"train_nets", "activate", "update"} <= kernels
