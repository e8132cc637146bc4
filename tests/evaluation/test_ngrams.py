"""Baselines: distributions sum to one, agree with a plain dictionary, and reproduce the published ladder."""

import bz2
import collections
import lzma
import math
import os
import pathlib
import random
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.evaluation import ngrams
from charlm.evaluation.ladder import Row, compressor_nats, ladder
from charlm.evaluation.ngrams import KneserNey, NgramCounts, UnsmoothedNgram, WittenBell

VOCAB_SIZE = 5
ABAB = np.array([0, 1, 0, 1])
texts = st.lists(st.integers(0, VOCAB_SIZE - 2), min_size=6, max_size=60)  # the last character never occurs
contexts = st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=8)
any_model = pytest.mark.parametrize("model_class", [KneserNey, WittenBell])


def _random_ids(length, seed, vocab_size=VOCAB_SIZE):
    """Ids from a skewed Markov chain, so that n-grams repeat."""
    generator, ids = random.Random(seed), [0]
    while len(ids) < length:
        step = generator.choices(range(vocab_size), weights=[2.0**-i for i in range(vocab_size)])[0]
        ids.append((ids[-1] + step) % vocab_size)
    return np.array(ids, dtype=np.uint8)


class _DictionaryModel:
    """The two models once more, from Chen and Goodman's formulas, over dictionaries of tuples."""

    def __init__(self, model_class, order, text, vocab_size):
        self.kneser_ney, self.order, self.vocab_size = model_class is KneserNey, order, vocab_size
        text = tuple(int(character) for character in text)
        self.counts = {}
        for k in range(1, order + 1):
            if self.kneser_ney and k < order:
                starts = range(len(text) - k + 1)
                left = {(text[i - 1] if i else None, text[i : i + k]) for i in starts}
                self.counts[k] = collections.Counter(gram for _, gram in left)
            else:
                self.counts[k] = collections.Counter(text[i : i + k] for i in range(len(text) - k + 1))

    def probability(self, context, character, k=None):
        k = self.order if k is None else k
        if k == 0:
            return 1 / self.vocab_size
        if k - 1 > len(context):
            return self.probability(context, character, k - 1)
        context = context[len(context) - k + 1 :]
        followers = {gram[-1]: n for gram, n in self.counts[k].items() if gram[:-1] == context}
        lower = self.probability(context[1:], character, k - 1)
        if not followers:
            return lower
        total, own = sum(followers.values()), followers.get(character, 0)
        if not self.kneser_ney:
            return (own + len(followers) * lower) / (total + len(followers))
        rest = sum(self._discount(k, n) for n in followers.values()) / total
        return (own - self._discount(k, own)) / total + rest * lower

    def _discount(self, k, count):
        if count == 0:
            return 0
        n1, n2, n3, n4 = (sum(n == i for n in self.counts[k].values()) for i in (1, 2, 3, 4))
        discounts = [0.5, 1.0, 1.5]
        if n1 and n2 and n3 and n4:
            y = n1 / (n1 + 2 * n2)
            estimates = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            discounts = estimates if all(estimate > 0 for estimate in estimates) else discounts
        return discounts[min(count, 3) - 1]


def test_kneser_ney_agrees_with_a_bigram_computed_by_hand():
    model = KneserNey(2).fit(ABAB, vocab_size=2)
    # Left neighbours: a has 2 (the start and b), b has 1; discounts 0.5, 1, 1.5, as the counts are too few.
    a, b = (2 - 1) / 3 + 1.5 / 3 / 2, (1 - 0.5) / 3 + 1.5 / 3 / 2
    np.testing.assert_allclose(model.probabilities([]), [a, b])
    np.testing.assert_allclose(model.probabilities([0]), [a / 2, (2 - 1) / 2 + b / 2])  # ab occurs twice
    np.testing.assert_allclose(model.probabilities([1]), [(1 - 0.5) / 1 + a / 2, b / 2])  # ba occurs once
    np.testing.assert_allclose(model.score([0, 1]), -np.log([a, 0.5 + b / 2]))


def test_witten_bell_agrees_with_a_bigram_computed_by_hand():
    model = WittenBell(2).fit(ABAB, vocab_size=2)
    np.testing.assert_allclose(model.probabilities([]), [0.5, 0.5])
    np.testing.assert_allclose(model.probabilities([0]), [0.5 / 3, 2.5 / 3])
    np.testing.assert_allclose(model.probabilities([1]), [1.5 / 2, 0.5 / 2])


