"""A trial is an ordinary run: trained as any other, stopped early where others are better, and taken up where it was left."""

import contextlib
import math
import signal
import time

import keras
import numpy as np
import pytest

import charlm
from charlm.sweeps.space import Choices, Space

optuna = pytest.importorskip("optuna", reason="needs Optuna: pip install 'charlm[sweep]'")
from charlm.anytext.job import Job, begin
from charlm.sweeps import work as work_file
from charlm.sweeps.study import Sweep
from charlm.sweeps.work import Reports, Until, work
from charlm.training import Signals

ONE = Space.of([("dropout", Choices((0.0, 0.3)))], [0])


def run_of(sweep, number):
    return charlm.Run.load(sweep.folder / sweep.rows()[number]["folder"])


@pytest.fixture
def train(tmp_path, read):
    """Work on a plan until it ends: returns the sweep, the lines that were shown, and why it ended."""

    def work_on(plan, **more):
        sweep, lines = Sweep.begin(tmp_path / "sweep", plan), []
        ended = work(sweep, read(plan), Signals(), show=lines.append, **more)
        return sweep, lines, ended

    return work_on


@pytest.fixture
def only(monkeypatch):
    """Let one trial be trained, and the others be left as they are."""

    def leave_others(number):
        def job(sweep, path, trial, *others):
            if trial.number != number:
                raise ValueError("not now")
            return begin_or_go_on(sweep, path, trial, *others)

        begin_or_go_on = work_file._job
        monkeypatch.setattr(work_file, "_job", job)

    return leave_others


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_plan, read):
    """A sweep that nothing interrupted, and the lines that it showed."""
    plan = make_plan(ONE)
    sweep, lines = Sweep.begin(tmp_path_factory.mktemp("sweeps") / "whole", plan), []
    assert work(sweep, read(plan), Signals(), show=lines.append) == "done"
    return sweep, lines


def test_every_trial_is_an_ordinary_run_of_its_settings(whole):
    sweep, lines = whole
    assert [row["state"] for row in sweep.rows()] == ["finished"] * 2
    for number, row in enumerate(sweep.rows()):
        run = run_of(sweep, number)
        assert run.settings["model"]["dropout"] == row["settings"]["dropout"] and run.data["seed"] == row["seed"]
        assert run.data["ended"] and len(run.history()) == 2 == row["epochs"]
        assert row["loss"] == min(epoch["val_loss"] for epoch in run.history()) == sweep.trials()[number].value
        assert lines[number].startswith(f"trial {number}: dropout ") and "nats after 2 epochs" in lines[number]
    assert len(run.generator().generate("The ", 20, seed=0)) == 24


def test_a_trial_has_the_curve_that_it_has_alone(whole, read, tmp_path):
    sweep, _ = whole
    source, corpus, parts = read(sweep.plan)
    job = begin(tmp_path / "alone", corpus, sweep.plan.of_trial({"dropout": 0.3}), parts, 0, source=source)
    job.fit(progress=False)
    curves = [[(row["loss"], row["val_loss"]) for row in run.history()] for run in (job.run, run_of(sweep, 1))]
    np.testing.assert_allclose(*curves, rtol=1e-5)


class AskAt(keras.callbacks.Callback):
    """Sends the process a signal after a batch, as a terminal does."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 10:
            signal.raise_signal(signal.SIGINT)


def test_a_stopped_trial_is_taken_up_from_its_snapshot_and_ends_as_if_it_had_not_been(whole, read, tmp_path, only):
    only(0)
    plan, fit = whole[0].plan, keras.Model.fit
    sweep = Sweep.begin(tmp_path / "stopped", plan)
    with Signals() as signals, pytest.MonkeyPatch.context() as patch:
        asking = lambda model, *given, callbacks, **more: fit(model, *given, callbacks=[AskAt(), *callbacks], **more)  # noqa: E731
        patch.setattr(keras.Model, "fit", asking)
        assert work(sweep, read(plan), signals, show=lambda _: None) == "signal"
    assert [row["state"] for row in sweep.rows()] == ["interrupted", "waiting"]
    assert charlm.Run.load(sweep.path(0, {"dropout": 0.0})).store.position()[:2] == (0, 11)
    work(Sweep.load(sweep.folder), read(plan), Signals(), show=lambda _: None)
    there, here = whole[0].rows()[0], sweep.rows()[0]
    assert here["state"] == "finished" and here["loss"] == pytest.approx(there["loss"], rel=1e-5)
    assert (here["epochs"], len(here["processes"])) == (2, 2)


def test_a_trial_that_was_killed_before_there_was_a_run_begins_anew_in_its_own_folder(make_plan, read, tmp_path):
    plan = make_plan(ONE)
    sweep = Sweep.begin(tmp_path / "sweep", plan)
    with sweep.claim() as trial:
        path = sweep.path(0, trial.user_attrs["settings"])
    (path / "checkpoints").mkdir(parents=True)
    (path / "unfinished-run.json").write_text("{")
    with sweep.claim() as trial, contextlib.ExitStack() as own:
        job = work_file._job(sweep, path, trial, read(plan), own)
    assert trial.number == 0 and job.run.path == path and not (path / "unfinished-run.json").exists()


class Others:
    """A study's trial, as `Reports` sees it: whether the others were better, and what it is told."""

    def __init__(self, better_from=math.inf):
        self.better_from, self.reported = better_from, {}

    def report(self, value, step):
        assert step not in self.reported
        self.reported[step] = value

    def should_prune(self):
        return max(self.reported) >= self.better_from


