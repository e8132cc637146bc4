"""A text is cut before anything is learned from it, fed as it should be, and given a network that fits its time."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.anytext import (
    MOST_VALIDATION,
    batches,
    begin,
    continue_run,
    fit_width,
    measure_speed,
    origin,
    prepare,
    read_text,
)
from charlm.settings import suggest
from charlm.vocabulary import MARK

SPEED = 60e9
TEXT = "the cat sat on the mat, and the dog sat by the door. " * 60
NAMES = "".join(
    f"{a}{b}\n" for a in ("ann", "ber", "car", "dor", "eve") for b in ("a", "ta", "la", "is", "on", "ine", "o")
)


@given(st.text(min_size=20, max_size=400), st.sampled_from([0.1, 0.3]), st.integers(1, 3))
def test_the_parts_are_the_text_cut_in_two(text, validation, min_count):
    parts_of = charlm.split(text, validation)
    if min_count > 1 and not any(parts_of[0].count(c) >= min_count for c in set(parts_of[0])):
        return
    parts = prepare(text, validation=validation, min_count=min_count)
    kept = {c for c in text if min_count == 1 or parts_of[0].count(c) >= min_count}
    for ids, part in zip((parts.train, parts.validation), parts_of, strict=True):
        assert parts.vocabulary.decode(ids) == "".join(c if c in kept else MARK for c in part)


def test_what_is_held_out_does_not_choose_the_rare_characters():
    text = "ab" * 450 + "zz" * 50  # z occurs a hundred times, but only where nothing may be learned from
    parts = prepare(text, min_count=2)
    assert "z" not in parts.vocabulary and parts.vocabulary.decode(parts.validation) == MARK * 100


def test_lines_lose_duplicates_before_they_are_split():
    parts = prepare(NAMES * 3, "lines", 0.2)
    train, held_out = (set(parts.vocabulary.decode(ids).split()) for ids in (parts.train, parts.validation))
    assert not train & held_out and len(train) + len(held_out) == 35
    assert [len(part) for part in (train, held_out)] == [28, 7]


def test_of_a_long_text_not_more_is_held_out_than_is_needed():
    parts = prepare("ab" * 4_000_000)
    assert len(parts.validation) == MOST_VALIDATION


def test_a_list_and_a_text_are_fed_as_they_should_be():
    settings = suggest(NAMES * 3, 1, SPEED, feed="lines", batch_size=8)
    train, held_out = batches(prepare(NAMES, "lines"), settings)
    assert len(next(iter(train))) == 3 and next(iter(held_out))[0].shape[0] == 4
    settings = suggest(TEXT, 1, SPEED, batch_size=2, sequence_length=16)
    train, _ = batches(prepare(TEXT), settings)
    inputs, targets = next(iter(train))
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])


def test_the_width_follows_the_networks_own_speed():
    text = TEXT * 300
    parts, settings = prepare(text), suggest(text, 10, SPEED)
    fast, slow = (fit_width(settings, parts, 600, speed=speed) for speed in (1e6, 2000))
    assert fast is settings and slow.units < settings.units and slow.batch_size == settings.batch_size
    assert fit_width(suggest(text, 10, SPEED, units=512), parts, 600, 2000).units == 512


def test_the_speed_is_measured_without_a_trace():
    settings = suggest(TEXT, 1, SPEED, units=8, embedding_dim=4, batch_size=4, sequence_length=16)
    assert measure_speed(settings, prepare(TEXT)) > 0


def test_a_run_that_was_killed_before_its_first_epoch_begins_anew_with_the_same_weights(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    corpus = charlm.load_corpus(file)
    settings = suggest(TEXT, None, SPEED, units=8, embedding_dim=4, batch_size=4, sequence_length=16, epochs=2)
    run, model = begin(tmp_path / "run", corpus, settings, prepare(TEXT), seed=7, text=origin(str(file)))
    again, parts, found, epoch, snapshot = continue_run(charlm.Run.load(run.path))
    assert (epoch, snapshot) == (0, None) and len(parts.train) == len(prepare(TEXT).train)
    assert dataclasses.replace(found, reasons=()) == dataclasses.replace(settings, given=(), reasons=())
    for there, here in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(there, here)


def test_a_run_notes_where_its_text_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text(TEXT)
    assert read_text("~/notes").text == TEXT + "\n"
    there = {source: origin(source)["source"] for source in ("~/notes", "notes", "shakespeare", "http://a.b/c.txt")}
    assert there["~/notes"] == there["notes"] == (tmp_path / "notes").as_posix()
    assert all(there[source] == source for source in ("shakespeare", "http://a.b/c.txt"))


def test_a_run_that_does_not_know_its_text_says_so(tmp_path, small_model, vocabulary):
    run = charlm.Run.create(tmp_path / "run", charlm.compile_model(small_model()), vocabulary)
    with pytest.raises(ValueError, match="does not say where its text is"):
        continue_run(run)


@pytest.mark.parametrize("text", ["word " * 1_000_000, "a long line. " * 80_000 + "\n" + "short\n" * 100])
def test_a_million_character_line_takes_bounded_memory(text):
    tracemalloc.start()
    settings = suggest(text, 1, SPEED)
    parts = prepare(text, settings.feed, settings.validation, settings.min_count)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert settings.feed == "streams" and len(parts.train) + len(parts.validation) == len(text)
    assert peak < 3 * len(text) + 10_000_000  # and a table of all of Unicode