def test_discounts_follow_chen_and_goodman():
    assert ngrams.discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4, 9])) == (0.5, 1.25, 1.0)


@any_model
@settings(max_examples=60, deadline=None)
@given(text=texts, context=contexts, order=st.integers(1, 6))
def test_probabilities_agree_with_a_dictionary_for_any_text_and_context(model_class, text, context, order):
    model = model_class(order).fit(text, VOCAB_SIZE)
    oracle = _DictionaryModel(model_class, order, text, VOCAB_SIZE)
    expected = [oracle.probability(tuple(context), character) for character in range(VOCAB_SIZE)]
    np.testing.assert_allclose(model.probabilities(context), expected, rtol=1e-12)
    assert abs(model.probabilities(context).sum() - 1) < 1e-9


@any_model
@pytest.mark.parametrize("order", [1, 2, 5, 12])
def test_scores_agree_with_a_dictionary_where_discounts_are_estimated(model_class, order):
    text, held_out = _random_ids(2000, seed=1), _random_ids(60, seed=2)
    model = model_class(order).fit(text, VOCAB_SIZE)
    oracle = _DictionaryModel(model_class, order, text, VOCAB_SIZE)
    expected = [
        -math.log(oracle.probability(tuple(held_out[max(i - order + 1, 0) : i].tolist()), int(held_out[i])))
        for i in range(len(held_out))
    ]
    np.testing.assert_allclose(model.score(held_out), expected, rtol=1e-12)


@any_model
@pytest.mark.parametrize("vocab_size", [70, 5000])
def test_probabilities_sum_to_one_for_seen_and_unseen_contexts_of_every_order(model_class, vocab_size):
    text = _random_ids(3000, seed=3, vocab_size=60)
    generator = np.random.default_rng(4)
    ngrams = NgramCounts(text, vocab_size)
    for order in range(1, 13):
        model = model_class(order).fit(ngrams)
        seen, unseen = text[1000 : 1000 + order - 1], generator.integers(0, vocab_size, order - 1)
        for context in (seen, unseen, text[-order + 1 :], np.append(unseen[:6], seen[:5])):
            assert abs(model.probabilities(context).sum() - 1) < 1e-9


@any_model
def test_score_is_the_negative_log_of_probabilities(model_class):
    model, held_out = model_class(4).fit(_random_ids(500, seed=5), VOCAB_SIZE), _random_ids(20, seed=6)
    expected = [-np.log(model.probabilities(held_out[:i])[held_out[i]]) for i in range(20)]
    np.testing.assert_allclose(model.score(held_out), expected, rtol=1e-12)


@any_model
def test_one_pass_scores_every_order_as_its_own_model_does(model_class):
    text, held_out = _random_ids(800, seed=7), _random_ids(100, seed=8)
    scores = model_class(6).fit(text, VOCAB_SIZE).score_orders(held_out)
    assert list(scores) == [1, 2, 3, 4, 5, 6]
    for order, nats in scores.items():
        np.testing.assert_array_equal(nats, model_class(order).fit(text, VOCAB_SIZE).score(held_out))


@any_model
def test_a_character_absent_from_training_is_counted_and_never_has_probability_zero(model_class):
    model = model_class(3).fit([0, 1, 0, 1, 0, 0], vocab_size=4)
    assert model.absent([0, 3, 1, 2]).tolist() == [False, True, False, True]
    scores = model.score([0, 3, 1, 2])
    assert np.isfinite(scores).all() and scores.dtype == np.float64
    assert model.probabilities([])[2] == model.probabilities([])[3] > 0


def test_text_of_one_character_is_certain():
    assert KneserNey(3).fit(np.zeros(50, np.uint8)).score([0, 0, 0]) == pytest.approx([0, 0, 0])


def test_compressors_code_validation_given_training():
    train, validation = _random_ids(5000, seed=9), _random_ids(700, seed=10)
    both = np.concatenate([train, validation]).tobytes()
    bits = {"zlib": 8 * (len(zlib.compress(both, 9)) - len(zlib.compress(train.tobytes(), 9)))}
    bits["bz2"] = 8 * (len(bz2.compress(both)) - len(bz2.compress(train.tobytes())))
    found = compressor_nats(train, validation, VOCAB_SIZE)
    assert list(found) == ["zlib", "bz2", "lzma"]
    for name, expected in bits.items():
        assert found[name] == pytest.approx(expected * math.log(2) / 700)
    assert 0 < found["lzma"] < 8 * len(lzma.compress(validation.tobytes())) * math.log(2) / 700


