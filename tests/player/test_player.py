"""A network as a page: the player's own code, run in node and in a browser, against charlm's."""

import functools
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest
from pages import HOSTILE, ask, halved, losses, packed, page_of

import charlm
from charlm import cli
from charlm.inspection.trace import Unit, trace
from charlm.player import export, page
from tests.deep import deep
from tools.execute import PANEL

PLAYER = Path(page.__file__).parent
DEEP = os.environ.get("CHARLM_DEEP") == "1"
REFERENCES = charlm.runs.reference_models() if DEEP else ["shakespeare"]
NAME = HOSTILE.replace("/", "").replace("\x00", "")  # of a folder

in_node = pytest.mark.skipif(not shutil.which("node"), reason="no node is installed")


def model_in(player):
    """The network that a page holds."""
    return json.loads(re.search(r'id="model">(.*?)</script>', player.html, re.DOTALL)[1])


@functools.lru_cache
def reference(name):
    """A reference model and its score of a held-out text: (generator, text, nats)."""
    generator, text = charlm.Run.load(name).generator(), held_out(name)
    return generator, text, generator.score(text).nats


def held_out(name):
    """2,000 characters on which a reference model was not trained; of its stand-in where there are no real texts."""
    if not os.environ.get("CHARLM_DATA"):
        return charlm.load_corpus(name).text[-2000:]
    from tools.reference import read

    parts = read(name)[1]
    return parts.vocabulary.decode(parts.validation[:2000])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of a run whose vocabulary, name and prompt are as bad as they can be."""
    vocabulary = charlm.Vocabulary.from_text(HOSTILE + "\n\ud800" + "abcdefgh ")
    model = charlm.build_model(len(vocabulary), units=8, embedding_dim=4)
    run = charlm.Run.create(tmp_path_factory.mktemp("runs") / NAME, model, vocabulary)
    run.store.save_checkpoint(model, 1, 2.0)
    return charlm.play(run, weights="float16", prompt=HOSTILE, cells={HOSTILE: Unit(1, "hidden", 3)})


@in_node
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(
    "weights, tolerance, simd", [("float16", 1e-3, True), ("int8", 5e-3, True), ("int8", 5e-3, False)]
)
def test_a_page_scores_held_out_text_as_generator_does(name, weights, tolerance, simd):
    generator, text, expected = reference(name)
    (found,) = losses(packed(generator, weights), generator.vocabulary.encode(text), simd=simd)
    assert abs(np.mean(found[1:]) - expected) < tolerance


@in_node
@pytest.mark.parametrize("name", REFERENCES)
def test_at_temperature_0_a_page_writes_what_generator_writes(name):
    generator, *_ = reference(name)
    expected = generator.generate("\n", 200, temperature=0, include_prompt=False)
    prompt = generator.vocabulary.encode("\n").tolist()
    settings = {"prompt": prompt, "count": 200, "settings": {"temperature": 0}, "seed": 0, "simd": True}
    assert generator.vocabulary.decode(ask("write", model=packed(generator), **settings)) == expected


@in_node
@pytest.mark.parametrize("cell, layers", [("gru", 3), ("lstm", 2), deep("rnn", 3)])
def test_every_cell_at_any_depth_and_width_is_computed_as_in_keras(cell, layers, scored):
    generator, text, score = scored(cell, layers)
    ids, model = generator.vocabulary.encode(text), packed(generator)
    for simd in (True, False):
        np.testing.assert_allclose(losses(model, ids, simd=simd)[0][1:], score.losses, atol=2e-4)
    model = packed(generator, "int8")
    np.testing.assert_allclose(losses(model, ids), losses(model, ids, simd=False), atol=5e-3)


@in_node
@pytest.mark.parametrize("temperature", [0.7, 1.3])
def test_draws_have_the_chances_that_the_temperature_gives(temperature):
    logits = np.random.default_rng(0).normal(size=20)
    settings = {"temperature": temperature}
    found = ask("draws", logits=logits.tolist(), settings=settings, count=100_000, seed=3)
    chances = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    np.testing.assert_allclose(found["chances"], chances, rtol=1e-12)
    statistic = ((np.array(found["counts"]) - 100_000 * chances) ** 2 / (100_000 * chances)).sum()
    assert statistic < 43.8  # the 99.9th percentile of chi-square at 19 degrees of freedom


@in_node
@pytest.mark.parametrize("settings, allowed", [
    ({"topK": 3}, {0, 1, 2}),
    ({"topP": 0.8}, {0, 1, 2}),
    ({"topP": 0.5}, {0, 1}),
    ({"topK": 2, "topP": 0.9}, {0, 1}),
    ({"topK": 4, "topP": 0.5}, {0, 1}),
    ({"topP": 1e-9}, {0}),
    ({"temperature": 0}, {0}),
])  # fmt: skip
def test_top_k_and_top_p_allow_exactly_the_likeliest(settings, allowed):
    chances = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    found = ask("draws", logits=np.log(chances).tolist(), settings=settings, count=20_000, seed=0)
    assert {i for i, count in enumerate(found["counts"]) if count} == allowed
    assert {i for i, chance in enumerate(found["chances"]) if chance} == allowed


def talk(generator, *messages, lines=False, lanes=({"temperature": 1},), prompt=()):
    """Let a host read a prompt and answer messages; `begin` comes first."""
    begin = {
        "kind": "begin",
        "run": 1,
        "prompt": list(prompt),
        "lanes": list(lanes),
        "seed": 5,
        "pace": 1e9,
        "count": 0,
    }
    return ask("talk", model=packed(generator, lines=lines), messages=[begin, *messages])


def written(answers, lane=0):
    """The ids that a host's answers leave on the page."""
    ids = []
    for answer in answers:
        if answer.get("lane") == lane and answer["kind"] in ("text", "cut"):
            ids = ids[: answer["from"] if answer["kind"] == "text" else answer["position"]] + answer.get("ids", [])
    return ids


