"""The table of a sweep: what is said of settings and seeds follows from the finished trials, and from nothing else."""

import csv
import io
import math

import numpy as np
import pytest

from charlm.sweeps.space import Choices, Range, Space
from charlm.sweeps.table import as_csv, chance, judge, show

SPACE = Space.of([("units", Choices((128, 256))), ("dropout", Choices((0.2, 0.4)))], [0, 1])


def row(number, loss=math.nan, state="finished", space=SPACE, settings=None, **more):
    settings = settings or space.listed(number)
    history = [] if math.isnan(loss) else [{"epoch": 1, "loss": loss, "val_loss": loss, "seconds": 90.0}]
    facts = {"epochs": len(history), "minutes": 1.5 * len(history), "loss": loss, "note": "", "processes": ["here:1"]}
    known = {"trial": number, "settings": settings, "seed": space.seed(number), "state": state, "history": history}
    return {**known, **facts, "folder": f"{number:04d}-run", **more}


# Of units 256 0.1 nats better than 128, of dropout 0.4 0.02 better than 0.2; seeds 0.01 either way.
LOSSES = [1.63, 1.61, 1.53, 1.51]
ROWS = [row(number, LOSSES[number % 4] + (0.01 if number < 4 else -0.01)) for number in range(8)]


def test_each_setting_is_judged_with_the_others_held_alike():
    units, dropout = judge(ROWS, SPACE).effects
    assert [level.loss for level in units.levels] == pytest.approx([1.62, 1.52])
    assert [level.loss for level in dropout.levels] == pytest.approx([1.58, 1.56])
    assert units.between == pytest.approx(0.1) and dropout.between == pytest.approx(0.02)


def test_trials_that_are_missing_do_not_make_a_value_look_better_or_worse():
    without = [
        row(2, 1.54, "stopped early", note="stopped early, at 40%"),
        *(r for r in ROWS if r["trial"] not in (2, 6)),
    ]
    found = judge(without, SPACE)
    assert found.apart and found.effects[0].between == pytest.approx(0.1)  # the mean of what is left is 0.09 apart
    assert (found.effects[0].levels[1].trials, found.effects[0].levels[1].stopped) == (2, 1)


def test_settings_that_were_only_tried_together_are_not_told_apart():
    found = judge([row(0, 1.6), row(3, 1.5)], SPACE)
    assert not found.apart and "these means mix them" in show([row(0, 1.6), row(3, 1.5)], SPACE, found)


