"""Formulas printed as CUDA C++, compiled and run, compared with the Python formulas."""

import math
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
import reference_optimizers
import reference_random
from reference_net import ReferenceMLP
from reference_optimizers import EXAMPLES
from tolerances import TOLERANCES

from fastmlp.kernels.cuda.build import formula_printer
from fastmlp.kernels.formulas import activations, losses
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.kernels.formulas.update_rules import CODES, MOST_STATE, RULES, StepSettings
from fastmlp.kernels.simd.vector import where
from fastmlp.kernels.structs import NET_HYPER

DTYPES = ("float32", "float64")
CPP = {"float32": "float", "float64": "double"}
AWKWARD = [0.0, -0.0, 50.0, -50.0, 1e4, -1e4, 1e-8, -1e-8, math.inf, -math.inf, math.nan]
TOP = files("fastmlp.kernels.cuda")
HEADER = (
    "".join(TOP.joinpath(name).read_text() for name in ("include/common.cuh", "include/elementary.cuh"))
    + formula_printer.formulas()
)
KERNELS = r"""
#define EACH(n) for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)

extern "C" __global__ void value(int code, const T* z, T* out, int n) {
  EACH(n) out[i] = activation_value(code, z[i]);
}
extern "C" __global__ void derivative(int code, const T* kept, T* out, int n) {
  EACH(n) out[i] = activation_derivative(code, kept[i]);
}
extern "C" __global__ void loss(int code, const T* z, const T* a, const T* y, const T* c, T* out, int n) {
  EACH(n) out[i] = loss_value(code, z[i], a[i], y[i], c[i]);
}
extern "C" __global__ void delta(int code, const T* a, const T* y, const T* c, T* out, int n) {
  EACH(n) out[i] = loss_delta(code, a[i], y[i], c[i]);
}
extern "C" __global__ void update(int code, T* p, const T* g, T* state, const T* settings, int n) {
  const Settings<T> h = *reinterpret_cast<const Settings<T>*>(settings);
  EACH(n) apply_rule(code, p[i], g[i], state[i], state[n + i], state[2 * n + i], h);
}
extern "C" __global__ void step(int code, T* p, const T* g, T* state, const double* hyper, int n) {
  Settings<T> h = given_settings<T>(hyper);
  h.inv_sqrt_bias_correction2 = T(1);
  EACH(n) update_with_state<2>(code, p[i], g[i], &p[i], state + i, n, h);
}
extern "C" __global__ void words(const unsigned int* counters, unsigned long long seed, unsigned int* out, int n) {
  EACH(n) {
    const Words w = philox(counters[4 * i], counters[4 * i + 1], counters[4 * i + 2], counters[4 * i + 3], seed);
    out[4 * i] = w.x, out[4 * i + 1] = w.y, out[4 * i + 2] = w.z, out[4 * i + 3] = w.w;
  }
}
"""


def run(cupy, kernel, dtype, *arguments, text=KERNELS, n):
    """Launch a kernel of `text`; arrays in `arguments` are moved to the device; the list of arrays after the launch."""
    module = cupy.RawModule(code=f"{HEADER}typedef {CPP[dtype]} T;\n{text}", options=("-std=c++17",))
    moved = [cupy.asarray(x) if isinstance(x, np.ndarray) else x for x in arguments]
    module.get_function(kernel)((2,), (128,), (*moved, np.int32(n)))
    return [cupy.asnumpy(x) for x in moved if isinstance(x, cupy.ndarray)]


def assert_same(found, expected, scale, dtype):
    """Equal NaN and infinities, and other values within a few roundings of the inputs."""
    slack = 16 * np.finfo(dtype).eps
    with np.errstate(all="ignore"):
        scale = np.where(np.isfinite(scale), scale, 1.0)
        near = np.abs(found - expected) <= slack * (np.abs(expected) + scale)
    wrong = ~(near | (found == expected) | (np.isnan(found) & np.isnan(expected)))
    assert not wrong.any(), (found[wrong][:5], expected[wrong][:5])


def inputs(rng, dtype, n_arguments):
    """(n_arguments, n): extreme numbers in every combination, and random numbers."""
    grid = np.stack(np.meshgrid(*[AWKWARD] * n_arguments), axis=-1).reshape(-1, n_arguments).T
    rest = rng.normal(size=(n_arguments, 400)) * rng.choice([0.01, 1.0, 10.0], 400)
    return np.concatenate([grid, rest], axis=1).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("code, row", list(enumerate(ACTIVATIONS)), ids=[row.name for row in ACTIVATIONS])
