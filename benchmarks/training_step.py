"""Seconds and memory of a training step: Keras' recurrent layers, charlm's in two precisions, PyTorch's.

All train the same network, a plain char-RNN of embedding, recurrent layers and logits, with Adam and clipped
gradients. PyTorch takes part where it is installed, bfloat16 where the processor multiplies it or
`--bfloat16` asks.
"""

import argparse
import ctypes
import functools
import gc
import itertools
import pathlib
import statistics
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import charlm
from benchmarks import pytorch
from benchmarks.timing import describe, interleave, number, ratio, table
from charlm.engine import rnn
from charlm.support.machine import native_bfloat16

VOCAB_SIZE = 65
EMBEDDING = 256
STEPS = 100  # T
ROUNDS = 7
BLOG_SECONDS = {"LSTM 2x512": 0.46}  # a batch on a TITAN Z, Karpathy 2015
MEMORY = """\
Peak memory, in processes of their own: of a warm step, above what stays between steps; and of the first steps, which
trace and, charlm's, compile. GRU-8, whose arrays take nothing, shows what XLA's compiler itself holds."""
STOCK, FLOAT32, BFLOAT16, TORCH = "stock Keras", "charlm float32", "charlm bfloat16", "PyTorch"
LIMITS = {"limit float32": (FLOAT32, "float32"), "limit bfloat16": (BFLOAT16, "bfloat16")}  # whose, and its precision


class Network(NamedTuple):
    """Sizes of a network and of its batches."""

    name: str
    cell: str
    units: int
    layers: int = 1
    batch_size: int = 64


NETWORKS = (
    Network("GRU-256", "gru", 256),
    Network("GRU-512", "gru", 512),
    Network("GRU-1024", "gru", 1024),
    Network("LSTM 2x512", "lstm", 512, layers=2, batch_size=100),
)
TINY = Network("GRU-8", "gru", 8)
LAYERS = {
    STOCK: {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM},
    FLOAT32: {"gru": rnn.GRU, "lstm": rnn.LSTM},
    BFLOAT16: {"gru": rnn.GRU, "lstm": rnn.LSTM},
}


def measure(networks=NETWORKS, with_bfloat16=None, rounds=ROUNDS):
    """Return two Markdown tables, of seconds and, on Linux, of memory.

    Args:
        networks: the `Network`s to train.
        with_bfloat16: whether bfloat16 takes part; None asks the processor.
        rounds: steps timed of each competitor.
    """
    competitors = names(native_bfloat16() if with_bfloat16 is None else with_bfloat16)
    others = [name for name in competitors if name != STOCK and name not in LIMITS]
    limits = [name for name in competitors if name in LIMITS]
    head = [
        "network",
        "batch",
        *(f"{name}, s" for name in competitors),
        *(f"{name} / stock" for name in others),
        *(f"{LIMITS[name][0]}, seconds / limit's" for name in limits),
    ]
    times = table([*head, "blog's TITAN Z, s"], time_rows(networks, competitors, rounds))
    if not sys.platform.startswith("linux"):
        return times
    kinds = ("warm step", "first steps")
    head = [f"{kind}: {name}, MB" for kind in kinds for name in (STOCK, FLOAT32)]
    return f"{times}\n\n{MEMORY}\n\n" + table(
        ["peak memory", *head[:2], "ratio", *head[2:], "ratio"], memory_rows([TINY, *networks])
    )


def names(with_bfloat16):
    """List who takes part."""
    limits = list(LIMITS)[: 1 + with_bfloat16]
    return [STOCK, FLOAT32] + [BFLOAT16] * with_bfloat16 + [TORCH] * pytorch.HAS_TORCH + limits


def time_rows(networks, competitors, rounds):
    """Time interleaved training steps: each network's median seconds, and how many times as fast as stock."""
    rows = []
    for network in networks:
        seconds = interleave(warm_steps(network, competitors), rounds)
        speeds = {name: [1 / value for value in values] for name, values in seconds.items()}
        medians = [number(statistics.median(seconds[name])) for name in competitors]
        ratios = [number(ratio(speeds, name, STOCK)) for name in competitors if name != STOCK and name not in LIMITS]
        ratios += [number(ratio(speeds, name, LIMITS[name][0])) for name in competitors if name in LIMITS]
        rows.append([network.name, network.batch_size, *medians, *ratios, number(BLOG_SECONDS.get(network.name))])
    return rows


def warm_steps(network, competitors):
    """Build a training step for each competitor, and run it twice: the first run traces and compiles."""
    makers = {
        TORCH: torch_step,
        **{name: functools.partial(products_alone, precision=LIMITS[name][1]) for name in LIMITS},
    }
    steps = {name: makers.get(name, functools.partial(keras_step, name=name))(network) for name in competitors}
    for _, step in itertools.product(range(2), steps.values()):
        step()
    return steps


