"""Training that stops in mid epoch, and goes on as if it had not."""

import shutil
import signal
from typing import NamedTuple

import keras
import numpy as np
import pytest

import charlm
from charlm.anytext.job import Job
from charlm.runs import restore
from charlm.support.store import Position
from charlm.training import Signals, Stopped


class StopAt(keras.callbacks.Callback):
    """Sends the process a signal after a batch of an epoch, as a terminal does."""

    def __init__(self, epoch, batch, number=signal.SIGINT):
        super().__init__()
        self.at, self.number = (epoch, batch), number

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            signal.raise_signal(self.number)

    def on_test_batch_end(self, batch, logs=None):
        if batch == 0 and self.at == (self.epoch, "validation"):
            signal.raise_signal(self.number)


@pytest.fixture(scope="session")
def feed(ids):
    """How to feed a text, or a list: datasets of 4 rows, and whether state is carried."""

    def make(kind, end=None, run=None):
        if kind == "streams":
            return charlm.streams(ids, 16, 4), charlm.streams(ids[:400], 16, 4)
        return charlm.lines(ids, end, 4, seed=1, epoch=run.epoch), charlm.lines(ids, end, 4, shuffle=False)

    return make


@pytest.fixture(scope="session")
def begin_in(small_model, vocabulary):
    """Begin a run in a folder: the run and its network."""

    def make(folder, carried=True):
        model = small_model("lstm", dropout=0.3, batch_size=4 if carried else None, stateful=carried, scale=0.5)
        keras.utils.set_random_seed(0)
        charlm.compile_model(model, 0.01, weight_decay=0.1, decay_steps=60)
        return charlm.Run.create(folder, model, vocabulary), model

    return make


@pytest.fixture
def begin(tmp_path, begin_in):
    return lambda name, carried: begin_in(tmp_path / name, carried)


@pytest.fixture(scope="module")
def uninterrupted():
    """Curves and weights of trainings that were never stopped, by kind of feed; filled when first needed."""
    return {}


class Three(NamedTuple):
    """Settings of a training of three epochs."""

    epochs: int = 3


def fit(run, model, data, callbacks=(), position=None, signals=None):
    every = [*callbacks, *run.callbacks(verbose=False, begin=position, signals=signals)]
    job = Job(run, model, None, Three(), position=position or Position())
    job._fit_epochs(data[0], validation_data=data[1], callbacks=every, shuffle=False, verbose=0)


def restored(run):
    position = run.store.position()
    return restore(run, position), position


def stop(run, model, data, *moment):
    """Train until after a batch of an epoch, and stop there."""
    with pytest.raises(Stopped), Signals() as signals:
        fit(run, model, data, [StopAt(*moment)], signals=signals)


@pytest.fixture(scope="module")
def stopped_folder(tmp_path_factory, begin_in, feed):
    run, model = begin_in(tmp_path_factory.mktemp("stopped") / "run")
    stop(run, model, feed("streams"), 1, 3)
    return run.path


@pytest.fixture
def stopped(tmp_path, stopped_folder):
    """A run that was stopped after the fourth batch of its second epoch, of the test's own."""
    return charlm.Run.load(shutil.copytree(stopped_folder, tmp_path / "run"))


def curve(run):
    return [(row["epoch"], row["loss"], row["val_loss"]) for row in run.history()]


@pytest.mark.parametrize(
    ("kind", "moment"), [("streams", (0, 0)), ("streams", (1, "validation")), ("streams", (2, 28)), ("lines", (1, 7))]
)
def test_a_stopped_training_goes_on_as_if_it_had_not(begin, feed, vocabulary, uninterrupted, kind, moment):
    space = int(vocabulary.encode(" ")[0])  # here words stand for lines
    carried = kind == "streams"
    if kind not in uninterrupted:
        whole, model = begin("whole", carried)
        fit(whole, model, feed(kind, space, whole))
        uninterrupted[kind] = curve(whole), model.get_weights()
    whole_curve, weights = uninterrupted[kind]

    run, model = begin("stopped", carried)
    stop(run, model, feed(kind, space, run), *moment)
    run = charlm.Run.load(run.path)
    model, position = restored(run)
    assert (position.batch == 0) == (moment[1] == "validation")
    fit(run, model, feed(kind, space, run), position=position)

    np.testing.assert_allclose(curve(run), whole_curve, rtol=1e-5)
    for there, here in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(there, here, atol=1e-5)
    assert run.store.position().batch == 0 and not (run.path / "snapshot").exists()


