"""What is said of a run follows from its curve."""

import pytest

import charlm
from charlm.anytext.report import advise, report_seconds, show
from charlm.anytext.settings import suggest
from charlm.cli.terminal import read_report

SETTINGS = suggest("the cat sat on the mat. " * 40_000, 10, 60e9)


def curve(*pairs):
    return [{"epoch": n, "loss": loss, "val_loss": validation} for n, (loss, validation) in enumerate(pairs, 1)]


def found(nats=1.5, ngram=1.6, **more):
    return {"nats": nats, "ngram": {"name": "Kneser-Ney 7-gram", "nats": ngram}, **more}


@pytest.mark.parametrize(
    ("history", "facts", "characters", "advice"),
    [
        (curve((2, 2), (1.6, 1.7)), {}, 1_000_000, "train longer"),
        (curve((2, 2), (1.5, 1.6), (1.2, 1.7), (1, 1.8)), {}, 1_000_000, "after epoch 2 the network began to overfit"),
        (curve((2, 2), (1.2, 1.6)), {}, 1_000_000, "more dropout"),
        (curve((2, 2), (1.6, 1.7)), {"longest_copied": 120}, 1_000_000, "memorised passages, 120 characters"),
        (curve((2, 2), (1.6, 1.7)), {"longest_copied": 120, "held_out_copied": 90}, 1_000_000, "memorised"),
        (curve((2, 2), (1.6, 1.7)), {"longest_copied": 120, "held_out_copied": 200}, 1_000_000, "train longer"),
        (curve(*[(1.6, 1.7 - i / 300) for i in range(60)]), {"ngram": 1.4}, 100_000, "n-grams are hard to beat"),
        (curve(*[(1.6, 1.7 - i / 300) for i in range(60)]), {}, 5_000_000, "more units"),
        ([], {}, 5_000_000, "more units"),  # history.csv was removed
        ([{"epoch": 5, "loss": 1.5, "val_loss": 1.6}], {}, 5_000_000, "train longer"),
    ],
)
def test_advice_follows_from_the_curve(history, facts, characters, advice):
    assert advice in advise(history, found(**facts), SETTINGS, characters)


def test_advice_says_when_an_ngram_is_better():
    said = advise(curve((2, 2), (1.6, 1.7)), found(nats=1.7, ngram=1.5), SETTINGS, 1_000_000)
    assert said.startswith("the Kneser-Ney 7-gram is 0.200 nats better")
    assert "better" not in advise(curve((2, 2), (1.6, 1.7)), found(), SETTINGS, 1_000_000)


def test_a_report_is_shown_for_a_person():
    facts = found(ladder="uniform over 40", samples={"0.5": "\nabc\n"}, advice="more text.", longest_copied=9)
    shown = show(facts)
    assert "uniform over 40" in shown and "9 characters" in shown and "--- temperature 0.5 ---\nabc" in shown
    assert shown.endswith("Advice: More text.")
    assert "has not seen" not in shown and "shares 70 in one go" in show({**facts, "held_out_copied": 70})
    assert "has not seen" not in show({**facts, "held_out_copied": 8})
    assert "copied from the last 1,000 characters it was trained on, in" in show({**facts, "searched": 1000})
    listed = show({**{k: v for k, v in facts.items() if k != "longest_copied"}, "new": 0.9, "distinct": 1.0})
    assert "90.0% are new" in listed


def test_a_missing_or_damaged_report_is_none(tmp_path, small_model, vocabulary):
    run = charlm.Run.create(tmp_path / "run", charlm.compile_model(small_model()), vocabulary)
    assert read_report(run) is None
    (run.path / "report.json").write_text("{")
    assert read_report(run) is None


def test_the_time_a_report_takes_is_bounded():
    assert report_seconds(100) < report_seconds(10**6) < report_seconds(10**9) == report_seconds(10**12) < 60
