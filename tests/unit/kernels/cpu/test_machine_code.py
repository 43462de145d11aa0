"""Machine code of every hot loop: packed arithmetic in the widest registers, no float64 in float32 loops, no calls.

LLVM does not guarantee vectorisation; these tests fail when it is lost.
"""

import re

import numba
import numpy as np
import pytest
from llvmlite import binding

from fastmlp.kernels.cpu.gemm.gemm import product, product_kind
from fastmlp.kernels.cpu.gemm.microkernel import Matrix, Prefetch
from fastmlp.kernels.cpu.population import gradient_loops as nets
from fastmlp.kernels.cpu.single_net import batch_simd_products as samples
from fastmlp.kernels.cpu.single_net import column_passes, elementwise, optimizer_step
from fastmlp.kernels.cpu.unrolled.compiled import Architecture
from fastmlp.kernels.cpu.unrolled.population_codegen import CODE
from fastmlp.kernels.cpu.workspace import B_PREFETCH_ROWS, TILE_ROWS
from fastmlp.kernels.formulas.activations import ACTIVATIONS, CODES
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import RULES, StepSettings
from fastmlp.kernels.jit.compiler import library_of_c
from fastmlp.kernels.jit.decorators import ENTRY, OPTIONS, helper, inline_helper
from fastmlp.kernels.simd.lanes import Lanes
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


def calling(line, functions, **names):
    """Return a function of z, b and a that runs a line for each function, which the line calls f.

    They are compiled together: one by one takes as long, and there are fifty.
    """
    lines = [f"    {line.replace('f(', f'f{i}(')}" for i in range(len(functions))]
    scope = {**{f"f{i}": function for i, function in enumerate(functions)}, **names}
    exec("\n".join(["def run(z, b, a, h):", *lines]), scope)
    return scope["run"]


def assert_packed(text, n_loops=1, scalars=0):
    """Assert that there is packed arithmetic, no more than some scalar instructions in all, and no call."""
    packed = re.findall(rf"v?(?:add|sub|mul|div|max|min|and|fn?madd\w*|fn?msub\w*|blendm)ps\s[^\n]*%{WIDEST}", text)
    assert len(packed) >= n_loops, f"no packed float32 arithmetic in {WIDEST} registers"
    assert len(re.findall(r"v?(?:add|sub|mul|div|fn?madd\w*|max|min)ss\s", text)) <= scalars, "numbers one by one"
    assert not re.search(r"vcvtss2sd|vcvtps2pd", text), "float32 numbers are widened to float64"
    assert not re.search(r"call\w*\s+\S*(expf?|logf?|tanhf?|powf?|erff?|sqrtf?)\b", text), (
        "a library function is called"
    )


