"""Training that stops in mid epoch, and goes on as if it had not."""

import signal

import keras
import numpy as np
import pytest

import charlm
from charlm.anytext import seconds_spent
from charlm.snapshots import Signals, Snapshots, Stopped, find_snapshot, fit_on, take_up


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


@pytest.fixture
def feed(ids):
    """How to feed a text, or a list: datasets of 4 rows, and whether state is carried."""

    def make(kind, end=None):
        if kind == "streams":
            return charlm.streams(ids, 16, 4), charlm.streams(ids[:400], 16, 4)
        return charlm.lines(ids, end, 4, seed=1), charlm.lines(ids, end, 4, shuffle=False)

    return make


@pytest.fixture
def begin(tmp_path, small_model, vocabulary):
    def make(name, carried):
        model = small_model("lstm", dropout=0.3, batch_size=4 if carried else None, stateful=carried, scale=0.5)
        keras.utils.set_random_seed(0)
        charlm.compile_model(model, 0.01, weight_decay=0.1, decay_steps=60)
        return charlm.Run.create(tmp_path / name, model, vocabulary), model

    return make


def fit(run, model, data, callbacks=(), epoch=0, snapshot=None, signals=None):
    every = [*run.callbacks(verbose=False), *callbacks, Snapshots(run, signals, snapshot)]
    fit_on(model, data[0], snapshot, 3, epoch, validation_data=data[1], callbacks=every, shuffle=False, verbose=0)


def stop(begin, data, *moment):
    """Begin a run and stop it after a batch of an epoch."""
    run, model = begin("run", True)
    with pytest.raises(Stopped), Signals() as signals:
        fit(run, model, data, [StopAt(*moment)], signals=signals)
    return run


def curve(run):
    return [(row["epoch"], row["loss"], row["val_loss"]) for row in run.history()]


@pytest.mark.parametrize(
    ("kind", "moment"), [("streams", (0, 0)), ("streams", (1, "validation")), ("streams", (2, 28)), ("lines", (1, 7))]
)
def test_a_stopped_training_goes_on_as_if_it_had_not(begin, feed, vocabulary, kind, moment):
    space = int(vocabulary.encode(" ")[0])  # here words stand for lines
    data, carried = feed(kind, space), kind == "streams"
    whole, model = begin("whole", carried)
    fit(whole, model, data)
    weights = model.get_weights()

    run, model = begin("stopped", carried)
    with pytest.raises(Stopped), Signals() as signals:
        fit(run, model, data, [StopAt(*moment)], signals=signals)
    model, epoch, snapshot = take_up(charlm.Run.load(run.path))
    assert (snapshot is None) == (moment[1] == "validation")
    fit(run, model, data, epoch=epoch, snapshot=snapshot)

    np.testing.assert_allclose(curve(run), curve(whole), rtol=1e-5)
    for there, here in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(there, here, atol=1e-5)
    assert find_snapshot(run) is None and not (run.path / "snapshot").exists()


def test_the_time_before_a_stop_counts(begin, feed):
    data = feed("streams")
    run = stop(begin, data, 1, 3)
    snapshot = find_snapshot(run)
    first = run.history()[0]["seconds"]
    assert seconds_spent(run, snapshot) == pytest.approx(first + snapshot.seconds) and snapshot.seconds > 0
    np.savez(snapshot.path.with_name("0001-0000004.npz"), **{**snapshot.arrays(), "seconds": 1000.0})
    model, epoch, snapshot = take_up(run)
    fit(run, model, data, epoch=epoch, snapshot=snapshot)
    seconds = [row["seconds"] for row in run.history()]
    assert seconds[0] == first and 1000 < seconds[1] < 1500 and seconds[2] < 500


def test_a_signal_in_an_epochs_last_batch_waits_for_its_checkpoint(begin, feed):
    data = feed("streams")
    run = stop(begin, data, 0, len(data[0]) - 1)
    assert [c.epoch for c in run.checkpoints()] == [1] and find_snapshot(run) is None


def test_snapshots_are_written_in_time_and_only_the_last_is_kept(begin, feed, monkeypatch):
    run, model = begin("run", True)
    data, seen = feed("streams"), []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(sorted(file.name for file in (run.path / "snapshot").glob("*")))

    every = [*run.callbacks(verbose=False), Snapshots(run, seconds=0.0), Look()]
    model.fit(data[0], validation_data=data[1], epochs=1, callbacks=every, shuffle=False, verbose=0)
    assert seen[0] == []
    assert seen[5] == ["0000-0000005.npz", "0000-0000005.weights.h5", "0000-0000005.weights.h5.sha256"]


def test_a_snapshot_that_was_cut_off_while_written_is_not_taken(begin, feed):
    data = feed("streams")
    run = stop(begin, data, 1, 3)
    snapshot = find_snapshot(run)
    snapshot.path.rename(snapshot.path.with_name("unfinished-" + snapshot.path.name))  # as a kill would have left it
    _, epoch, found = take_up(run)
    assert (epoch, found) == (1, None)


def test_a_damaged_snapshot_is_refused(begin, feed):
    data = feed("streams")
    run = stop(begin, data, 1, 3)
    file = find_snapshot(run).path
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged"):
        take_up(run)


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
