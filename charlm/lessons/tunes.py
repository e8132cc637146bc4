"""Tunes in ABC notation for notebook 08: read them, and make sound of them.

The part of the notation that single-voice tunes need (Walshaw's ABC standard 2.1): the fields M, L, K and T, notes with
accidentals, octaves and lengths, rests, bar lines, and chord names in quotation marks. What is not known is passed over, so
that anything a network writes can be read; whether its bars are full is another question, which `bars` answers.
"""

import re
from fractions import Fraction
from typing import NamedTuple

import numpy as np

LETTERS = "CDEFGAB"
SEMITONES = (0, 2, 4, 5, 7, 9, 11)  # of the letters, above C
MIDDLE_C, CONCERT_A, CONCERT_A_HERTZ = 60, 69, 440.0  # MIDI numbers
SHARPS_ORDER = "FCGDAEB"
MAJORS = {"Cb": -7, "Gb": -6, "Db": -5, "Ab": -4, "Eb": -3, "Bb": -2, "F": -1}
MAJORS |= {"C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5, "F#": 6, "C#": 7}  # sharps; flats are below 0
MODES = {"": 0, "maj": 0, "ion": 0, "m": -3, "min": -3, "aeo": -3, "mix": -1, "dor": -2, "phr": -4, "lyd": 1, "loc": -5}
TOKENS = re.compile(
    r"""(?P<chord>"[^"\n]*")"""
    r"""|(?P<sign>\^{1,2}|_{1,2}|=)?(?P<note>[A-Ga-gz])(?P<octave>[,']*)(?P<times>\d{0,2})(?P<over>(?:/+\d{0,2})?)"""
    r"""|(?P<bar>[|:\[\]]*\|[|:\[\]]*)"""
)
PARTIALS = (1.0, 0.5, 0.25, 0.12)  # loudness of a plucked string's harmonics
SHORTEST_DECAY = 0.35  # seconds in which a note falls to 1/e


class Note(NamedTuple):
    """A note, or a chord's notes, or a rest."""

    start: Fraction  # whole notes from the beginning
    length: Fraction  # whole notes
    pitches: tuple  # MIDI numbers, 60 for middle C; none for a rest


class Tune(NamedTuple):
    """A tune that was read."""

    title: str
    metre: Fraction  # whole notes in a bar
    notes: tuple  # of Note: the melody
    chords: tuple  # of Note: what the names in quotation marks stand for, each until the next one
    bars: tuple  # Fraction, the length of each bar

    @property
    def length(self):
        """Whole notes."""
        return sum(self.bars, Fraction(0))

    @property
    def full_bars(self):
        """How many bars hold what the metre says."""
        return sum(bar == self.metre for bar in self.bars)


def read_tune(abc):
    """Read a tune.

    Args:
        abc: string, fields and music; fields that are missing or wrong are taken as 4/4, L:1/8 and C major.

    Returns:
        A `Tune`.
    """
    fields = dict(re.findall(r"^([A-Z]):[ \t]*(.*?)[ \t]*$", abc, re.MULTILINE))
    music = re.sub(r"^[A-Za-z]:.*$|%.*$", "", abc, flags=re.MULTILINE)
    signature = key_signature(fields.get("K", "C"))
    unit, metre = _fraction(fields.get("L"), Fraction(1, 8)), _fraction(fields.get("M"), Fraction(1))
    notes, chords, bars, at, in_bar, signs = [], [], [], Fraction(0), Fraction(0), dict(signature)
    for token in TOKENS.finditer(music):
        if token["bar"]:
            bars += [in_bar] if in_bar else []
            in_bar, signs = Fraction(0), dict(signature)  # an accidental holds until the bar's end
        elif token["chord"]:
            chords.append((at, _triad(token["chord"].strip('"'), signature)))
        else:
            length = unit * _length(token["times"], token["over"])
            notes.append(Note(at, length, _pitches(token, signs)))
            at, in_bar = at + length, in_bar + length
    bars += [in_bar] if in_bar else []
    ends = [*(start for start, _ in chords), at][1:]
    chords = tuple(
        Note(start, end - start, kept) for (start, kept), end in zip(chords, ends, strict=True) if end > start
    )
    return Tune(fields.get("T", ""), metre, tuple(notes), chords, tuple(bars))


def key_signature(key):
    """Return what a key does to letters: {letter: 1 for a sharp, -1 for a flat}; an unknown key is C major's."""
    found = re.match(r"([A-G][#b]?)\s*([A-Za-z]{0,3})", key)
    sharps = MAJORS.get(found[1], 0) + MODES.get(found[2].lower(), 0) if found else 0
    letters = SHARPS_ORDER[:sharps] if sharps >= 0 else SHARPS_ORDER[::-1][:-sharps]
    return dict.fromkeys(letters, 1 if sharps > 0 else -1)


def sound(tune, quarters=120, rate=8000):
    """Make sound of a tune, as plucked strings.

    Args:
        tune: a `Tune`, or ABC.
        quarters: quarter notes in a minute.
        rate: samples in a second.

    Returns:
        (samples,) float32 from -1 to 1, for `IPython.display.Audio(samples, rate=rate)`.
    """
    tune = read_tune(tune) if isinstance(tune, str) else tune
    second = Fraction(240, quarters)  # seconds of a whole note
    samples = np.zeros(int((tune.length * second + 1) * rate) + 1, np.float32)
    for loudness, voice in ((1.0, tune.notes), (0.3, tune.chords)):
        for start, length, pitches in voice:
            for pitch in pitches:
                played = loudness * _pluck(pitch, float(length * second), rate)
                begin = int(start * second * rate)
                samples[begin : begin + len(played)] += played[: len(samples) - begin]
    return samples / max(np.abs(samples).max(), 1e-6)


def _pluck(pitch, seconds, rate):
    """A note that decays, and is damped when it is over."""
    hertz = CONCERT_A_HERTZ * 2 ** ((pitch - CONCERT_A) / 12)
    time = np.arange(int((seconds + 0.1) * rate)) / rate
    wave = sum(
        loud * np.sin(2 * np.pi * hertz * k * time) for k, loud in enumerate(PARTIALS, 1) if hertz * k < rate / 2
    )
    envelope = np.exp(-time / max(SHORTEST_DECAY, 0.7 * seconds)) * np.minimum(time / 0.005, 1)
    return (wave * envelope * np.clip((seconds + 0.1 - time) / 0.1, 0, 1)).astype(np.float32)


def _pitches(token, signs):
    """The MIDI number of a note; its own accidental is noted in `signs`."""
    if token["note"] == "z":
        return ()
    letter, octave = token["note"].upper(), token["octave"]
    if token["sign"]:
        signs[letter] = token["sign"].count("^") - token["sign"].count("_")
    height = token["note"].islower() + octave.count("'") - octave.count(",")
    return (MIDDLE_C + 12 * height + SEMITONES[LETTERS.index(letter)] + signs.get(letter, 0),)


def _triad(name, signature):
    """The notes of a chord, below the melody: a letter of the key and the two that lie a third and a fifth above it."""
    if not name or name[0] not in LETTERS:
        return ()
    places = [LETTERS.index(name[0]) + step for step in (0, 2, 4)]
    heights = [SEMITONES[p % 7] + 12 * (p // 7) + signature.get(LETTERS[p % 7], 0) for p in places]
    return tuple(MIDDLE_C - 12 + height for height in heights)


def _length(times, over):
    """A note's length in units: 2 for "2", 1/2 for "/", 3/2 for "3/2"."""
    halves = over.count("/")
    below = int(over.strip("/") or 0) or 2**halves if halves else 1
    return Fraction(int(times or 1), below)


def _fraction(text, default):
    found = re.fullmatch(r"(\d{1,2})/(\d{1,2})", text or "")
    return Fraction(*map(int, found.groups())) if found and int(found[1]) and int(found[2]) else default