LOSS = "f(Outputs(z, a, a, 0), Targets(b, 0, True, b, 0), scale, scale, 64, 64)"
LOOPS = {  # a line that runs a loop, the loops, what else the line reads, and scalar instructions of each
    "activations": (
        "f(z, 0, b, 0, False, 64, 64, a, 0)",
        [elementwise._make_activate(row) for row in ACTIVATIONS],
        {},
        0,
    ),
    "derivatives": (
        "f(z, a, 0, 4096, WIDTH)",
        [column_passes._make_backward(row) for row in ACTIVATIONS],
        {"WIDTH": WIDTH},
        0,
    ),
    "losses": (
        LOSS,
        [elementwise._make_loss(row) for row in LOSSES],
        {"Outputs": elementwise.Outputs, "Targets": elementwise.Targets, "scale": np.float32(0.1)},
        2,  # of the sum
    ),
    "update rules": (
        "f(z, b, a, 0, 1024, 1024, h, WIDTH)",
        [optimizer_step.make_update(row) for row in RULES],
        {"WIDTH": WIDTH},
        1,
    ),
    "penalty and clipping": (
        "f(z, a, 0, 1024, h.decay, h.decay, h.decay, WIDTH)",
        [optimizer_step.add_penalty_and_clip],
        {"WIDTH": WIDTH},
        0,
    ),
    "softmax": ("f(z, a, 0, 64, 640, WIDTH)", [helper(column_passes.softmax_columns.py_func)], {"WIDTH": WIDTH}, 4),
    "masks": ("f(z, 0, b, 0, 1024, a, 0)", [elementwise.multiply], {}, 0),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_are_vectorised(name):
    line, functions, names, scalars = LOOPS[name]
    text = assembly(calling(line, functions, **names), FLOATS, FLOATS, FLOATS, SETTINGS)
    assert_packed(text, len(functions) - 1, scalars * len(functions))  # identity computes nothing


def test_activations_in_place_have_no_masked_stores():
    """Some of AMD's processors take twenty cycles for one; LLVM makes them of a select between a loaded vector and
    another that is stored where it was loaded.
    """
    loops = [column_passes._make_activate(ACTIVATIONS[CODES[name]]) for name in ("relu", "leaky_relu", "selu")]
    text = assembly(calling("f(a, a, 0, 4096, False, WIDTH)", loops, WIDTH=WIDTH), FLOATS, FLOATS, FLOATS, SETTINGS)
    assert re.search(rf"v?\w+ps\s[^\n]*%{WIDEST}", text)
    assert not re.search(r"vmaskmovps\s+%ymm\d+, %ymm\d+, |vmov[au]ps\s+%zmm\d+, \S*\(\S*\) \{%k", text)


def test_products_with_nets_or_samples_in_lanes_are_vectorised():
    """Loops over units load weights and activations of 16 nets, or of 16 samples, at once."""
    lanes = Lanes(16)

    def nets_in_lanes(p, x, y, h):
        p, x, y = offset(p, 0), offset(x, 0), offset(y, 0)
        nets.dense(nets.Weights(p, 0, 1, 4, 16), nets.Units(x, 0, 4), nets.Units(y, 0, 4), 8, lanes)
        inputs, deltas = nets.Units(x, 0, 4), nets.Units(y, 0, 4)
        nets.weight_gradients(inputs, deltas, 8, nets.Weights(p, 0, 1, 4, 16), False, lanes)

    def samples_in_lanes(p, x, y, h):
        samples.weight_gradients(offset(x, 0), 0, offset(y, 0), 0, 8, 8, 64, offset(p, 0), 0, 64, lanes)

    for run in (nets_in_lanes, samples_in_lanes):
        assert_packed(assembly(run, FLOATS, FLOATS, FLOATS, SETTINGS), 2)


# Layer sizes, lanes, whether there is a loop over samples, and most register spills to the stack, for the widest
# register of this processor.
MOST_SPILLS = {
    "zmm": [((2, 2, 1), 16, False, 125), ((2, 2, 1), 32, True, 200), ((2, 4, 4, 1), 16, False, 500)],
    "ymm": [((2, 2, 1), 8, False, 110), ((2, 2, 1), 16, True, 280), ((2, 4, 4, 1), 8, False, 400)],
    "xmm": [((2, 2, 1), 8, False, np.inf)],
}


@pytest.mark.parametrize("sizes, lanes, loops, most_spills", MOST_SPILLS[WIDEST])
def test_unrolled_kernels_are_vectorised_with_bounded_spills(sizes, lanes, loops, most_spills):
    """Only vector arithmetic and no calls; register spills are bounded and aligned."""
    architecture = Architecture(sizes, (CODES["sigmoid"],) * (len(sizes) - 1), 0, 0, lanes, not loops)
    compiled = library_of_c(CODE.function(architecture), *CODE.signature(np.dtype("float32")))
    text = without_wrappers(compiled.assembly())
    assert_packed(text, scalars=1)  # rows * width, once a call
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

    fetching, inlined = product_kind(ahead=ahead), inline_helper(product.py_func)

    def run(a, b, c, s):
        a, b, c = Matrix(offset(a, 0), 0, 64), Matrix(offset(b, 0), 0, 64), Matrix(offset(c, 0), 0, 64)
        inlined(fetching, True, 64, 64, 64, a, b, False, c, offset(s, 0), 0)

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
