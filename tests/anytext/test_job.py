"""A text is cut before anything is learned from it, fed as it should be, and given a network that fits its time."""

import dataclasses
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.anytext import pace
from charlm.anytext.job import Notes, begin, fit_width, go_on
from charlm.anytext.pace import Timer
from charlm.anytext.report import report
from charlm.anytext.settings import seconds_per_character, suggest
from charlm.anytext.split import MOST_VALIDATION, batches, cut, encode, read_text
from charlm.corpora import resolve_source
from charlm.vocabulary import MARK
from tests.deep import deep

SPEED = 60e9
TINY = {"units": 8, "embedding_dim": 4, "batch_size": 4, "sequence_length": 16}
TEXT = "the cat sat on the mat, and the dog sat by the door. " * 60
SMALL_CORPUS = charlm.Corpus("cats", TEXT, "0" * 64, "here", "mine")
NAMES = "".join(
    f"{a}{b}\n" for a in ("ann", "ber", "car", "dor", "eve") for b in ("a", "ta", "la", "is", "on", "ine", "o")
)


@given(st.text(min_size=20, max_size=400), st.sampled_from([0.1, 0.3]), st.integers(1, 3))
def test_the_parts_are_the_text_cut_in_two(text, validation, min_count):
    parts_of = charlm.split(text, validation)
    if min_count > 1 and not any(parts_of[0].count(c) >= min_count for c in set(parts_of[0])):
        return
    parts = encode(cut(text, "streams", validation), min_count)
    kept = {c for c in text if min_count == 1 or parts_of[0].count(c) >= min_count}
    for ids, part in zip((parts.train, parts.validation), parts_of, strict=True):
        assert parts.vocabulary.decode(ids) == "".join(c if c in kept else MARK for c in part)


def test_what_is_held_out_does_not_choose_the_rare_characters():
    text = "ab" * 450 + "zz" * 50  # z occurs a hundred times, but only where nothing may be learned from
    parts = encode(cut(text, "streams"), min_count=2)
    assert "z" not in parts.vocabulary and parts.vocabulary.decode(parts.validation) == MARK * 100


def test_lines_lose_duplicates_before_they_are_split():
    parts = encode(cut(NAMES * 3, "lines", 0.2))
    train, held_out = (set(parts.vocabulary.decode(ids).split()) for ids in (parts.train, parts.validation))
    assert not train & held_out and len(train) + len(held_out) == 35
    assert [len(part) for part in (train, held_out)] == [28, 7]


def test_of_a_long_text_not_more_is_held_out_than_is_needed_and_the_share_says_so():
    text = "ab" * 4_000_000
    split = cut(text, "streams")
    assert len(split.held_out) == MOST_VALIDATION and split.train + split.held_out == text
    assert charlm.split(text, split.validation) == (split.train, split.held_out)
    assert suggest(split, 1, SPEED).validation == split.validation == MOST_VALIDATION / len(text)


def test_a_list_and_a_text_are_fed_as_they_should_be():
    settings = suggest(NAMES * 3, 1, SPEED, feed="lines", batch_size=8)
    train, held_out = batches(encode(cut(NAMES, "lines")), settings)
    assert len(next(iter(train))) == 3 and next(iter(held_out))[0].shape[0] == 8
    settings = suggest(TEXT, 1, SPEED, batch_size=2, sequence_length=16)
    train, _ = batches(encode(cut(TEXT)), settings)
    inputs, targets = next(iter(train))
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])


def test_the_width_follows_the_networks_own_speed():
    text = TEXT * 300
    parts, settings = encode(cut(text)), suggest(text, 10, SPEED)
    fast, slow = (fit_width(settings, parts, 600, speed=speed) for speed in (SPEED, SPEED / 100))
    assert fast.units == settings.units and slow.units < settings.units and slow.batch_size == settings.batch_size
    assert fit_width(suggest(text, 10, SPEED, units=512), parts, 600, SPEED / 100).units == 512


@pytest.mark.parametrize(("text", "feed"), [(TEXT, "streams"), deep(NAMES, "lines")])
def test_a_network_is_timed_once_for_both_choices_of_its_width(text, feed, monkeypatch):
    timed, tiny = [], {**TINY, "sequence_length": 16 if feed == "streams" else None}
    monkeypatch.setattr(pace, "Timer", lambda skipped: timed.append(skipped) or Timer(skipped))
    pace.batch_seconds.cache_clear()
    settings = suggest(cut(text, feed), 1, feed=feed, **tiny)
    fitted = fit_width(settings, encode(cut(text, feed)), 30)
    assert timed == [pace.WARM]
    whole, half = (
        float(re.search(r"About ([\d,.]+)", s.reasons[place])[1]) for s, place in ((settings, -3), (fitted, 0))
    )
    assert half == pytest.approx(whole / 2, rel=0.2)


