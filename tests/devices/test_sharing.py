"""What a worker does by itself: it takes its rows, heeds the others' votes, and leaves the run folder to the chief."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import charlm
from charlm.anytext.job import follow
from charlm.anytext.pace import Clock
from charlm.devices.workers import Replica, Workers
from charlm.training import Alone, Samples, Signals, Stopped
from tests.deep import deep


class Others(Alone):
    """Workers who say some things all the time."""

    def __init__(self, is_chief=True, **said):
        self.is_chief, self.said = is_chief, said

    def agreed(self, name, value):
        return max(value, self.said.get(name, 0))

    def all_rows(self, rows):
        return np.concatenate([rows, rows + 1])

    def own_rows(self, rows):
        return rows[: len(rows) // 2]


def worker(rank, size):
    """A worker that has not been connected with the others."""
    workers = Workers.__new__(Workers)
    workers.rank, workers.size = rank, size
    return workers


@pytest.mark.parametrize(("rows", "size"), [(7, 3), (8, 2), (5, 5), (64, 6)])
def test_every_row_of_a_batch_is_one_workers_and_shares_differ_by_one_at_most(rows, size):
    shares = [worker(rank, size).own_rows(np.arange(rows)) for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate(shares), np.arange(rows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_workers_than_rows_are_refused():
    with pytest.raises(ValueError, match="batch_size 2 gives 3 workers less than a row each"):
        worker(0, 3).bounds(2)


class Heard(Others):
    """Takes down what a worker would add up with the others."""

    def mean(self, values, rows):
        self.heard = [np.array(value) for value in values], int(rows)
        return values, tf.cast(rows, tf.float32)


@pytest.mark.parametrize("kind", ["lines", deep("windows")])
def test_loss_and_gradient_by_rows_are_those_of_the_whole_batch(small_model, vocabulary, ids, kind):
    data = charlm.windows(ids, 16, 7) if kind == "windows" else charlm.lines(ids, int(vocabulary.encode(" ")[0]), 7)
    batch, found = next(iter(data)), []
    for own in (worker(0, 1), *(worker(rank, 3) for rank in range(3))):
        model = Replica([keras.Input((None,), dtype="int32"), *small_model().layers])
        model.workers = heard = Heard()
        charlm.compile_model(model).train_step([own.own_rows(part) for part in batch])  # eager: the graph is Keras'
        found.append(heard.heard)
    (whole, rows), *parts = found
    assert rows == 7 and [rows for _, rows in parts] == [2, 2, 3]
    for number, value in enumerate(whole):
        np.testing.assert_allclose(sum(rows * values[number] for values, rows in parts) / 7, value, atol=1e-5)


@pytest.fixture
def train(small_model, vocabulary, ids, tmp_path):
    """Train a run's network for an epoch, with others who say something: the run and how many batches it took."""

    def call(workers, *callbacks):
        model = charlm.compile_model(small_model(batch_size=4, stateful=True, scale=0.5))
        run = charlm.Run.create(tmp_path / "run", model, vocabulary)
        model.workers = workers
        data = charlm.streams(ids, 16, 4)
        with Signals() as signals:
            every = [*run.callbacks(verbose=False, signals=signals), *callbacks]
            try:
                model.fit(data, validation_data=data.take(2), callbacks=every, shuffle=False, verbose=0)
            except Stopped as stopped:
                return run, model, stopped
        return run, model, None

    return call


def test_training_ends_after_the_batch_before_which_another_worker_said_so(train):
    _, model, stopped = train(Others(over=1), Clock(1e-3, 100))
    assert int(model.optimizer.iterations) == 1 and stopped is None


def test_the_learning_rate_follows_the_time_of_the_slowest_clock(train):
    _, model, _ = train(Others(gone=1.0), Clock(1e-3, 100_000))
    assert float(model.optimizer.learning_rate) < 1e-5


def test_a_signal_to_another_worker_stops_this_one_and_the_snapshot_has_all_rows(train):
    run, _, stopped = train(Others(signal=signal.SIGTERM))
    arrays = run.store.position().arrays()
    assert stopped.number == signal.SIGTERM and run.store.position()[:2] == (0, 1)
    np.testing.assert_array_equal(arrays["0"][4:], arrays["0"][:4] + 1)  # carried states: 8 rows of two workers


def test_who_is_not_the_chief_writes_no_folder_and_no_samples(small_model, vocabulary, tmp_path):
    model = charlm.compile_model(small_model())
    run = charlm.Run.create(tmp_path / "run", model, vocabulary, workers=Others(is_chief=False))
    run.note(epochs=3)
    run.record({"epoch": 1, "loss": 1.0, "val_loss": 1.0})
    run.store.save_checkpoint(model, 1, 1.0)
    run.store.save_snapshot(model, 1, 1, {})
    assert not any(isinstance(each, Samples) for each in run.callbacks())
    assert run.data == {"epochs": 3} and not list(tmp_path.iterdir())


def test_who_follows_a_chief_that_gave_up_says_why_and_of_one_with_nothing_to_do_ends():
    class Chief(Others):
        hear = lambda self: (self.said["facts"], {})  # noqa: E731

    with pytest.raises(ValueError, match="the chief gave up: no text"):
        follow(Chief(facts={"error": "no text"}), None)
    assert follow(Chief(facts={}), None) is None


def test_without_tf_config_a_program_trains_alone(monkeypatch, small_model):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    workers, model = charlm.join_workers(), small_model()
    assert workers.is_chief and workers.divide(model) is model and workers.part(model) is model
