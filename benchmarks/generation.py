"""Characters per second written by `charlm.Generator` and by the usual ways, with a call for each.

All ways run networks of the same sizes with random weights: what they write is noise, how fast is not.
PyTorch takes part where it is installed.
"""

import functools
import itertools
import os
import statistics
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import charlm
from benchmarks import pytorch
from benchmarks.timing import describe, interleave, number, rates, ratio, seconds_of, table

VOCABULARY = charlm.Vocabulary("".join(map(chr, range(32, 32 + 65))))
EMBEDDING = 256
BATCH_SIZES = (1, 16, 64)
ROUNDS = 3
ROUND_SECONDS = 0.3  # about what a run takes: slow ways write fewer characters
TUTORIAL, GENERATOR, LIMIT = "tutorial's loop", "`Generator`", "limit: NumPy's products"


class Network(NamedTuple):
    """Sizes of a network."""

    name: str
    cell: str
    units: int
    layers: int


NETWORKS = (
    Network("GRU-1024", "gru", 1024, 1),
    Network("GRU-256", "gru", 256, 1),
    Network("LSTM 2x512", "lstm", 512, 2),
)


class Way(NamedTuple):
    """A way to write text."""

    write: Callable  # takes a number of steps; every row writes a character a step
    steps: int = 4  # for a first impression of its speed


def measure():
    """Return the Markdown table: characters/s of each way, all rows together, and the Generator's ratios."""
    rows = []
    for network, batch_size in itertools.product(NETWORKS, BATCH_SIZES):
        found = speeds(make_ways(network, batch_size), batch_size)
        medians = {name: statistics.median(values) for name, values in found.items()}
        peers = [name for name in found if name.startswith("PyTorch")]
        bases = [TUTORIAL, LIMIT] + ([max(peers, key=medians.get)] if peers else [])
        ratios = [number(ratio(found, GENERATOR, base)) for base in bases]
        rows.append([network.name, batch_size, *map(number, medians.values()), *ratios])
    heads = [f"{GENERATOR} / {base}" for base in ("tutorial's", "limit", "faster PyTorch")[: len(bases)]]
    return table(["network", "batch", *found, *heads], rows)


def speeds(ways, batch_size):
    """Measure characters/s of each way: a dict of name to a list with a figure for each round."""
    steps = {name: steps_a_round(way) for name, way in ways.items()}
    runs = {name: functools.partial(way.write, steps[name]) for name, way in ways.items()}
    return rates(interleave(runs, ROUNDS), {name: count * batch_size for name, count in steps.items()})


def steps_a_round(way):
    """Find how many steps fill a round, from a run after the one that traces and compiles."""
    run = functools.partial(way.write, way.steps)
    run()
    return way.steps * max(1, round(ROUND_SECONDS / seconds_of(run)))


def make_ways(network, batch_size):
    """Build one network, or its like, for all ways."""
    model = stateful_model(network, batch_size)
    generate = generator(network, batch_size)
    ways = {
        TUTORIAL: Way(functools.partial(tutorials_loop, model, batch_size)),
        "`predict`": Way(functools.partial(predict_loop, model, batch_size)),
        "`tf.function` step": Way(function_loop(model, batch_size)),
    }
    if pytorch.HAS_TORCH:
        sizes = network.cell, EMBEDDING, network.units, network.layers, len(VOCABULARY)
        ways["PyTorch"] = Way(pytorch.writer(pytorch.network(*sizes), batch_size, os.cpu_count()))
        ways["PyTorch, 1 thread"] = Way(pytorch.writer(pytorch.network(*sizes), batch_size, threads=1))
    ways[GENERATOR] = Way(generate, steps=256)
    ways["with top-k, top-p"] = Way(functools.partial(generate, top_k=20, top_p=0.9), steps=256)
    ways[LIMIT] = Way(products_alone(network, batch_size), steps=64)
    return ways


def stateful_model(network, batch_size):
    """Build the network as the tutorial does, of Keras' own layers."""
    layer = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[network.cell]
    recurrent = [layer(network.units, return_sequences=True, stateful=True) for _ in range(network.layers)]
    inputs = keras.Input(batch_shape=(batch_size, None), dtype="int32")
    embedding = keras.layers.Embedding(len(VOCABULARY), EMBEDDING)
    return keras.Sequential([inputs, embedding, *recurrent, keras.layers.Dense(len(VOCABULARY))])


def tutorials_loop(model, batch_size, steps):
    """One eager call and one draw a character, in Python."""
    ids, written = tf.zeros((batch_size, 1), tf.int32), []
    for _ in range(steps):
        logits = model(ids)[:, -1, :]
        ids = tf.random.categorical(logits, num_samples=1, dtype=tf.int32)
        written.append(ids.numpy())
    return written


def predict_loop(model, batch_size, steps):
    """`model.predict` for each character."""
    random = np.random.default_rng(0)
    ids, written = np.zeros((batch_size, 1), np.int32), []
    for _ in range(steps):
        logits = model.predict(ids, batch_size=batch_size, verbose=0)[:, -1, :]
        ids = np.argmax(logits + random.gumbel(size=logits.shape), axis=-1)[:, None].astype(np.int32)
        written.append(ids)
    return written


def function_loop(model, batch_size):
    """The tutorial's loop with call and draw in one `tf.function`."""

    @tf.function
    def step(ids):
        return tf.random.categorical(model(ids)[:, -1, :], num_samples=1, dtype=tf.int32)

    def write(steps):
        ids, written = tf.zeros((batch_size, 1), tf.int32), []
        for _ in range(steps):
            ids = step(ids)
            written.append(ids.numpy())
        return written

    return write


def products_alone(network, batch_size):
    """What no way can do without: the products of each step, h·U and between layers x·W, as NumPy multiplies them."""
    gates = {"gru": 3, "lstm": 4}[network.cell]
    random = np.random.default_rng(0)
    hidden = random.normal(size=(batch_size, network.units)).astype(np.float32)
    kernels = random.normal(size=(2 * network.layers - 1, network.units, gates * network.units)).astype(np.float32)

    def multiply(steps):
        for _, kernel in itertools.product(range(steps), kernels):
            hidden @ kernel

    return multiply


def generator(network, batch_size):
    """charlm's way; every call reads its prompt of one character first."""
    model = charlm.build_model(len(VOCABULARY), network.cell, network.units, network.layers, EMBEDDING)
    writer = charlm.Generator(model, VOCABULARY)
    prompts = VOCABULARY.characters[:1] if batch_size == 1 else [VOCABULARY.characters[0]] * batch_size

    def write(steps, **settings):
        return writer.generate(prompts, steps, seed=0, **settings)

    return write


if __name__ == "__main__":
    print(describe(), measure(), sep="\n\n")