def test_the_measured_speed_says_how_many_epochs_fit():
    text = TEXT * 300
    parts, settings = encode(cut(text)), suggest(text, 10, SPEED)
    needed = seconds_per_character(settings.units, 1, len(parts.vocabulary), 1, settings.cell)
    fitted = fit_width(settings, parts, 600, speed=1e6 * needed)  # a million characters a second
    assert fitted.reasons == (f"About {595 / (len(parts.train) / 1e6 * 1.035 + 1):.1f} epochs fit into 10 minutes; the learning "
                              "rate falls with the time.",)  # fmt: skip


@pytest.mark.parametrize("memory", [None, 40])
def test_a_run_that_was_killed_before_its_first_epoch_begins_anew_with_the_same_weights(tmp_path, memory):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    corpus, parts = charlm.load_corpus(file), encode(cut(TEXT))
    settings = suggest(TEXT, None, SPEED, **TINY, epochs=2)
    source = resolve_source(str(file))
    job = begin(tmp_path / "run", corpus, settings, parts, seed=7, source=source, memory=memory)
    again = go_on(charlm.Run.load(job.run.path))
    assert again.position[:2] == (0, 0) and len(again.parts.train) == len(parts.train)
    assert dataclasses.replace(again.settings, reasons=()) == dataclasses.replace(settings, given=(), reasons=())
    for there, here in zip(job.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(there, here)


def test_a_run_begins_with_the_memory_that_it_notes(tmp_path):
    parts = encode(cut(TEXT))
    settings = suggest(TEXT, None, SPEED, **TINY, cell="gru", epochs=2)
    job = begin(tmp_path / "run", SMALL_CORPUS, settings, parts, memory=40)
    assert job.run.data["memory"] == 40
    kept = job.model.get_layer("gru").cell.bias.numpy()[0, :8]
    assert 0 <= kept.min() < kept.max() <= np.log(40)


def test_every_held_out_line_decides_when_training_ends(tmp_path):
    parts = encode(cut(NAMES, "lines", 0.2))
    settings = suggest(NAMES, None, SPEED, feed="lines", units=8, embedding_dim=4, batch_size=4, epochs=1, dropout=0.0)
    corpus = charlm.Corpus("names", NAMES, "0" * 64, "here", "mine")
    job = begin(tmp_path / "run", corpus, settings, parts)
    assert job.fit(progress=False) and np.sum(parts.validation == parts.end) == 7  # 4 and 3 lines
    found = charlm.evaluate_lines(job.model, parts.validation, parts.end)
    assert job.run.history()[0]["val_loss"] == pytest.approx(found.nats, rel=1e-4)


def test_a_run_without_its_history_goes_on_and_is_reported(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    settings = suggest(TEXT, None, SPEED, **TINY, epochs=2, patience=1)
    job = begin(
        tmp_path / "run", charlm.load_corpus(file), settings, encode(cut(TEXT)), source=resolve_source(str(file))
    )
    assert job.fit(progress=False)
    (job.run.path / "history.csv").unlink()
    job = go_on(charlm.Run.load(job.run.path))
    assert report(job.run, job.parts, job.settings)["advice"]
    job.extend(epochs=3)
    assert not job.over and job.fit(progress=False) and [row["epoch"] for row in job.run.history()] == [3]


def test_a_run_notes_where_its_text_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text(TEXT)
    assert read_text(resolve_source("~/notes")).text == TEXT + "\n"
    sources = ("~/notes", "notes", "shakespeare", "http://a.b/c.txt")
    there = {source: resolve_source(source).notes()["source"] for source in sources}
    assert there["~/notes"] == there["notes"] == (tmp_path / "notes").as_posix()
    assert all(there[source] == source for source in ("shakespeare", "http://a.b/c.txt"))


def test_a_run_that_does_not_know_its_text_says_so(tmp_path, small_model, vocabulary):
    run = charlm.Run.create(tmp_path / "run", charlm.compile_model(small_model()), vocabulary)
    for use in (go_on, Notes.of):
        with pytest.raises(ValueError, match="does not say where its text is"):
            use(run)


@pytest.mark.parametrize("text", ["word " * 1_000_000, "a long line. " * 80_000 + "\n" + "short\n" * 100])
def test_a_million_character_line_takes_bounded_memory(text):
    tracemalloc.start()
    split = cut(text)
    settings = suggest(split, 1, SPEED)
    parts = encode(split, settings.min_count)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert settings.feed == "streams" and len(parts.train) + len(parts.validation) == len(text)
    assert peak < 3 * len(text) + 10_000_000  # and a table of all of Unicode
