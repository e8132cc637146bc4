"""Lay out the site's pages in a folder, in the tree of the repository, so that their links stay as they are.

Three things are changed on the way: links to what is no page lead to the repository, badges (pictures from another host)
become words, and where a notebook lets a reference model write, the saved samples make way for the model itself.
"""

import json
import os
import re
import shutil
from pathlib import Path

from charlm.corpora import registry
from charlm.runs import reference_models
from tools.player import describe
from tools.site.reference import write_reference

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "benchmarks/results.md",
    "charlm/pretrained/*/README.md",
    "notebooks/*.ipynb",
)
PICTURES = ("docs/*.png",)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
BADGE = re.compile(r"\[!\[([^\]]*)\]\(https?://[^)]*\)\]\(")
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
PLAY = re.compile(r'charlm\.play\("(\w+)"\)')
FRAME = (
    '<iframe class="player" src="../play/{name}.html" title="The reference model of {name}, which writes" '
    'loading="lazy"></iframe>'
)
LABEL = re.compile(r'(xlabel|ylabel|title|suptitle)\s*[=(]\s*f?"([^"{]+)"')


def stage(folder):
    """Write all pages, pictures and the reference's pages to a folder, of Markdown and notebooks."""
    pages = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    for path in pages:
        target = folder / _page(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            target.write_text(json.dumps(_notebook(path, pages), ensure_ascii=False), encoding="utf-8")
        else:
            target.write_text(_markdown(path.read_text(encoding="utf-8"), path, pages), encoding="utf-8")
    for path in (path for pattern in PICTURES for path in ROOT.glob(pattern)):
        shutil.copy(path, folder / path.relative_to(ROOT))
    write_reference(folder / "reference")
    (folder / "players.md").write_text(_players(), encoding="utf-8")
    _home(folder, pages)


def address():
    """Return the repository's public address, the one that `pyproject.toml` gives."""
    return re.search(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]


def site_address():
    """Return the site's public address, which follows from the repository's: https://OWNER.github.io/NAME/."""
    owner, name = address().removeprefix("https://github.com/").split("/")
    return f"https://{owner}.github.io/{name}/"


def _page(path):
    """Where a file of the repository stands on the site."""
    return "index.md" if path == ROOT / "README.md" else path.relative_to(ROOT)


def _markdown(text, path, pages):
    """Change the links of a page, and leave its code as it is."""
    parts = FENCE.split(text)
    return "".join(part if number % 2 else _links(part, path, pages) for number, part in enumerate(parts))


def _links(text, path, pages):
    def change(found):
        target = Path(os.path.normpath(path.parent / found[1]))
        anchor = found[2] or ""
        if target == ROOT / "README.md":
            return os.path.relpath(ROOT / "index.md", path.parent) + anchor
        if target in pages or target.suffix == ".png":
            return found[1] + anchor
        return f"{address()}/blob/main/{target.relative_to(ROOT).as_posix()}{anchor}"

    text = BADGE.sub(r"[\1](", text)
    own = re.compile(r"\[([^\]]*)\]\(" + re.escape(site_address()) + r"([^)\s]+)\)")
    text = own.sub(lambda found: _own(found[1], os.path.relpath(ROOT / found[2], path.parent)), text)
    return LINK.sub(change, text)


def _own(words, place):
    """Lead to a place of the site itself, as a button."""
    return f'<a class="button" href="{place}">{words}</a>'


def _notebook(path, pages):
    """Read a notebook, and make its cells ready for the site."""
    notebook, heading = json.loads(path.read_text(encoding="utf-8")), ""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = next(iter(re.findall(r"^#+ (.+)$", source, re.MULTILINE)[-1:]), heading)
            source = re.sub(r"\]\(#([^)]+)\)", lambda found: f"](#{found[1].lower()})", source)  # Jupyter's anchors
            cell["source"] = _markdown(source, path, pages)
            continue
        if cell["metadata"].get("jupyter", {}).get("source_hidden"):
            cell["metadata"].setdefault("tags", []).append("hide-input")
        cell["metadata"]["mystnb"] = {"image": {"alt": _describe(source, heading)}}
        if played := PLAY.fullmatch(source.strip()):
            cell["outputs"] = [_html(FRAME.format(name=played[1]))]
    return notebook


def _html(text):
    return {"output_type": "display_data", "data": {"text/html": text}, "metadata": {}}


def _describe(source, heading):
    """Say in words what a cell's picture shows, for whoever does not see it."""
    labels = dict(LABEL.findall(source))
    title = labels.get("title") or labels.get("suptitle") or heading
    axes = [labels[name] for name in ("ylabel", "xlabel") if name in labels]
    return re.sub(r"[\"`*_$\\]", "", f"Picture: {title}" + (f"; {' against '.join(axes)}" if axes else ""))


def _players():
    """A page that leads to the players of all reference models."""
    parts = [
        "# Networks that write\n\nEach of these pages holds one recurrent network, which writes character by character in "
        "your browser. Nothing is fetched, nothing is sent.\n"
    ]
    for name in reference_models():
        facts = " ".join(describe(name)).replace("$", r"\$")  # no formulas
        button = _own("Let it write", f"play/{name}.html")
        parts.append(f"\n## {registry()[name]['title']}\n\n{facts}\n\n{button}\n")
    return "".join(parts)


def _home(folder, pages):
    """Add the table of contents to the home page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    course = [f"{title} <{name}>" for title, name in re.findall(r"^\| \[(.+?)\]\((.+?)\.ipynb\)", readme, re.MULTILINE)]
    cards = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in pages if "pretrained" in path.parts)
    entries = {
        "The course": course,
        "Look up": ["players", "docs/glossary", "docs/results", "docs/samples", "docs/any_text", "reference/index"],
        "How it is made": [
            "docs/what_earns_its_minutes",
            "docs/why_cudnn_is_fast",
            "docs/architecture",
            "benchmarks/results",
            "Contributing <CONTRIBUTING>",
            "Changes <CHANGELOG>",
        ],
        "Model cards": cards,
    }
    trees = "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n"
        for caption, names in entries.items()
    )
    with (folder / "index.md").open("a", encoding="utf-8") as file:
        file.write(trees)
