"""What the programs on the other side compute from an exported file: onnxruntime, and C code compiled by gcc."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

GCC = "gcc -std=c99 -Wall -Wextra -Werror -O1 -shared -fPIC"
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
