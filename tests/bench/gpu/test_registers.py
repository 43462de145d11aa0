"""The committed registers of CUDA kernels are those of the present sources."""

from gpu import registers


def test_results_are_of_these_sources():
    """Else a kernel that spills now would be said not to."""
    first, *rows = registers.RESULTS.read_text(encoding="utf-8").splitlines()
    digest = registers.digest()
    assert first.endswith(f", sources {digest}"), (
        "run `python bench/gpu/registers.py > bench/results/cuda_registers.txt`"
    )
    kernels = {row.split()[0] for row in rows[1:]}
    assert {"train_nets", "evaluate_nets", "narrow_gradient", "activate", "update"} <= kernels


def test_comments_do_not_count():
    code = "int f(int x) { return x / 2; }"
    assert registers.code_of(f"/* two\n// lines */{code}  // half\n").strip() == code
    assert registers.code_of(code.replace("2", "3")) != code
