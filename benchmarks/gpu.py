"""On a GPU: seconds and memory of a training step in four precisions, what computed it, and characters a second written.

Stock Keras and charlm hand the recurrent layers to cuDNN, and so does PyTorch, which is timed in a process of its own.
"""

import argparse
import functools
import gc
import itertools
import json
import statistics
import subprocess
import sys

import tensorflow as tf

from benchmarks import generation, pytorch, training_step
from benchmarks.timing import describe, interleave, number, rates, ratio, table

PRECISIONS = FLOAT32, TF32, BFLOAT16, FLOAT16 = "float32", "TF32", "bfloat16", "float16"
POLICIES = {BFLOAT16: "mixed_bfloat16", FLOAT16: "mixed_float16"}
STOCK, OURS, TORCH = "stock Keras", "charlm", "PyTorch"
STEP = "`tf.function` step"
ON_CPU = "`Generator` on the CPU beside it"
ROUNDS = 15
BATCH_SIZES = (1, 64)


def measure(rounds=ROUNDS):
    """Return two Markdown tables, of training steps and of writing; or a sentence where TensorFlow sees no GPU."""
    if not tf.config.list_physical_devices("GPU"):
        return "TensorFlow sees no GPU here: nothing was measured."
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)  # what is left is PyTorch's
    return f"{training(rounds)}\n\n{writing()}"


def training(rounds):
    """Lay out what a training step takes, row by row of network and precision."""
    cases = list(itertools.product(training_step.NETWORKS, PRECISIONS))
    theirs = torch_figures([training_job(network, precision, rounds) for network, precision in cases])
    names = (STOCK, OURS)
    head = ["network", "batch", "precision", *(f"{name}, ms" for name in (*names, TORCH))]
    head += [f"{OURS} / {base}" for base in (STOCK, TORCH)]
    head += [f"{what}: {name}" for what in ("computed by", "peak MB") for name in names]
    rows = []
    for (network, precision), torchs in zip(cases, theirs, strict=True):
        seconds, kernels, megabytes = training_figures(network, precision, rounds)
        medians = {name: statistics.median(values) for name, values in seconds.items()} | {TORCH: torchs}
        ratios = [1 / ratio(rates(seconds, dict.fromkeys(names, 1)), OURS, STOCK), torchs and medians[OURS] / torchs]
        figures = [number(value and 1000 * value) for value in medians.values()] + [number(value) for value in ratios]
        rows.append([network.name, network.batch_size, precision, *figures, *kernels, *map(number, megabytes)])
    return table(head, rows)


def training_figures(network, precision, rounds):
    """Time steps of stock Keras and charlm in turn.

    Returns:
        A dict of seconds, one a round; what computes each one's layers; the peak of the GPU's memory with each, in MB.
    """
    tf.config.experimental.enable_tensor_float_32_execution(precision != FLOAT32)
    steps, kernels, megabytes = {}, [], []
    for name, layers in ((STOCK, training_step.STOCK), (OURS, training_step.FLOAT32)):
        gc.collect()
        tf.config.experimental.reset_memory_stats("GPU:0")
        steps[name] = training_step.keras_step(network, layers, POLICIES.get(precision, "float32"))
        for _ in range(3):
            steps[name]()
        megabytes.append(tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6)
        kernels.append(kernel_of(steps[name].func.__self__, network))
    return interleave(steps, rounds), kernels, megabytes


def kernel_of(model, network):
    """Name what computes a model's recurrent layers, as the graph of a call tells."""
    batch = tf.TensorSpec((network.batch_size, training_step.STEPS), tf.int32)
    graph = tf.function(model).get_concrete_function(batch).graph.as_graph_def()
    nodes = [*graph.node, *itertools.chain(*(function.node_def for function in graph.library.function))]
    if any(node.op.startswith("CudnnRNN") for node in nodes):
        return "cuDNN"
    return "a loop" if any(node.op.endswith("While") for node in nodes) else "single operations"


def writing():
    """Lay out how many characters a second each way writes, all rows together."""
    cases = list(itertools.product(generation.NETWORKS, BATCH_SIZES))
    theirs = torch_figures([writing_job(network, rows) for network, rows in cases])
    names = (generation.TUTORIAL, STEP, generation.GENERATOR, ON_CPU)
    lines = []
    for (network, rows), torchs in zip(cases, theirs, strict=True):
        found = generation.speeds(writing_ways(network, rows), rows)
        medians = [statistics.median(found[name]) for name in names]
        ours = medians[names.index(generation.GENERATOR)]
        ratios = [ratio(found, generation.GENERATOR, generation.TUTORIAL), torchs and ours / torchs]
        lines.append([network.name, rows, *map(number, (*medians, torchs, *ratios))])
    ratios = [f"{generation.GENERATOR} / {base}" for base in (generation.TUTORIAL, TORCH)]
    return table(["characters a second", "batch", *names, TORCH, *ratios], lines)


def writing_ways(network, rows):
    """Return the ways that are compared: the tutorial's model, called in two ways, and the generator on two devices."""
    model = generation.stateful_model(network, rows)
    return {
        generation.TUTORIAL: generation.Way(functools.partial(generation.tutorials_loop, model, rows)),
        STEP: generation.Way(generation.function_loop(model, rows)),
        generation.GENERATOR: generation.Way(generation.generator(network, rows), steps=256),
        ON_CPU: generation.Way(on_cpu(network, rows), steps=256),
    }


def on_cpu(network, rows):
    """Make a generator whose weights and loop are the CPU's."""
    with tf.device("CPU:0"):
        generate = generation.generator(network, rows)

    def write(steps):
        with tf.device("CPU:0"):
            generate(steps)

    return write


def training_job(network, precision, rounds):
    """Describe a training step to `benchmarks.pytorch`."""
    sizes = {"steps": training_step.STEPS, "rounds": rounds, "rows": network.batch_size}
    return {"network": torch_network(network, training_step.VOCAB_SIZE), "precision": precision, **sizes}


def writing_job(network, rows):
    """Describe writing to `benchmarks.pytorch`."""
    sizes = {"rounds": generation.ROUNDS, "rows": rows}
    return {"network": torch_network(network, len(generation.VOCABULARY)), **sizes}


def torch_network(network, vocab_size):
    """Give a network's sizes the names of `pytorch.network`."""
    sizes = {"cell": network.cell, "units": network.units, "layers": network.layers}
    return {**sizes, "inputs": generation.EMBEDDING, "vocab_size": vocab_size}


def torch_figures(jobs):
    """Let a process of PyTorch's own measure jobs: a figure for each, None where there is no PyTorch."""
    if not pytorch.HAS_TORCH:
        return [None] * len(jobs)
    command = [sys.executable, "-m", "benchmarks.pytorch"]
    shown = subprocess.run(command, input=json.dumps(jobs), check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in shown.splitlines()]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="steps timed of each (default: %(default)s)")
    print(describe(), measure(parser.parse_args().rounds), sep="\n\n")


if __name__ == "__main__":
    main()
