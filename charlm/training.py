"""What goes on around `model.fit`: callbacks that carry state, write a run's files, show progress, and stop in time.

They are for `model.fit(train, validation_data=..., callbacks=run.callbacks(), verbose=0)`; `Run.callbacks` makes those
that every run needs. A snapshot is training saved in mid epoch, and where a training goes on is a `Position`, which
`charlm.support.store` finds in the run's folder.
"""

import math
import signal
import sys
import threading
import time

import keras
import tensorflow as tf

from charlm.generation import Generator, opening
from charlm.models import recurrent_layers, reset_states

CHECKPOINT = "{epoch:04d}-{val_loss:.4f}.weights.h5"
SAMPLED_CHARACTERS = 300
SAMPLED_LINES = 10
SECONDS_BETWEEN_LINES = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MASKS_APART = 1 << 20  # of dropout, between one worker's and the next one's: more than an epoch has batches


class Stopped(Exception):
    """Training was asked to stop by a signal, and has saved itself."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
    """Notes the first SIGINT or SIGTERM within the block; a second one ends the process at once."""

    def __init__(self):
        self.received = None

    def __enter__(self):
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.received = number
        for again, handler in self._before.items():
            signal.signal(again, handler)


class Alone:
    """The workers of a training on one device: there is this process alone, and what it says is agreed.

    Callbacks ask it, or the `charlm.devices.workers.Workers` of a model that is trained by several.
    """

    rank, size, is_chief = 0, 1, True

    def agreed(self, name, value):
        """The most that a worker said under this name before the batch that has just ended; what this one says now."""
        return value

    def agree(self, value):
        """The most that a worker says."""
        return value

    def own_rows(self, rows):
        """This worker's rows of an array (batch, ...)."""
        return rows

    def all_rows(self, rows):
        """The rows of all workers."""
        return rows

    def part(self, dataset):
        """A dataset with this worker's rows of every batch."""
        return dataset

    def divide(self, model):
        """A network for this worker's rows, whose gradients are those of the whole batch."""
        return model


ALONE = Alone()


def workers_of(model):
    """Return those who train a model together, as `Workers.divide` noted them; mostly this process alone."""
    return getattr(model, "workers", ALONE)


class CarriedState(keras.callbacks.Callback):
    """Sets carried state to zero at each epoch's start, and keeps validation from touching it.

    It also ties dropout's random numbers to the epoch's number, and where several workers train, to the worker's. Where
    training goes on in mid epoch, the state is that of the snapshot instead.
    """

    def __init__(self, begin=None):
        super().__init__()
        self.begin = begin  # the `Position` where training goes on

    def on_epoch_begin(self, epoch, logs=None):
        if self.begin and self.begin.batch and self.begin.epoch == epoch:
            restore_unsaved_state(self.model, self.begin.arrays())
        else:
            reset_states(self.model)
            seeds = random_seeds(self.model)
            for number, seed in enumerate(seeds):
                seed.assign([epoch * len(seeds) + number, 0])
        _tell_masks_apart(self.model)

    def on_test_begin(self, logs=None):
        self._kept = [state.numpy() for state in carried_states(self.model)]
        reset_states(self.model)

    def on_test_end(self, logs=None):
        for state, value in zip(carried_states(self.model), self._kept, strict=True):
            state.assign(value)


