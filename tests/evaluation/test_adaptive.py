"""Learning while reading: what is scored was not learned from, and counts grow to what counting again finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.evaluation.adaptive import GrowingCounts, evaluate_while_learning
from charlm.evaluation.mixture import Mixture, distributions
from charlm.evaluation.ngrams import KneserNey, NgramCounts
from charlm.metrics import evaluate
from charlm.models import build_model

ids_of = st.lists(st.integers(0, 3), min_size=8, max_size=40).map(np.array)


@given(ids_of, ids_of, st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_grown_counts_are_those_of_the_longer_text(train, text, read):
    read = min(read, len(text))
    growing = GrowingCounts(train, text, 4, 3)
    growing.add(np.arange(read))
    again = NgramCounts(np.concatenate([train, text[:read]]), 4, 3)
    for k in (1, 2, 3):
        nodes = growing.counts[growing._firsts[k] : growing._firsts[k + 1]]
        np.testing.assert_array_equal(nodes[nodes[:, 1] > 0, 1], again.counts[k])
        if k < 3:
            expected = np.bincount(again.suffixes[k + 1], minlength=len(again.keys[k]))
            expected[again.openings[k]] += 1
            np.testing.assert_array_equal(nodes[nodes[:, 1] > 0, 0], expected)


@given(ids_of, ids_of)
@settings(max_examples=25, deadline=None)
def test_before_it_grows_it_predicts_as_the_training_text_does(train, text):
    growing, model = GrowingCounts(train, text, 4, 3), KneserNey(3).fit(NgramCounts(train, 4, 3))
    found, _ = distributions(growing.trie, growing.contexts, (1, 3), 4)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    for place in range(len(text)):
        context = np.concatenate([train, text[:place]])
        np.testing.assert_allclose(found[place, 1], model.probabilities(context), atol=1e-5)


@pytest.fixture(scope="module")
def parts():
    """A network that was not trained, and a text of two halves that repeat words of their own."""
    random = np.random.default_rng(1)
    halves = []
    for _ in range(2):
        words = [np.append(random.integers(0, 4, 5), 4) for _ in range(6)]
        halves.append(np.concatenate([words[i] for i in random.integers(0, 6, 150)]))
    train, text = halves
    return Mixture(build_model(5, "gru", 8, embedding_dim=4), NgramCounts(train, 5, 5), (2, 5)), train, text


def test_nothing_learns_where_nothing_should(parts):
    mixture, train, text = parts
    found = evaluate_while_learning(mixture, train, text[:200], learn=())
    expected = evaluate(mixture, np.concatenate([text[:200]])).losses
    # The n-grams' first contexts reach back into the training text, those of `evaluate` do not.
    np.testing.assert_allclose(found.losses[5:], expected[5:], atol=2e-3)


@pytest.mark.parametrize("learner", ["networks", "counts", "weights"])
def test_each_learner_lowers_the_loss_on_a_text_that_repeats_itself(parts, learner):
    mixture, train, text = parts
    still = evaluate_while_learning(mixture, train, text, learn=())
    assert evaluate_while_learning(mixture, train, text, learn=(learner,)).nats < still.nats


def test_what_comes_later_changes_no_score(parts):
    mixture, train, text = parts
    other = np.append(text[:301], (text[301:] + 1) % 5)
    first, second = (evaluate_while_learning(mixture, train, ids).losses for ids in (text, other))
    np.testing.assert_allclose(first[:300], second[:300], atol=1e-5)
    assert not np.allclose(first[300:], second[300:], atol=1e-3)


def test_the_mixture_itself_stays_as_it_is(parts):
    mixture, train, text = parts
    before, weights = mixture.networks[0].get_weights(), mixture.weights.copy()
    evaluate_while_learning(mixture, train, text[:100])
    np.testing.assert_array_equal(mixture.weights, weights)
    for old, new in zip(before, mixture.networks[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_second_reading_begins_with_the_mixtures_own_weights_and_no_state(parts):
    mixture, train, text = parts
    first, second = (evaluate_while_learning(mixture, train, text[:200]).losses for _ in range(2))
    np.testing.assert_array_equal(first, second)
    mixture.networks[0].set_weights([2 * weight for weight in mixture.networks[0].get_weights()])
    try:
        other = evaluate_while_learning(mixture, train, text[:200]).losses
    finally:
        mixture.networks[0].set_weights([weight / 2 for weight in mixture.networks[0].get_weights()])
    assert not np.allclose(other, first, atol=1e-3)


def test_an_unknown_learner_is_refused(parts):
    mixture, train, text = parts
    with pytest.raises(ValueError, match="everything cannot learn here; choose among networks, counts, weights"):
        evaluate_while_learning(mixture, train, text, learn=("everything",))


def test_a_list_is_refused(parts):
    mixture, train, text = parts
    lines = Mixture(mixture.networks, mixture.ngrams, mixture.orders, end=4)
    with pytest.raises(ValueError, match="A list has no order"):
        evaluate_while_learning(lines, train, text)
