"""Vocabulary: what is encoded comes back, in the smallest type, and strangers are named."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.vocabulary import ENCODED_AT_ONCE, MARK, Vocabulary, count_characters

any_text = st.text(alphabet=st.characters(), min_size=1)  # surrogates and emoji too


@given(any_text)
def test_decode_undoes_encode(text):
    vocabulary = Vocabulary.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(any_text)
def test_ids_follow_the_sorted_distinct_characters(text):
    vocabulary = Vocabulary.from_text(text)
    assert vocabulary.characters == "".join(sorted(set(text)))
    assert vocabulary.encode(vocabulary.characters).tolist() == list(range(len(vocabulary)))


@given(any_text)
def test_json_brings_back_an_equal_vocabulary(text):
    vocabulary = Vocabulary.from_text(text)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary and hash(again) == hash(vocabulary)


@pytest.mark.parametrize(("size", "dtype"), [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65_537, "uint32")])
def test_ids_take_the_smallest_unsigned_type(size, dtype):
    text = "".join(map(chr, range(0x10000, 0x10000 + size)))
    ids = Vocabulary.from_text(text).encode(text)
    assert ids.dtype == dtype and ids[-1] == size - 1


@pytest.mark.parametrize("position", [0, ENCODED_AT_ONCE - 1, ENCODED_AT_ONCE, ENCODED_AT_ONCE + 5])
def test_an_unknown_character_is_found_on_both_sides_of_a_chunk_border(position):
    text = "a" * position + "é" + "ab" * 10
    with pytest.raises(ValueError, match=rf"'é' \(position {position:,}\)"):
        Vocabulary("ab").encode(text)


def test_unknown_error_names_every_character_and_the_ways_out():
    with pytest.raises(ValueError, match=r"'X' \(position 1\), '€' \(position 3\).*'drop'.*'replace'"):
        Vocabulary("ab").encode("aXb€X")


def test_unknown_error_stays_short_when_everything_is_unknown():
    with pytest.raises(ValueError, match="and 190 more") as raised:
        Vocabulary("a").encode("".join(map(chr, range(1000, 1200))))
    assert len(str(raised.value)) < 600


@given(any_text, any_text)
def test_drop_leaves_exactly_the_known_characters(known, text):
    vocabulary = Vocabulary.from_text(known)
    expected = "".join(c for c in text if c in vocabulary.characters)
    assert vocabulary.decode(vocabulary.encode(text, unknown="drop")) == expected


@given(any_text, any_text)
def test_replace_keeps_the_length_and_marks_each_stranger(known, text):
    vocabulary = Vocabulary.from_text(known + " ")
    expected = "".join(c if c in vocabulary.characters else " " for c in text)
    assert vocabulary.decode(vocabulary.encode(text, unknown="replace")) == expected


def test_replacement_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="replacement='_'"):
        Vocabulary("ab").encode("abc", unknown="replace", replacement="_")


def test_unknown_takes_only_its_three_words():
    with pytest.raises(ValueError, match="'ignore'.*'error', 'drop' or 'replace'"):
        Vocabulary("ab").encode("ab", unknown="ignore")


def test_an_empty_text_encodes_to_no_ids_of_the_right_type():
    ids = Vocabulary("ab").encode("")
    assert ids.shape == (0,) and ids.dtype == np.uint8


@pytest.mark.parametrize("make", [Vocabulary, Vocabulary.from_text])
def test_a_vocabulary_of_nothing_is_refused(make):
    with pytest.raises(ValueError, match="at least one character"):
        make("")


def test_characters_given_twice_are_refused():
    with pytest.raises(ValueError, match="^'a' occur more than once"):
        Vocabulary("aba")


def test_a_text_in_place_of_characters_is_refused_at_once():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000))) * 10  # counting each would take minutes
    with pytest.raises(ValueError, match="… occur more than once; use Vocabulary.from_text"):
        Vocabulary(text)


@pytest.mark.parametrize("wrong", [[-1], [2], [0, 300]])
def test_decode_refuses_ids_outside_the_vocabulary(wrong):
    with pytest.raises(ValueError, match="from 0 to 1"):
        Vocabulary("ab").decode(wrong)


def test_decode_takes_ids_of_any_shape():
    assert Vocabulary("ab").decode(np.array([[0, 1], [1, 0]])) == "abba"
    assert Vocabulary("ab").decode([]) == ""


@given(st.text(min_size=1, max_size=200), st.integers(2, 4))
def test_rare_characters_share_the_mark(text, min_count):
    kept = {c for c in text if text.count(c) >= min_count}
    if not kept:
        with pytest.raises(ValueError, match="No character occurs"):
            Vocabulary.from_text(text, min_count)
        return
    vocabulary = Vocabulary.from_text(text, min_count)
    assert set(vocabulary.characters) == kept | {MARK}
    assert vocabulary.decode(vocabulary.encode(text)) == "".join(c if c in kept else MARK for c in text)
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


def test_a_marks_vocabulary_still_drops_and_replaces_when_asked():
    vocabulary = Vocabulary.from_text("aab bb x", 2)
    assert vocabulary.decode(vocabulary.encode("axb", unknown="drop")) == "ab"
    assert vocabulary.decode(vocabulary.encode("axb", unknown="replace", replacement="a")) == "aab"


def test_a_wrong_mark_or_min_count_is_refused():
    with pytest.raises(ValueError, match="mark='z' is not one of"):
        Vocabulary("abc", "z")
    with pytest.raises(ValueError, match="min_count is 0"):
        Vocabulary.from_text("abc", 0)


@given(st.text(max_size=300))
def test_characters_are_counted(text):
    assert count_characters(text) == Counter(text)
