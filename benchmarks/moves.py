"""What each move of a fast recurrent layer gains, on a CPU: docs/why_cudnn_is_fast.md, in seconds of a training step.

From a product for each gate, as one would write the equations down, to charlm's layer, a move at a time. All train
the same network on the same batch, and take turns.
"""

import functools
import statistics

import keras
import tensorflow as tf

import charlm
from benchmarks.timing import describe, interleave, number, ratio, table
from benchmarks.training_step import EMBEDDING, VOCAB_SIZE, Network, random_batch
from charlm.engine import rnn

ROUNDS = 5
NETWORKS = ((Network("GRU-512", "gru", 512, batch_size=32), 64), (Network("GRU-1024", "gru", 1024), 100))


class Projected(keras.layers.GRU):
    """Keras' GRU with x·W of all steps in one product before the loop; TensorFlow derives the gradient."""

    def inner_loop(self, sequences, initial_state, mask, training=False):
        weights = rnn.recurrent_weights(self)
        projected = rnn.input_projection(tf.transpose(sequences, [1, 0, 2]), weights)
        states = keras.tree.flatten(initial_state)
        outputs, states, _ = rnn._forward_loop(rnn._CELLS["gru"], projected, states, weights[2:])
        return states[0], tf.transpose(outputs, [1, 0, 2]), states


class HandWritten(rnn.GRU):
    """charlm's GRU, its loops run by TensorFlow itself."""

    _with_xla = False


KERAS_EMBEDDING = keras.layers.Embedding
WAYS = {
    "a product for each gate": (KERAS_EMBEDDING, functools.partial(keras.layers.GRU, implementation=1)),
    "one product for all gates: stock Keras": (KERAS_EMBEDDING, keras.layers.GRU),
    "+ input products before the loop": (KERAS_EMBEDDING, Projected),
    "+ hand-written gradient": (KERAS_EMBEDDING, HandWritten),
    "+ XLA compiles the loops": (KERAS_EMBEDDING, rnn.GRU),
    "+ input products by character: charlm": (rnn.Embedding, rnn.GRU),
}
STOCK = "one product for all gates: stock Keras"


def measure(networks=NETWORKS, rounds=ROUNDS):
    """Return the Markdown table: seconds of each way, and how many times as fast as stock Keras it is."""
    columns = []
    for network, steps in networks:
        ways = {name: training_step(network, steps, *layers) for name, layers in WAYS.items()}
        for step in (*ways.values(), *ways.values()):  # the first run traces and compiles
            step()
        seconds = interleave(ways, rounds)
        speeds = {name: [1 / value for value in values] for name, values in seconds.items()}
        columns.append([number(statistics.median(seconds[name])) for name in WAYS])
        columns.append([number(ratio(speeds, name, STOCK)) for name in WAYS])
    titles = [f"{network.name}, B {network.batch_size}, T {steps}" for network, steps in networks]
    heads = [head for title in titles for head in (f"{title}, s", "/ stock")]
    return table(["a training step", *heads], [list(row) for row in zip(WAYS, *columns)])


def training_step(network, steps, embedding, layer):
    """Return a function that trains a model on one batch."""
    recurrent = layer(network.units, return_sequences=True)
    model = keras.Sequential([embedding(VOCAB_SIZE, EMBEDDING), recurrent, keras.layers.Dense(VOCAB_SIZE)])
    return functools.partial(charlm.compile_model(model).train_on_batch, *random_batch(network, steps))


if __name__ == "__main__":
    print(describe(), measure(), sep="\n\n")
