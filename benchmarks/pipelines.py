"""Characters per second from text to batches: `windows`, `streams`, `Vocabulary.encode` and the usual ways.

The usual ways are those of TensorFlow's text generation tutorial: a pipeline of one element a character, and
a dictionary look-up for each. A large file is read in a process of its own, so that its peak memory can be told.

    python -m benchmarks.pipelines          the tables
    python -m benchmarks.pipelines FILE     one file's figures, as JSON
"""

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import tensorflow as tf

import charlm
from benchmarks.timing import describe, interleave, number, rates, ratio, table

SEQUENCE_LENGTH, BATCH_SIZE = 100, 64
CHARACTERS = 1_115_394  # of tiny Shakespeare
ROUNDS = 5
LARGE, DISTINCT = 100_000_000, 205  # bytes, as of enwik8


def measure():
    """Return the Markdown of the tables."""
    text = sample_text()
    return "\n\n".join([measure_pipelines(text), measure_encoding(text), measure_large()])


def sample_text():
    """Load Shakespeare where CHARLM_DATA is set; else make up a text as long and as varied."""
    if os.environ.get("CHARLM_DATA"):
        return charlm.load_corpus("shakespeare").text
    alphabet = "\n !$&',-.3:;?" + "".join(map(chr, (*range(65, 91), *range(97, 123))))
    ids = np.random.default_rng(0).integers(len(alphabet), size=CHARACTERS)
    return charlm.Vocabulary(alphabet).decode(ids)


def measure_pipelines(text):
    """Compare passes over all batches of an epoch; the first pass, which starts threads, is not counted."""
    ids = charlm.Vocabulary.from_text(text).encode(text)
    datasets = {
        "one element a character": one_element_a_character(ids),
        "`charlm.windows`": charlm.windows(ids, SEQUENCE_LENGTH, BATCH_SIZE),
        "`charlm.streams`": charlm.streams(ids, SEQUENCE_LENGTH, BATCH_SIZE),
    }
    amounts = {name: read(dataset) for name, dataset in datasets.items()}
    passes = {name: functools.partial(read, dataset) for name, dataset in datasets.items()}
    found = rates(interleave(passes, ROUNDS), amounts)
    usual = "one element a character"
    rows = [[name, millions(found[name]), number(ratio(found, name, usual))] for name in datasets]
    title = f"pipeline, batches of {BATCH_SIZE} x {SEQUENCE_LENGTH}"
    return table([title, "million characters/s", "ratio"], rows)


def one_element_a_character(ids):
    """Build the tutorial's pipeline: characters one by one, batched to windows, shuffled, batched again."""
    characters = tf.data.Dataset.from_tensor_slices(ids.astype(np.int64))
    chunks = characters.batch(SEQUENCE_LENGTH + 1, drop_remainder=True)
    return chunks.map(charlm.split_input_target).shuffle(10_000).batch(BATCH_SIZE, drop_remainder=True)


def read(dataset):
    """Read one epoch and count its characters."""
    batches = sum(1 for _ in dataset)
    return batches * BATCH_SIZE * SEQUENCE_LENGTH


def measure_encoding(text):
    """Compare encoders: speed, and the bytes held for each character at the peak, the text's own included."""
    vocabulary = charlm.Vocabulary.from_text(text)
    usual, ours = "`[char2idx[c] for c in text]`", "`Vocabulary.encode`"
    encoders = {
        usual: functools.partial(look_up_one_by_one, text, vocabulary.characters),
        ours: functools.partial(vocabulary.encode, text),
    }
    peaks = {name: peak_bytes(text, encode) for name, encode in encoders.items()}
    found = rates(interleave(encoders, ROUNDS), dict.fromkeys(encoders, len(text)))
    rows = [[n, millions(found[n]), number(ratio(found, n, usual)), number(peaks[n])] for n in encoders]
    title = f"encode {len(text):,} characters"
    return table([title, "million characters/s", "ratio", "peak bytes a character"], rows)


def look_up_one_by_one(text, characters):
    """Encode as the tutorial does."""
    char2idx = {character: index for index, character in enumerate(characters)}
    return np.array([char2idx[c] for c in text])


def peak_bytes(text, encode):
    """Return the most bytes held at a time per character: by the text itself, by its ids and by buffers."""
    tracemalloc.start()
    encode()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (len(text.encode()) + peak) / len(text)


def measure_large():
    """Measure speed and peak memory on 100 MB of made-up bytes, in another process."""
    block = np.random.default_rng(0).integers(DISTINCT, size=1_000_000, dtype=np.uint8).tobytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large"
        path.write_bytes(block * (LARGE // len(block)))
        command = [sys.executable, "-m", "benchmarks.pipelines", str(path)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(output.splitlines()[-1])
    title = f"{LARGE // 10**6} MB of bytes, as read by `streams`"
    head = [title, "encode, million/s", "one pass, million/s", "both, million/s", "peak memory / file"]
    return table(head, [["charlm", *map(number, found.values())]])


def read_large(path):
    """Encode a file's bytes and read them once; memory counts from before the file is loaded.

    Returns:
        A dict of million characters a second, for encoding, one pass and both, and of the peak resident memory, with
        text and ids, as a multiple of the file.
    """
    read(charlm.streams(np.zeros(SEQUENCE_LENGTH * BATCH_SIZE + 1, np.uint8), SEQUENCE_LENGTH, BATCH_SIZE))
    before = resident_bytes("VmRSS")
    text = Path(path).read_bytes().decode("latin-1")
    times = [time.perf_counter()]
    ids = charlm.Vocabulary.from_text(text).encode(text)
    times.append(time.perf_counter())
    read(charlm.streams(ids, SEQUENCE_LENGTH, BATCH_SIZE))
    times.append(time.perf_counter())
    encode, one_pass = np.diff(times)
    seconds = {"encode": encode, "one pass": one_pass, "both": encode + one_pass}
    peak = (resident_bytes("VmHWM") - before) / len(text)
    return {**{name: len(text) / value / 1e6 for name, value in seconds.items()}, "memory": peak}


def resident_bytes(field):
    """Read the process' resident memory, now ("VmRSS") or at its peak ("VmHWM"), as Linux tells it."""
    return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def millions(values):
    """Write the median of some speeds in millions."""
    return number(float(np.median(values)) / 1e6)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(read_large(sys.argv[1])))
    else:
        print(describe(), measure(), sep="\n\n")
