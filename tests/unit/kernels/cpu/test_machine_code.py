"""Machine code of every hot loop: packed arithmetic in the widest registers, no float64 in float32 loops, no calls.

LLVM does not guarantee vectorisation; these tests fail when it is lost.
"""

import re

import numba
import numpy as np
import pytest
from llvmlite import binding

from fastmlp.kernels.cpu.gemm.gemm import product, product_kind
from fastmlp.kernels.cpu.gemm.operands import Matrix, Prefetch
from fastmlp.kernels.cpu.single_net import column_passes, elementwise, optimizer_step
from fastmlp.kernels.cpu.workspace import B_PREFETCH_ROWS, TILE_ROWS
from fastmlp.kernels.formulas.activations import ACTIVATIONS, CODES
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import RULES, StepSettings
from fastmlp.kernels.jit.decorators import ENTRY, OPTIONS, helper
from fastmlp.kernels.simd.load_store import offset

FEATURES = binding.get_host_cpu_features()
WIDEST = "zmm" if FEATURES.get("avx512f") else "ymm" if FEATURES.get("avx2") else "xmm"

pytestmark = pytest.mark.skipif(
    not FEATURES.get("sse2"), reason="the patterns are those of x86 assembly; this processor has other instructions"
)

PREFETCH = "\tprefetch"  # the instruction; symbols have the word in them, too
PREFETCH_FIRST_LEVEL, PREFETCH_SECOND_LEVEL = PREFETCH + "t0", PREFETCH + "t1"
FLOATS, WIDTH = np.ones(4096, np.float32), optimizer_step.WIDTH
SETTINGS = StepSettings(*[np.float32(1.0)] * len(StepSettings._fields))


def assembly(function, *arguments):
    compiled = numba.njit(**OPTIONS)(function)
    compiled.compile(tuple(numba.typeof(argument) for argument in arguments))
    (text,) = compiled.inspect_asm().values()
    return without_wrappers(text)


def without_wrappers(text):
    """Assembly without the wrappers for Python callers, which convert numbers of every type."""
    functions = re.findall(r"^(\S+):\n(.*?)^\.Lfunc_end", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(body for name, body in functions if not re.search(f"cpython|cfunc|{ENTRY}", name))


def assert_packed(text, arithmetic=r"v?(add|sub|mul|div|max|min|and|fn?madd\w*|fn?msub\w*|blendm)ps"):
    packed = re.findall(rf"{arithmetic}\s[^\n]*%{WIDEST}", text)
    assert packed, f"no packed float32 arithmetic in {WIDEST} registers"
    assert not re.search(r"vcvtss2sd|vcvtps2pd", text), "float32 numbers are widened to float64"
    assert not re.search(r"call\w*\s+\S*(expf?|logf?|tanhf?|powf?|erff?|sqrtf?)\b", text), (
        "a library function is called"
    )


@pytest.mark.full
@pytest.mark.thinned(6)
@pytest.mark.parametrize("code", range(len(ACTIVATIONS)), ids=[row.name for row in ACTIVATIONS])
def test_activation_loops_are_vectorised(code):
    activate = elementwise._make_activate(ACTIVATIONS[code])

    def run(z, b, a):
        activate(z, 0, b, 0, False, 64, 64, a, 0)

    assert_packed(assembly(run, FLOATS, FLOATS, FLOATS))


@pytest.mark.full
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "selu"])
def test_activations_in_place_have_no_masked_stores(name):
    """Some of AMD's processors take twenty cycles for one; LLVM makes them of a select between a loaded vector and
    another that is stored where it was loaded.
    """
    activate = column_passes._make_activate(ACTIVATIONS[CODES[name]])

    def run(a):
        activate(a, a, 0, 4096, False, WIDTH)

    text = assembly(run, FLOATS)
    assert_packed(text, arithmetic=r"v?\w+ps")
    assert not re.search(r"vmaskmovps\s+%ymm\d+, %ymm\d+, |vmov[au]ps\s+%zmm\d+, \S*\(\S*\) \{%k", text)


@pytest.mark.full
@pytest.mark.thinned(6)
@pytest.mark.parametrize("code", range(len(ACTIVATIONS)), ids=[row.name for row in ACTIVATIONS])
def test_derivative_loops_are_vectorised(code):
    backward = elementwise._make_backward(ACTIVATIONS[code])

    def run(kept, delta):
        backward(kept, 0, 4096, delta, 0)

    assert_packed(assembly(run, FLOATS, FLOATS))


