"""Callbacks that keep a training in its time, end it when it gets no better, and show how it gets on."""

import math
import sys
import time

import keras

from charlm.models import FINAL_RATE
from charlm.settings import VALIDATION_COST

WARM_BATCHES = 100  # over which the learning rate rises, or a tenth of all
WARM_SHARE = 0.05  # of the time, by which it has risen in any case
NOT_WORTH = 0.02  # of the time, which is too little to begin an epoch with
SECONDS_BETWEEN_LINES = 1.0


class Clock(keras.callbacks.Callback):
    """Fits training to its time: the learning rate falls as time goes by, and training ends when it is over.

    The rate rises from 0 over the first batches and then falls by a cosine to 1 % of itself, which it reaches with the
    end of the time, or with the last batch of all epochs if that comes first.
    """

    def __init__(self, rate, batches, seconds=math.inf, spent=0.0, held_out=0):
        """Plan a training.

        Args:
            rate: the highest learning rate.
            batches: of all epochs.
            seconds: that training may take, the validation at its end included.
            spent: seconds of them that went by before the run was taken up.
            held_out: batches of a validation, before one has been timed.
        """
        super().__init__()
        self.rate, self.batches, self.seconds, self.spent, self.held_out = rate, batches, seconds, spent, held_out
        self._began, self._validation, self._timed, self._batches_timed = None, None, 0.0, 0

    def on_train_begin(self, logs=None):
        self._began = self._began or time.monotonic() - self.spent
        self._done = int(self.model.optimizer.iterations)

    def on_train_batch_begin(self, batch, logs=None):
        self._batch_began = time.monotonic()
        gone = max(self._done / self.batches, min(self._gone() / max(self.seconds - self._last(), 1e-3), 1.0))
        warm = min(1.0, (self._done + 1) / min(WARM_BATCHES, max(1, self.batches // 10)))
        if self.seconds < math.inf:
            warm = max(warm, min(1.0, gone / WARM_SHARE))
        falling = FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * min(gone, 1.0))) / 2
        self.model.optimizer.learning_rate = self.rate * warm * falling

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        if batch > 0:  # an epoch's first batch waits for the pipeline, and the very first for XLA
            self._timed += time.monotonic() - self._batch_began
            self._batches_timed += 1
        if self._gone() + self._last() > self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if self._gone() + self._last() > (1 - NOT_WORTH) * self.seconds:
            self.model.stop_training = True

    def on_test_begin(self, logs=None):
        self._test_began = time.monotonic()

    def on_test_end(self, logs=None):
        self._validation = time.monotonic() - self._test_began

    def _gone(self):
        return time.monotonic() - self._began

    def _last(self):
        """How long the validation at the end will take."""
        if self._validation is not None:
            return self._validation
        return self.held_out * VALIDATION_COST * self._timed / max(self._batches_timed, 1)


class Patience(keras.callbacks.Callback):
    """Ends training after some epochs without a better validation loss; a resumed run remembers those before.

    Where a finished run was asked for more, `run.json` notes from which epoch on (`patience_from`) they count.
    """

    def __init__(self, run, epochs):
        super().__init__()
        self.run, self.epochs = run, epochs

    def on_epoch_end(self, epoch, logs=None):
        if self.is_over():
            self.model.stop_training = True

    def is_over(self):
        """Whether the run's last epochs were no better than the best before them."""
        losses = [row["val_loss"] for row in self.run.history()]
        since = (self.run.settings["data"] or {}).get("patience_from", 0)
        return bool(losses) and len(losses) - max(losses.index(min(losses)) + 1, since) >= self.epochs


class Meter(keras.callbacks.Callback):
    """Prints how training gets on: loss, characters per second, time left; a line that moves only on a terminal."""

    def __init__(self, characters, epochs, out=None):
        """Show progress.

        Args:
            characters: of an epoch.
            epochs: at most.
            out: a file; None for standard output.
        """
        super().__init__()
        self.characters, self.epochs, self.out = characters, epochs, out or sys.stdout
        self.plan()

    def plan(self, seconds=None, first=0.0):
        """Tell it what is ahead.

        Args:
            seconds: left for training; None for no limit.
            first: share of the first epoch that is finished already, 0 to 1.
        """
        self.seconds, self._first, self._start = seconds or math.inf, first, None

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._began, self._shown = epoch, time.monotonic(), time.monotonic()
        self._start = self._start or self._began

    def on_train_batch_end(self, batch, logs=None):
        self._share = (batch + 1) / self.params["steps"] * (1 - self._first)  # of the epoch, in this process
        if self.out.isatty() and time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = time.monotonic()
            done = f"{self._first + self._share:4.0%}, loss {float(logs['loss']):.4f}"
            print(f"\r{self._line(done)}   ", end="", file=self.out, flush=True)

    def on_epoch_end(self, epoch, logs=None):
        bpc = logs["val_loss"] / math.log(2)
        done = f"loss {logs['loss']:.4f}, validation {logs['val_loss']:.4f} nats = {bpc:.3f} bpc"
        print("\r" * self.out.isatty() + self._line(done), file=self.out, flush=True)
        self._first = 0.0

    def _line(self, done):
        now = time.monotonic()
        speed = self._share * self.characters / (now - self._began)
        left = self.characters * (self.epochs - self._epoch - self._first - self._share) / speed
        left = max(0.0, min(left, self.seconds - (now - self._start)))
        return f"epoch {self._epoch + 1}: {done}, {speed:,.0f} characters/s, at most {duration(left)} left"


class Timer(keras.callbacks.Callback):
    """Times the batches of a training but for the first few; `seconds` is the result."""

    def __init__(self, skipped):
        super().__init__()
        self.skipped, self.seconds = skipped, math.nan

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.skipped:
            self._began = time.perf_counter()
        elif batch + 1 > self.skipped:
            self.seconds = time.perf_counter() - self._began


def duration(seconds):
    """Write a time as a person does: 45 s, 3:20 min, 1:05 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