def test_compressors_find_a_repeat_of_training_free():
    train = np.random.default_rng(11).integers(0, 1000, 5000)  # two bytes a character
    assert compressor_nats(train, train[:2000], 1000)["lzma"] < 0.2 < math.log(1000)


def test_ladder_runs_from_uniform_over_the_best_order_and_compressors_to_models():
    train, validation = _random_ids(4000, seed=12), _random_ids(500, seed=13)
    found = ladder(train, validation, VOCAB_SIZE, orders=[9, 1, 2, 3], models={"GRU": 1.5, "LSTM": 1.2})
    names = [row.name for row in found.rows]
    assert names[:3] == ["uniform over 5", "unigram", "Kneser-Ney 2-gram"]
    assert names[-5:-2] == ["zlib, given training", "bz2, given training", "lzma, given training"]
    assert found.rows[-2:] == (Row("GRU", 1.5, "model"), Row("LSTM", 1.2, "model"))
    assert found.rows[0].nats == math.log(5) and found.rows[0].perplexity == pytest.approx(5)
    assert found.rows[0].bpc == pytest.approx(math.log2(5))
    counting = [row for row in found.rows if row.kind == "n-gram"]
    assert found.best_ngram == counting[-1] == min(counting, key=lambda row: row.nats)
    assert "Kneser-Ney 9-gram" not in names and "worse" in str(found)
    by_hand = KneserNey(2).fit(train, VOCAB_SIZE).score(validation).mean()
    assert dict(zip(names, (row.nats for row in found.rows), strict=True))["Kneser-Ney 2-gram"] == by_hand


def test_ladder_prints_one_line_a_row_and_escapes_html():
    models = {"<b>mine</b> & yours": 1.0}
    found = ladder(_random_ids(100, seed=14), _random_ids(50, seed=15), VOCAB_SIZE, [1, 2], models)
    lines = str(found).splitlines()
    assert lines[0].split() == ["nats", "bpc", "perplexity"]
    assert len(lines) == 1 + len(found.rows) + len(found.notes)
    assert "<b>mine</b> & yours" in str(found)
    assert "<td>&lt;b&gt;mine&lt;/b&gt; &amp; yours</td><td>1.0000</td><td>1.4427</td>" in found._repr_html_()


def test_ladder_says_how_many_validation_characters_are_absent_from_training():
    found = ladder([0, 1, 0, 1, 1, 0, 0], [0, 3, 1, 3], vocab_size=4, orders=[1, 2])
    assert found.absent == 2 and "2 validation characters do not occur in training" in str(found)
    assert all(math.isfinite(row.nats) for row in found.rows)
    assert ladder([0, 1, 0], [1], vocab_size=2, orders=[1]).absent == 0


def zero_share(model, ids):
    """The share of characters with a full context that an unsmoothed model gives probability 0."""
    *_, (_, _, grams) = model.ngrams.levels(np.asarray(ids), model.order)
    return float(np.mean(grams[model.order - 1 :] < 0))


def test_unsmoothed_text_holds_no_new_ngram_and_the_same_seed_writes_the_same():
    text = _random_ids(300, seed=16)
    model = UnsmoothedNgram(4).fit(text, VOCAB_SIZE)
    sample = model.sample(100, seed=1)
    assert zero_share(model, sample) == 0
    assert len(sample) == 100
    np.testing.assert_array_equal(sample, model.sample(100, seed=1))
    assert (sample != model.sample(100, seed=2)).any()


def test_unsmoothed_temperature_zero_takes_the_most_frequent_character():
    model = UnsmoothedNgram(2).fit([0, 1, 0, 1, 0, 2, 1, 0], vocab_size=3)
    assert model.sample(6, temperature=0).tolist() == [1, 0, 1, 0, 1, 0]
    assert model.sample(50, temperature=0.01).tolist() == [1, 0] * 25


def test_unsmoothed_sample_frequencies_follow_the_counts_and_the_temperature():
    model = UnsmoothedNgram(1).fit([0] * 75 + [1] * 25, vocab_size=2)
    assert np.mean(model.sample(4000) == 1) == pytest.approx(0.25, abs=0.03)
    cold = model.sample(4000, temperature=0.5)
    assert np.mean(cold == 1) == pytest.approx(0.1, abs=0.02)  # 25² / (75² + 25²)


