"""Sphinx extension: parts of the reference that are made from the code, so that they cannot differ from it.

    ```{choices} activations
    ```
        a table: activations, losses, optimisers, initialisers or schedules

    ```{command} train
    ```
        usage, arguments and options of a command of `fastmlp`, from the Typer application

It also gives the templates of autosummary the function `own_methods`.
"""

import inspect
import re
from dataclasses import MISSING, fields

from docutils import nodes
from docutils.parsers.rst import Directive
from formula_text import formula_text, initializer_texts
from sphinx import addnodes

from fastmlp import initialization, optimizers, schedules
from fastmlp.kernels.formulas import activations, losses
from fastmlp.network.spec import ELEMENTWISE


def _range(low, high):
    return f"{low:.4g} to {high:.4g}".replace("inf", "∞")


def activation_rows():
    for row in activations.ACTIVATIONS:
        value, derivative = f"`{formula_text(row.value)}`", f"`{formula_text(row.derivative)}`"
        if row.name == "softmax":
            value, derivative = "`exp(z) / sum(exp(z))` over the outputs", "in the derivative of the loss"
        yield (
            f"`{row.name}`",
            value,
            derivative,
            _range(row.low, row.high),
            f"`{row.init}`",
            "all layers" if row.name in ELEMENTWISE else "output only",
        )


def loss_rows():
    for row in losses.LOSSES:
        value = f"`{formula_text(row.value)}`"
        if row.constant:
            value += f", c = `{row.constant}`"
        over = "samples" if row.name == "softmax_cross_entropy" else "samples and outputs"
        outputs = ", ".join(f"`{name}`" for name in row.outputs) or "`identity`, or any other that all layers can have"
        by = "z" if row.delta_is_wrt_logit else "a"
        yield f"`{row.name}`", value, f"`{formula_text(row.delta)}` by {by}", over, outputs


def optimizer_rows():
    for name, cls in optimizers.OPTIMIZERS.items():
        made = cls()
        settings = ", ".join(f"{field.name}={getattr(made, field.name)!r}" for field in fields(cls))
        batches = "full batches" if made.rule.needs_full_batch else "any"
        yield f"`{name}`", f"{{fastmlp.{cls.__name__}}}", f"`{settings}`", str(made.rule.n_state), batches


def initializer_rows():
    suits = {}
    for row in activations.ACTIVATIONS:
        suits.setdefault(row.init, []).append(f"`{row.name}`")
    for name, text in initializer_texts(initialization).items():
        yield f"`{name}`", f"`{text}`" if "=" in text else text, "0", ", ".join(suits.get(name, []))
    for name, cls in initialization.OBJECTS.items():
        summary = inspect.getdoc(cls).split("\n")[0].partition("from ")[2].rstrip(".")
        yield f"{{fastmlp.{name}}}", summary, "drawn as the weights", ""


def schedule_rows():
    for name, cls in schedules.SCHEDULES.items():
        settings = ", ".join(f"{field.name}={field.default!r}" for field in fields(cls) if field.default is not MISSING)
        summary = inspect.getdoc(cls).split("\n")[0]
        yield f"`{name}`", f"{{fastmlp.schedules.{cls.__name__}}}", f"`{settings}`" if settings else "", summary


TABLES = {
    "activations": (("name", "value of z", "derivative", "range", 'initialiser of "auto"', "where"), activation_rows),
    "losses": (
        ("name", "loss of one output", "derivative by z or a", "mean over", "output activations, the default first"),
        loss_rows,
    ),
    "optimisers": (("name", "class", "settings", "numbers kept per parameter", "batches"), optimizer_rows),
    "initialisers": (("init=", "weights", "biases", '"auto" takes it for'), initializer_rows),
    "schedules": (("name", "class", "settings", "factor"), schedule_rows),
}


