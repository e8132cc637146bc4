"""How many steps a small text takes a network that can already write English, against one that begins with nothing."""

import math

import keras

from benchmarks.timing import table
from charlm.anytext.split import cut, encode
from charlm.anytext.transfer import extend
from charlm.corpora import load_corpus
from charlm.models import build_model, compile_model
from charlm.pipelines import streams
from charlm.runs import Run
from charlm.training import CarriedState

TEXT = "paul_graham"
SOURCES = ("shakespeare",)
BATCH_SIZE, SEQUENCE_LENGTH, DROPOUT, RATE, DECAY, EPOCHS = 8, 64, 0.4, 2e-3, 0.05, 8
LOOKS = 4  # an epoch


def measure():
    """Train on the same text, afresh and from each source's weights; return a Markdown table."""
    corpus = load_corpus(TEXT)
    rows = []
    for source in SOURCES:
        known = Run.load(source)
        parts = encode(cut(corpus.text, "streams"), known=known.vocabulary)
        arguments = {"batch_size": BATCH_SIZE, "stateful": True, "dropout": DROPOUT}
        tuned = curve(extend(known, parts.vocabulary, **arguments), parts)
        shape = {name: known.settings["model"][name] for name in ("cell", "units", "layers", "embedding_dim")}
        keras.utils.set_random_seed(0)
        afresh = curve(build_model(len(parts.vocabulary), **shape, **arguments), parts)
        best = min(afresh.values())
        steps = [
            min((step for step, loss in losses.items() if loss <= best), default=math.inf) for losses in (afresh, tuned)
        ]
        network = f"{shape['cell'].upper()}-{shape['units']}"
        rows.append(
            [source, network, f"{best:.4f}", *steps, f"{steps[0] / steps[1]:.1f}", f"{min(tuned.values()):.4f}"]
        )
    text = "stand-in for " + TEXT if corpus.is_standin else TEXT
    heads = [
        "weights of",
        "network",
        f"best from nothing on {text}, nats",
        "steps",
        "steps with weights",
        "ratio",
        "best with weights",
    ]
    return table(heads, rows)


def curve(model, parts):
    """Train with a constant rate; returns the validation loss after each quarter of an epoch: {steps: nats}."""
    data, held_out = (streams(ids, SEQUENCE_LENGTH, BATCH_SIZE) for ids in (parts.train, parts.validation))
    compile_model(model, RATE, weight_decay=DECAY)
    losses, carried = {}, CarriedState()
    carried.set_model(model)
    every = len(data) // LOOKS

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if (batch + 1) % every == 0:
                carried.on_test_begin()
                losses[int(model.optimizer.iterations)] = model.evaluate(held_out, verbose=0)
                carried.on_test_end()

    model.fit(data, epochs=EPOCHS, callbacks=[carried, Look()], shuffle=False, verbose=0)
    return losses


if __name__ == "__main__":
    print(measure())
