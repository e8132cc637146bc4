"""Name the version that a release will have, in every place that names one.

    python -m tools.release             lists the places and the version each names
    python -m tools.release 0.2.0       writes that version to all of them

`charlm.__version__` is the setting; notebooks, README and docs lead to what was released under it, so that a notebook and
the module that it installs always fit each other. A version gets its tag, its wheel and its notes, which are its section of
CHANGELOG.md, from .github/workflows/release.yml, once it is on the main branch.
"""

import argparse
import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NUMBER = r"\d+\.\d+\.\d+"
SETTING = ROOT / "charlm" / "__init__.py"
# What stands before a version, in which files; what stands behind it follows.
PLACES = {
    "charlm/__init__.py": [r'__version__ = "'],
    "CITATION.cff": [r'^version: "'],
    "README.md": [r"/charlm/blob/v", r"/charlm@v"],
    "docs/any_text.md": [r"/charlm@v"],
    "notebooks/*.ipynb": [r"/charlm/blob/v", r"/charlm/releases/download/v", r"/charlm-(?=\d)"],
}


def files():
    """Pair each file that names a version with the patterns of what stands before it."""
    return [(path, befores) for place, befores in PLACES.items() for path in sorted(ROOT.glob(place))]


def named():
    """List (file, version) for every place that names a version.

    Raises:
        ValueError: a file does not name one where it should.
    """
    found = []
    for path, befores in files():
        text = path.read_text(encoding="utf-8")
        for before in befores:
            versions = re.findall(f"{before}({NUMBER})", text, re.MULTILINE)
            if not versions:
                raise ValueError(f"{path.relative_to(ROOT)} names no version behind {before!r}.")
            found += [(path.relative_to(ROOT).as_posix(), version) for version in versions]
    return found


def write(version):
    """Write a version to every place.

    Raises:
        ValueError: it is none, or CHANGELOG.md has no section on it yet.
    """
    if not re.fullmatch(NUMBER, version):
        raise ValueError(f"{version!r} is no version. Give three numbers, such as 0.2.0.")
    notes(version)
    for path, befores in files():
        text = path.read_text(encoding="utf-8")
        for before in befores:
            text = re.sub(f"({before}){NUMBER}", rf"\g<1>{version}", text, flags=re.MULTILINE)
        if path.suffix == ".cff":
            text = re.sub(r"^date-released: .*$", f"date-released: {datetime.date.today()}", text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")


def notes(version):
    """Return what CHANGELOG.md says of a version.

    Raises:
        ValueError: nothing.
    """
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(version)}\b.*?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if not found or not found[1].strip():
        raise ValueError(f"CHANGELOG.md says nothing of {version}: write a section `## {version}` first.")
    return found[1].strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="?", help="such as 0.2.0")
    parser.add_argument("--notes", action="store_true", help="print what CHANGELOG.md says of the present version")
    options = parser.parse_args()
    try:
        if options.version:
            write(options.version)
        if options.notes:
            print(notes(re.search(f'__version__ = "({NUMBER})"', SETTING.read_text(encoding="utf-8"))[1]))
        else:
            print("\n".join(f"{version}  {path}" for path, version in named()))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
