"""Characters per second from text to batches: `windows`, `streams`, `Vocabulary.encode` and the usual ways.

The usual ways are those of TensorFlow's text generation tutorial: a pipeline of one element a character, and
a dictionary look-up for each.
"""

import functools
import os
import tracemalloc

import numpy as np
import tensorflow as tf

import charlm
from benchmarks.timing import describe, interleave, number, rates, ratio, table

SEQUENCE_LENGTH, BATCH_SIZE = 100, 64
CHARACTERS = 1_115_394  # of tiny Shakespeare
ROUNDS = 5


def measure():
    """Return the Markdown of both tables."""
    text = sample_text()
    return "\n\n".join([measure_pipelines(text), measure_encoding(text)])


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


def millions(values):
    """Write the median of some speeds in millions."""
    return number(float(np.median(values)) / 1e6)


if __name__ == "__main__":
    print(describe(), measure(), sep="\n\n")
