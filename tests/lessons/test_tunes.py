"""Notebook 08's tunes: what the reader makes of ABC, and that the sound has the pitch and the length that are written."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.lessons.tunes import key_signature, read_tune, sound

HEAD = "X:1\nT:A Test\nM:3/4\nL:1/8\n"


def pitches(music, key="C"):
    return [note.pitches for note in read_tune(f"{HEAD}K:{key}\n{music}\n").notes]


def test_letters_are_the_octaves_around_middle_c():
    assert pitches("C,Ccc'B,") == [(48,), (60,), (72,), (84,), (59,)]


def test_a_key_sharpens_and_flattens_its_letters():
    assert pitches("FGABc", "G") == [(66,), (67,), (69,), (71,), (72,)]
    assert pitches("Bb", "F") == [(70,), (82,)]


@pytest.mark.parametrize(
    ("key", "sharps"),
    [("C", ""), ("Am", ""), ("D", "FC"), ("Em", "F"), ("Ador", "F"), ("Dmix", "F"), ("Bb", "BE"), ("?", "")],
)
def test_key_signatures_are_those_of_the_circle_of_fifths(key, sharps):
    assert "".join(key_signature(key)) == sharps


def test_an_accidental_holds_to_the_end_of_its_bar():
    assert pitches("^FF|F=FF", "G") == [(66,), (66,), (66,), (65,), (65,)]


def test_lengths_are_counted_in_units_of_l():
    notes = read_tune(f"{HEAD}K:C\nA2B/c3/2d//z4|\n").notes
    assert [note.length * 8 for note in notes] == [2, Fraction(1, 2), Fraction(3, 2), Fraction(1, 4), 4]
    assert [note.start * 8 for note in notes] == [0, 2, Fraction(5, 2), 4, Fraction(17, 4)]
    assert notes[-1].pitches == ()


def test_bars_are_measured_and_a_last_one_needs_no_line():
    tune = read_tune(f'{HEAD}K:C\n|:"C"c2d2e2|f6:|\ng2g2|]\nc6')
    assert [bar * 8 for bar in tune.bars] == [6, 6, 4, 6]
    assert (tune.title, tune.metre, tune.full_bars) == ("A Test", Fraction(3, 4), 3)


def test_a_chord_is_the_triad_of_the_key_and_lasts_until_the_next():
    first, second = read_tune(f'{HEAD}K:D\n"D"d6|"Em"e4f2|\n').chords
    assert first.pitches == (50, 54, 57) and second.pitches == (52, 55, 59)
    assert (first.length, second.start, second.length) == (Fraction(3, 4), Fraction(3, 4), Fraction(3, 4))


@given(st.text(alphabet="ABCabcXTMLKz|:]\"'/^_=,0123456789 \n", max_size=80))
def test_anything_can_be_read_and_sounded(text):
    tune = read_tune(text)
    samples = sound(tune, rate=200) if tune.length < 50 else np.zeros(1)
    assert (
        np.isfinite(samples).all() and np.abs(samples).max() <= 1 and tune.length == sum(n.length for n in tune.notes)
    )


def test_the_sound_is_as_high_and_as_long_as_what_is_written():
    samples = sound(f"{HEAD}K:C\nA6|\n", quarters=60)  # A above middle C, 440 Hz, three quarters of a second each
    assert len(samples) / 8000 == pytest.approx(4, abs=0.01)
    spectrum = np.abs(np.fft.rfft(samples[:8000]))
    assert np.argmax(spectrum) == 440
