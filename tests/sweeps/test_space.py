"""What a sweep varies is checked when it is given, and every trial has a name of its own."""

import argparse
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.cli.parser import _varied
from charlm.sweeps.space import LONGEST_NAME, MOST_TRIALS, Choices, Range, Space, between, choices, folder_name

TWO = [("units", Choices((128, 256, 384))), ("dropout", Choices((0.2, 0.4)))]


def test_values_and_ranges_are_read_as_their_setting_is():
    assert _varied("units=128, 256") == ("units", Choices((128, 256)))
    assert _varied("weight-decay=0,0.05") == ("weight_decay", Choices((0.0, 0.05)))
    assert _varied("cell=gru,lstm") == ("cell", Choices(("gru", "lstm")))
    assert _varied("learning_rate=0.002..0.02") == ("learning_rate", Range(0.002, 0.02, True))
    assert _varied("units=64..512") == ("units", Range(64, 512, True))
    assert _varied("dropout=0.1..0.5") == ("dropout", Range(0.1, 0.5, False))  # a share
    assert _varied("weight_decay=0..0.1") == ("weight_decay", Range(0.0, 0.1, False))  # 0 has no logarithm


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("units", "NAME=VALUE,VALUE"),
        ("units=", "the names are feed, min_count"),
        ("width=1,2", "width=1,2"),
        ("units=128", "--units for one"),
        ("units=128,128", "units has 128 twice"),
        ("units=0,128", "'0' is not a whole number"),
        ("units=128,", "'' is not a whole number"),
        ("dropout=0.2,1", "'1' is not a share"),
        ("cell=gru,transformer", "'transformer' is none of gru, lstm, rnn"),
        ("cell=gru..lstm", "'gru..lstm' is none of"),
        ("learning_rate=0.02..0.002", "from 0.02 to 0.002 is no range"),
        ("learning_rate=0..0.1", "'0' is not a number above 0"),
    ],
)
def test_what_cannot_vary_like_that_is_named(text, named):
    with pytest.raises(argparse.ArgumentTypeError, match=named):
        _varied(text)


@pytest.mark.parametrize(
    ("varied", "seeds", "draws", "named"),
    [
        ([], [0], None, "Nothing varies"),
        ([*TWO, TWO[0]], [0], None, "units varies twice"),
        ([("validation", Choices((0.1, 0.2)))], [0], None, "losses on different texts"),
        (TWO, [0], 5, "--trials 5 is for a range"),
        (TWO, range(400), None, f"2,400 trials are too many; {MOST_TRIALS:,} are the most"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(varied, seeds, draws, named):
    with pytest.raises(ValueError, match=named):
        Space.of(varied, seeds, draws)


def test_every_setting_is_tried_with_every_seed_and_all_settings_before_the_next_seed():
    space = Space.of(TWO, [5, 6])
    every = [(*space.listed(number).values(), space.seed(number)) for number in range(space.total)]
    assert every[:3] == [(128, 0.2, 5), (128, 0.4, 5), (256, 0.2, 5)] and len(set(every)) == space.total == 12
    assert [seed for *_, seed in every] == [5] * 6 + [6] * 6


def test_of_a_range_as_many_settings_are_drawn_as_are_asked_for():
    space = Space.of([*TWO, ("learning_rate", between("learning_rate", 0.001, 0.01))], [0, 1], 7)
    assert (space.different, space.total, space.listed(3)) == (7, 14, None)
    assert Space.of([("learning_rate", Range(0.001, 0.01, True))], [0]).total == 10


def test_a_space_comes_back_from_json_as_it_was():
    for space in (
        Space.of(TWO, [0, 1]),
        Space.of([("units", Range(64, 512, True)), ("cell", choices("cell", ["gru", "rnn"]))], [3], 4),
    ):
        assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


@given(st.floats(1e-4, 1e-1))
def test_a_drawn_value_has_three_digits_and_stays_in_its_range(value):
    rounded = Range(1e-4, 1e-1, True).rounded(value)
    assert rounded == float(f"{rounded:.3g}") and 1e-4 <= rounded <= 1e-1 and abs(rounded / value - 1) < 0.006


def test_the_middle_of_a_logarithmic_range_is_its_geometric_mean():
    assert Range(0.001, 0.1, True).middle() == 0.01 and Range(64, 256, True).middle() == 128
    assert Range(0.0, 0.5, False).middle() == 0.25 and Choices((1, 2, 3)).middle() == 2


def test_a_folders_name_is_safe_short_and_says_what_is_tried():
    assert folder_name(3, {"units": 256, "dropout": 0.4}, 0) == "0003-units=256-dropout=0.4-seed=0"
    assert folder_name(7, {"cell": "../gru"}, 1) == "0007-cell=.._gru-seed=1"
    many = {f"setting_{number}": 0.123 for number in range(30)}
    name = folder_name(12, many, 4)
    assert len(name) <= LONGEST_NAME and name.startswith("0012-setting_0=0.123-") and name.endswith("-seed=4")
