"""Read a built site: every link and anchor within it leads somewhere, every picture has words, nothing is fetched."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

LOADED = {
    "img": "src",
    "script": "src",
    "iframe": "src",
    "link": "href",
    "source": "src",
}  # what a page fetches by itself


class Page(HTMLParser):
    """What a page holds: its anchors, its links, and pictures and frames without words."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loaded, self.wordless = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if given.get(LOADED.get(tag)) and given.get("rel") not in ("canonical", "author", "copyright"):
            self.loaded.append(given[LOADED[tag]])
        if (tag == "img" and given.get("alt") is None) or (tag == "iframe" and not given.get("title")):
            self.wordless.append(f"<{tag} {given.get('src', '')[:80]}>")


def read(folder):
    """Read the pages of a site: a dictionary of paths to `Page`s."""
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).rglob("*.html"))}


def problems(folder):
    """List what is wrong with a site's links and pictures, a sentence each."""
    pages, found = read(folder), []
    for path, page in pages.items():
        name = path.relative_to(folder)
        found += [f"{name}: no words for {tag}" for tag in page.wordless]
        found += [f"{name}: {place} is fetched from elsewhere" for place in page.loaded if _is_outside(place)]
        inside = [place for place in (*page.links, *page.loaded) if not _is_outside(place)]
        found += [f"{name}: {place} leads nowhere" for place in inside if not _leads(place, path, pages)]
    return sorted(set(found))


def outside(folder):
    """List the addresses outside that a site's pages lead to."""
    return sorted({place for page in read(folder).values() for place in page.links if _is_outside(place)})


def _is_outside(place):
    return urlsplit(place).scheme not in ("", "data") or place.startswith("//")


def _leads(place, path, pages):
    if place.startswith("data:"):
        return True
    file, anchor = urldefrag(place)
    target = (path.parent / unquote(file.partition("?")[0])).resolve() if file else path
    target = target / "index.html" if target.is_dir() else target
    if not target.exists():
        return False
    return not anchor or target not in pages or unquote(anchor) in pages[target].anchors
