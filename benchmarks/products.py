"""The product of one step, h·U, in the forms that the writing loop could use, each in a loop that XLA compiles.

A form that XLA:CPU hands to its threaded library runs on all cores; one that it fuses with what follows does not. Kernels
in fewer bytes would be read faster, if they were multiplied as they are: these are turned to float32 on the way.
"""

import functools
import itertools
import statistics

import numpy as np
import tensorflow as tf

from benchmarks.timing import describe, interleave, number, table

STEPS = 128
ROUNDS = 5
SHAPES = ((1024, 3072), (512, 2048), (512, 1536), (256, 768))  # of U: GRU-1024, LSTM-512, GRU-512, GRU-256
BATCH_SIZES = (1, 16, 64)


def measure():
    """Return the Markdown table: thousand steps a second of each form; above one row the last three take no part."""
    rows, names = [], list(forms(*SHAPES[-1]))
    for (units, columns), batch_size in itertools.product(SHAPES, BATCH_SIZES):
        runs = make_runs(units, columns, batch_size)
        for run in runs.values():
            run()  # traces and compiles
        medians = {name: statistics.median(found) for name, found in interleave(runs, ROUNDS).items()}
        rates = [
            number(STEPS / medians[name] / 1000) if name in medians else number(None) for name in (*names, "NumPy")
        ]
        rows.append([f"{units} x {columns}", batch_size, *rates])
    return table(["U", "batch", *names, "NumPy"], rows)


def forms(units, columns):
    """List the forms by name: a function of h and the weights, the weights, and whether one row alone tries it."""
    kernel = np.random.default_rng(0).normal(scale=units**-0.5, size=(units, columns)).astype(np.float32)
    scale = np.abs(kernel).max(axis=0) / 127  # one a column of int8
    halves = [half.T for half in np.split(kernel, 2, axis=1)]
    small = np.round(kernel / scale).astype(np.int8)
    multiply_add = lambda h, w: tf.reduce_sum(h[:, :, None] * tf.cast(w, tf.float32)[None], axis=1)  # noqa: E731
    return {
        "with its bias": (lambda h, w, b: tf.matmul(h, w) + b, [kernel, np.zeros(columns, np.float32)], False),
        "alone": (tf.matmul, [kernel], False),
        "transposed": (lambda h, w: tf.matmul(h, w, transpose_b=True), [kernel.T], False),
        "transposed halves": (
            lambda h, *w: tf.concat([tf.matmul(h, x, transpose_b=True) for x in w], 1),
            halves,
            False,
        ),
        "summed, float32": (multiply_add, [kernel], True),
        "summed, bfloat16": (multiply_add, [tf.cast(kernel, tf.bfloat16)], True),
        "summed, int8": (lambda h, w, s: multiply_add(h, w) * s, [small, scale.astype(np.float32)], True),
    }


def make_runs(units, columns, batch_size):
    """Make a function for each form that does `STEPS` steps, and NumPy's."""
    hidden = np.random.default_rng(1).normal(size=(batch_size, units)).astype(np.float32)
    found = forms(units, columns)
    runs = {
        name: functools.partial(steps_of(form), tf.constant(hidden), [tf.constant(weight) for weight in weights])
        for name, (form, weights, one_row_alone) in found.items()
        if batch_size == 1 or not one_row_alone
    }
    (kernel,) = found["alone"][1]
    return {name: lambda run=run: run().numpy() for name, run in runs.items()} | {
        "NumPy": lambda: [hidden @ kernel for _ in range(STEPS)]
    }


def steps_of(form):
    """Compile a loop in which each product waits for the one before, as the steps of a network do."""

    def steps(hidden, weights):
        for _ in tf.range(STEPS):
            product = form(hidden, *weights)  # all of it is needed, or XLA would leave some out
            hidden = tf.tanh(tf.add_n(tf.split(product, product.shape[1] // hidden.shape[1], axis=1)))
        return hidden

    return tf.function(functools.partial(steps), jit_compile=True)  # partial: TensorFlow takes them for one otherwise


if __name__ == "__main__":
    print(describe(), measure(), sep="\n\n")