class RunCheckpoint(keras.callbacks.ModelCheckpoint):
    """Writes each epoch to the run folder, its history and its weights, and in mid epoch snapshots if asked to."""

    def __init__(self, run, begin=None, seconds=math.inf, signals=None):
        """Save to a run.

        Args:
            run: the `Run`.
            begin: the `Position` where training goes on; None for an epoch's start.
            seconds: between two snapshots.
            signals: `Signals`; what it receives is answered by a snapshot, and ends training with `Stopped`.
        """
        super().__init__(str(run.path / "checkpoints" / CHECKPOINT), monitor="val_loss", save_weights_only=True)
        self.run, self.begin, self.seconds, self.signals = run, begin, seconds, signals

    def on_epoch_begin(self, epoch, logs=None):
        if epoch < self.run.finished:
            raise ValueError(
                f"{self.run.path} has finished {self.run.finished} epochs, and fit begins at {epoch}. Pass "
                f"initial_epoch={self.run.finished} with the model from resume, or begin another run with Run.create."
            )
        self.run.under_way = epoch
        again = self.begin and self.begin.batch and self.begin.epoch == epoch
        self._epoch, self._first = epoch, self.begin.batch if again else 0
        self._saved = time.monotonic()
        self._began = self._saved - (self.begin.seconds if again else 0.0)  # as if it had never stopped

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.params["steps"]:
            return  # the epoch's end, with its checkpoint, is near
        workers = workers_of(self.model)
        asked = workers.agreed("signal", self._received())
        if asked or workers.agreed("save", time.monotonic() - self._saved > self.seconds):
            self._saved = time.monotonic()
            arrays = {**read_unsaved_state(self.model), "seconds": self._saved - self._began}
            self.run.store.save_snapshot(self.model, self._epoch, self._first + batch + 1, arrays)
            workers.agreed("save", False)  # what was said above was said before
        if asked:
            raise Stopped(int(asked))

    def _received(self):
        """The number of a signal that this process received, or 0."""
        return (self.signals.received if self.signals else None) or 0

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" not in (logs or {}):
            raise ValueError(
                "A checkpoint's name holds val_loss, which fit did not give: pass it validation_data, with "
                "validation_freq=1."
            )
        if all_finite(logs):  # a network with NaN weights is no checkpoint
            seconds = round(time.monotonic() - self._began, 1)
            self.run.record({"epoch": epoch + 1, **logs, "seconds": seconds})
            self.run.store.save_checkpoint(self.model, epoch + 1, logs["val_loss"])  # last: it says the epoch is whole
        if asked := workers_of(self.model).agree(self._received()):
            raise Stopped(int(asked))


class Progress(keras.callbacks.Callback):
    """Prints a line that moves while an epoch is trained and stays when it is done; made for terminal and notebook."""

    def __init__(self, epochs=None, characters=None, seconds=math.inf, begun=0.0, out=None, moving=True):
        """Show progress.

        Args:
            epochs: at most; None for those of `fit`.
            characters: that an epoch is trained on, to show the speed; None where it does not matter.
            seconds: left for all of training.
            begun: share of the first epoch that was finished before, 0 to below 1.
            out: a file; None for standard output.
            moving: whether to show a line before an epoch is done.
        """
        super().__init__()
        self.epochs, self.characters, self.seconds, self.begun = epochs, characters, seconds, begun
        self.out, self.moving, self._start = out, moving, None

    def on_epoch_begin(self, epoch, logs=None):
        epochs = self.epochs or self.params["epochs"]
        self._name, self._left = f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}", epochs - epoch
        self._began = self._shown = time.monotonic()
        self._start = self._start or self._began

    def on_train_batch_end(self, batch, logs=None):
        self._share = (batch + 1) / (self.params["steps"] or batch + 1) * (1 - self.begun)  # read in this process
        if self.moving and time.monotonic() - self._shown >= SECONDS_BETWEEN_LINES and self._share < 1:
            self._shown = time.monotonic()
            line = f"{self._name}: {self.begun + self._share:4.0%}, loss {float(logs['loss']):.4f}{self._speed()}"
            print(f"\r{line}    ", end="", file=self.out or sys.stdout, flush=True)

    def on_epoch_end(self, epoch, logs=None):
        losses = ", ".join(f"{name} {logs[name]:.4f}" for name in ("loss", "val_loss") if name in logs)
        bpc = f" ({logs['val_loss'] / math.log(2):.3f} bpc)" if "val_loss" in logs else ""
        seconds = duration(time.monotonic() - self._began)
        line = f"{self._name}: {losses}{bpc}, {seconds}{self._speed()}"
        print(f"{chr(13) * self.moving}{line}{' ' * 12 * self.moving}", file=self.out or sys.stdout, flush=True)
        self.begun = 0.0

    def _speed(self):
        now = time.monotonic()
        each = (now - self._began) / max(self._share, 1e-9)  # seconds of an epoch
        left = min(each * (self._left - self.begun - self._share), self.seconds - (now - self._start))
        speed = f", {self.characters / max(each, 1e-9):,.0f} characters/s" if self.characters else ""
        return f"{speed}, at most {duration(max(left, 0.0))} left"