def inline(text):
    """Return docutils nodes for a text in which `code` is literal and {fastmlp.X} links to a page of the reference."""
    parts = []
    for piece in re.split(r"(`[^`]+`|\{[\w.]+\})", text):
        if piece.startswith("`"):
            parts.append(nodes.literal(piece[1:-1], piece[1:-1]))
        elif piece.startswith("{"):
            target = piece[1:-1]
            link = addnodes.pending_xref("", refdomain="py", reftype="class", reftarget=target, refexplicit=False)
            link += nodes.literal("", target.rpartition(".")[2])
            parts.append(link)
        elif piece:
            parts.append(nodes.Text(piece))
    return parts


def paragraph(text):
    made = nodes.paragraph()
    made += inline(text)
    return made


def table(head, rows):
    """Return a docutils table of texts."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]

    def row(cells):
        made = nodes.row()
        for cell in cells:
            entry = nodes.entry()
            entry += paragraph(cell)
            made += entry
        return made

    group += nodes.thead("", row(head))
    group += nodes.tbody("", *(row(cells) for cells in rows))
    wide = nodes.container(classes=["pst-scrollable-table-container"])
    wide += nodes.table("", group)
    return wide


class Choices(Directive):
    """The table of a kind of choice, from the tables of the code."""

    required_arguments = 1

    def run(self):
        head, rows = TABLES[self.arguments[0]]
        return [table(head, list(rows()))]


def commands():
    """Return {name: command} of the command line, in the order of `fastmlp --help`."""
    import typer

    from fastmlp.commands.cli import app

    return typer.main.get_command(app).commands


def described_parameters(command):
    """Yield (kind, name on the command line, help) of the arguments and options of a command."""
    for parameter in command.params:
        kind = parameter.param_type_name
        if kind == "argument":
            name, text = parameter.metavar or parameter.name.upper(), parameter.help or ""
        else:
            takes = "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar or 'TEXT'}"
            name, text = f"{', '.join([*parameter.opts, *parameter.secondary_opts])}{takes}", parameter.help or ""
        yield kind, name, f"{text} {_default_text(parameter)}".strip()


def _default_text(parameter):
    default = parameter.default
    if parameter.required:
        return "Required."
    if default is None or isinstance(default, (bool, list, tuple)):
        return ""
    return f"Default: `{getattr(default, 'value', default)}`."


class Command(Directive):
    """Usage, arguments and options of one command."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        command = commands()[name]
        text = inspect.cleandoc(command.help or "")
        made = [paragraph(" ".join(block.split())) for block in text.split("\n\n")]
        parameters = list(described_parameters(command))
        words = [name for kind, name, _ in parameters if kind == "argument"]
        usage = " ".join(["fastmlp", name, *words, "[OPTIONS]"])
        made.append(nodes.literal_block(usage, usage, language="text"))
        items = nodes.definition_list()
        for _, shown, help_text in parameters:
            definition = nodes.definition("", paragraph(help_text))
            items += nodes.definition_list_item("", nodes.term("", "", nodes.literal(shown, shown)), definition)
        return [*made, items]


def is_own_method(value):
    """Return whether a member of a class is a method that fastmlp defines; scikit-learn adds some of its own."""
    is_method = inspect.isfunction(value) or inspect.ismethod(value)
    return is_method and value.__module__.startswith("fastmlp")


def own_methods(name):
    """Return the public methods of a class, given by its dotted name, in the order of the source."""
    from sphinx.ext.autosummary import import_by_name

    cls = import_by_name(name)[1]
    members = dict.fromkeys(member for base in cls.__mro__ for member in vars(base) if not member.startswith("_"))
    return [member for member in members if is_own_method(getattr(cls, member))]


def _keep_own_descriptions():
    """Let pages show an attribute's text from the docstring of the class.

    numpydoc would replace it, for properties, by the first sentence of the property, with a link to nowhere.
    """
    from numpydoc.docscrape_sphinx import SphinxDocString

    process = SphinxDocString._process_param
    SphinxDocString._process_param = lambda self, param, desc, fake_autosummary: process(self, param, desc, False)


def _give_functions(app, config):
    config.autosummary_context = {**config.autosummary_context, "own_methods": own_methods}


def setup(app):
    app.add_directive("choices", Choices)
    app.add_directive("command", Command)
    app.connect("config-inited", _give_functions)
    _keep_own_descriptions()
    return {"parallel_read_safe": True}
