"""Two workers with half the processor each against one process with all of it, and what a sum over a wire costs.

All processes stay alive and take turns. The workers train together; then each trains its half of the batch by itself, at
the same time, which is what training together would take if sums were free; and then they only sum up. The model on paper
takes what a sum costs from vectors of other lengths than the gradient's, so that the gradient's checks it. The processors'
own seconds are counted as well, which other work on the machine changes less.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

from benchmarks.timing import number, table

VOCAB_SIZE, EMBEDDING, STEPS, BATCH = 65, 128, 64, 64  # STEPS: characters of a row
UNITS = (256, 512, 1024)
BATCHES, SUMS, ROUNDS = 8, 20, 5
SHORT, LONG = 1_000, 8_000_000  # numbers of the vectors from which a sum's cost is taken
ONE, TOGETHER, APART = "one process", "two workers", "two workers without a sum"
HOSTS = "8 hosts, 10 Gbit/s"
LINKS = {  # assumptions of the model on paper: bytes a second each way, and seconds until the first byte is there
    "8 GPUs, NVLink": (300e9, 5e-6),
    "8 GPUs, PCIe 4.0": (25e9, 10e-6),
    HOSTS: (1.25e9, 50e-6),
}
PAPER_WORKERS = 8
H100 = {256: 5.16e-3, 512: 6.49e-3, 1024: 7.72e-3}  # charlm's seconds a step, 64 rows of 100, TF32: "On a GPU" above


class Found(NamedTuple):
    """Medians of what was measured for one network."""

    parameters: int
    speeds: dict  # characters a second, by competitor
    sums: dict  # seconds of a sum, by the vector's length
    busy: dict  # seconds of a step that processors computed, all together, by competitor

    @property
    def seconds(self):
        """Of a step, by competitor."""
        return {name: BATCH * STEPS / speed for name, speed in self.speeds.items()}


def measure(units=UNITS, rounds=ROUNDS):
    """Return Markdown: the speeds, what was predicted, and the model on paper."""
    found = {width: compare(width, rounds) for width in units}
    return "\n\n".join([speeds(found), paper(found)])


def speeds(found):
    """Lay out what was measured, and the check of the formula."""
    head = ["network", "parameters", "one process, characters/s", "two workers", "ratio", "of the step: sum, ms"]
    head += ["share", "sum alone, ms", "step predicted, ms", "step measured, ms", "processors' ms a step: one process"]
    head += ["two workers", "without a sum"]
    rows = []
    for width, each in found.items():
        seconds = each.seconds
        summing, predicted = seconds[TOGETHER] - seconds[APART], seconds[APART] + predicted_sum(each)
        rows.append(
            [f"GRU-{width}", f"{each.parameters:,}", *map(number, (each.speeds[ONE], each.speeds[TOGETHER]))]
            + [number(each.speeds[TOGETHER] / each.speeds[ONE]), number(1e3 * summing)]
            + [f"{summing / seconds[TOGETHER]:.0%}", number(1e3 * each.sums[each.parameters])]
            + [number(1e3 * predicted), number(1e3 * seconds[TOGETHER])]
            + [number(1e3 * each.busy[name]) for name in (ONE, TOGETHER, APART)]
        )
    return table(head, rows)


def predicted_sum(found):
    """Seconds that the gradient's sum takes by the formula, whose two numbers come from a short and a long vector."""
    latency, bandwidth = link(found.sums)
    return ring_seconds(4 * found.parameters, 2, bandwidth, latency)


def link(sums):
    """Find a link's `(latency, bandwidth)` from the seconds that two workers take to sum up short and long vectors."""
    bandwidth = 4 * (LONG - SHORT) / (sums[LONG] - sums[SHORT])
    return max(sums[SHORT] - 4 * SHORT / bandwidth, 0.0) / 2, bandwidth


def ring_seconds(size, workers, bandwidth, latency):
    """Seconds of an all-reduce in a ring: each worker sends, and receives, 2(N-1) pieces of an Nth of the vector.

    Source: Patarasuk and Yuan 2009, Bandwidth optimal all-reduce algorithms for clusters of workstations.

    Args:
        size: of the vector, in bytes.
        workers: N.
        bandwidth: bytes a second that a worker sends while it receives as many.
        latency: seconds until a message of no length is there.
    """
    return 2 * (workers - 1) * (size / workers / bandwidth + latency)


def break_even(size, workers, bandwidth, latency, seconds_per_row):
    """Rows of a batch from which on N workers are faster than one: where the work they save is what a sum costs."""
    return ring_seconds(size, workers, bandwidth, latency) / (seconds_per_row * (1 - 1 / workers))