def test_unsmoothed_starts_again_where_training_ends_in_a_new_context():
    model = UnsmoothedNgram(3).fit([0, 1, 2, 3], vocab_size=4)
    assert model.sample(6).tolist() == [2, 3, 2, 3, 2, 3]


def test_zero_share_counts_the_characters_an_unsmoothed_model_rules_out():
    model = UnsmoothedNgram(2).fit([0, 1, 2, 0], vocab_size=3)
    assert zero_share(model, [0, 1, 2, 0, 2]) == 0.25  # of 01 12 20 02 only 02 is new


@any_model
@pytest.mark.parametrize("order", [0, 13, 2.5])
def test_orders_outside_1_to_12_are_refused(model_class, order):
    with pytest.raises(ValueError, match=f"order is {order}. Choose a whole number from 1"):
        model_class(order)
    with pytest.raises(ValueError, match=f"order is {order}"):
        ladder([0, 1], [0], 2, orders=[1, order])


def test_bad_input_is_named_with_its_limit_and_a_way_out():
    model = KneserNey(3).fit([0, 1, 0, 1], vocab_size=2)
    cases = [
        ("0 characters of training text", lambda: KneserNey(3).fit([], 2)),
        ("2 characters of training text hold no n-gram of order 3", lambda: KneserNey(3).fit([0, 1], 2)),
        ("0 characters of held-out text", lambda: model.score([])),
        ("0 characters of training text", lambda: ladder([], [0], 2)),
        ("0 characters of validation text", lambda: ladder([0, 1], np.array([], np.uint8), 2)),
        ("ids from 0 to 2, outside a vocabulary of 2", lambda: model.score([0, 2])),
        ("ids from -1 to 1", lambda: model.score([-1, 1])),
        ("training text has ids from 0 to 7", lambda: ladder([0, 7, 1], [0], 2)),
        ("Encode a text with Vocabulary.encode", lambda: KneserNey(3).fit("some text", 5)),
        ("Encode a text with Vocabulary.encode", lambda: model.score(np.zeros((2, 3), int))),
        ("up to order 2, and the model has order 3", lambda: KneserNey(3).fit(NgramCounts([0, 1, 1], 2, 2))),
        ("over 2 characters", lambda: KneserNey(2).fit(NgramCounts([0, 1, 1], 2, 2), 9)),
        ("Order 4 is above the model's order 3", lambda: model.score_orders([0, 1], [4])),
        ("0 orders", lambda: ladder([0, 1], [0], 2, orders=[])),
        ("Model 'net' has nan nats", lambda: ladder([0, 1], [0], 2, [1], {"net": math.nan})),
        ("temperature is -1", lambda: UnsmoothedNgram(1).fit([0, 1]).sample(3, temperature=-1)),
    ]
    for message, call in cases:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.fixture(scope="module")
def shakespeare():
    path = pathlib.Path(os.environ.get("CHARLM_DATA", "no folder")) / "shakespeare.txt"
    if not path.is_file():
        pytest.skip("CHARLM_DATA names no folder with shakespeare.txt")
    text = path.read_text(encoding="utf-8")
    characters, ids = np.unique(np.frombuffer(text.encode("utf-32-le"), "<u4"), return_inverse=True)
    assert (len(ids), len(characters)) == (1_115_394, 65)
    return NgramCounts(ids[:1_003_854], 65, order=7), ids[1_003_854:]


def test_kneser_ney_reproduces_the_figures_of_tinyshakespeare(shakespeare):
    ngrams, validation = shakespeare
    scores = KneserNey(7).fit(ngrams).score_orders(validation)
    for order, nats in {2: 2.484, 5: 1.561, 7: 1.5165}.items():
        assert scores[order].mean() == pytest.approx(nats, abs=0.005)


def test_witten_bell_5_gram_reproduces_the_figure_of_tinyshakespeare(shakespeare):
    ngrams, validation = shakespeare
    assert WittenBell(5).fit(ngrams).score(validation).mean() == pytest.approx(1.669, abs=0.005)


def test_unsmoothed_order_7_rules_out_35_percent_of_tinyshakespeare(shakespeare):
    ngrams, validation = shakespeare
    assert zero_share(UnsmoothedNgram(7).fit(ngrams), validation) == pytest.approx(0.35, abs=0.005)
