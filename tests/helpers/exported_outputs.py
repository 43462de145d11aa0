"""What the programs on the other side compute from an exported file: onnxruntime, and C code compiled by gcc."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import reference_net

from fastmlp.kernels.formulas.activations import ACTIVATIONS

WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wdouble-promotion -Wshadow -Werror"
GCC = f"gcc -std=c99 {WARNINGS} -O1 -shared -fPIC"
NO_GCC = "gcc compiles the exported C files"


def onnx_session(path):
    pytest.importorskip("onnx", reason="pip install 'fastmlp[onnx]' has onnx")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'fastmlp[test]' has onnxruntime")
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def onnx_outputs(path, feed):
    return onnx_session(path).run(None, feed)


def cells_for(session, table):
    """Return the inputs of a session that takes a table: text with "" for missing cells, or float64."""
    feed = {}
    for cell in session.get_inputs():
        column = table[cell.name]
        if cell.type == "tensor(string)":
            feed[cell.name] = column.astype(object).where(column.notna(), "").astype(str).to_numpy(object)[:, None]
        else:
            feed[cell.name] = column.to_numpy(np.float64, na_value=np.nan)[:, None]
    return feed


def c_outputs(header, X, n_outputs, prefix=""):
    """Return the outputs (n_samples, n_outputs) of an exported C file, compiled with all warnings as errors."""
    if shutil.which("gcc") is None:
        pytest.skip(NO_GCC)
    predict = f"{prefix}_predict" if prefix else "predict"
    n_inputs, source, library = X.shape[1], header.with_suffix(".c"), header.with_suffix(".so")
    loop = f"for (int i = 0; i < n; ++i) {predict}(x + i * {n_inputs}, y + i * {n_outputs});"
    head = "void all(const float *x, float *y, int n)"
    source.write_text(f'#include "{header.name}"\n{head};\n{head} {{ {loop} }}\n')
    subprocess.run([*GCC.split(), str(source), "-o", str(library), "-lm"], check=True)
    X, y = np.ascontiguousarray(X, np.float32), np.empty((len(X), n_outputs), np.float32)
    floats = ctypes.POINTER(ctypes.c_float)
    ctypes.CDLL(str(library)).all(X.ctypes.data_as(floats), y.ctypes.data_as(floats), len(X))
    return y


def rounding_error(net, X, dtype="float32"):
    """Return how much two programs may differ that compute an MLP in a dtype, (n_samples, n_outputs).

    Errors of each row are followed through the net, so that a row with large inputs excuses no other row. Roundings of
    a sum add up like a random walk; a function is off by some units in the last place (normal_cdf in float32 by 20), or
    by some roundings of 1 where it subtracts, as symmetric_sigmoid does.
    """
    eps, a = np.finfo(dtype).eps, np.asarray(X, np.float64)
    error = np.zeros_like(a)
    for code, W, b in zip(net.network.activation_codes, net.weights, net.biases, strict=True):
        name, W, b = ACTIVATIONS[code].name, W.astype(np.float64), b.astype(np.float64)
        z = a @ W + b
        error = error @ np.abs(W) + np.sqrt(len(W) + 2) * eps * (np.abs(a) @ np.abs(W) + np.abs(b))
        with np.errstate(over="ignore"):
            slopes = [np.abs(reference_net.DERIVATIVES[name](z + side * error)) for side in (-1, 0, 1)]
        a = reference_net.ACTIVATIONS[name](z)
        if name not in ("identity", "relu"):  # these round nothing
            error = np.max(slopes, axis=0) * error + eps * (20 * np.abs(a) + 2)
    return error


def assert_exported(found, expected, error):
    """Each number of what an exported net computes is that of the net, up to an error (n_samples, n_outputs)."""
    assert found.shape == expected.shape
    wrong = np.abs(found.astype(np.float64) - expected) / error
    assert wrong.max() < 1.0, (
        f"row {wrong.max(axis=1).argmax()} differs by {wrong.max():.3g} times what rounding allows"
    )