def go(count):
    return {"kind": "go", "count": count, "wait": {"kind": "writing", "on": False}}


@pytest.fixture(scope="module")
def model(small_model):
    return halved(small_model())


@pytest.fixture(scope="module")
def generator(model, vocabulary):
    return charlm.Generator(model, vocabulary)


@in_node
def test_the_same_seed_writes_the_same_text_however_often_it_stops(generator):
    whole, parts = talk(generator, go(60)), talk(generator, go(20), go(40))
    assert len(written(whole)) == 60 and written(whole) == written(parts)


@in_node
def test_lanes_draw_by_the_same_random_numbers(generator):
    lanes = [{"temperature": 1}, {"temperature": 1}, {"temperature": 0}]
    answers = talk(generator, go(50), lanes=lanes)
    assert written(answers, 0) == written(answers, 1) != written(answers, 2)
    assert len(written(answers, 2)) == 50


@in_node
def test_what_was_taken_back_leaves_no_trace(generator):
    take = {
        "kind": "take",
        "lane": 0,
        "position": 70,
        "ids": [4, 9],
        "count": 0,
        "until": None,
        "wait": {"kind": "text"},
    }
    answers = talk(
        generator,
        go(150),
        take,
        {"kind": "next", "words": False, "lane": 0, "position": 72, "wanted": 5, "wait": {"kind": "next"}},
    )
    ids = written(answers)
    assert len(ids) == 72 and ids[-2:] == [4, 9]
    same = [generator.vocabulary.characters.index("\n"), *ids]  # what an empty prompt stands for, and then the text
    fresh = talk(
        generator,
        {"kind": "next", "words": False, "lane": 0, "position": 73, "wanted": 5, "wait": {"kind": "next"}},
        prompt=same,
    )
    assert answers[-1]["found"] == fresh[-1]["found"]


@in_node
def test_a_list_begins_every_line_with_the_prompt_from_the_same_state(model, vocabulary, generator):
    prompt = vocabulary.encode("the").tolist()
    answers = talk(generator, go(20), lines=True, prompt=prompt)
    text = vocabulary.decode(written(answers))
    assert text.count("\n") == 20 and text.endswith("\n")
    assert all(line.startswith("the") for line in text.splitlines())
    found = [nats for answer in answers if answer["kind"] == "text" for nats in answer["losses"]]
    expected = charlm.evaluate_lines(model, vocabulary.encode(text), end=0).losses
    np.testing.assert_allclose(found, expected, atol=2e-4)


