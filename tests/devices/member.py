"""A worker of the tests' own: trains small networks with the others, as tests/devices/test_workers.py asks.

python -m tests.devices.member FOLDER PART...    with TF_CONFIG set
"""

import os
import sys
from pathlib import Path

import numpy as np

import charlm
from charlm.devices.meeting import place_in
from charlm.devices.workers import Workers
from charlm.training import ALONE

ROWS, LENGTH = 7, 16  # of a batch, whose rows no two or three workers share evenly
TEXT = "the quick brown fox jumps over the lazy dog,\nand the dog only sighs: oh, again?\n"
NETWORK = {"units": 12, "embedding_dim": 6, "weight_dropout": 0.3}


def text():
    words = TEXT.split()
    order = np.random.default_rng(0).integers(len(words), size=500)
    return " ".join(words[i] for i in order) + "\n"


def feed(kind, run=None):
    """Make datasets of a kind, of whole batches."""
    vocabulary = charlm.Vocabulary.from_text(text())
    ids = vocabulary.encode(text())
    if kind == "lines":  # here words stand for lines
        end = int(vocabulary.encode(" ")[0])
        return charlm.lines(ids, end, ROWS, seed=1), charlm.lines(ids[:300], end, ROWS, drop_remainder=False)
    make = charlm.streams if kind == "streams" else charlm.windows
    return make(ids, LENGTH, ROWS), make(ids[:400], LENGTH, ROWS)


def first_model(kind, cell="gru"):
    """Make a network with the same weights in every process, and an optimizer that clips nearly every gradient."""
    carried = kind == "streams"
    model = charlm.build_model(
        len(charlm.Vocabulary.from_text(text())),
        cell,
        batch_size=ROWS if carried else None,
        stateful=carried,
        **NETWORK,
    )
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) / np.sqrt(w.shape[0]) for w in model.get_weights()])
    return charlm.compile_model(model, 0.01, clip_norm=0.1, weight_decay=0.1, decay_steps=30)


def train(kind, workers=ALONE, epochs=2):
    """Train; returns the history of losses, and the model."""
    model, (data, held_out) = workers.divide(first_model(kind)), feed(kind)
    from charlm.training import CarriedState

    found = model.fit(
        workers.part(data),
        validation_data=workers.part(held_out),
        epochs=epochs,
        callbacks=[CarriedState()],
        shuffle=False,
        verbose=0,
    )
    return found.history, model


def main(folder, *kinds):
    workers = Workers(place_in(os.environ["TF_CONFIG"]))
    for kind in kinds:
        history, model = train(kind, workers)
        weights = {f"weight{n}": weight for n, weight in enumerate(model.get_weights())}
        np.savez(Path(folder) / f"{kind}-{workers.rank}.npz", **history, **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
