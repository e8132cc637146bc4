"""Training keeps its time and its plan, and says how it gets on."""

import io

import keras
import pytest

import charlm
from charlm.anytext import pace
from charlm.anytext.pace import Clock, Patience
from charlm.training import Progress, duration


class Time:
    """A clock that goes on by a step at each look."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def monotonic(self):
        self.now += self.step
        return self.now


class Rates(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(self.model.optimizer.learning_rate))


@pytest.fixture
def fit(small_model, ids):
    def call(clock, epochs, extra=()):
        model = charlm.compile_model(small_model(batch_size=4, stateful=True), 0.01)
        data, rates = charlm.streams(ids[:660], 16, 4), Rates()
        history = model.fit(
            data, validation_data=data, epochs=epochs, callbacks=[clock, rates, *extra], shuffle=False, verbose=0
        )
        return rates.seen, history

    return call


def test_without_a_limit_of_time_the_rate_falls_by_a_cosine_over_all_batches(fit):
    rates, _ = fit(Clock(0.01, batches=40), epochs=4)
    assert len(rates) == 40
    assert rates[0] < rates[1] < rates[2] < rates[3] == max(rates)
    assert rates[-1] < 0.0003 and rates[20] == pytest.approx(0.01 * (0.01 + 0.99 * 0.5))
    assert sorted(rates[4:], reverse=True) == rates[4:]


def test_training_ends_with_its_time_and_the_rate_is_down_by_then(fit, monkeypatch):
    monkeypatch.setattr(pace, "time", Time(0.01))
    clock = Clock(0.01, batches=100_000, seconds=3.0, held_out=10)
    rates, history = fit(clock, epochs=10_000)
    assert pace.time.now < 3.6
    assert min(rates) == rates[-1] < 0.0006
    assert len(history.history["val_loss"]) == len(history.epoch)


def test_a_slow_first_batch_does_not_end_training(fit, monkeypatch):
    """XLA compiles in it; its time must not be taken for that of every batch of the validation."""
    clock = Clock(0.01, batches=1000, seconds=50.0, held_out=1000)
    monkeypatch.setattr(pace, "time", Time(0.001))

    class SlowStart(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if len(rates.seen) == 0:
                pace.time.now += 20

    rates = Rates()
    fit(clock, 3, [rates, SlowStart()])
    assert len(rates.seen) == 30


def test_no_epoch_begins_that_is_shorter_than_its_validation(fit, monkeypatch):
    monkeypatch.setattr(pace, "time", Time(0.001))

    class SlowValidation(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            pace.time.now += 0.2

    _, history = fit(Clock(0.01, batches=1000, seconds=5.0), 3, [SlowValidation()])  # ten batches: 2 seconds
    assert len(history.epoch) == 1


def test_time_that_was_spent_before_counts(fit, monkeypatch):
    monkeypatch.setattr(pace, "time", Time(0.001))
    rates, _ = fit(Clock(0.01, batches=1000, seconds=10.0, spent=5.0), epochs=1)
    assert rates[-1] == pytest.approx(0.01 * (0.01 + 0.99 * 0.5), rel=0.02)


def history_of(losses):
    return [{"epoch": epoch, "val_loss": loss} for epoch, loss in losses.items()]


@pytest.mark.parametrize(
    ("losses", "since", "over"),
    [
        ({}, 0, False),
        ({1: 3.0}, 0, False),
        ({1: 3.0, 2: 2.0, 3: 2.5}, 0, False),
        ({1: 3.0, 2: 2.0, 3: 2.5, 4: 2.1}, 0, True),
        ({1: 2.0, 2: 2.5, 3: 2.4, 4: 2.3}, 3, False),  # a finished run was asked for more after epoch 3
        ({1: 2.0, 2: 2.5, 3: 2.4, 4: 2.3, 5: 2.2}, 3, True),
        ({5: 2.0, 6: 2.5}, 4, False),  # history.csv was removed after epoch 4
        ({5: 2.0, 6: 2.5, 7: 2.5}, 4, True),
    ],
)
def test_patience_counts_the_epochs_since_the_best(losses, since, over):
    assert Patience(history_of(losses), 2, since).is_over() == over


def test_patience_ends_training_and_remembers_the_epochs_before(fit):
    _, history = fit(Clock(0.01, 100), 5, [Patience(history_of({0: 0.0}), 3)])  # nothing is better than that
    assert len(history.epoch) == 3


def test_progress_shows_speed_and_time_left_one_line_an_epoch(fit):
    out = io.StringIO()
    fit(Clock(0.01, 20), 2, [Progress(characters=640, out=out, moving=False)])
    lines = out.getvalue().splitlines()
    assert len(lines) == 2 and all("characters/s" in line and "bpc" in line for line in lines)
    assert lines[0].startswith("epoch 1/2: loss ") and lines[1].endswith("at most 0 s left")


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0 s"), (59, "59 s"), (200, "3:20 min"), (3900, "1:05 h")])
def test_durations_are_written_for_people(seconds, shown):
    assert duration(seconds) == shown