@in_node
def test_an_influence_is_what_the_loss_gains_without_a_character(generator, ids):
    text = ids[:60].tolist()
    wait = {"wait": {"kind": "influence"}}
    found = talk(generator, {"kind": "influence", "lane": 0, "position": 50, **wait}, prompt=text)[-1]["found"]
    assert found["target"] == text[50] and found["first"] == 10 and len(found["influences"]) == 40

    places = (10, 33, 49)
    shortened = [[*text[:place], *text[place + 1 : 51]] for place in places]
    whole, *without = (nats[-1] for nats in losses(packed(generator), text[:51], *shortened))
    for place, nats in zip(places, without, strict=True):
        assert abs(found["influences"][place - 10] - (nats - whole)) < 1e-5


@in_node
def test_likely_words_have_the_chance_of_their_characters_and_of_an_end(generator, vocabulary, ids):
    text = ids[:40].tolist()
    message = {"kind": "next", "words": True, "lane": 0, "position": 40, "wanted": 3, "wait": {"kind": "next"}}
    found = talk(generator, message, prompt=text)[-1]["found"]
    assert found == sorted(found, key=lambda word: -word[1])
    letters = [character.isalnum() or character in "'’" for character in vocabulary.characters]
    word, chance = found[0]
    ends = [[*text, *word, end] for end, letter in enumerate(letters) if not letter]
    nats = np.array(losses(packed(generator), *ends))[:, 40:]
    assert letters[word[-1]]
    np.testing.assert_allclose(np.exp(-nats.sum(axis=1)).sum(), chance, rtol=1e-4)


@in_node
def test_a_unit_shows_what_a_trace_shows(vocabulary, small_model, ids):
    model = halved(small_model("lstm", 2))
    text, unit = vocabulary.decode(ids[:50]), {"layer": 2, "signal": "cell", "unit": 7}
    read = {"kind": "next", "words": False, "lane": 0, "position": 50, "wanted": 1, "wait": {"kind": "next"}}
    messages = {"kind": "unit", "unit": unit}, read  # which is answered once all has been read
    found = talk(charlm.Generator(model, vocabulary), *messages, prompt=ids[:50].tolist())
    values = [value for answer in found if answer["kind"] in ("values", "text") for value in answer.get("values") or []]
    np.testing.assert_allclose(values, trace(model, vocabulary, text).values((2, "cell", 7)), atol=1 / 250)


def test_a_saved_notebook_keeps_a_panels_samples_and_not_the_panel(hostile):
    kept = PANEL.sub(r"\1", hostile._repr_html_())
    assert kept.startswith("<table>") and kept.endswith("</table>") and "<iframe" not in kept
    assert kept.count("<pre>") == len(hostile.samples)
    assert PANEL.sub(r"\1", "<div><table></table></div>") == "<div><table></table></div>"


@pytest.mark.skipif(not shutil.which("wat2wasm"), reason="no wat2wasm is installed (Debian: wabt)")
def test_the_kernel_is_what_its_source_builds(tmp_path):
    subprocess.run(["wat2wasm", PLAYER / "kernel.wat", "-o", tmp_path / "kernel.wasm"], check=True)
    assert (tmp_path / "kernel.wasm").read_bytes() == (PLAYER / "kernel.wasm").read_bytes()


def test_the_player_is_at_most_1200_lines_of_120_characters_and_asks_nothing_of_a_network():
    files = [*PLAYER.glob("*.js"), *PLAYER.glob("*.css")]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    assert text.count("\n") <= 1200 and max(map(len, text.splitlines())) <= 120
    assert not re.search(
        r"https?:|fetch\(|XMLHttpRequest|WebSocket|import\(|importScripts|innerHTML|insertAdjacent|eval", text
    )
    assert "</script" not in text and "<!--" not in text


def test_a_page_is_not_much_larger_than_its_weights():
    html = page_of(reference("shakespeare")[0], weights="int8")
    assert len(html.encode()) <= 1.45 * charlm.Run.load("shakespeare").model().count_params() + 60_000


class Elements(HTMLParser):
    """The elements of a page, and the text of its title."""

    def __init__(self, text):
        super().__init__()
        self.found, self.title = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.title += data if self.found and self.found[-1][0] == "title" else ""


def test_hostile_texts_change_nothing_but_the_text(hostile, generator):
    scripts = [attributes for tag, attributes in Elements(hostile.html).found if tag == "script"]
    assert scripts == [attributes for tag, attributes in Elements(page_of(generator)).found if tag == "script"]
    assert "img" not in {tag for tag, _ in Elements(hostile.html).found}
    model = model_in(hostile)
    assert model["prompt"] == model["cells"][0]["name"] == HOSTILE
    assert {ord(character) for character in HOSTILE} <= set(model["vocabulary"])
    assert "img" not in {tag for tag, _ in Elements(hostile._repr_html_()).found}