def paper(found):
    """Lay out the model on paper: eight workers with an H100 each, or hosts with the processors measured here."""
    head = ["network", "parameters", "bytes a step", *(f"{name}: sum, ms" for name in LINKS)]
    head += [f"{name}: break-even, rows" for name in LINKS] + ["the hosts without GPUs: break-even, rows"]
    rows = []
    for width, each in found.items():
        size, gpu_row = 4 * each.parameters, H100.get(width, math.nan) / 64
        sums = [ring_seconds(size, PAPER_WORKERS, *link) for link in LINKS.values()]
        rows_needed = [break_even(size, PAPER_WORKERS, *link, gpu_row) for link in LINKS.values()]
        rows_needed.append(break_even(size, PAPER_WORKERS, *LINKS[HOSTS], each.seconds[ONE] / BATCH))
        sent = 2 * (PAPER_WORKERS - 1) / PAPER_WORKERS * size
        rows.append([f"GRU-{width}", f"{each.parameters:,}", f"{sent:,.0f}", *(number(1e3 * s) for s in sums)])
        rows[-1] += map(number, rows_needed)
    return table(head, rows)


def compare(width, rounds):
    """Let the competitors take turns: a `Found` of medians."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    one = _Process(width, None, cores)
    workers = [_Process(width, place, part) for place, part in zip(_configs(2), (cores[:half], cores[half:]))]
    try:
        runs = {ONE: ([one], "train"), TOGETHER: (workers, "train"), APART: (workers, "apart")}
        runs |= {length: (workers, f"sum {length}") for length in (SHORT, LONG, 0)}  # 0: the gradient's
        for processes, task in runs.values():
            _Process.all(processes, task)  # traces and compiles
        found = [{name: _Process.all(*run) for name, run in runs.items()} for _ in range(rounds)]
        medians = {name: statistics.median(each[name][0] for each in found) for name in runs}
        busy = {name: statistics.median(each[name][1] for each in found) / BATCHES for name in (ONE, TOGETHER, APART)}
        parameters = one.parameters
    finally:
        for process in (one, *workers):
            process.end()
    speed = {name: BATCHES * BATCH * STEPS / medians[name] for name in (ONE, TOGETHER, APART)}
    sums = {length or parameters: medians[length] / SUMS for length in (SHORT, LONG, 0)}
    return Found(parameters, speed, sums, busy)


def _configs(count):
    from charlm.devices.local import free_ports

    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    for rank in range(count):
        yield json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})


class _Process:
    """A competitor, or a part of one, which waits for tasks on its standard input."""

    def __init__(self, width, config, cores):
        threads = {"TF_NUM_INTRAOP_THREADS": str(len(cores)), "TF_NUM_INTEROP_THREADS": str(len(cores))}
        environment = {**os.environ, **threads, **({"TF_CONFIG": config} if config else {})}
        command = [sys.executable, "-m", "benchmarks.devices", "--units", str(width), "--cores", *map(str, cores)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process, self.parameters = subprocess.Popen(command, env=environment, **pipes), None

    @staticmethod
    def all(processes, task):
        """Let processes do a task at the same time; returns the slowest one's seconds, and all processors' together."""
        for process in processes:
            process._process.stdin.write(f"{task}\n")
            process._process.stdin.flush()
        answers = [json.loads(process._process.stdout.readline()) for process in processes]
        for process, answer in zip(processes, answers):
            process.parameters = answer["parameters"]
        return max(answer["seconds"] for answer in answers), sum(answer["busy"] for answer in answers)

    def end(self):
        self._process.stdin.close()
        self._process.wait(60)


def serve(width):
    """Do tasks until standard input ends; each is answered by a line of JSON."""
    import charlm

    workers = charlm.join_workers()
    whole = charlm.build_model(VOCAB_SIZE, units=width, embedding_dim=EMBEDDING, precision="float32")
    whole = charlm.compile_model(whole)
    models = {"apart": charlm.compile_model(charlm.with_batch_size(whole, None)), "train": workers.divide(whole)}
    parameters = whole.count_params()
    for line in sys.stdin:
        task, *length = line.split()
        if task == "sum":
            run = _summing(workers, int(length[0]) or parameters)
        else:
            rows = BATCH // workers.size
            run = lambda: models[task].fit(_batches(rows), shuffle=False, verbose=0)  # noqa: B023, E731
        began, busy = time.perf_counter(), time.process_time()
        run()
        took = {"seconds": time.perf_counter() - began, "busy": time.process_time() - busy}
        print(json.dumps({**took, "parameters": parameters}), flush=True)


def _batches(rows):
    """Random batches: what they are does not change the time they take."""
    import tensorflow as tf

    ids = np.random.default_rng(0).integers(0, VOCAB_SIZE, (rows, STEPS + 1), dtype=np.int32)
    return tf.data.Dataset.from_tensors((ids[:, :-1], ids[:, 1:])).repeat(BATCHES)


_COMPILED = {}


def _summing(workers, length):
    """Return a function that sums up a vector some times, one after the other."""
    import tensorflow as tf

    if length not in _COMPILED:
        _COMPILED[length] = (
            tf.function(lambda vector: workers.all_reduce(vector, "benchmark")[:1], autograph=False),
            tf.zeros(length),
        )
    total, vector = _COMPILED[length]
    return lambda: [total(vector).numpy() for _ in range(SUMS)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=UNITS, help="widths to measure")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cores", type=int, nargs="+", help=argparse.SUPPRESS)  # of a competitor
    options = parser.parse_args()
    if options.cores:
        os.sched_setaffinity(0, options.cores)
        serve(*options.units)
    else:
        print(measure(options.units, options.rounds))


if __name__ == "__main__":
    main()
