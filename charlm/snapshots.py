"""Training that can be stopped at any moment and goes on where it was, in the middle of an epoch too.

    runs/<name>/snapshot/<epoch>-<batch>.npz           carried state, dropout's random state, the epoch's loss and time so far
    runs/<name>/snapshot/<epoch>-<batch>.weights.h5    weights and optimizer, written last: with it the snapshot is whole

`Snapshots` is a callback that writes one each minute, and one when SIGINT (Ctrl-C) or SIGTERM asks training to stop.
`take_up` finds what it left, and `fit_on` is `model.fit` that begins there.
"""

import contextlib
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from charlm.files import move, remove_weights, save_weights, unfinished
from charlm.training import carried_states, random_seeds, resume, trained_model

SECONDS = 60.0  # between two snapshots
SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATTERN = re.compile(r"(\d+)-(\d+)\.weights\.h5")


class Snapshot(NamedTuple):
    """Training in the middle of an epoch."""

    path: Path  # of the weights
    epoch: int  # finished epochs
    batch: int  # finished batches of the next one

    def arrays(self):
        """What stands beside the weights, by name."""
        with np.load(self.path.with_name(_stem(self) + ".npz"), allow_pickle=False) as arrays:
            return dict(arrays)

    @property
    def seconds(self):
        """How long the next epoch's finished batches took."""
        return float(self.arrays().get("seconds", 0.0))


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


class Snapshots(keras.callbacks.Callback):
    """Saves training in mid epoch; belongs after a run's own callbacks, which reset the state at an epoch's start."""

    def __init__(self, run, signals=None, begin=None, seconds=SECONDS):
        """Save to a run.

        Args:
            run: the `Run`.
            signals: a `Signals`; what it receives ends training with `Stopped`.
            begin: the `Snapshot` that training goes on from.
            seconds: between two snapshots.
        """
        super().__init__()
        self.run, self.folder, self.signals, self.begin = run, run.path / "snapshot", signals, begin
        self.seconds = seconds

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._first, self._before, self._saved = epoch, 0, 0.0, time.monotonic()
        self._began = self._saved
        if self.begin and self.begin.epoch == epoch:
            self._first, self._before, arrays = self.begin.batch, self.begin.seconds, self.begin.arrays()
            for number, variable in enumerate(_unsaved(self.model)):
                variable.assign(arrays[f"{number}"])

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.params["steps"]:
            return  # the epoch's end, with its checkpoint, is near
        asked = self.signals.received if self.signals else None
        if asked or time.monotonic() - self._saved > self.seconds:
            self._save(self._first + batch + 1)
        if asked:
            raise Stopped(asked)

    def on_epoch_end(self, epoch, logs=None):
        rows = self.run.history()
        if self._before and rows and rows[-1]["epoch"] == epoch + 1:  # timed from where this process took it up
            self.run.record({**rows[-1], "seconds": round(rows[-1]["seconds"] + self._before, 1)})
        _clear(self.folder, keep=None)  # the epoch's checkpoint has it all
        if self.signals and self.signals.received:
            raise Stopped(self.signals.received)

    def _save(self, batch):
        self.folder.mkdir(exist_ok=True)
        snapshot = Snapshot(self.folder / f"{self._epoch:04d}-{batch:07d}.weights.h5", self._epoch, batch)
        arrays = snapshot.path.with_name(_stem(snapshot) + ".npz")
        with unfinished(arrays).open("wb") as file:
            seconds = self._before + time.monotonic() - self._began
            np.savez(file, seconds=seconds, **{f"{n}": v.numpy() for n, v in enumerate(_unsaved(self.model))})
        move(unfinished(arrays), arrays)
        save_weights(self.model, snapshot.path)
        _clear(self.folder, keep=snapshot)
        self._saved = time.monotonic()


def find_snapshot(run):
    """Find where a run's training stopped in mid epoch: a `Snapshot` past its last checkpoint, or None."""
    files = [(file, PATTERN.fullmatch(file.name)) for file in (run.path / "snapshot").glob("*.weights.h5")]
    found = [Snapshot(file, int(match[1]), int(match[2])) for file, match in files if match]
    finished = max((checkpoint.epoch for checkpoint in run.checkpoints()), default=0)
    return max((s for s in found if s.epoch >= finished), key=lambda s: (s.epoch, s.batch), default=None)


def take_up(run):
    """Take up a run where it stopped, in mid epoch if a snapshot is there.

    Args:
        run: a `Run`.

    Returns:
        `(model, epoch, snapshot)`: the compiled model, how many epochs are finished, and the `Snapshot` or None,
        for `fit_on` and `Snapshots(begin=...)`.

    Raises:
        FileNotFoundError: nothing was saved.
        ValueError: as for `resume`.
    """
    snapshot = find_snapshot(run)
    if snapshot is None:
        return *resume(run), None
    return trained_model(run, snapshot.path), snapshot.epoch, snapshot


def fit_on(model, batches, snapshot, epochs, initial_epoch=0, **arguments):
    """Call `model.fit`, beginning within an epoch where a snapshot says so."""
    if snapshot is not None:
        rest = batches.skip(snapshot.batch)
        model.fit(rest, initial_epoch=initial_epoch, epochs=initial_epoch + 1, **arguments)
        initial_epoch += 1
    if initial_epoch < epochs and not model.stop_training:
        model.fit(batches, initial_epoch=initial_epoch, epochs=epochs, **arguments)


def _unsaved(model):
    """What goes on from batch to batch and is in no file of weights."""
    return [*carried_states(model), *random_seeds(model), *model.metrics_variables]


def _stem(snapshot):
    return snapshot.path.name.removesuffix(".weights.h5")


def _clear(folder, keep):
    """Remove all snapshots but one."""
    for file in folder.glob("*.weights.h5"):
        if keep is None or file != keep.path:
            remove_weights(file)
    for file in folder.glob("*.npz"):
        if keep is None or file.name != _stem(keep) + ".npz":
            file.unlink()
    with contextlib.suppress(OSError):
        os.rmdir(folder)  # once it is empty
