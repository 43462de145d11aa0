"""Formulas of kernels/formulas/ as text, read from the source of the functions.

A formula is shown as the Python that computes it, with numbers in place of named constants, infix operators in place of
`multiply_add` and `ratio`, and `a if c else b` in place of `where(c, a, b)`. tests/repo/test_reference.py evaluates the
text and compares it with the function.
"""

import ast
import inspect
import textwrap

# Functions that formulas call and that are no functions of Python's math module, as text.
DEFINITIONS = {
    "sigmoid": "1 / (1 + exp(-z))",
    "softplus": "log(1 + exp(z))",
    "normal_cdf": "(1 + erf(z / sqrt(2))) / 2",
    "normal_density": "exp(-z**2 / 2) / sqrt(2 * pi)",
}


class _Readable(ast.NodeTransformer):
    """Rewrites a formula for readers. `constants` are the globals of the formula's module."""

    def __init__(self, constants):
        self.constants = constants

    def visit_Name(self, node):
        value = self.constants.get(node.id)
        return _number(value) if isinstance(value, float) else node

    def visit_Attribute(self, node):
        return ast.Name(node.attr)  # numpy_math.sigmoid

    def visit_Constant(self, node):
        return _number(node.value)

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        operand = node.operand
        if isinstance(operand, ast.UnaryOp):  # minus a negative constant
            return operand.operand
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult) and _is_zero(node.left):
            return ast.Constant(0)
        if isinstance(node.op, ast.Add) and _is_zero(node.left):
            return node.right
        if all(isinstance(side, ast.Constant) for side in (node.left, node.right)):
            return _number(eval(ast.unparse(node)))
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        name, arguments = node.func.id, node.args
        if name == "where":
            return ast.IfExp(*arguments)
        if name == "absolute":
            return ast.Call(ast.Name("abs"), arguments, [])
        return node


def _number(value):
    """Return the node of a number, without ".0", and with 12 digits at most."""
    value = float(f"{value:.12g}")
    positive = ast.Constant(int(abs(value)) if value == int(value) else abs(value))
    return ast.UnaryOp(ast.USub(), positive) if value < 0 else positive


def _is_zero(node):
    return isinstance(node, ast.Constant) and node.value == 0


def formula_text(function):
    """Return the formula of a function as text; assignments come first, separated by semicolons."""
    body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]  # without the docstring
    readable = _Readable(function.__globals__)
    parts = []
    for statement in body:
        shown = readable.visit(statement)
        parts.append(ast.unparse(ast.fix_missing_locations(shown)).removeprefix("return "))
    text = "; ".join(parts)
    return DEFINITIONS.get(text.removesuffix("(z)"), text)


def initializer_texts(module):
    """Return {name: distribution of the weights, as text} from the source of INITIALIZERS."""
    tree = ast.parse(inspect.getsource(module))
    table = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "INITIALIZERS"
    )
    kinds = {"_uniform": "U(-b, b), b = {}", "_normal": "N(0, s**2), s = {}"}
    texts = {}
    for key, value in zip(table.keys, table.values, strict=True):
        if isinstance(value, ast.Call):
            bound = _Renamed().visit(value.args[0].body)
            texts[key.value] = kinds[value.func.id].format(ast.unparse(bound))
        else:
            special = {"orthogonal": "random orthogonal matrix, or rows or columns of one", "zeros": "all 0"}
            texts[key.value] = special[key.value]
    return texts


class _Renamed(ast.NodeTransformer):
    """Rewrites the arguments i and j of an initialiser as fan_in and fan_out, and numbers without ".0"."""

    def visit_Name(self, node):
        return ast.Name({"i": "fan_in", "j": "fan_out"}.get(node.id, node.id))

    def visit_Constant(self, node):
        return _number(node.value)