def test_the_spread_of_seeds_is_that_of_trials_alike_in_all_else():
    found = judge(ROWS, SPACE)
    assert found.spread == pytest.approx(math.sqrt(2 * 0.01**2)) and found.degrees == 4
    random = np.random.default_rng(0).normal(size=400)
    pairs = [row(0, float(loss), settings={"units": place // 2, "dropout": 0.2}) for place, loss in enumerate(random)]
    assert judge(pairs, SPACE).spread == pytest.approx(1, abs=0.1)


def test_seeds_that_differ_by_chance_alone_are_called_so_in_95_of_100_cases():
    random, beyond = np.random.default_rng(1), []
    for _ in range(2000):
        values = random.normal(size=(4, 2))  # of four settings, all alike, two seeds
        spread = math.sqrt(values.var(axis=1, ddof=1).mean())
        beyond.append(abs(values[0].mean() - values[1].mean()) > chance(spread, 4, 2, 2))
    assert np.mean(beyond) == pytest.approx(0.05, abs=0.015)
    assert math.isnan(chance(math.nan, 0, 1, 1))


def test_a_difference_that_seeds_may_make_is_called_so():
    shown = show(ROWS, SPACE, judge(ROWS, SPACE))
    lines = {
        name: next(line for line in shown.splitlines() if line.startswith(f"  {name} "))
        for name in ("units", "dropout")
    }
    assert "0.1000 apart, more than seeds may make" in lines["units"]
    assert "0.0200 apart, no more than seeds may make" in lines["dropout"]
    assert "Best settings: units 256, dropout 0.4, 1.5100 nats, the mean of 2 seeds." in shown
    assert "No further from it than seeds may be: units 256, dropout 0.2 (1.5300)." in shown


def test_without_a_second_seed_nothing_is_said_about_chance():
    shown = show(ROWS[:4], SPACE, judge(ROWS[:4], SPACE))
    assert "nothing tells which differences are those of chance" in shown and "may make" not in shown


def test_seeds_that_came_to_different_epochs_in_the_same_time_are_a_warning():
    busy = [{**one, "epochs": 6 if one["trial"] < 4 else 13} for one in ROWS]
    assert judge(busy, SPACE, timed=True).uneven == (6, 13) and judge(busy, SPACE).uneven is None
    assert judge([{**one, "epochs": 12 + one["seed"]} for one in ROWS], SPACE, timed=True).uneven is None
    assert "came to 6 epochs with one seed and to 13" in show(busy, SPACE, judge(busy, SPACE, timed=True))


def test_every_trial_has_a_line_and_a_state():
    rows = [
        row(0, 1.6),
        row(1, 1.7, "stopped early", note="stopped early, at 40%"),
        row(2, state="failed", note="the loss is NaN"),
        row(3, 1.9, "interrupted", processes=["here:1", "there:2"]),
        *(row(number, state="waiting", processes=[], folder="") for number in range(4, 8)),
    ]
    shown = show(rows, SPACE, judge(rows, SPACE))
    table = shown.split("\n\n")[0].splitlines()[1:]
    assert [line.split()[0] for line in table] == ["0", "1", "3", "2", "4", "5", "6", "7"]  # by state, and by loss
    assert table[1].endswith("  stopped early, at 40%") and table[3].endswith("  failed: the loss is NaN")
    assert "8 trials: 1 finished, 1 stopped early, 1 failed, 1 interrupted, 4 waiting; 1 of them taken up" in shown


def test_no_finished_trial_is_said_to_be_so():
    rows = [row(number, state="waiting", processes=[], folder="") for number in range(8)]
    shown = show(rows, SPACE, judge(rows, SPACE))
    assert "No trial is finished yet." in shown and "8 trials: 8 waiting." in shown


def test_the_csv_has_a_line_for_each_trial_and_a_column_for_each_setting():
    rows = [*ROWS[:2], row(2, state="waiting", processes=[], folder="")]
    lines = list(csv.DictReader(io.StringIO(as_csv(rows, SPACE))))
    assert [line["trial"] for line in lines] == ["0", "1", "2"]
    assert (lines[1]["units"], lines[1]["dropout"], lines[1]["loss"]) == ("128", "0.4", "1.62")
    assert (lines[2]["loss"], lines[2]["state"]) == ("", "waiting")


def test_a_range_is_judged_by_its_thirds():
    space = Space.of([("learning_rate", Range(0.001, 0.064, True))], [0], 6)
    rates = [0.001, 0.002, 0.005, 0.01, 0.02, 0.064]
    rows = [row(n, 1.5 + (rate > 0.016), space=space, settings={"learning_rate": rate}) for n, rate in enumerate(rates)]
    rows.append(row(5, state="waiting", space=space, settings=None) | {"settings": {}})  # not drawn yet
    (effect,) = judge(rows, space).effects
    assert [(level.name, level.trials) for level in effect.levels] == [
        ("0.001 to 0.004", 2),
        ("0.004 to 0.016", 2),
        ("0.016 to 0.064", 2),
    ]
    assert [level.loss for level in effect.levels] == pytest.approx([1.5, 1.5, 2.5])


def test_two_settings_are_shown_crosswise():
    shown = show(ROWS, SPACE, judge(ROWS, SPACE)).split("units down, dropout across:\n")[1].splitlines()
    assert [line.split() for line in shown] == [
        ["0.2", "0.4"],
        ["128", "1.6300", "1.6100"],
        ["256", "1.5300", "1.5100"],
    ]
