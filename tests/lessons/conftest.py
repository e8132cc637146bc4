"""The code that notebooks teach, taken from their own cells."""

import ast
import json
import types
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TAUGHT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def taught(notebook):
    """Run a notebook's imports, and its definitions of functions and classes; returns them as a module."""
    module = types.ModuleType(Path(notebook).stem)
    for cell in json.loads((NOTEBOOKS / notebook).read_text(encoding="utf-8"))["cells"]:
        code = "".join(cell["source"])
        if cell["cell_type"] == "code" and "%pip" not in code:
            tree = ast.parse(code)
            tree.body = [node for node in tree.body if isinstance(node, TAUGHT)]
            exec(compile(tree, notebook, "exec"), module.__dict__)
    return module
