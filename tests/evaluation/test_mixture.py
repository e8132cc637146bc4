"""Mixtures: the parts are read as they are, weights are those of the least loss, and text comes from all of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.anytext.settings import suggest
from charlm.anytext.split import batches, cut, encode
from charlm.anytext.together import count
from charlm.engine import ngrams as engine_ngrams
from charlm.engine.mixed import _most_children
from charlm.evaluation import mixture as mixtures
from charlm.evaluation.ladder import compressor_nats
from charlm.evaluation.mixture import Mixture, distributions, fit_weights, make_trie
from charlm.evaluation.ngrams import KneserNey, NgramCounts
from charlm.generation import Generator
from charlm.metrics import evaluate, evaluate_lines
from charlm.models import build_model, compile_model

ids_of = st.lists(st.integers(0, 4), min_size=12, max_size=60).map(np.array)


def known_contexts(model, ids):
    firsts = np.cumsum([0, *map(len, model.ngrams.keys)])
    levels = model.ngrams.levels(ids, model.order)
    return np.stack([np.where(c < 0, -1, firsts[k - 1] + c) for k, c, _ in levels], axis=1)


@given(ids_of, ids_of)
@settings(max_examples=25, deadline=None)
def test_distributions_are_kneser_neys_of_each_order(train, text):
    orders, counts = (1, 3, 4), NgramCounts(train, 5, 4)
    model = KneserNey(4).fit(counts)
    found, matched = distributions(make_trie(model), known_contexts(model, text), orders, 5)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    for i, order in enumerate(orders):
        expected = KneserNey(order).fit(counts).score(text)
        np.testing.assert_allclose(-np.log(found[np.arange(len(text)), i, text]), expected, atol=1e-4)
    assert matched.min() >= 1 and matched[0] == 1


@given(ids_of, ids_of)
@settings(max_examples=10, deadline=None)
def test_the_compiled_steps_walk_finds_the_same(train, text):
    model = KneserNey(4).fit(NgramCounts(train, 5, 4))
    laid_out = make_trie(model)
    trie, known = tf.nest.map_structure(tf.constant, laid_out), known_contexts(model, text)
    expected, matched = distributions(laid_out, known, (2, 4), 5)
    contexts, most = engine_ngrams.start(1, 4), _most_children(laid_out, 4)
    for i, character in enumerate(text):
        np.testing.assert_array_equal(contexts[0], known[i])
        found, seen = engine_ngrams.distributions(trie, contexts, (2, 4), 5, most)
        np.testing.assert_allclose(found[0], expected[i], atol=1e-6)
        assert seen[0] == matched[i]
        contexts = engine_ngrams.advance(trie, contexts, tf.constant([character], tf.int32), 5)


@pytest.fixture(scope="module")
def parts():
    """Two networks, n-grams and a text of five characters with repetitions."""
    random = np.random.default_rng(0)
    words = [random.integers(0, 4, 5) for _ in range(8)]
    text = np.concatenate([np.append(words[i], 4) for i in random.integers(0, 8, 700)])
    networks = [build_model(5, cell, 8, embedding_dim=4) for cell in ("gru", "lstm")]
    return networks, NgramCounts(text[:3000], 5, 6), text[3000:]


def test_fitted_weights_are_a_minimum(parts):
    networks, counts, text = parts
    mixture = Mixture(networks, counts, (2, 6))
    features, matched, targets = mixture._sample(text)
    weights = fit_weights(features, matched, targets, 6)

    def loss(change):
        log_p = mixtures.log_mix(features, matched, weights + change)
        return -log_p[np.arange(len(targets)), targets].sum() + change_of_belief(change)

    def change_of_belief(change):
        shared = mixtures._newton(features, targets, np.full(4, 0.25), 1.0)
        return 25.0 * np.square(weights[6] + change[6] - shared).sum()

    for part in range(4):
        change = np.zeros_like(weights)
        change[6, part] = 0.05
        assert loss(change) > loss(0 * change) < loss(-change)


def test_the_loop_reads_what_the_parts_say(parts):
    networks, counts, text = parts
    mixture = Mixture(networks, counts, (2, 6)).fit(text[:500])
    found = evaluate(mixture, text[:300]).losses
    expected = np.zeros(300)
    for places, features, matched, targets in mixture.read(text[:300]):
        expected[places] = -mixtures.log_mix(features, matched, mixture.weights)[np.arange(len(targets)), targets]
    np.testing.assert_allclose(found, expected[1:], atol=1e-4)


def test_a_mixture_is_better_than_its_parts_on_text_it_was_not_fitted_on(parts):
    networks, counts, text = parts
    mixture = Mixture(networks, counts, (2, 4, 6))
    ngram = min(KneserNey(order).fit(counts).score(text)[1:].mean() for order in (2, 4, 6))
    losses, parts_alone = mixture.judge(text)
    assert losses.mean() < ngram + 0.005
    assert parts_alone[:, 2:].mean(axis=0).min() == pytest.approx(ngram, abs=0.05)
    assert parts_alone[:, 0].mean() == pytest.approx(evaluate(networks[0], text).nats, abs=1e-3)


def test_a_mixture_writes_with_the_generators_settings_and_seeds(parts, vocabulary):
    networks, counts, text = parts
    five = type(vocabulary)("abcde")
    generator = Generator(Mixture(networks, counts, (2, 6)).fit(text[:500]), five)
    whole = generator.generate("abc", 300, temperature=0.8, top_k=3, seed=4)
    assert (
        generator.generate("abc", 100, temperature=0.8, top_k=3, seed=4) + generator.more(200, temperature=0.8, top_k=3)
        == whole
    )
    assert generator.generate(["abc", "e"], 50, seed=[4, 4], temperature=0.8, top_k=3)[0] == whole[:53]
    assert "".join(generator.stream("abc", 300, seed=4, temperature=0.8, top_k=3)) == whole


@pytest.mark.parametrize("length", [2, 3, 4, 7])
def test_even_a_few_characters_are_judged(parts, length):
    networks, counts, text = parts
    losses, alone = Mixture(networks, counts, (2, 6)).judge(text[:length])
    assert losses.shape == (length - 1,) and alone.shape == (length - 1, 4) and np.isfinite(losses).all()


def test_a_list_is_judged_line_by_line(parts):
    networks, counts, text = parts
    mixture = Mixture(networks, counts, (2, 6), end=4)
    losses, alone = mixture.judge(text[:603])
    expected = evaluate_lines(networks[1], text[:603], 4)
    assert len(losses) == len(expected.losses)
    np.testing.assert_allclose(alone[:, 1], expected.losses, atol=1e-4)
    np.testing.assert_allclose(losses.mean(), evaluate_lines(mixture, text[:603], 4).nats, atol=0.02)


@given(ids_of)
@settings(max_examples=25, deadline=None)
def test_known_lines_are_those_of_the_text(ids):
    order, lines = 5, "".join(map(str, ids)).split("4")[1:-1]
    counts = NgramCounts(ids, 5, order)
    firsts, found = np.cumsum([0, *map(len, counts.keys)]), mixtures.known_lines(counts, order, 4)
    grams = [""]
    for k in range(1, order + 1):
        grams += [grams[firsts[k - 1] + parent] + str(last) for parent, last in zip(*np.divmod(counts.keys[k], 5))]
    expected = {"4" + line for line in lines if 0 < len(line) < order - 1}
    assert {gram for gram, known in zip(grams, found, strict=True) if known} == expected


def test_a_list_is_read_alike_by_the_compiled_loop_and_its_known_lines_come_less_often(parts, vocabulary):
    names = ["abca", "abcb", "dab", "dabc", "bad", "cab", "cad", "bac"]
    five, network = type(vocabulary)("abcde"), parts[0][0]
    counts = NgramCounts(five.encode("".join(name + "e" for name in names * 3)), 5, 6)
    mixture, text, shares = Mixture(network, counts, (2, 6), end=4), five.encode("dabbeabcaecaebade"), []
    for weight in (0.0, 6.0):
        mixture.weights[:, -1] = weight
        found, expected = evaluate_lines(mixture, text, 4).losses, np.full(len(text), np.nan)
        for places, features, matched, targets in mixture.read(text):
            expected[places] = -mixtures.log_mix(features, matched, mixture.weights)[np.arange(len(targets)), targets]
        np.testing.assert_allclose(found, expected, atol=1e-4)
        written = Generator(mixture, five).generate(["e"] * 200, 12, stop="e", seed=0, include_prompt=False)
        shares.append(np.mean([line.rstrip("e") in names for line in written]))
    assert shares[1] < shares[0] / 5 and shares[0] > 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": build_model(6, "gru", 4)}, "The networks know 6 characters and the n-grams 5"),
        ({"networks": []}, "know no characters"),
        ({"orders": (2, 7)}, "Order 7 is above"),
        ({"weights": np.ones((3, 2))}, "have shape .3, 2. and should be 7 x 4"),
        ({"weights": np.full((7, 4), np.nan)}, "finite numbers"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(parts, change, message):
    networks, counts, _ = parts
    given = {"networks": networks, "ngrams": counts, "orders": (2, 6), **change}
    with pytest.raises(ValueError, match=message):
        Mixture(**given)


def test_an_empty_text_to_fit_on_is_refused(parts):
    networks, counts, _ = parts
    with pytest.raises(ValueError, match="0 characters of text to fit on"):
        Mixture(networks, counts, (2, 6)).fit(np.zeros(0, np.int64))


def texts_at_hand():
    """Real texts and pieces of them, and this project's own files: names and strings of 20,000 characters or more."""
    data = sorted(Path(os.environ.get("CHARLM_DATA", "/nowhere")).glob("*.txt"))
    root = Path(__file__).parents[2]
    own = {
        "source": sorted(root.glob("charlm/**/*.py")),
        "tests": sorted(root.glob("tests/**/*.py")),
        "notebooks": sorted(root.glob("notebooks/*.ipynb")),
        "prose": sorted([*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("charlm/pretrained/*/*.md")]),
    }
    found = {name: "".join(file.read_text(encoding="utf-8") for file in files) for name, files in own.items()}
    for file in data:
        text = file.read_text(encoding="utf-8", errors="replace")
        found |= {f"{file.stem} / {part}": text[: len(text) // part] for part in (1, 2, 10)}
    return {name: text[:400_000] for name, text in found.items() if len(text) >= 20_000}


@pytest.mark.skipif("CHARLM_DEEP" not in os.environ, reason="takes minutes: set CHARLM_DEEP")
@pytest.mark.parametrize("name", texts_at_hand() if "CHARLM_DEEP" in os.environ else [])
def test_together_is_never_worse_than_the_better_part_on_any_text(name):
    cut_text = cut(texts_at_hand()[name])
    encoded = encode(cut_text, min_count=2)
    chosen = suggest(cut_text, None, units=64, epochs=1)
    train, _ = batches(encoded, chosen)
    rows = chosen.batch_size if encoded.end is None else None
    model = build_model(len(encoded.vocabulary), "gru", 64, embedding_dim=32, batch_size=rows, stateful=bool(rows))
    compile_model(model, 4e-3).fit(train, verbose=0, shuffle=False)
    losses, alone = Mixture(model, count(encoded.train, len(encoded.vocabulary)), end=encoded.end).judge(
        encoded.validation
    )
    assert losses.mean() < alone.mean(axis=0).min() + 0.005
    if len(texts_at_hand()[name]) >= 200_000 and name.startswith(("shakespeare", "war_and_peace")):  # prose
        packed = compressor_nats(encoded.train, encoded.validation, len(encoded.vocabulary))
        assert losses.mean() < min(packed["bz2"], packed["lzma"])
