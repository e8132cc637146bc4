"""The site and what it is made of: every link of docs and notebooks leads somewhere, and what is built is checked."""

import importlib.util
import json
import re
import socketserver
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from tools.browser import Browser, find_chromium
from tools.site import stage
from tools.site.__main__ import build
from tools.site.check import outside, problems

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(path for pattern in stage.PAGES for path in ROOT.glob(pattern))


def prose(path):
    """A document's Markdown, without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return re.sub(r"`[^`\n]+`", "code", stage.FENCE.sub("", text))


def anchors(path):
    """The anchors of a document's headings: GitHub's of a text, Jupyter's of a notebook."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    if path.suffix == ".ipynb":
        return {heading.replace(" ", "-") for heading in headings}
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_document_lead_somewhere(path):
    for place, anchor in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]+)?\)", prose(path)):
        target = (path.parent / place).resolve() if place else path
        assert target.exists() and target.is_relative_to(ROOT), place
        assert not anchor or anchor[1:] in anchors(target), place + anchor


def test_links_to_the_site_follow_the_public_address():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"https://[\w-]+\.github\.io/charlm/", readme)) == {stage.site_address()}


def test_the_pages_keep_their_places_and_what_is_no_page_leads_to_the_repository(tmp_path):
    stage.stage(tmp_path)
    home = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "](notebooks/01_shakespeare.ipynb)" in home and f"]({stage.address()}/blob/main/LICENSE)" in home
    assert '<a class="button" href="players.html">' in home and "colab-badge" not in home
    assert "12 LaTeX <notebooks/12_latex>" in home
    notebook = json.loads((tmp_path / "notebooks" / "01_shakespeare.ipynb").read_text(encoding="utf-8"))
    (shown,) = [cell for cell in notebook["cells"] if "".join(cell["source"]).strip() == 'charlm.play("shakespeare")']
    assert 'src="../play/shakespeare.html"' in shown["outputs"][0]["data"]["text/html"]
    drawn = [cell for cell in notebook["cells"] if "image/png" in json.dumps(cell.get("outputs", []))]
    assert all(cell["metadata"]["mystnb"]["image"]["alt"].startswith("Picture: ") for cell in drawn)


GOOD = '<img src="a.png" alt="A curve"><a href="b.html#here">b</a><a href="https://example.org/">out</a>'


@pytest.mark.parametrize(
    "added, found",
    [
        ("", []),
        ('<a href="c.html">c</a>', ["index.html: c.html leads nowhere"]),
        ('<a href="b.html#there">b</a>', ["index.html: b.html#there leads nowhere"]),
        ('<img src="a.png">', ["index.html: no words for <img a.png>"]),
        ('<iframe src="b.html"></iframe>', ["index.html: no words for <iframe b.html>"]),
        (
            '<script src="https://example.org/x.js"></script>',
            ["index.html: https://example.org/x.js is fetched from elsewhere"],
        ),
    ],
)
def test_a_built_site_is_read_for_links_that_lead_nowhere_and_pictures_without_words(tmp_path, added, found):
    (tmp_path / "index.html").write_text(GOOD + added, encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="here">Here</p>', encoding="utf-8")
    (tmp_path / "a.png").touch()
    assert problems(tmp_path) == found
    assert outside(tmp_path) == ["https://example.org/"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the built site, on a server of this machine."""
    if importlib.util.find_spec("myst_nb") is None or find_chromium() is None:
        pytest.skip("needs the extra 'site', and Chromium")
    folder = tmp_path_factory.mktemp("site")
    assert build(folder) == 0

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


PLACES = ("index", "players", "notebooks/01_shakespeare", "notebooks/07_why_gates", "docs/results", "reference/charlm")


@pytest.mark.deep
@pytest.mark.parametrize("width, dark", [(390, False), (1400, True)])
def test_the_site_fits_a_phone_and_a_desk_finds_words_and_writes_without_an_error(site, width, dark):
    with Browser(width=width, dark=dark) as browser:
        for place in PLACES:
            browser.open(f"{site}/{place}.html")
            assert browser.run("document.documentElement.scrollWidth") <= width, place
        browser.open(f"{site}/search.html?q=temperature")
        browser.wait("document.querySelectorAll('.search li').length > 5")
        assert "Shakespeare" in browser.run("document.querySelector('.search').innerText")
        browser.open(f"{site}/play/linux.html")
        browser.wait("document.documentElement.dataset.ready")
        browser.run("at('mode-write').click(); at('go').click()")
        browser.wait("panels[0].text.textContent.length > 100")
        errors = [event for event in browser.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
        assert [event for event in errors if "favicon" not in json.dumps(event)] == []
