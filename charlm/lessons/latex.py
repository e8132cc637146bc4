"""What notebook 12 does with sampled LaTeX: mend it by rule, compile it, and look at the page."""

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import matplotlib.image
import numpy as np

from charlm.evaluation.structure import open_formula

MOST_SECONDS = 60.0
DOTS_PER_INCH = 100
STATEMENTS = ("theorem", "lemma", "proposition", "definition", "example", "remark", "situation", "slogan", "history")
OPERATORS = ("Spec", "Hom", "Ker", "Im", "Coker", "Ext", "Tor", "NL", "colim", "Ann", "Ass", "Supp", "Frac", "Aut")
_PREAMBLE = "\n".join(
    [
        r"\documentclass{amsart}",
        r"\usepackage[all]{xy}",
        r"\pagestyle{empty}",
        *(rf"\newtheorem{{{name}}}{{{name.capitalize()}}}" for name in STATEMENTS),
        r"\newenvironment{reference}{\footnotesize}{}",
        *(rf"\def\{name}{{\mathop{{\rm {name}}}\nolimits}}" for name in OPERATORS),
        r"\begin{document}",
        "",
    ]
)
_END = "\n\\end{document}\n"
_PIECE = re.compile(r"(?<!\\)\\(begin|end)\{([A-Za-z]+\*?)\}")
# Where a formula cannot go on: an environment that stands in a formula itself, such as a matrix, is no border.
_BORDER = re.compile(r"((?<!\\)\\(?:begin|end)\{(?!array|cases|[a-zA-Z]?matrix|split|aligned)[A-Za-z]+\*?\})")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_DOCUMENT = re.compile(
    r"\\(?:begin|end)\{document\}|\\(?:documentclass|usepackage|input|include|tableofcontents|maketitle)\b"
)
_ERROR = re.compile(r"^! (.*)$", re.MULTILINE)


class Mended(NamedTuple):
    """A text that was mended."""

    text: str
    repairs: Counter  # what was done, and how often


class Page(NamedTuple):
    """What `pdflatex` made of a text."""

    errors: tuple  # its messages
    picture: np.ndarray | None  # (height, width, 3) of the first page, or None where there is none


def mend(text):
    """Mend sampled LaTeX by rule, as little as it takes for environments, formulas and braces to close.

    Karpathy (2015) mended his samples of the same book by hand. The rules: the sample is cut to whole paragraphs; what
    belongs to a document's head is left out; in each paragraph a formula and braces that are open at its end are closed
    there, and braces that close nothing are dropped; an environment that is open where another one ends is closed before it,
    and an end without a beginning is dropped.

    Args:
        text: a string, trusted or not.

    Returns:
        A `Mended`.
    """
    repairs = Counter()
    paragraphs = [paragraph.strip("\n") for paragraph in _BLANK_LINES.split(text)]
    if len(paragraphs) > 2:  # the first one and the last one are mostly cut off
        paragraphs = paragraphs[1:-1]
    whole = "\n\n".join(_mend_paragraph(paragraph, repairs) for paragraph in paragraphs if paragraph)
    return Mended(_mend_environments(whole, repairs), repairs)


def _mend_paragraph(paragraph, repairs):
    """Close what is open in a paragraph, but for environments."""
    paragraph, count = _DOCUMENT.subn("", paragraph)
    repairs["commands of a document's head dropped"] += count
    ended = []
    for piece in _BORDER.split(paragraph):
        if not _BORDER.fullmatch(piece):
            piece = _mend_environments(piece, repairs)  # of those that stand in formulas
            piece = _BLANK_LINES.sub("\n", _mend_braces(piece, repairs))  # what was dropped may have left one
            piece = _mend_formulas(piece, repairs)
        ended.append(piece)
    return "".join(ended)


def _mend_formulas(text, repairs):
    """Close the formula that is open at the end."""
    if (mark := open_formula(text)) is None:
        return text
    repairs["formulas closed"] += 1
    body = text.rstrip()
    joint = " " if body.endswith(("$", "\\")) else ""  # or the marks would be read as another one
    return body + joint + mark + text[len(body) :]