def test_printed_activations_equal_python(code, row, dtype, cuda, rng):
    (z,) = inputs(rng, dtype, 1)
    scale = np.maximum(np.abs(z), 0.5 if "sigmoid" in row.name else 0.0)  # some are a difference from one half
    for kernel, original in (("value", row.value), ("derivative", row.derivative)):
        found = run(cuda, kernel, dtype, np.int32(code), z, np.zeros_like(z), n=len(z))[1]
        with np.errstate(all="ignore"):
            assert_same(found, original(z), scale, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("code, row", list(enumerate(LOSSES)), ids=[row.name for row in LOSSES])
def test_printed_losses_equal_python(code, row, dtype, cuda, rng):
    z, a, y = inputs(rng, dtype, 3)
    c = np.abs(rng.normal(size=len(z))).astype(dtype)
    found = run(cuda, "loss", dtype, np.int32(code), z, a, y, c, np.zeros_like(z), n=len(z))[-1]
    deltas = run(cuda, "delta", dtype, np.int32(code), a, y, c, np.zeros_like(z), n=len(z))[-1]
    with np.errstate(all="ignore"):
        scale = np.abs(z) + np.abs(a) + np.abs(y) + np.abs(z * y)
        assert_same(found, row.value(z, a, y, c), scale, dtype)
        assert_same(deltas, row.delta(a, y, c), scale, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("code, row", list(enumerate(RULES)), ids=[row.name for row in RULES])
def test_printed_update_rules_equal_the_reference(code, row, dtype, cuda, rng):
    """Ten steps; gradients keep or change their sign or vanish, and errors rise and fall."""
    n, rate = 200, 0.1
    name, hyper = EXAMPLES[row.name]
    p, gradients, errors = rng.normal(size=n), rng.normal(size=(10, n)), rng.random(10)
    gradients[:, :20] = 0.0
    gradients[5, 20:40] = 0.0
    given = {"learning_rate": rate, **hyper}
    state = np.repeat([0.0 if start is None else given[start] for start in row.initial], n).astype(dtype)
    expected, found, reference_state = p, p.astype(dtype), {}
    for t, g in enumerate(gradients):
        expected = reference_optimizers.RULES[name](expected, g, reference_state, errors[t], rate, **hyper)
        now = dict.fromkeys(StepSettings._fields, 0.0) | {k: v for k, v in hyper.items() if k in StepSettings._fields}
        now |= {"learning_rate": rate, "decay": 1.0, "inv_sqrt_bias_correction2": 1.0}
        if row.bias_correction:
            now["learning_rate"] /= 1 - hyper["beta1"] ** (t + 1)
            now["inv_sqrt_bias_correction2"] = 1 / np.sqrt(1 - hyper["beta2"] ** (t + 1))
        now["loss_increased"] = float(t > 0 and errors[t] > errors[t - 1])
        h = np.array([now[field] for field in StepSettings._fields], dtype)
        found, _, state, _ = run(cuda, "update", dtype, np.int32(code), found, g.astype(dtype), state, h, n=n)
        tolerance = TOLERANCES["training", dtype]
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("row", RULES, ids=[row.name for row in RULES])
def test_printed_rules_write_only_their_own_state(row, cuda):
    state, settings = np.arange(MOST_STATE * 4.0) + 1.0, np.ones(len(StepSettings._fields))
    after = run(cuda, "update", "float64", np.int32(RULES.index(row)), np.ones(4), np.ones(4), state, settings, n=4)
    np.testing.assert_array_equal(after[2][row.n_state * 4 :], state[row.n_state * 4 :])


def test_printed_step_reads_and_writes_the_state_of_its_rule(cuda, rng):
    """A step of Adam with hyper-parameters by name; the third state vector is another's."""
    row, values = RULES[CODES["adam"]], rng.random(len(NET_HYPER))
    p, g, state = rng.normal(size=50), rng.normal(size=50), rng.random((MOST_STATE, 50))
    found = run(cuda, "step", "float64", np.int32(CODES["adam"]), p, g, state.reshape(-1), values, n=50)
    named = dict.fromkeys(StepSettings._fields, 1.0) | dict(zip(NET_HYPER, values, strict=True))
    h = StepSettings(**{name: named[name] for name in StepSettings._fields})
    expected, *after = row.update(p, g, *state, h)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    np.testing.assert_allclose(found[2].reshape(state.shape), after, rtol=1e-12)
    np.testing.assert_array_equal(found[2].reshape(state.shape)[2], state[2])


def test_printed_philox_equals_the_reference(cuda, rng):
    counters, seed = rng.integers(0, 2**32, (300, 4), np.uint32), 2**63 - 12345
    out = run(cuda, "words", "float32", counters, np.uint64(seed), np.zeros_like(counters), n=300)[1]
    assert out.tolist() == [list(reference_random.philox(c, seed)) for c in counters.tolist()]


NETS = [
    ((2, 2, 1), ("tanh", "sigmoid"), "squared_error"),
    ((3, 4, 2), ("gelu", "identity"), "huber"),
    ((2, 3, 2, 2), ("softsign", "selu", "sigmoid"), "binary_cross_entropy"),
    ((1, 2), ("exponential",), "poisson"),
    ((2, 3, 3), ("tanh", "softmax"), "softmax_cross_entropy"),
]
LINE = r"""
extern "C" __global__ void line(const T* params, const T* X, const T* Y, T weight, T constant, T* grads, T* A,
                                T* losses, int rows) {
  T p[N_PARAMS], g[N_PARAMS], x[N_IN], y[N_OUT], a[N_OUT];
  for (int i = 0; i < N_PARAMS; ++i) p[i] = params[i], g[i] = T(0);
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < N_IN; ++i) x[i] = X[r * N_IN + i];
    for (int j = 0; j < N_OUT; ++j) y[j] = Y[r * N_OUT + j];
    const T loss = gradient_unrolled(p, g, x, y, weight, constant, a);
    for (int j = 0; j < N_OUT; ++j) A[r * N_OUT + j] = a[j];
    losses[r] = loss;
  }
  for (int i = 0; i < N_PARAMS; ++i) grads[i] = g[i];
}
"""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes, names, loss", NETS, ids=[f"{net[2]} of {net[0]}" for net in NETS])
def test_printed_unrolled_gradient_equals_the_reference(sizes, names, loss, dtype, cuda, rng):
    """One thread processes all samples; gradients, outputs and losses equal the reference."""
    n_in, n_out, rows, c = sizes[0], sizes[-1], 5, 0.7
    params = rng.normal(size=sum((i + 1) * j for i, j in pairwise(sizes)))
    X, y = rng.normal(size=(rows, n_in)), rng.integers(0, 2, (rows, n_out)).astype(float)
    width = n_out
    if loss == "softmax_cross_entropy":
        y, width = np.eye(n_out)[rng.integers(0, n_out, rows)], 1
    net = ReferenceMLP(sizes, names, loss, params, loss_constant=c)
    expected_loss, expected_gradient = net.loss_and_gradient(X, y)
    codes = [activations.CODES[name] for name in names]
    text = "".join(f"#define {k} {v}\n" for k, v in (("N_PARAMS", len(params)), ("N_IN", n_in), ("N_OUT", n_out)))
    text += formula_printer.unrolled_source(sizes, codes, losses.CODES[loss]) + LINE
    number = np.dtype(dtype).type
    given = [params.astype(dtype), X.astype(dtype), y.astype(dtype), number(1 / (rows * width)), number(c)]
    given += [np.zeros(len(params), dtype), np.zeros((rows, n_out), dtype), np.zeros(rows, dtype)]
    *_, grads, outputs, shares = run(cuda, "line", dtype, *given, text=text, n=rows)
    tolerance = dict.fromkeys(("rtol", "atol"), TOLERANCES["gradient", dtype])
    np.testing.assert_allclose(grads, expected_gradient, **tolerance)
    np.testing.assert_allclose(outputs, net.forward(X)[1][-1], **tolerance)
    np.testing.assert_allclose(shares.sum() / (rows * width), expected_loss, **tolerance)


# ---- what is refused

LIST = [1.0]


def branches(z):
    if z > 0.0:
        return z
    return 0.0


def calls_math(z):
    return math.exp(z)


def chains(z):
    return where(0.0 < z < 1.0, z, 0.0)


def reads_a_list(z):
    return z * LIST[0]


def returns_nothing(z):
    z = z + 1.0


REFUSED = branches, calls_math, chains, reads_a_list, returns_nothing


@pytest.mark.parametrize("formula", REFUSED, ids=lambda formula: formula.__name__)
def test_formulas_outside_the_grammar_are_refused(formula):
    """The message names the formula and the unsupported expression."""
    with pytest.raises(
        formula_printer.OutsideGrammar, match=rf"(?s){formula.__name__}: `.+` cannot be printed as CUDA C\+\+"
    ):
        formula_printer.function(formula, "name")
