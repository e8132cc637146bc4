"""From ids to `tf.data`: the ways to feed a recurrent network, windows and streams of a text, and lines of a list.

They read the ids, one or two bytes a character; a batch is cut out whole and cast to int32 last.
"""

import itertools

import numpy as np
import tensorflow as tf

MOST_FILLED = 20  # places in a batch of lines for each character that stands in one
READ_AHEAD = 8  # batches that are ready before they are asked for
ROUNDING = 1e-6  # 1 - 0.05 - 0.05 is a little less than 0.9, and must not cost a character


def split(ids, validation=0.1, test=0.0):
    """Cut a text into contiguous parts: the beginning to train on, the end to validate (and test) on.

    Args:
        ids: (characters,) ids, or any sequence.
        validation: share of the text held out for validation, 0 to 1.
        test: share held out at the very end for testing, 0 for none.

    Returns:
        `(train, validation)`, or `(train, validation, test)` where `test` is above 0; views, not copies.

    Raises:
        ValueError: a share below 0, shares that leave nothing to train on, or an empty part.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"validation {validation} and test {test} must be at least 0 and together below 1.")
    train_end, validation_end = (int(len(ids) * share + ROUNDING) for share in (1 - validation - test, 1 - test))
    parts = [ids[:train_end], ids[train_end:validation_end]] + ([ids[validation_end:]] if test else [])
    if len(parts[0]) == 0 or (validation and len(parts[1]) == 0) or (test and len(parts[2]) == 0):
        sizes = ", ".join(f"{len(part):,}" for part in parts)
        raise ValueError(f"{len(ids):,} characters leave a part empty ({sizes}). Use a longer text or other shares.")
    return tuple(parts)


def split_input_target(chunk):
    """Turn T+1 characters into an input of T and a target of T: the same text, one character on.

    Args:
        chunk: (..., T + 1) ids, or a string.

    Returns:
        `(input, target)`, both (..., T).
    """
    if isinstance(chunk, str):
        return chunk[:-1], chunk[1:]
    return chunk[..., :-1], chunk[..., 1:]


def windows(ids, sequence_length=100, batch_size=64, shuffle=True, seed=0, epoch=None):
    """Cut a text into windows of T+1 characters, shuffle them, and batch them.

    For networks that start every window from zero state (`stateful=False`). Every epoch has an order of its own,
    which `seed` repeats. What does not fill a window, or a batch, at the end is left out.

    Args:
        ids: (characters,) unsigned integers, from `Vocabulary.encode`.
        sequence_length: characters a window predicts, T.
        batch_size: windows in a batch, B.
        shuffle: whether windows come in a random order; in the text's order otherwise.
        seed: integer at least 0 that decides the orders.
        epoch: a function that tells which epoch a pass is for, from 0, such as `run.epoch`, so that a resumed run goes
            on in the order of one that never stopped; None counts the passes over this dataset.

    Returns:
        A `tf.data.Dataset` of (inputs, targets), both (B, T) int32; targets are the inputs one character on.

    Raises:
        ValueError: `ids` has fewer than B * (T + 1) characters, B or T is below 1, or the seed is negative.
    """
    span = sequence_length + 1
    check_sizes(len(ids), sequence_length, batch_size, batch_size * span, f"(sequence_length {sequence_length} + 1)")
    starts = np.arange(len(ids) // span) * span
    return _dataset(_spans(ids, sequence_length), *_batched(starts, batch_size, shuffle, seed, epoch), batch_size)


def streams(ids, sequence_length=100, batch_size=64):
    """Cut a text into batches whose rows continue from one batch to the next.

    Row r of batch k+1 begins where row r of batch k ended, so a stateful network reads each row as one
    long text: truncated backpropagation through time, as in Karpathy's char-rnn (2015).

    Args:
        ids: (characters,) unsigned integers, from `Vocabulary.encode`.
        sequence_length: characters per row and batch, T; gradients reach back this far.
        batch_size: rows read in parallel, B.

    Returns:
        A `tf.data.Dataset` of (inputs, targets), both (B, T) int32; targets are the inputs one character on.
        Fewer than B * T characters at the text's end are left out, none elsewhere.

    Raises:
        ValueError: `ids` has fewer than B * T + 1 characters, or B or T is below 1.
    """
    needed = batch_size * sequence_length + 1
    check_sizes(len(ids), sequence_length, batch_size, needed, f"sequence_length {sequence_length}")
    batches = (len(ids) - 1) // (batch_size * sequence_length)
    row_starts = np.arange(batch_size) * batches * sequence_length
    starts = row_starts + np.arange(batches)[:, None] * sequence_length  # (batches, batch)
    return _dataset(_spans(ids, sequence_length), lambda: starts, batches, batch_size)


def lines(ids, end, batch_size=64, shuffle=True, seed=0, drop_remainder=True, epoch=None):
    """Give a network a list line by line: each row is one line, read from zero state, from its start to its end.

    For lists of short texts, such as names, with `stateful=False`. `end`, the line break, starts a row, so that the
    first character is predicted too, and ends it. Shorter lines are filled up with it to the longest line's length,
    and weights keep what is filled out of the loss. Empty lines are skipped. Every pass has an order of its own, which
    `seed` repeats.

    Args:
        ids: (characters,) unsigned integers, of a text whose lines end with `end`.
        end: id of the line break.
        batch_size: lines in a batch, B.
        shuffle: whether lines come in a random order; in the text's order otherwise.
        seed: integer at least 0 that decides the orders.
        drop_remainder: whether lines that do not fill a batch are left out of a pass, as is best for training. Without
            it the last batch is filled up with rows of weight 0, so that a validation loss is that of the whole list.
        epoch: as in `windows`.

    Returns:
        A `tf.data.Dataset` of (inputs, targets, weights), (B, T) int32, int32 and float32, where T is the longest
        line and its end. Weights are 0 where a row is filled up; their mean, in a batch or without `drop_remainder` in
        the list, is 1, so that the loss is that of an average character.

    Raises:
        ValueError: fewer than B lines where the remainder is dropped, B below 1, a negative seed, or lines so unequal that most of the batches'
            places would be filled up.
    """
    check_sizes(len(ids), 1, batch_size, 0, "")
    rows = _line_rows(np.asarray(ids), end)
    if not drop_remainder:
        rows = np.pad(rows, ((0, -len(rows) % batch_size), (0, 0)), constant_values=end)
    if len(rows) < max(batch_size, 1):
        raise ValueError(
            f"{len(rows):,} lines are too few for one batch: batch_size {batch_size} needs as many. Lower it, or use "
            "a longer list."
        )
    mean = None if drop_remainder else tf.reduce_mean(_line_weights(tf.constant(rows[:, 1:], tf.int32), end))
    dataset = _dataset(rows, *_batched(np.arange(len(rows)), batch_size, shuffle, seed, epoch), batch_size)

    def weigh(inputs, targets):
        weights = _line_weights(targets, end)
        return inputs, targets, weights / (tf.reduce_mean(weights) if mean is None else mean)

    return dataset.map(weigh)


def _spans(ids, sequence_length):
    """Every stretch of T+1 characters, by where it starts: a view, not a copy."""
    return np.lib.stride_tricks.sliding_window_view(np.asarray(ids), sequence_length + 1)


def _line_rows(ids, end):
    """Lay lines out as rows (lines, longest + 2): the line break, the line, and line breaks up to the longest."""
    ends = np.append(np.flatnonzero(ids == end), len(ids))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    longest = int(lengths.max(initial=0))
    if len(starts) * longest > MOST_FILLED * len(ids):
        raise ValueError(
            f"The longest line has {longest:,} characters, the average one {lengths.mean():.0f}: nearly every place "
            "in a batch would be filled up. Take out the long lines, or use streams."
        )
    rows = np.full((len(starts), longest + 2), end, ids.dtype)
    rows[:, 1:-1][np.arange(longest) < lengths[:, None]] = ids[ids != end]
    return rows


def _line_weights(targets, end):
    """1 up to each row's first `end`, 0 after it, and in rows that hold no line."""
    is_end = tf.cast(targets == tf.cast(end, targets.dtype), tf.float32)
    return tf.cast(tf.cumsum(is_end, axis=1, exclusive=True) == 0, tf.float32) * (1 - is_end[:, :1])


