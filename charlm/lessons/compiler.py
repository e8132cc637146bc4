"""What a C compiler says of a function that stands alone, for notebook 04."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

COMPILERS = ("gcc", "clang", "cc")
MOST_SECONDS = 10.0
_DIRECTIVE = re.compile(r"^[ \t]*(?:\#|%:)(?:\\\n|[^\n])*", re.MULTILINE)
_TYPEDEF = re.compile(
    r"^typedef\b(?:[^;{}]*|[^;{}]*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^;{}]*?)\b([A-Za-z_]\w*)\s*;", re.MULTILINE
)
_ERROR = re.compile(r"^[^\n]*?:(\d+):\d+: (?:fatal )?error: (.*)$", re.MULTILINE)
_SYNTAX = re.compile(r"expected|extraneous|stray|terminat|without a previous|invalid suffix|too many decimal")
_UNKNOWN_TYPE = re.compile(r"unknown type name '(\w+)'")
_UNDECLARED = re.compile(r"'(\w+)' undeclared|undeclared identifier '(\w+)'")


class Verdict(NamedTuple):
    """What a compiler found in a function."""

    syntax: tuple  # of (line, message): what breaks the grammar
    undeclared: frozenset  # names of variables that it was not told of
    errors: int  # in all, with those of types that stand in other files


def compiler():
    """Find a C compiler: its path, or None where there is none."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def type_names(text):
    """List the names that a C text gives to types by `typedef`."""
    return sorted(set(_TYPEDEF.findall(text)))


def judge(function, types=()):
    """Ask a C compiler about one function, without the files around it; nothing of it is run, included or kept.

    Args:
        function: a string of C, trusted or not; its `#` lines are left out.
        types: names of types that it may use, which are declared to the compiler as if they were numbers.

    Returns:
        A `Verdict`; or None where there is no compiler, or it takes more than ten seconds.
    """
    if (command := compiler()) is None:
        return None
    found = _errors(command, function, types)
    unknown = {name for _, message in found or () for name in _UNKNOWN_TYPE.findall(message)}
    if unknown:  # a compiler reads no further in a function whose parameters' types it does not know
        found = _errors(command, function, [*types, *unknown])
    if found is None:
        return None
    syntax = tuple(error for error in found if _SYNTAX.search(error[1]))
    undeclared = {a or b for _, message in found for a, b in _UNDECLARED.findall(message)}
    return Verdict(syntax, frozenset(undeclared), len(found) + len(unknown))


def _errors(command, function, types):
    """List (line, message) of what a compiler complains of; None where it takes too long."""
    before = " ".join(f"typedef int {name};" for name in types)
    with tempfile.TemporaryDirectory(prefix="charlm-") as folder:
        file = Path(folder) / "function.i"  # read as preprocessed: no file is included, no macro expanded
        file.write_text(before + "\n" + _DIRECTIVE.sub("", function) + "\n", encoding="utf-8")
        options = ["-fsyntax-only", "-std=gnu89", "-w", "-x", "cpp-output", file.name]
        environment = {**os.environ, "LC_ALL": "C"}  # English messages, with plain quotes
        try:
            said = subprocess.run(
                [command, *options], cwd=folder, env=environment, capture_output=True, timeout=MOST_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return None
    return [(int(line) - 1, message) for line, message in _ERROR.findall(said.stderr.decode("utf-8", "replace"))]
