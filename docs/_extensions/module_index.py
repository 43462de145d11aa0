"""Index of modules: each file of the code with its first sentence and the names that it defines.

As a Sphinx extension, the page docs/generated/modules.md. As a program, the same on the terminal, or only the lines
that contain a text: python docs/_extensions/module_index.py divergence
"""

import ast
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
FOLDERS = "src/fastmlp", "kernels", "bench", "tests/helpers"
INTRODUCTION = """# Index of modules

Each file of the code with its first sentence, and the functions, classes and constants that it defines. For what a
change needs, begin with [One fit](../architecture.md#one-fit). In a checkout,
`python docs/_extensions/module_index.py WORD` prints the lines that contain a word.
"""
OF_CUDA = re.compile(r"^struct (\w+)|^[^/\n]*\b__(?:global|device)__ ([^{;]*)", re.MULTILINE)


class Module(NamedTuple):
    """A file of the code.

    path : relative to the root of the repository
    sentence : the first one of its docstring or comment
    names : of the functions, classes and constants that it defines, but for private ones
    """

    path: Path
    sentence: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.names)
        return f"`{self.path.name}`: {self.sentence}{names and f' {names}'}"


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, or its first paragraph if that is shorter."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s+(?=[A-Z])", paragraph)[0]


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [
        inner.id
        for target in targets
        for inner in (target.elts if isinstance(target, ast.Tuple) else [target])
        if isinstance(inner, ast.Name)
    ]
    return [name for name in names if name.isupper()]


def python_module(path: Path) -> Module:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = [name for node in tree.body for name in _names_of(node) if not name.startswith("_")]
    return Module(path, first_sentence(ast.get_docstring(tree) or ""), tuple(dict.fromkeys(names)))


def _cuda_function(declaration: str) -> str:
    """Return the name of a function, from its declaration after __global__ or __device__."""
    before_arguments = re.sub(r"__launch_bounds__\([^)]*\)", "", declaration).partition("(")[0]
    return before_arguments.split()[-1].strip("*&")


def cuda_module(path: Path) -> Module:
    text = (ROOT / path).read_text(encoding="utf-8")
    comment = re.match(r"(//.*\n)*", text)
    words = re.sub(r"^// ?", "", comment[0], flags=re.M) if comment else ""
    names = [match[1] or _cuda_function(match[2]) for match in OF_CUDA.finditer(text)]
    return Module(path, first_sentence(words), tuple(dict.fromkeys(names)))


def modules() -> list[Module]:
    """Return all files of the code, folder by folder; an __init__ only if it defines something."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*"), key=lambda path: (path.parent, path.name)):
            inside = path.relative_to(ROOT)
            if inside.parts[:3] == ("src", "fastmlp", "kernels"):  # a link to kernels/
                continue
            if path.suffix == ".py":
                found.append(python_module(inside))
            elif path.suffix in (".cu", ".cuh"):
                found.append(cuda_module(inside))
    return [module for module in found if module.names or module.path.name != "__init__.py"]


def page() -> str:
    """Return the index as Markdown: a heading for each folder, a line for each file."""
    lines, folder = [INTRODUCTION], None
    for module in modules():
        if module.path.parent != folder:
            folder = module.path.parent
            lines.append(f"\n## {folder.as_posix()}/\n")
        lines.append(f"- {module}")
    return "\n".join(lines) + "\n"


def _write_page(app):
    file = DOCS / "generated" / "modules.md"
    file.parent.mkdir(exist_ok=True)
    if not file.exists() or file.read_text(encoding="utf-8") != page():
        file.write_text(page(), encoding="utf-8")


def setup(app):
    app.connect("builder-inited", _write_page)
    return {"parallel_read_safe": True}


def main() -> None:
    wanted = " ".join(sys.argv[1:])
    lines = [f"{module.path.parent.as_posix()}/{module}".replace("`", "") for module in modules()]
    found = [line for line in lines if wanted.lower() in line.lower()]
    with suppress(BrokenPipeError):  # of `| head`
        print("\n".join(found) or f"No line contains {wanted!r}: try one word, or a part of it.", flush=True)
        return
    sys.stdout = None  # the interpreter would flush it again


if __name__ == "__main__":
    main()
