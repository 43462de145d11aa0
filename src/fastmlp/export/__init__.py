"""Ways of a net out of this process, and one in: ONNX, C, PyTorch.

predictor               what is exported: nets, their preprocessing and the form of their predictions
export_to_file          a predictor to a file, whose suffix decides the format; the method `export` of estimators
formulas                formulas of activations in terms of other functions than those of NumPy
onnx_model              an ONNX model, made of onnx_graph: columns of a table, then nets
c_source                a C file, made of c_syntax: columns of a table (c_columns), then nets
to_torch, from_torch    modules of PyTorch

onnx and torch are optional, and are imported by what needs them, when it runs.
"""
