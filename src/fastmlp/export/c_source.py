"""A predictor as a C file: C99 (and C++), float32, no memory from the heap, nothing but <math.h>."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from ..errors import counted
from ..kernels.formulas.activations import ACTIVATIONS, IDENTITY, SOFTMAX
from ..kernels.formulas.operands import retargeted
from ..persistence.saved_net import package_version
from .c_columns import column_functions
from .c_syntax import Text, array, comment, function, functions, literal
from .predictor import OUTPUTS, PROBABILITIES, Predictor

WRITTEN_BY = "Written by fastmlp"  # by these words in the first line, a C file is known as one of this package
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def c_source(predictor: Predictor, prefix: str = "") -> str:
    """Return a C file with the function PREFIX_predict(const float *x, float *y) for one sample.

    Raises
    ------
    ValueError
        If the prefix is no beginning of a name in C, a column holds text, or a parameter is beyond float32.
    """
    if prefix and not IDENTIFIER.fullmatch(prefix):
        raise ValueError(
            "prefix should begin names in C, so it has letters, digits and underscores and no digit in front, but it "
            f"is {prefix!r}."
        )
    with np.errstate(over="ignore"):
        if not np.isfinite(predictor.params.astype(np.float32)).all():
            raise ValueError("A parameter is beyond float32, in which a C file computes; export to .onnx.")
    p = f"{prefix}_" if prefix else ""
    guard = f"{p.upper()}PREDICT_H"
    columns = [] if predictor.columns is None else column_functions(predictor.columns, p)
    parts = [
        _head(predictor, p),
        f"#ifndef {guard}\n#define {guard}\n\n#include <math.h>",
        f"#define {p.upper()}N_INPUTS {_n_inputs(predictor)}\n#define {p.upper()}N_OUTPUTS {_n_outputs(predictor)}",
        *(
            array("float", f"{p}{name}_{k}", values)
            for k, layer in enumerate(predictor.layers())
            for name, values in zip(("weights", "biases"), layer, strict=True)
        ),
        *_activation_functions(predictor, p),
        *columns,
        *_net_functions(predictor, p),
        _predict_function(predictor, p),
        "#endif",
    ]
    return "\n\n".join(parts) + "\n"


def _n_inputs(predictor: Predictor) -> int:
    return predictor.network.n_features if predictor.columns is None else len(predictor.columns)


def _n_outputs(predictor: Predictor) -> int:
    if predictor.classes is not None:
        return len(predictor.classes)
    return predictor.network.n_outputs * (predictor.n_nets if predictor.kind == OUTPUTS else 1)


def _head(predictor: Predictor, p: str) -> str:
    lines = [f"{WRITTEN_BY} {package_version()}. {p}predict(x, y) computes one sample:", ""]
    if predictor.columns is None:
        lines += [f"x has {counted(_n_inputs(predictor), 'number')}, the inputs of the net."]
    else:
        lines += ["x has a number for each column, NAN for a missing cell; true is 1, false is 0, and dates are days"]
        lines += ["since 1970-01-01:"]
        lines += [f"  x[{k}]  {column.name}" for k, column in enumerate(predictor.columns)]
    lines.append("")
    if predictor.classes is not None:
        lines += ["y gets the probability of each class:"]
        lines += [f"  y[{k}]  {label}" for k, label in enumerate(predictor.classes.tolist())]
    elif predictor.kind == OUTPUTS and predictor.n_nets > 1:
        lines += [f"y gets {predictor.network.n_outputs} outputs of each of {predictor.n_nets} nets, net after net."]
    else:
        lines += [f"y gets {counted(_n_outputs(predictor), 'number')}, the predictions."]
    return comment(lines)


# ---- activations


def _activation_functions(predictor: Predictor, p: str) -> list[str]:
    """Return the functions of activations, derived from their formulas, and what they call."""
    calls, codes = functions(p), dict.fromkeys(predictor.network.activation_codes)
    rows = [ACTIVATIONS[code] for code in codes if code not in (IDENTITY, SOFTMAX)]
    own = [
        function(f"float {p}activation_{row.name}(float z)", [f"return {retargeted(row.value, calls)(Text('z'))};"])
        for row in rows
    ]
    helpers = {
        "sigmoid": [
            "const float e = expf(-fabsf(z)), upper = 1.0f / (1.0f + e);",
            "return z < 0.0f ? e * upper : upper;",
        ],
        "softplus": ["return (z < 0.0f ? 0.0f : z) + log1pf(expf(-fabsf(z)));"],
    }
    needed = "\n".join(own) + (f"{p}softplus(" if predictor.normalises_sigmoids else "")
    parts = [function(f"float {p}{name}(float z)", body) for name, body in helpers.items() if f"{p}{name}(" in needed]
    if predictor.network.output_row.name == "softmax" or predictor.normalises_sigmoids:
        body = [
            "float largest = z[0], sum = 0.0f;",
            "for (int j = 1; j < n; ++j) if (z[j] > largest) largest = z[j];",
            "for (int j = 0; j < n; ++j) sum += z[j] = expf(z[j] - largest);",
            "for (int j = 0; j < n; ++j) z[j] /= sum;",
        ]
        parts.append(function(f"void {p}softmax(float *z, int n)", body))
    return parts + own


# ---- nets and predictions


def _net_functions(predictor: Predictor, p: str) -> list[str]:
    """Return the functions of a layer and of a net, which writes logits for classes and outputs otherwise."""
    layer = function(
        f"void {p}layer(const float *w, const float *b, int n_in, int n_out, const float *x, float *z)",
        [
            "for (int j = 0; j < n_out; ++j) z[j] = b[j];",
            "for (int i = 0; i < n_in; ++i, w += n_out)",
            "  for (int j = 0; j < n_out; ++j) z[j] += x[i] * w[j];",
        ],
    )
    network, several = predictor.network, predictor.n_nets > 1
    sizes, codes = network.layer_sizes, network.activation_codes
    widest = max(sizes[1:-1], default=0)
    lines = [f"float a[{widest}], b[{widest}];"] if len(sizes) > 3 else [f"float a[{widest}];"] if widest else []
    source = "x"
    for k, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        is_last = k == len(codes) - 1
        target = "y" if is_last else "ab"[k % 2]
        offset = f" + (long)k * {fan_out}" if several else ""
        w, b = f"{p}weights_{k}", f"{p}biases_{k}{offset}"
        if several:
            w += f" + (long)k * {fan_in * fan_out}"
        lines.append(f"{p}layer({w}, {b}, {fan_in}, {fan_out}, {source}, {target});")
        if not is_last or predictor.kind != PROBABILITIES:
            lines += _activated(codes[k], target, fan_out, p)
        source = target
    parameters = "int k, const float *x, float *y" if several else "const float *x, float *y"
    parts = [layer, function(f"void {p}net({parameters})", lines)]
    if predictor.kind == PROBABILITIES:
        parts.append(function(f"void {p}probabilities(const float *z, float *y)", _probability_lines(predictor, p)))
    return parts


def _activated(code: int, target: str, n: int, p: str) -> list[str]:
    if code == SOFTMAX:
        return [f"{p}softmax({target}, {n});"]
    if code == IDENTITY:
        return []
    called = f"{p}activation_{ACTIVATIONS[code].name}"
    return [f"for (int j = 0; j < {n}; ++j) {target}[j] = {called}({target}[j]);"]


def _probability_lines(predictor: Predictor, p: str) -> list[str]:
    n, code = predictor.network.n_outputs, predictor.network.activation_codes[-1]
    scale = "" if predictor.temperature == 1.0 else f"{literal(1.0 / predictor.temperature)} * "
    if predictor.is_single_sigmoid:
        called = f"{p}activation_{ACTIVATIONS[code].name}"
        return [f"y[0] = {called}({scale}-z[0]);", f"y[1] = {called}({scale}z[0]);"]
    if predictor.normalises_sigmoids:
        return [f"for (int j = 0; j < {n}; ++j) y[j] = -{p}softplus({scale}-z[j]);", f"{p}softmax(y, {n});"]
    return [f"for (int j = 0; j < {n}; ++j) y[j] = {scale}z[j];", *_activated(code, "y", n, p)]


def _predict_function(predictor: Predictor, p: str) -> str:
    n, n_nets, several = _n_outputs(predictor), predictor.n_nets, predictor.n_nets > 1
    lines: list[str] = []
    source = "x"
    if predictor.columns is not None:
        source = "f"
        lines += [f"float f[{predictor.network.n_features}];", f"{p}features(x, f);"]
    if predictor.kind == OUTPUTS:
        width = predictor.network.n_outputs
        call = f"for (int k = 0; k < {n_nets}; ++k) {p}net(k, {source}, y + k * {width});"
        lines.append(call if several else f"{p}net({source}, y);")
    else:
        lines += _mean_lines(predictor, p, source)
        if predictor.is_regression_scaled:
            mean, std = (
                np.broadcast_to(np.asarray(x, np.float64), n).tolist() for x in (predictor.mean, predictor.std)
            )
            lines += [f"y[{j}] = (float)((double)y[{j}] * {std[j]!r} + {mean[j]!r});" for j in range(n)]
    return function(f"void {p}predict(const float *x, float *y)", lines)


def _mean_lines(predictor: Predictor, p: str, source: str) -> list[str]:
    """Return the statements that write the mean of the nets' predictions to y."""
    n, n_nets, has_classes = _n_outputs(predictor), predictor.n_nets, predictor.kind == PROBABILITIES
    if n_nets == 1:
        if not has_classes:
            return [f"{p}net({source}, y);"]
        return [f"float z[{predictor.network.n_outputs}];", f"{p}net({source}, z);", f"{p}probabilities(z, y);"]
    inside = [f"  {p}net(k, {source}, {'z' if has_classes else 'one'});"]
    inside += [f"  {p}probabilities(z, one);"] if has_classes else []
    return [
        f"float one[{n}]" + (f", z[{predictor.network.n_outputs}];" if has_classes else ";"),
        f"for (int j = 0; j < {n}; ++j) y[j] = 0.0f;",
        f"for (int k = 0; k < {n_nets}; ++k) {{",
        *inside,
        f"  for (int j = 0; j < {n}; ++j) y[j] += one[j];",
        "}",
        f"for (int j = 0; j < {n}; ++j) y[j] /= {literal(float(n_nets))};",
    ]
