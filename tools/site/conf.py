"""Sphinx's settings for the site."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import charlm
from tools.site.stage import address

project = "charlm"
author = copyright = "the charlm authors"
release = version = charlm.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.linkcode", "sphinx_copybutton"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_mock_imports = ["optuna"]  # of sweeps, an extra that the site does not need
napoleon_numpy_docstring, napoleon_use_ivar = False, True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"charlm {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["../../build/site-extra"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}
html_math_renderer = "mathml"
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
suppress_warnings = ["mystnb.unknown_mime_type"]

commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip() or "main"


def linkcode_resolve(domain, info):
    """Give the address of the lines that define a name."""
    found = importlib.import_module(info["module"])
    for name in info["fullname"].split("."):
        found = getattr(found, name, None)
    try:
        lines, start = inspect.getsourcelines(inspect.unwrap(found))
        file = Path(inspect.getsourcefile(inspect.unwrap(found))).relative_to(ROOT)
    except (TypeError, OSError, ValueError):
        return None  # a property, or a class that was made by a call
    return f"{address()}/blob/{commit}/{file.as_posix()}#L{start}-L{start + len(lines) - 1}"


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))  # browsers draw MathML by themselves
    app.connect("autodoc-skip-member", _is_noise)


def _inline(writer, node):
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block(writer, node):
    writer.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def _is_noise(app, what, name, found, skip, options):
    """Leave out what a named tuple says of its fields by itself."""
    return True if (getattr(found, "__doc__", None) or "").startswith("Alias for field number") else None
