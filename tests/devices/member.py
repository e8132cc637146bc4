"""A worker of the tests' own, in a process of its own: `python -m tests.devices.member FOLDER PART...`.

TF_CONFIG names the workers. Each part is a training, whose history and weights every worker writes to the folder; in the
part "killed" the last worker kills itself in mid epoch, in the part "stopped" it just does nothing any more.
"""

import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

import charlm
from charlm.devices.workers import LostWorker
from charlm.training import ALONE, CarriedState

ROWS, LENGTH = 7, 16  # of a batch, whose rows no two or three workers share evenly
WORDS = "the quick brown fox jumps over the lazy dog, and the dog only sighs: oh, again?".split()
TEXT = " ".join(WORDS[i] for i in np.random.default_rng(0).integers(len(WORDS), size=300)) + "\n"
VOCABULARY = charlm.Vocabulary.from_text(TEXT)
LOST_AT = 1, 3  # epoch and batch, from 0
LOST = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}
EPOCHS = 2


def feed(kind, run=None):
    """Make datasets of whole batches: to train on, and held out."""
    ids = VOCABULARY.encode(TEXT)
    if kind == "lines":  # here words stand for lines
        end = int(VOCABULARY.encode(" ")[0])
        return charlm.lines(ids, end, ROWS, seed=1), charlm.lines(ids[:300], end, ROWS, drop_remainder=False)
    make = charlm.windows if kind == "windows" else charlm.streams
    return make(ids, LENGTH, ROWS), make(ids[:400], LENGTH, ROWS)


def first_model(kind, **arguments):
    """Make a network with the same weights in every process, and an optimizer that shortens nearly every gradient."""
    carried = kind not in ("windows", "lines")
    arguments = {
        "cell": "rnn" if kind == "lines" else "gru",
        "units": 12,
        "embedding_dim": 6,
        "weight_dropout": 0.3,
        **arguments,
    }
    rows = {"batch_size": ROWS if carried else None, "stateful": carried}
    model = charlm.build_model(len(VOCABULARY), **arguments, **rows)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) / np.sqrt(w.shape[0]) for w in model.get_weights()])
    return charlm.compile_model(model, 0.01, clip_norm=0.1, weight_decay=0.1, decay_steps=30)


def train(kind, workers=ALONE, callbacks=None, model=None, **options):
    """Train; returns the losses of each epoch, and the model."""
    model = workers.divide(model or first_model(kind))
    data, held_out = (workers.part(whole) for whole in feed(kind))
    callbacks = callbacks or [CarriedState()]
    options = {"epochs": EPOCHS, "shuffle": False, "verbose": 0, "callbacks": callbacks, **options}
    return model.fit(data, validation_data=held_out, **options).history, model


class Lose(keras.callbacks.Callback):
    """Ends or stops the process without a word."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == LOST_AT:
            os.kill(os.getpid(), self.number)


def be_lost(folder, workers, part):
    """Train as a run, with a snapshot after every other batch, until the last worker is lost."""
    model = first_model(part)
    run = charlm.Run.create(folder / "run", model, VOCABULARY, workers=workers)
    last = [Lose(LOST[part])] if workers.rank == workers.size - 1 else []
    train(part, workers, [*run.callbacks(verbose=False, seconds=0.0), *last], model)


def main(folder, *parts):
    folder, workers = Path(folder), charlm.join_workers()
    for part in parts:
        if part in LOST:
            return be_lost(folder, workers, part)
        history, model = train(part, workers)
        weights = {f"{n}": weight for n, weight in enumerate(model.get_weights())}
        np.savez(folder / f"{part}-{workers.rank}.npz", **history, **weights)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except LostWorker as error:
        sys.exit(f"{error}")
