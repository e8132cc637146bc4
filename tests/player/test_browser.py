"""Pages of tiny networks in Chromium: what a visitor does, and what then stands on the page."""

import json

import numpy as np
import pytest
from pages import HOSTILE, halved, page_of

import charlm
from charlm.corpora import decode_bytes
from tools.browser import Browser, find_chromium

pytestmark = pytest.mark.skipif(not find_chromium(), reason="no chromium is installed")

TEXT = "panels[0].text.textContent"
WRITTEN = "!view.writing && panels[0].ids.length"
# What is copied, caught on its way to the clipboard.
CAUGHT = "document.addEventListener('copy', ({ target }) => (window.copied = target.value))"


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests; where it opens pages, nothing may move."""
    with Browser(motion=False) as browser:
        yield browser


@pytest.fixture
def show(browser, tmp_path):
    """Open a page, and wait until its network is ready."""

    def show(html, **settings):
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")
        browser.open(file.as_uri(), **settings)
        browser.wait("document.documentElement.dataset.ready === 'simd'")
        browser.run("at('pace').value = '0'; sendSettings()")
        return browser

    return show


@pytest.fixture(scope="module")
def network(small_model, vocabulary):
    return charlm.Generator(halved(small_model()), vocabulary)


def network_for(vocabulary, scale=0.3):
    """A network with random weights for any vocabulary, which gives characters different chances."""
    model = charlm.build_model(len(vocabulary), units=8, embedding_dim=4)
    random = np.random.default_rng(0)
    model.set_weights([scale * random.normal(size=weight.shape) for weight in model.get_weights()])
    return charlm.Generator(halved(model), vocabulary)


def begin(browser, prompt="", mode="together"):
    """Begin with a prompt; write, where the mode does."""
    browser.run(f"at('prompt').value = {json.dumps(prompt)}; at('mode-{mode}').click()")
    browser.wait(f"panels[0].ids.length >= encode({json.dumps(prompt)}).length && {WRITTEN} >= 0")


@pytest.mark.parametrize("cell, layers", [("gru", 3), ("lstm", 2), ("rnn", 3)])
def test_a_page_measures_a_text_as_generator_scores_it(cell, layers, scored, show):
    generator, text, score = scored(cell, layers)
    browser = show(page_of(generator))
    begin(browser, text, mode="measure")
    losses = browser.run("panels[0].losses")
    assert losses[0] is None
    np.testing.assert_allclose(losses[1:], score.losses, atol=2e-4)
    shown = f"300 characters, {score.nats / np.log(2):.2f} bits a character"
    assert browser.run("at('figures').textContent") == shown


def test_bytes_are_shown_as_utf_8_however_they_come(show):
    vocabulary = charlm.Vocabulary("".join(map(chr, range(256))))
    browser = show(page_of(network_for(vocabulary), as_bytes=True))
    begin(browser, "na\u00efve \U0001f600\ufeff")
    assert browser.run(TEXT) == "na\u00efve␣\U0001f600\ufeff".replace("␣", " ")
    come = """(...ids) => {
      receive({ kind: "text", run: view.run, lane: 0, from: panels[0].ids.length, ids, losses: ids.map(() => 1) });
      showTexts();
      return panels[0].text.textContent;
    }"""
    begin(browser, "a")
    shown = [
        browser.run(f"({come})({part})") for part in ("0xf0, 0x9f", "0x98", "0x80, 0xc3", "0xa9, 0xe2", "65, 0xff")
    ]
    assert shown == ["a", "a", "a\U0001f600", "a\U0001f600\u00e9", "a\U0001f600\u00e9\ufffdA\ufffd"]
    assert browser.run("panels[0].tokens.length") == 6


def test_a_network_of_bytes_writes_what_python_decodes(show):
    vocabulary = charlm.Vocabulary("".join(map(chr, (10, 32, 97, 98, 0xC3, 0xA9, 0xE2, 0x82, 0xAC))))
    browser = show(page_of(network_for(vocabulary), as_bytes=True))
    browser.run("at('length').value = '4000'")
    begin(browser, mode="write")
    browser.wait(f"{WRITTEN} === 4000")
    ids = browser.run("panels[0].ids")
    text = decode_bytes(vocabulary.decode(ids))
    assert browser.run("textOf(panels[0].ids)") == text and "\u20ac" in text and "\ufffd" in text
    whole = decode_bytes(vocabulary.decode(ids[: browser.run("panels[0].whole")]))
    assert (
        browser.run("panels[0].tokens.map(({ first, end }) => textOf(panels[0].ids.slice(first, end))).join('')")
        == whole
    )
    bars = browser.run("Array.from(document.querySelectorAll('#bars .sign'), ({ textContent }) => textContent)")
    assert all(len(sign) == 1 and sign < "\x80" or sign in "␣↵" or sign.startswith("byte ") for sign in bars), bars


def test_the_unknown_token_is_shown_as_itself(show):
    vocabulary = charlm.Vocabulary.from_text("the quick brown fox\n" * 5 + "\u0436", min_count=5)
    generator = network_for(vocabulary)
    browser = show(page_of(generator))
    begin(browser, "the \u0436 Fox", mode="measure")
    assert browser.run(TEXT) == "the \ufffd fox"
    assert browser.run("panels[0].ids") == vocabulary.encode("the \u0436 fox").tolist()
    note = browser.run("at('note').textContent")
    assert note == "The network does not know \u0436 F: read as its unknown token, or in lower case."
    begin(browser, mode="write")
    browser.wait(f"{WRITTEN} > 500 && {TEXT}.includes('\ufffd')")


def test_a_list_is_written_20_names_at_a_time_each_with_the_prompt(show, network, vocabulary):
    browser = show(page_of(network, lines=True, opening=vocabulary.characters.index("\n")))
    assert browser.run("at('length').selectedOptions[0].textContent") == "20 lines"
    begin(browser, "the", mode="write")
    names = "textOf(panels[0].ids).split('\\n')"
    browser.wait(f"!view.writing && {names}.length === 21")
    browser.run("at('go').click()")
    browser.wait(f"!view.writing && {names}.length === 41")
    lines = browser.run(names)
    assert lines[-1] == "" and all(line.startswith("the") for line in lines[:-1])
    assert browser.run("document.querySelectorAll('.text > div').length") == 40


def test_a_link_brings_back_prompt_seed_and_settings(show, network, browser):
    cells = [{"name": "found", "layer": 1, "signal": "hidden", "unit": 5, "direction": -1}]
    show(page_of(network, cells=cells), first=CAUGHT)
    settings = {"seed": "77", "temperature": "1.35", "top-k": "9", "top-p": "0.9", "pace": "0", "length": "200"}
    browser.run(f"Object.entries({json.dumps(settings)}).forEach(([name, value]) => (at(name).value = value))")
    browser.run("view.temperatures = [0, 0.5, 2]; at('cells').firstChild.click()")
    begin(browser, "the \u201coh\u201d & #fox?\n", mode="compare")
    browser.wait(f"{WRITTEN} > 200")
    texts = browser.run("panels.map(({ ids }) => ids)")
    browser.run("at('link').click()")
    link = browser.run("copied")
    browser.open(link)
    browser.wait(f"view.ready && panels.length === 3 && {WRITTEN} > 200")
    assert browser.run("panels.map(({ ids }) => ids)") == texts
    assert browser.run(f"Object.keys({json.dumps(settings)}).map((name) => at(name).value)") == list(settings.values())
    assert browser.run("[view.mode, view.colour, view.temperatures, view.unit, view.found.name]") == [
        "compare", "unit", [0, 0.5, 2], {"layer": 1, "signal": "hidden", "unit": 5}, "found",
    ]  # fmt: skip


@pytest.mark.parametrize("fragment", [
    "mode=none&seed=x&temperature=NaN&pace=3&length=7&top-k=-4&temperatures=1+2&colour=unit+9+cell+-3",
    "%", "mode", "colour=unit", "temperatures=9+9+9&colour=</script>",
])  # fmt: skip
def test_a_damaged_link_opens_the_page(fragment, show, network, browser):
    show(page_of(network))
    browser.open(browser.run("location.href") + "#" + fragment)
    browser.wait("view.ready && panels.length")
    assert browser.run("[view.mode, view.unit.layer, view.unit.unit]") == ["write", 1, 0]
    assert browser.run("lanes()[0].topK >= 1 && lanes()[0].temperature >= 0 && Number(at('length').value) > 0")


def test_the_text_is_copied_as_it_is(show, network, browser, vocabulary):
    show(page_of(network), first=CAUGHT)
    begin(browser, "the fox\n\n", mode="write")
    browser.wait(f"{WRITTEN} > 500")
    ids = browser.run("panels[0].ids")
    browser.run("at('copy').focus(); at('copy').click(); at('copy').click()")
    assert browser.run("copied") == vocabulary.decode(ids)
    assert browser.run("document.activeElement.id") == "copy"
    browser.wait("at('copy').textContent === 'Copy text'")


@pytest.mark.parametrize("refusal", ["throw 0", "setTimeout(() => this.onerror())"])
def test_where_a_worker_is_refused_the_page_itself_writes_the_same(refusal, show, network, browser):
    html = page_of(network)
    texts = []
    for first in ("", f"window.Worker = class {{ constructor() {{ {refusal} }} postMessage() {{}} }};"):
        show(html, first=first)
        begin(browser, "the", mode="write")
        browser.wait(f"{WRITTEN} > 500")
        texts.append(browser.run(TEXT))
    assert texts[0] == texts[1]


def test_a_digit_takes_only_a_bar_that_is_there(show, browser):
    show(page_of(network_for(charlm.Vocabulary("ab"))))
    begin(browser, "ab")
    browser.wait("!document.querySelector('#bars li').hidden")
    press = "panels[0].text.dispatchEvent(new KeyboardEvent('keydown', { key: %s }))"
    browser.run(press % "'6'")
    browser.run(press % "'1', ctrlKey: true")
    browser.run(press % "'1'")
    browser.wait("panels[0].ids.length === 3")
    assert browser.requests()[1] == []


def test_answers_of_an_earlier_run_are_not_shown(show, network, browser):
    show(page_of(network))
    begin(browser, "the", mode="compare")
    begin(browser, "the", mode="together")
    for kind in ("values", "cut", "text", "next", "influence"):
        browser.run(
            f"receive({{ kind: '{kind}', run: view.run - 1, lane: 2, position: 1, from: 0, ids: [0], losses: [0] }})"
        )
    browser.run("showTexts()")
    assert browser.run(TEXT) == "the" and browser.requests()[1] == []


def test_a_browser_opens_a_hostile_page_writes_and_asks_nothing_of_a_network(show, browser):
    vocabulary = charlm.Vocabulary.from_text(HOSTILE + "\n\ud800" + "abcdefgh ")
    cells = [{"name": HOSTILE, "layer": 1, "signal": "hidden", "unit": 3, "direction": 1}]
    generator = network_for(vocabulary)
    show(page_of(generator, title=HOSTILE, prompt=HOSTILE, prompts=[HOSTILE], cells=cells, about=[[HOSTILE, HOSTILE]]))
    assert browser.run("at('prompt').value") == HOSTILE
    browser.run("at('go').click()")
    browser.wait("document.querySelectorAll('.text span').length > 700")
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("at('title').textContent") == HOSTILE
    asked, wrong = browser.requests()
    assert wrong == [] and {address.split(":")[0] for address in asked} == {"file", "blob"}
