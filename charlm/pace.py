"""Callbacks that keep a training in its time, end it when it gets no better, and show how it gets on."""

import math
import sys
import time

import keras

LATE = 20.0  # seconds after its time's end, at which training stops even in mid epoch
SECONDS_BETWEEN_LINES = 1.0


class Pace(keras.callbacks.Callback):
    """Keeps training in its time; `fewer` is how many epochs fit after all, where it ended training to have fewer."""

    def __init__(self, deadline, epochs):
        """Plan `epochs` until `deadline`, a moment of `time.monotonic`."""
        super().__init__()
        self.deadline, self.epochs, self.fewer = deadline, epochs, None

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() > self.deadline + LATE:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        now, finished = time.monotonic(), epoch + 1
        possible = (self.deadline - now) / max(now - self._began, 1e-3)
        if finished < self.epochs and possible + 0.2 < self.epochs - finished:
            fitting = finished + int(max(possible + 0.2, 0))
            self.fewer = fitting if fitting > finished else None
            self.model.stop_training = True


class Patience(keras.callbacks.Callback):
    """Ends training after some epochs without a better validation loss; a resumed run remembers those before."""

    def __init__(self, run, epochs):
        super().__init__()
        self.run, self.epochs = run, epochs

    def on_epoch_end(self, epoch, logs=None):
        losses = [row["val_loss"] for row in self.run.history()]
        if losses and len(losses) - 1 - losses.index(min(losses)) >= self.epochs:
            self.model.stop_training = True


class Meter(keras.callbacks.Callback):
    """Prints how training gets on: loss, characters per second, time left; a line that moves only on a terminal."""

    def __init__(self, characters, epochs, out=None, first=0):
        """Show progress.

        Args:
            characters: of an epoch.
            epochs: planned.
            out: a file; None for standard output.
            first: share of the first epoch that is finished already, 0 to 1.
        """
        super().__init__()
        self.characters, self.epochs, self.out, self.first = characters, epochs, out or sys.stdout, first

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._began, self._shown = epoch, time.monotonic(), time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if not self.out.isatty() or now - self._shown < SECONDS_BETWEEN_LINES:
            return
        self._shown = now
        share = (batch + 1) / self.params["steps"]
        speed = (1 - self.first) * share * self.characters / (now - self._began)
        left = self.characters * (self.epochs - self._epoch - self.first - (1 - self.first) * share) / speed
        done = self.first + (1 - self.first) * share
        print(
            f"\r{self._head()} {done:4.0%}, loss {float(logs['loss']):.4f}, {speed:,.0f} characters/s, "
            f"{duration(left)} left   ",
            end="",
            file=self.out,
            flush=True,
        )

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self._began
        speed = (1 - self.first) * self.characters / seconds
        left = seconds / (1 - self.first) * (self.epochs - epoch - 1)
        bpc = logs["val_loss"] / math.log(2)
        start = "\r" if self.out.isatty() else ""
        print(
            f"{start}{self._head()}: loss {logs['loss']:.4f}, validation {logs['val_loss']:.4f} nats = {bpc:.3f} bpc, "
            f"{speed:,.0f} characters/s, {duration(left)} left",
            file=self.out,
            flush=True,
        )
        self.first = 0

    def _head(self):
        return f"epoch {self._epoch + 1:{len(str(self.epochs))}}/{self.epochs}"


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