def reports(trial, epochs, losses, **more):
    """Let a callback see epochs end with these losses."""
    run = type("Run", (), {"history": lambda self: []})()
    job = Job(run, None, None, type("Settings", (), {"epochs": epochs})())
    callback = Reports(trial, job, **more)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"loss": loss, "val_loss": loss})
    return callback


def test_the_best_loss_so_far_is_reported_once_for_each_tenth():
    trial = Others()
    reports(trial, 5, [3.0, 2.0, 2.5, 1.0, 0.5])
    assert trial.reported == {1: 3.0, 2: 3.0, 3: 2.0, 4: 2.0, 5: 2.0, 6: 2.0, 7: 1.0, 8: 1.0, 9: 0.5}
    trial = Others()
    reports(trial, 40, [2.0] * 9)
    assert sorted(trial.reported) == [1, 2]


def test_what_was_reported_before_a_trial_was_interrupted_is_not_reported_again():
    trial = Others()
    reports(trial, 10, [2.0] * 4, told=3)
    assert sorted(trial.reported) == [4]


def test_a_loss_that_is_no_number_is_not_reported():
    trial = Others()
    reports(trial, 2, [math.nan])
    assert trial.reported == {}


def test_a_trial_ends_as_soon_as_the_others_are_better_if_it_may():
    with pytest.raises(optuna.TrialPruned):
        reports(Others(better_from=5), 10, [2.0] * 5)
    reports(Others(better_from=5), 10, [2.0] * 4)
    reports(Others(better_from=1), 10, [2.0] * 2)  # the first epochs tell little
    reports(Others(better_from=5), 10, [2.0] * 9, stopping=False)


def test_a_trial_that_is_far_behind_is_stopped_early_and_its_other_seeds_are_spared(train, make_plan, tmp_path, only):
    space = Space.of([("dropout", Choices((0.0, 0.1, 0.2, 0.3, 0.9)))], [0, 1])
    sweep = Sweep.begin(tmp_path / "sweep", make_plan(space, epochs=6))
    for _ in range(4):
        with sweep.claim() as trial:
            for tenth in range(1, 10):
                trial.report(0.5, tenth)  # far better than a network can be
            sweep.study.tell(trial, 0.5)
    only(4)
    _, lines, _ = train(sweep.plan)
    rows = sweep.rows()
    assert rows[4]["state"] == rows[9]["state"] == "stopped early"
    assert rows[4]["note"] == "stopped early, at 50%" and rows[4]["epochs"] == 3
    assert rows[9]["note"] == "stopped early with seed 0, so not trained" and rows[9]["epochs"] == 0
    assert "stopped early, at 50%" in lines[0] and "not trained" in lines[-1]
    run = run_of(sweep, 4)  # whoever wants to know can train it to its end
    assert not run.data["ended"] and run.store.position()[:2] == (3, 0)


def test_no_trial_is_stopped_early_where_all_are_to_be_trained_in_full(tmp_path, make_plan):
    sweep = Sweep.begin(tmp_path / "sweep", make_plan(stopping=False))
    for _ in range(8):
        with sweep.claim() as trial:
            trial.report(float(trial.number), 5)
            assert not trial.should_prune()
            sweep.study.tell(trial, 1.0)


def test_a_lost_network_is_a_failed_trial_and_the_sweep_goes_on(train, make_plan):
    sweep, lines, ended = train(make_plan(Space.of([("learning_rate", Choices((1e29, 1e30)))], [0])))
    assert ended == "done" and [row["state"] for row in sweep.rows()] == ["failed"] * 2
    assert "the loss is NaN" in sweep.rows()[0]["note"] and "the loss is NaN" in lines[0]


def test_too_little_memory_is_a_failed_trial(train, make_plan, monkeypatch):
    def too_large(*_):
        raise MemoryError

    monkeypatch.setattr(work_file, "_job", too_large)
    sweep, *_ = train(make_plan(ONE))
    assert {(row["state"], row["note"]) for row in sweep.rows()} == {
        ("failed", "there is not enough memory for this network")
    }


def test_a_trial_whose_run_is_in_use_is_left_to_whoever_has_it(train, make_plan, monkeypatch):
    def used(*_):
        raise ValueError("it is in use by another process")

    monkeypatch.setattr(work_file, "_job", used)
    sweep, lines, ended = train(make_plan(ONE))
    assert ended == "done" and [row["state"] for row in sweep.rows()] == ["interrupted"] * 2
    assert "left as it is. it is in use" in lines[0]


def test_a_trial_for_which_there_is_no_time_is_not_begun(train, make_plan):
    sweep, lines, ended = train(make_plan(ONE, seconds=60.0), until=time.monotonic() + 30)
    assert ended == "time" and lines == [] and [row["state"] for row in sweep.rows()] == ["waiting"] * 2


def test_when_the_time_is_over_a_trial_is_asked_to_stop():
    signals = Signals()
    assert Until(signals, time.monotonic() + 60).received is None
    assert Until(signals, time.monotonic() - 1).received == signal.SIGTERM
    signals.received = signal.SIGINT
    assert Until(signals, time.monotonic() - 1).received == signal.SIGINT