def test_the_time_before_a_stop_counts(stopped, feed):
    run = stopped
    position = run.store.position()
    first = run.history()[0]["seconds"]
    job = Job(run, None, None, None, position=position)
    assert job.spent == pytest.approx(first + position.seconds) and position.seconds > 0
    np.savez(position.weights.with_name("0001-0000004.npz"), **{**position.arrays(), "seconds": 1000.0})
    model, position = restored(run)
    fit(run, model, feed("streams"), position=position)
    seconds = [row["seconds"] for row in run.history()]
    assert seconds[0] == first and 1000 < seconds[1] < 1500 and seconds[2] < 500


def test_a_signal_in_an_epochs_last_batch_waits_for_its_checkpoint(begin, feed):
    data, (run, model) = feed("streams"), begin("run", True)
    stop(run, model, data, 0, len(data[0]) - 1)
    assert [c.epoch for c in run.checkpoints()] == [1] and run.store.position().batch == 0


def test_snapshots_are_written_in_time_and_only_the_last_is_kept(begin, feed, monkeypatch):
    run, model = begin("run", True)
    data, seen = feed("streams"), []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(sorted(file.name for file in (run.path / "snapshot").glob("*")))

    every = [*run.callbacks(verbose=False, seconds=0.0), Look()]
    model.fit(data[0], validation_data=data[1], epochs=1, callbacks=every, shuffle=False, verbose=0)
    assert seen[0] == []
    assert seen[5] == ["0000-0000005.npz", "0000-0000005.weights.h5", "0000-0000005.weights.h5.sha256"]


def test_a_snapshot_that_was_cut_off_while_written_is_not_taken(stopped):
    file = stopped.store.position().weights
    file.rename(file.with_name("unfinished-" + file.name))  # as a kill would have left it
    _, position = restored(stopped)
    assert position[:2] == (1, 0)


def test_a_damaged_snapshot_is_refused(stopped):
    file = stopped.store.position().weights
    for damaged in (file.with_name("0001-0000004.npz"), file):
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:-100])
        with pytest.raises(ValueError, match="is damaged"):
            restored(stopped)
        damaged.write_bytes(whole)


class Lose(keras.callbacks.Callback):
    """Makes the weights NaN after the last batch of an epoch: its mean loss is a number, its validation is not."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch + 1 == self.params["steps"]:
            self.model.set_weights([weight * np.nan for weight in self.model.get_weights()])


def test_weights_lost_after_an_epochs_last_batch_end_the_epoch_without_a_checkpoint(begin, feed):
    run, model = begin("run", True)
    fit(run, model, feed("streams"), [Lose()])
    assert [checkpoint.epoch for checkpoint in run.checkpoints()] == [1]
    assert [row["epoch"] for row in run.history()] == [1]
    assert (run.path / "samples.txt").read_text(encoding="utf-8").count("--- after epoch") == 1


def test_an_epoch_that_is_lost_leaves_the_last_good_snapshot(stopped, feed):
    model, position = restored(stopped)
    fit(stopped, model, feed("streams"), [Lose()], position=position)
    assert stopped.store.position() == position and np.isfinite(restored(stopped)[0].get_weights()[0]).all()


def test_a_second_signal_goes_where_it_went_before():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert (signals.received, heard) == (signal.SIGINT, [])
            signal.raise_signal(signal.SIGINT)
            assert heard == [signal.SIGINT]
        signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT] * 2
    finally:
        signal.signal(signal.SIGINT, before)
