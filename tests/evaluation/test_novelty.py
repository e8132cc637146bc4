"""Novelty: copies are found wherever they stand, and a collision of hashes never invents one."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.evaluation import novelty
from charlm.evaluation.novelty import Copied, copied_share, longest_copied, names_novelty, repeated_share

short_texts = st.text(alphabet="abc", min_size=0, max_size=40)


def _random_text(length, seed):
    return "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz \n", k=length))


def _longest_by_brute_force(sample, corpus):
    runs = {sample[i:j] for i in range(len(sample)) for j in range(i + 1, len(sample) + 1)}
    return max((len(run) for run in runs if run in corpus), default=0)


@settings(max_examples=200, deadline=None)
@given(short_texts, short_texts)
def test_longest_copied_agrees_with_brute_force(sample, corpus):
    found = longest_copied(sample, corpus)
    assert found.length == len(found.text) == _longest_by_brute_force(sample, corpus)
    assert sample[found.start :].startswith(found.text)
    assert corpus[found.corpus_start :].startswith(found.text)


@settings(max_examples=200, deadline=None)
@given(short_texts, short_texts, st.integers(1, 6))
def test_shares_agree_with_brute_force(sample, corpus, n):
    sample, corpus = sample + "a" * n, corpus + "b" * n
    grams = [sample[i : i + n] for i in range(len(sample) - n + 1)]
    assert copied_share(sample, corpus, n) == sum(gram in corpus for gram in grams) / len(grams)
    assert repeated_share(sample, n) == sum(gram in grams[:i] for i, gram in enumerate(grams)) / len(grams)


def test_longest_copied_says_what_was_copied_and_where():
    corpus = _random_text(5000, seed=1)
    sample = "#" * 30 + corpus[700:777] + "#" * 30
    assert longest_copied(sample, corpus) == Copied(77, 30, 700, corpus[700:777])


def test_longest_copied_prefers_the_first_of_equally_long_runs():
    assert longest_copied("xxabyycdzz", "cd.ab") == Copied(2, 2, 3, "ab")


def test_texts_without_a_common_character_share_nothing():
    for sample, corpus in (("abc", "xyz"), ("", "xyz"), ("abc", "")):
        assert longest_copied(sample, corpus) == Copied(0, 0, 0, "")


def test_a_copied_corpus_scores_one():
    corpus = _random_text(20_000, seed=2)
    assert copied_share(corpus, corpus) == 1.0
    assert copied_share(corpus[3000:9000], corpus) == 1.0
    assert longest_copied(corpus[3000:9000], corpus).length == 6000


def test_a_shuffled_corpus_scores_near_zero():
    corpus = _random_text(20_000, seed=3)
    shuffled = "".join(random.Random(4).sample(corpus, len(corpus)))
    assert copied_share(shuffled, corpus) < 0.001


def test_copied_share_counts_the_windows_inside_the_copied_half():
    corpus = _random_text(1000, seed=5)
    assert copied_share(corpus[100:150] + "#" * 50, corpus, n=20) == 31 / 81


def test_characters_beyond_ascii_are_compared_whole():
    assert longest_copied("naïve Война 🎭!", "… Война 🎭?").text == " Война 🎭"


def test_colliding_hashes_change_no_result(monkeypatch):
    monkeypatch.setattr(novelty, "_BASE", 1)  # the hash is now the sum of the characters: anagrams collide
    assert longest_copied("xabcx", "-cba-") == Copied(1, 1, 3, "a")
    assert copied_share("abcabc", "cbacb", n=3) == 0.0  # every window is an anagram of one in the corpus
    assert copied_share("abcab", "cbabcc", n=3) == 1 / 3
    assert repeated_share("abcba", n=3) == 0.0
    assert repeated_share("abcbabc", n=3) == 1 / 5
    test_longest_copied_agrees_with_brute_force()
    test_shares_agree_with_brute_force()


def test_a_low_temperature_loop_repeats_itself_and_varied_text_does_not():
    loop = "is that they were all the same thing that was a startup " * 20
    assert repeated_share(loop) > 0.94
    assert repeated_share(_random_text(1000, seed=6)) == 0.0


def test_names_are_new_in_train_or_in_validation():
    names = ["Anna", "Zorla", "Ben", "Zorla"]
    found = names_novelty(names, train=["Anna", "Eve"], validation=["Ben", "Anna"])
    assert found == (0.5, 0.25, 0.25, 0.75)
    assert sum(found[:3]) == 1


def test_bad_input_is_named_with_its_limit():
    with pytest.raises(ValueError, match="19 characters of sample hold no 20-gram"):
        copied_share("a" * 19, "a" * 100)
    with pytest.raises(ValueError, match="0 characters of corpus"):
        copied_share("a" * 20, "")
    with pytest.raises(ValueError, match="n is 0"):
        repeated_share("abc", n=0)
    with pytest.raises(ValueError, match="0 names"):
        names_novelty([], ["Anna"])
    with pytest.raises(TypeError, match="no list"):
        names_novelty("Anna\nBen", ["Anna"])