@pytest.mark.full
@pytest.mark.thinned(6)
@pytest.mark.parametrize("code", range(len(LOSSES)), ids=[row.name for row in LOSSES])
def test_loss_loops_are_vectorised(code):
    loss_and_delta, Outputs, Targets = elementwise._make_loss(LOSSES[code]), elementwise.Outputs, elementwise.Targets

    def run(z, a, y, delta, scale, rows, width):
        outputs, targets = Outputs(z, a, delta, 0), Targets(y, 0, True, y, 0)
        loss_and_delta(outputs, targets, scale, scale, rows, width)

    assert_packed(assembly(run, FLOATS, FLOATS, FLOATS, FLOATS, np.float32(1.0), 64, 64))


@pytest.mark.thinned(6)
@pytest.mark.parametrize("code", range(len(RULES)), ids=[row.name for row in RULES])
def test_update_loops_are_vectorised(code):
    update_loop = optimizer_step.make_update(RULES[code])

    def run(p, g, s, h):
        update_loop(p, g, s, 0, 1024, 1024, h, WIDTH)

    assert_packed(assembly(run, FLOATS, FLOATS, FLOATS, SETTINGS))


@pytest.mark.full
def test_penalty_and_clipping_loop_is_vectorised():
    adjust = optimizer_step.add_penalty_and_clip

    def run(p, g, decay):
        adjust(p, g, 0, 1024, decay, decay, decay, WIDTH)

    assert_packed(assembly(run, FLOATS, FLOATS, np.float32(1.0)))


@pytest.mark.full
@pytest.mark.thinned(2)
@pytest.mark.parametrize("rows, width", [(64, 10), (64, 64)])
def test_softmax_loop_is_vectorised(rows, width):
    softmax_rows = helper(elementwise.softmax_rows.py_func)

    def run(z, a, scratch):
        softmax_rows(z, 0, rows, width, a, 0, scratch)

    assert_packed(assembly(run, FLOATS, FLOATS, FLOATS))


@pytest.mark.full
def test_mask_and_norm_loops_are_vectorised():
    multiply, squares = elementwise.multiply, optimizer_step.squares

    def run_multiply(a, mask, out):
        multiply(a, 0, mask, 0, 1024, out, 0)

    def run_squares(p, g, l2):
        return np.float32(squares(p, g, 0, 1024, l2))

    assert_packed(assembly(run_multiply, FLOATS, FLOATS, FLOATS))
    packed = assembly(run_squares, FLOATS, FLOATS, np.float32(0.1))
    assert re.search(rf"v?f?n?madd\w*ps\s[^\n]*%{WIDEST}|addps\s[^\n]*%{WIDEST}", packed)


@pytest.mark.full
def test_kernels_with_samples_in_lanes_are_vectorised(monkeypatch):
    """Whole batch_simd kernels of both widths, since their loops are inlined."""
    from fastmlp import MLP
    from fastmlp.kernels.jit import call, compiler, object_cache

    listings = []

    def machine_code(kernel, arguments):
        library = compiler.library(kernel, arguments)
        listings.append(library.get_asm_str())
        return library.object_code

    monkeypatch.setattr(object_cache, "read", lambda name: None)
    monkeypatch.setattr(call, "_entries", {})
    monkeypatch.setattr(call, "_functions", {})
    monkeypatch.setattr(compiler, "machine_code", machine_code)
    X, y = np.random.default_rng(0).random((32, 2)), np.ones(32)
    for rows, register in ((4, "xmm"), (32, WIDEST)):
        MLP((2, 3, 1), random_state=0).fit(X[:rows], y[:rows], epochs=1, verbose=0)
        assert re.search(rf"vfmadd\w*ps\s[^\n]*%{register}|mulps\s[^\n]*%{register}", listings[-1])
    assert len(listings) == 2


def test_kernels_with_nets_in_lanes_are_vectorised():
    """Loops over units load weights and activations of 16 nets at once, without scalar arithmetic."""
    from fastmlp.kernels.cpu.population.gradient_loops import Units, Weights, dense, weight_gradients
    from fastmlp.kernels.simd.lanes import Lanes
    from fastmlp.kernels.simd.load_store import offset

    lanes = Lanes(16)

    def run_dense(p, x, y):
        dense(Weights(offset(p, 0), 0, 1, 4, 16), Units(offset(x, 0), 0, 4), Units(offset(y, 0), 0, 4), 8, lanes)

    def run_gradients(x, delta, g):
        inputs, deltas = Units(offset(x, 0), 0, 4), Units(offset(delta, 0), 0, 4)
        weight_gradients(inputs, deltas, 8, Weights(offset(g, 0), 0, 1, 4, 16), False, lanes)

    for run in (run_dense, run_gradients):
        text = assembly(run, FLOATS, FLOATS, FLOATS)
        assert_packed(text)
        assert not re.search(r"v?(add|mul|fmadd\w*)ss\s", text)