class Samples(keras.callbacks.Callback):
    """Writes a sample after each epoch to `samples.txt`, always from the same random numbers."""

    def __init__(self, run, prompt=None, verbose=True):
        super().__init__()
        self.prompt = opening(run.vocabulary) if prompt is None else prompt
        run.vocabulary.encode(self.prompt)  # an unknown character should be known now, not after an epoch
        self.run, self.verbose = run, verbose

    def on_epoch_end(self, epoch, logs=None):
        if not all_finite(logs):
            return  # a network with NaN weights cannot write
        text = self._write(Generator(self.model, self.run.vocabulary))
        self.run.add_sample(f"--- after epoch {epoch + 1} ---\n{text}\n\n")
        if self.verbose:
            print(f"\n{text.strip()}\n", flush=True)

    def _write(self, generator):
        if not self.run.reads_lines:
            return generator.generate(self.prompt, SAMPLED_CHARACTERS, seed=0)
        # A network that reads lines one by one has never seen what follows a line's end.
        prompts = [self.prompt.lstrip("\n")] * SAMPLED_LINES
        return "".join(line.rstrip("\n") + "\n" for line in generator.generate(prompts, stop="\n", seed=0))


def all_finite(logs):
    """Whether an epoch's training and validation loss are numbers."""
    return all(math.isfinite(logs.get(name, 0.0)) for name in ("loss", "val_loss"))


def duration(seconds):
    """Write a time as a person does: 45 s, 3:20 min, 1:05 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"


def random_seeds(model):
    """List the states of a model's dropout, as variables."""
    return [variable for variable in model.non_trainable_variables if "seed_generator" in variable.path]


def carried_states(model):
    """List the states that a model carries from batch to batch, as variables."""
    return [state for layer in recurrent_layers(model) if layer.stateful for state in tf.nest.flatten(layer.states)]


def unsaved_state(model):
    """List the variables that training needs in mid epoch and that no file of weights holds; carried states come first."""
    return [*carried_states(model), *random_seeds(model), *model.metrics_variables]


def read_unsaved_state(model):
    """Read what `unsaved_state` lists, by number: the rows of all workers."""
    values, carried = [variable.numpy() for variable in unsaved_state(model)], len(carried_states(model))
    values[:carried] = [workers_of(model).all_rows(rows) for rows in values[:carried]]
    return {f"{number}": value for number, value in enumerate(values)}


def restore_unsaved_state(model, arrays):
    """Set what `unsaved_state` lists to what `read_unsaved_state` read: of carried states this worker's rows."""
    carried = len(carried_states(model))
    for number, variable in enumerate(unsaved_state(model)):
        value = arrays[f"{number}"]
        variable.assign(workers_of(model).own_rows(value) if number < carried else value)


def _tell_masks_apart(model):
    """Let each worker drop other outputs for its rows; weights, which are dropped for a whole batch, it drops as all do."""
    rank = workers_of(model).rank
    for layer in model.layers if rank else []:
        if isinstance(layer, keras.layers.Dropout):
            first, count = layer.seed_generator.state.numpy()
            layer.seed_generator.state.assign([first, count + rank * MASKS_APART])
