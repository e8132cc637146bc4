"""Settings follow from the text, the time and what the user says."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.anytext.settings import (
    FEWEST_BATCHES,
    MOST_RATE,
    UNITS,
    Settings,
    parameters,
    rarest_kept,
    resize,
    seconds_per_character,
    suggest,
)
from charlm.anytext.split import looks_like_list
from charlm.models import build_model

SPEED = 60e9  # products per second, so that no test depends on the machine
PROSE = "It was a bright cold day in April, and the clocks were striking thirteen.\n"
NAMES = [f"{a}{b}" for a in ("An", "Ber", "Car", "Dor", "El") for b in ("a", "ta", "la", "is", "on", "ine", "o", "y")]


def text_of(characters):
    return (PROSE * (characters // len(PROSE) + 1))[:characters]


@given(st.integers(100, 3_000_000), st.sampled_from([0.5, 3, 20, 200, None]))
def test_settings_make_batches_and_are_within_limits(characters, minutes):
    settings = suggest(text_of(characters), minutes, SPEED)
    train = characters - int(characters * 0.1)
    batches = (train - 1) // (settings.batch_size * settings.sequence_length)
    assert batches >= FEWEST_BATCHES or settings.batch_size * settings.sequence_length <= 8
    assert settings.units in UNITS and settings.epochs >= 1 and 0 <= settings.dropout < 1


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_more_minutes_never_give_a_narrower_network(cell):
    text = text_of(1_000_000)
    widths = [suggest(text, minutes, SPEED, cell=cell).units for minutes in (0.5, 1, 3, 10, 20, 45, 200)]
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_more_text_takes_less_dropout_and_wider_batches():
    small, large = (suggest(text_of(size), 1000, SPEED) for size in (50_000, 5_000_000))
    assert small.dropout > large.dropout and small.batch_size < large.batch_size and small.units < large.units


def test_every_setting_can_be_given():
    given = {"units": 77, "layers": 2, "cell": "lstm", "dropout": 0.15, "batch_size": 3, "sequence_length": 11}
    given |= {"epochs": 5, "learning_rate": 0.01, "weight_decay": 0.2, "embedding_dim": 9, "validation": 0.2}
    given |= {"min_count": 2, "patience": 1, "feed": "lines", "precision": "float32"}
    settings = suggest(text_of(20_000), 10, SPEED, **given)
    assert {name: getattr(settings, name) for name in given} == given
    build_model(50, **settings.network())


def test_a_text_read_often_is_kept_from_being_memorised_and_one_read_hardly_twice_is_not():
    often, hardly = (suggest(text_of(1_000_000), minutes, SPEED) for minutes in (300, 1))
    assert often.weight_dropout > 0 == hardly.weight_dropout and often.dropout > hardly.dropout
    some = suggest(text_of(1_000_000), 20, SPEED)
    assert hardly.dropout < some.dropout < often.dropout and 0 < some.weight_dropout < often.weight_dropout
    assert often.patience > hardly.patience == 4


def test_a_text_that_is_read_often_has_an_lstm_and_a_list_or_a_text_of_little_time_a_gru():
    asked = [("\n".join(NAMES * 3), 5), (text_of(1_000_000), 1), (text_of(1_000_000), 60), (text_of(9000), 5)]
    assert [suggest(text, minutes, SPEED).cell for text, minutes in asked] == ["gru", "gru", "lstm", "lstm"]


@pytest.mark.parametrize("minutes", [5, 20, 45, 200])
def test_an_lstm_that_was_chosen_reads_a_text_nine_times_and_a_gru_is_wider(minutes):
    text = text_of(3_000_000)
    chosen, gru = suggest(text, minutes, SPEED), suggest(text, minutes, SPEED, cell="gru")
    if chosen.cell == "lstm":
        seconds = seconds_per_character(chosen.units, 1, 40, SPEED, "lstm") * 2_700_000
        assert 60 * minutes / seconds > 9 and chosen.units < gru.units
    assert chosen.cell == ("gru" if minutes == 5 else "lstm")


def test_a_wider_network_takes_smaller_steps():
    rates = [suggest(text_of(300_000), 10, SPEED, cell="lstm", units=units).learning_rate for units in (64, 512, 1024)]
    assert rates[0] == MOST_RATE > rates[1] == pytest.approx(2 * rates[2])


def test_settings_say_why():
    shown = str(suggest(text_of(300_000), 10, SPEED))
    assert "LSTM-" in shown and "epochs at most" in shown and "Dropout" in shown


def test_a_list_is_recognised_and_other_texts_are_not():
    assert looks_like_list("\n".join(NAMES * 3))
    assert looks_like_list("".join(f"The {name} of Venice\n" for name in NAMES * 2))
    assert not looks_like_list(text_of(5000))
    assert not looks_like_list("\n".join(NAMES))  # too few to tell
    assert not looks_like_list("def f(x):\n    return x\n\n" * 100)
    assert not looks_like_list("ROMEO:\nO, she doth teach\nthe torches\n\n" * 50)
    assert not looks_like_list("abc " * 500)


@pytest.mark.parametrize("name", ["baby_names", "shakespeare", "paul_graham", "linux", "wikipedia"])
def test_of_the_corpora_only_names_are_a_list(name):
    assert looks_like_list(charlm.load_corpus(name).text[:300_000]) == (name == "baby_names")


def test_few_lines_make_small_batches_and_few_batches_are_told():
    chosen = suggest("\n".join(NAMES), 1, SPEED, feed="lines")
    assert chosen.batch_size == 1 and "36 lines to train on: 1 a batch make 36 batches (fewer than 50" in str(chosen)
    many = suggest("".join(f"{a}{b}\n" for a in NAMES for b in NAMES), 1, SPEED, feed="lines")
    assert many.batch_size == 16 and "make 90 batches." in str(many)
    given = suggest(text_of(600_000), 1, SPEED, batch_size=500, sequence_length=200)
    assert "500 rows of 200 characters a batch make 5 batches (fewer than 50" in str(given)


def test_rare_characters_of_a_large_alphabet_are_left_out():
    random = np.random.default_rng(0)
    common = "".join(map(chr, random.integers(0x4E00, 0x4E00 + 400, 200_000)))
    rare = "".join(map(chr, range(0x6000, 0x6000 + 150)))
    settings = suggest(rare[:75] + common + rare[75:], 1, SPEED)
    assert settings.min_count > 1
    vocabulary = charlm.Vocabulary.from_text(rare[:75] + common, settings.min_count)
    assert len(vocabulary) == 401


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=200))
def test_the_unknown_token_stands_for_a_thousandth_at_most(counts):
    limit = rarest_kept(counts)
    assert sum(count for count in counts if count < limit) <= 0.001 * sum(counts)


def test_resize_follows_a_slower_machine_and_keeps_what_was_given():
    text = text_of(1_000_000)
    settings = suggest(text, 10, SPEED)
    slower = resize(settings, 900_000, 40, 600, SPEED / 10)
    assert slower.units < settings.units and slower.minutes == settings.minutes
    settings = suggest(text, 10, SPEED, units=512, dropout=0.15)
    kept = resize(settings, 900_000, 40, 600, SPEED / 10)
    assert (kept.units, kept.dropout, kept.given) == (512, 0.15, ("dropout", "units"))


def test_parameters_are_those_of_the_model():
    model = build_model(40, cell="lstm", units=32, layers=2, embedding_dim=16)
    weights = [weight for weight in model.get_weights() if weight.ndim == 2 and weight.shape[0] > 2]
    assert parameters(32, 2, 16, 40, "lstm") == sum(weight.size for weight in weights)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("ab" * 49, {}, "98 characters are too few"),
        ("a" * 500, {}, "one distinct character"),
        ("ab" * 500, {"minutes": 0}, "minutes is 0"),
        ("ab" * 500, {"minutes": float("nan")}, "minutes is nan"),
        ("ab" * 500, {"width": 3}, "width is no setting"),
        ("ab" * 500, {"feed": "words"}, "feed='words'"),
        ("ab" * 500, {"validation": 0}, "validation is 0"),
        ("".join(map(chr, range(0x20000, 0x20000 + 30_000))) * 4, {}, "30,000 distinct characters"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(text, arguments, message):
    with pytest.raises(ValueError, match=message):
        suggest(text, **{"minutes": 1, "speed": SPEED, **arguments})


@pytest.mark.skipif("CHARLM_DATA" not in os.environ, reason="needs the real texts: set CHARLM_DATA")
def test_the_real_names_are_fed_line_by_line():
    text = (Path(os.environ["CHARLM_DATA"]) / "baby_names.txt").read_text()
    assert suggest(text, 5, SPEED).feed == "lines"


def test_settings_are_plain_values():
    settings = suggest(text_of(1000), 1, SPEED)
    assert dataclasses.replace(settings, epochs=2).epochs == 2
    assert {field.name for field in dataclasses.fields(Settings)} >= set(settings.network())