# Most register spills to the stack, for the widest register of this processor.
MOST_SPILLS = {
    "zmm": [((2, 2, 1), 16, 125), ((2, 2, 1), 32, 200), ((2, 4, 4, 1), 16, 500)],
    "ymm": [((2, 2, 1), 8, 110), ((2, 2, 1), 16, 280), ((2, 4, 4, 1), 8, 400)],
    "xmm": [((2, 2, 1), 8, np.inf)],
}


@pytest.mark.thinned(6)
@pytest.mark.parametrize("loops", (False, True))
@pytest.mark.parametrize("sizes, lanes, most_spills", MOST_SPILLS[WIDEST])
def test_unrolled_kernels_are_vectorised_with_bounded_spills(sizes, lanes, most_spills, loops):
    """Only vector arithmetic and no calls; register spills are bounded and aligned."""
    from fastmlp.kernels.cpu.unrolled.population_codegen import python_function, signature
    from fastmlp.kernels.formulas.activations import CODES
    from fastmlp.kernels.jit.compiler import library_of_c

    function = python_function((sizes, (CODES["sigmoid"],) * (len(sizes) - 1), 0, 0, lanes, loops))
    text = without_wrappers(library_of_c(function, *signature(np.dtype("float32"))).assembly())
    assert_packed(text)
    # One scalar product: rows * width, once a call.
    assert len(re.findall(r"v?(?:add|mul|fmadd\w*)ss\s", text)) <= 1
    assert not re.search(r"\bcall", text)
    stores = re.findall(rf"(v?mov\w+)\s+%{WIDEST}\d+, -?\d*\(%r[sb]p\)", text)
    assert len(stores) <= most_spills
    assert WIDEST == "xmm" or not stores or re.search(r"andq\s+\$-\d+, %rsp", text), "the stack is not aligned"
    assert not re.findall(rf"v?movu\w+\s+%{WIDEST}\d+, -?\d*\(%r[sb]p\)", text), "nor are vectors that lie there"


def test_product_prefetches_between_multiply_adds_without_spills():
    """The inner loop prefetches one line into the second-level cache with each row of B, on processors with vectors of
    64 bytes a later row of B into the first-level cache, and writes no memory: no register is spilled.
    """

    @helper
    def ahead(nowhere, i, tile, depth, extra):
        return Prefetch(nowhere.address, 16)

    fetching = product_kind(ahead=ahead)

    def run(a, b, c, s):
        a, b, c = Matrix(offset(a, 0), 0, 64), Matrix(offset(b, 0), 0, 64), Matrix(offset(c, 0), 0, 64)
        product(fetching, True, 64, 64, 64, a, b, False, c, offset(s, 0), 0)

    text = assembly(run, FLOATS, FLOATS, FLOATS, FLOATS)
    blocks = re.findall(r"^(\.LBB\S+):(.*?)(?=^\.LBB|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    bodies = [
        re.split(rf"\bj\w+\s+{re.escape(label)}$", body, maxsplit=1, flags=re.MULTILINE) for label, body in blocks
    ]
    loops = [body[0] for body in bodies if len(body) > 1 and PREFETCH in body[0]]
    assert any(PREFETCH_SECOND_LEVEL in loop for loop in loops), "no line is fetched ahead"
    for loop in loops:
        n_ahead, n_b = loop.count(PREFETCH_SECOND_LEVEL), loop.count(PREFETCH_FIRST_LEVEL)
        multiply_adds = len(re.findall(rf"vfn?madd\w*ps\s[^\n]*%{WIDEST}", loop))
        if n_ahead:
            assert multiply_adds == 2 * TILE_ROWS * n_ahead or WIDEST == "xmm", "the loop is not the tile's"
            assert n_b == (2 * n_ahead if B_PREFETCH_ROWS else 0), "a vector of B is not fetched, or more than that"
        else:
            assert multiply_adds == TILE_ROWS * n_b, "a vector of B is not fetched once"
        assert not re.search(r"%\wmm\d+, [^\n]*\((%rsp|%rbp)", loop), "a register of the loop is spilt"