def _batched(places, batch_size, shuffle, seed, epoch):
    """Return a function that lays places out as (batches, batch), in a new order at each call, and the batches."""
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed is {seed}; it must be a whole number, at least 0.")
    batches = len(places) // batch_size
    epoch = epoch or itertools.count().__next__

    def batched():
        order = np.random.default_rng((seed, epoch())).permutation(places) if shuffle else places
        return order[: batches * batch_size].reshape(batches, batch_size)

    return batched, batches


def _dataset(chunks, batched_places, batches, batch_size):
    """Take the rows of T+1 characters at each place in `batched_places()`, (batches, batch), asked anew at every pass."""

    def one_pass(_):
        places = tf.numpy_function(lambda: batched_places().astype(np.int64), [], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(places, (batches, batch_size)))

    def read(places):
        return chunks[places].astype(np.int32)

    def load(places):
        chunk = tf.numpy_function(read, [places], tf.int32, stateful=False)
        return split_input_target(tf.ensure_shape(chunk, (batch_size, chunks.shape[1])))

    dataset = tf.data.Dataset.range(1).flat_map(one_pass)
    dataset = dataset.map(load).apply(tf.data.experimental.assert_cardinality(batches)).prefetch(READ_AHEAD)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread may sleep for up to a minute, and the next pass wait for it
    return dataset.with_options(options)


def check_sizes(characters, sequence_length, batch_size, needed, length_text):
    """Refuse sizes below 1, and fewer characters than a batch needs, with a ValueError that shows the sum."""
    for name, value in (("sequence_length", sequence_length), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    if characters < needed:
        raise ValueError(
            f"{characters:,} characters are too few for one batch: batch_size {batch_size} x {length_text} "
            f"needs {needed:,}. Lower one of the two, or use a longer text."
        )