def test_the_name_of_a_run_is_text(hostile):
    assert Elements(hostile.html).title.strip("\n") == NAME


def test_a_policy_in_the_page_lets_nothing_be_fetched(hostile):
    (policy,) = [
        attributes["content"] for tag, attributes in Elements(hostile.html).found if "http-equiv" in attributes
    ]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "'unsafe-eval'" not in policy


def test_where_scripts_do_not_run_samples_stand_side_by_side(hostile):
    found = Elements(hostile._repr_html_()).found
    assert [tag for tag, _ in found].count("td") == 3
    frame = dict(found)["iframe"]
    assert frame["srcdoc"] == hostile.html and frame["sandbox"] == "allow-scripts"
    assert set(hostile._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_rounding_is_chosen_by_what_it_costs(generator, monkeypatch):
    texts = [np.arange(30) % 20, np.arange(9)]
    assert export.choose_weights(generator.loop, texts)[0] == "int8"
    monkeypatch.setattr(export, "MOST_LOST", -1)
    assert export.choose_weights(generator.loop, texts)[0] == "float16"


@in_node
def test_a_loop_with_rounded_weights_computes_what_a_page_does(generator):
    loop, text = generator.loop, np.arange(200) % 20
    rounded = loop.with_weights(export.rounded(loop.network))
    page_losses = losses(packed(generator, "int8"), text)[0][1:]
    np.testing.assert_allclose(rounded.read(rounded.start(1), [text])[1][0][1:], page_losses, atol=2e-4)
    assert not np.allclose(loop.read(loop.start(1), [text])[1][0][1:], page_losses, atol=2e-4)


@pytest.mark.parametrize("name", charlm.runs.reference_models() if DEEP else ["baby_names"])
def test_the_rounding_noted_with_a_reference_model_is_what_is_measured(name, monkeypatch):
    run = charlm.Run.load(name)
    notes = json.loads((run.path / page.NOTES).read_text())
    weights, cost = page.measure_rounding(run.generator(), run.to_network(notes["prompts"][0]), run.reads_lines)
    assert notes["rounding"] == [weights, pytest.approx(cost, abs=1e-3)]
    monkeypatch.setattr(page, "measure_rounding", None)  # so it is not measured again
    assert model_in(charlm.play(run))["weights"] == weights


def test_a_model_that_is_not_from_build_model_is_refused(vocabulary, small_model):
    inputs = keras.Input((4,))
    other = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    with pytest.raises(ValueError, match=r"not from build_model: its layers are .*charlm.build_model"):
        charlm.play(other, vocabulary)
    with pytest.raises(ValueError, match=r"play\(model, vocabulary\)"):
        charlm.play(small_model())
    with pytest.raises(ValueError, match="3 cannot be played. Give a Run"):
        charlm.play(3)


def test_bad_input_is_named(vocabulary, small_model, hostile, tmp_path, monkeypatch):
    run = charlm.Run.create(tmp_path / "run", small_model(), vocabulary)
    with pytest.raises(FileNotFoundError, match="run"):
        charlm.play(run)
    with pytest.raises(ValueError, match="choose one of int8, float16, or None"):
        charlm.play(small_model(), vocabulary, weights="int4")
    file = hostile.save(tmp_path / "page.html")
    with pytest.raises(ValueError, match=r"page.html exists. Give force=True \(--force\)"):
        hostile.save(file)
    assert hostile.save(file, force=True).read_text(encoding="utf-8") == hostile.html
    monkeypatch.setattr(page, "MOST_BYTES", 50_000)
    with pytest.raises(ValueError, match=r"0 are allowed: weights='int8' \(--weights int8\) would halve it"):
        charlm.play(small_model(), vocabulary, weights="float16")


def test_the_command_shares_a_page_and_replaces_none_unasked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["share", "baby_names", "--weights", "int8"]) == 0
    assert "baby_names.html: 0.3" in capsys.readouterr().out
    assert cli.main(["share", "baby_names"]) == 2
    assert capsys.readouterr().err == (
        "charlm: baby_names.html exists. Give force=True (--force) to replace it, or another name.\n"
    )
    assert cli.main(["share", "baby_names", "--weights", "float16", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == Path("baby_names.html").stat().st_size > 600_000
