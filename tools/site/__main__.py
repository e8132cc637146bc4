"""Build the site: `python -m tools.site`; `tools/site/__init__.py` says how."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from tools.player import gallery
from tools.site.check import outside, problems
from tools.site.stage import ROOT, stage

HERE = Path(__file__).parent
FOLDER = ROOT / "build" / "site"
SOURCE = ROOT / "build" / "site-source"
EXTRA = ROOT / "build" / "site-extra"  # what is copied to the site as it is


def main():
    parser = argparse.ArgumentParser(prog="python -m tools.site", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=FOLDER, help="build/site, or 'links': list addresses outside")
    folder = parser.parse_args().folder
    if str(folder) == "links":
        print("\n".join(outside(FOLDER)))
        return 0
    return build(Path(folder))


def build(folder):
    """Build the site in a folder; return 0, or 1 where a link or a picture is not as it should be."""
    try:
        from sphinx.cmd.build import build_main
    except ModuleNotFoundError:
        raise SystemExit("The site needs Sphinx and its themes: pip install 'charlm[site]', or `make site`.") from None

    os.environ["CHARLM_OFFLINE"] = "1"
    for old in (SOURCE, folder):
        shutil.rmtree(old, ignore_errors=True)
    stage(SOURCE)
    gallery(EXTRA / "play")
    options = ["-b", "html", "-c", str(HERE), "-W", "--keep-going", "-q", "-d", str(ROOT / "build" / "site-doctrees")]
    if failed := build_main([*options, "-E", str(SOURCE), str(folder)]):
        return failed
    found = problems(folder)
    print(*found, sep="\n")
    print(f"{folder / 'index.html'}: {'open it in a browser' if not found else f'{len(found)} problems'}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