def _mend_braces(text, repairs):
    """Drop braces that close nothing, and close those that are open at the end."""
    depth, kept = 0, []
    for part in re.split(r"(\\.|[{}])", text, flags=re.DOTALL):
        if part == "}" and depth == 0:
            repairs["braces dropped"] += 1
            continue
        depth += {"{": 1, "}": -1}.get(part, 0)
        kept.append(part)
    repairs["braces closed"] += depth
    body = "".join(kept)
    if depth and re.search(r"(?<!\\)(?:\\\\)*\\\Z", body):
        body += " "  # or the backslash at the end would take the brace along
    return body + "}" * depth


def _mend_environments(text, repairs):
    """Close environments in the order in which they were opened, and drop ends without a beginning."""
    still_open, mended = [], []
    pieces = _PIECE.split(text)
    for place in range(0, len(pieces), 3):
        mended.append(pieces[place])
        if place + 2 >= len(pieces):
            break
        kind, name = pieces[place + 1 : place + 3]
        if kind == "begin":
            still_open.append(name)
        elif name not in still_open:
            repairs["ends of environments dropped"] += 1
            if pieces[place].endswith(("$", "\\")):
                mended.append(" ")  # or the marks on both sides would be read as one
            continue
        else:
            while (last := still_open.pop()) != name:
                mended.append(rf"\end{{{last}}}")
                repairs["environments closed"] += 1
        mended.append(rf"\{kind}{{{name}}}")
    mended += [f"\n\\end{{{name}}}" for name in still_open[::-1]]
    repairs["environments closed"] += len(still_open)
    return "".join(mended)


def is_installed():
    """Whether `pdflatex` is there."""
    return shutil.which("pdflatex") is not None


def compile_page(text):
    """Let `pdflatex` make a page of a text, in a folder of its own; no command of it is run, no file elsewhere read or written.

    Args:
        text: the body of a document, trusted or not, of the Stacks project's kind.

    Returns:
        A `Page`; or None where `pdflatex` is missing, or takes more than a minute.
    """
    if not is_installed():
        return None
    with tempfile.TemporaryDirectory(prefix="charlm-") as folder:
        Path(folder, "page.tex").write_text(_PREAMBLE + text + _END, encoding="utf-8")
        # Neither commands nor files outside this folder, whatever the text asks for.
        environment = {**os.environ, "openin_any": "p", "openout_any": "p", "TEXMFVAR": folder}
        options = ["-interaction=nonstopmode", "-no-shell-escape", "page.tex"]
        try:
            for _ in range(2):  # the second time with the labels of the first
                subprocess.run(
                    ["pdflatex", *options],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    timeout=MOST_SECONDS,
                    check=False,
                )
            picture = _picture(folder)
        except subprocess.TimeoutExpired:
            return None
        log = Path(folder, "page.log")
        errors = tuple(_ERROR.findall(log.read_text(encoding="latin-1"))) if log.exists() else ("no log",)
        return Page(errors, picture)


def _picture(folder):
    """Draw the first page as pixels, white margins cut off; None where there is no page or no `pdftoppm`."""
    if not Path(folder, "page.pdf").exists() or shutil.which("pdftoppm") is None:
        return None
    draw = ["pdftoppm", "-png", "-r", str(DOTS_PER_INCH), "-f", "1", "-l", "1", "-singlefile", "page.pdf", "page"]
    subprocess.run(draw, cwd=folder, capture_output=True, timeout=MOST_SECONDS, check=False)
    if not Path(folder, "page.png").exists():
        return None
    pixels = matplotlib.image.imread(Path(folder, "page.png"))[..., :3]
    inked = pixels.min(axis=-1) < 0.9
    if not inked.any():
        return pixels
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    return pixels[max(0, rows[0] - 10) : rows[-1] + 10, max(0, columns[0] - 10) : columns[-1] + 10]