def random_batch(network, steps=STEPS):
    """Draw inputs and targets, (batch, time) ids: what they are does not change the time a step takes."""
    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, (network.batch_size, steps + 1), dtype=np.int32)
    return ids[:, :-1], ids[:, 1:]


def keras_step(network, name, precision=None):
    """Return a function that trains a Keras model on one batch, in a competitor's precision unless another is named."""
    precision = precision or ("mixed_bfloat16" if name == BFLOAT16 else "float32")
    layer = LAYERS[name][network.cell]
    recurrent = [layer(network.units, return_sequences=True, dtype=precision) for _ in range(network.layers)]
    embed = keras.layers.Embedding if name == STOCK else rnn.Embedding
    embedding = embed(VOCAB_SIZE, EMBEDDING, dtype=precision)
    model = keras.Sequential([embedding, *recurrent, keras.layers.Dense(VOCAB_SIZE, dtype="float32")])
    return functools.partial(charlm.compile_model(model).train_on_batch, *random_batch(network))


def torch_step(network):
    """Return a function that trains the same network in PyTorch on one batch."""
    modules = pytorch.network(network.cell, EMBEDDING, network.units, network.layers, VOCAB_SIZE)
    return pytorch.training_step(modules, *random_batch(network))


def products_alone(network, precision):
    """Return a function with the products of a step and nothing else, in one graph, by `tf.matmul`.

    For each layer the chain of all steps' h·U, the chain of gradients back through it, and the gradient of U in one
    product; for each layer above another as much for x·W, which does not wait: three products of all steps.
    """
    gates = {"gru": 3, "lstm": 4}[network.cell]
    sizes = {"h": (network.batch_size, network.units), "U": (network.units, gates * network.units)}
    sizes |= {"all_h": (STEPS * network.batch_size, network.units)}
    sizes |= {"all_d": (STEPS * network.batch_size, gates * network.units)}
    given = {name: tf.cast(tf.random.normal(size, stddev=0.02), precision) for name, size in sizes.items()}

    @tf.function
    def products(h, U, all_h, all_d):
        transposed, results = tf.transpose(U), []
        for layer in range(network.layers):
            forward, back = h, tf.matmul(h, U)
            for _ in tf.range(STEPS):  # each product waits for the one before
                forward = h + tf.matmul(forward, U)[:, : network.units]
            for _ in tf.range(STEPS):
                back = all_d[: network.batch_size] + tf.matmul(back, transposed)[:, :1]
            results += [forward[0, 0], back[0, 0], tf.matmul(all_h, all_d, transpose_a=True)[0, 0]]
            if layer:
                above = tf.matmul(all_h, U), tf.matmul(all_d, transposed), tf.matmul(all_d, all_h, transpose_a=True)
                results += [product[0, 0] for product in above]
        return tf.add_n(results)

    return lambda: products(**given).numpy()


def memory_rows(networks):
    """Measure each network's peak memory of training, stock Keras' and ours, in processes of their own."""
    rows = []
    for network in networks:
        stock, ours = (peaks_in_subprocess(network.name, competitor) for competitor in (STOCK, FLOAT32))
        pairs = zip(stock, ours, strict=True)
        rows.append(
            [network.name, *(text for pair in pairs for text in (*map(number, pair), number(pair[1] / pair[0])))]
        )
    return rows


def peaks_in_subprocess(network_name, competitor):
    """Return `peak_megabytes` of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.training_step", "--peak", competitor, "--only", network_name]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(value) for value in shown.split()]


def peak_megabytes(network, competitor):
    """Measure the memory of training in this process.

    Returns:
        How far a warm step rises above what stays between steps, once the heap has given back what it holds free;
        and how far the first three steps, with all that is traced and compiled for them, raise the process's peak.
    """
    step = keras_step(network, competitor)
    before = resident_megabytes("VmRSS")
    for _ in range(3):
        step()
    first = resident_megabytes("VmHWM") - before
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    between = resident_megabytes("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    step()
    return resident_megabytes("VmHWM") - between, first


def resident_megabytes(field):
    """Return this process's resident memory, `VmRSS` now or `VmHWM` at its peak; `ru_maxrss` begins at its parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition(field + ":")[2].split()[0]) * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__.splitlines()[0])
    known = {network.name: network for network in (TINY, *NETWORKS)}
    parser.add_argument("--only", choices=known, help="one network alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="steps timed of each (default: %(default)s)")
    parser.add_argument("--bfloat16", action="store_true", default=None, help="bfloat16 even where it is emulated")
    parser.add_argument("--peak", choices=LAYERS, help=argparse.SUPPRESS)  # how this module calls itself
    options = parser.parse_args()
    networks = [known[options.only]] if options.only else NETWORKS
    if options.peak:
        print(*peak_megabytes(networks[0], options.peak))
    else:
        print(describe(), measure(networks, options.bfloat16, options.rounds), sep="\n\n")


if __name__ == "__main__":
    main()
