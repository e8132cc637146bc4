"""From ids to `tf.data`: the two ways to feed a recurrent network, windows and streams.

Both read the ids, one or two bytes a character, through a view; a batch is cut out whole and cast to int32 last.
"""

import itertools

import numpy as np
import tensorflow as tf

ROUNDING = 1e-6  # 1 - 0.05 - 0.05 is a little less than 0.9, and must not cost a character


class _Epoch:
    """The number of the epoch that the next pass over `windows` is for, where training has told it."""

    number = None

    @classmethod
    def take(cls, passes):
        number, cls.number = cls.number, None
        return passes if number is None else number


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


def windows(ids, sequence_length=100, batch_size=64, shuffle=True, seed=0):
    """Cut a text into windows of T+1 characters, shuffle them, and batch them.

    For networks that start every window from zero state (`stateful=False`). Every epoch has an order of its own,
    which `seed` repeats. What does not fill a window, or a batch, at the end is left out.

    Args:
        ids: (characters,) unsigned integers, from `Vocabulary.encode`.
        sequence_length: characters a window predicts, T.
        batch_size: windows in a batch, B.
        shuffle: whether windows come in a random order; in the text's order otherwise.
        seed: integer at least 0 that decides the orders.

    Returns:
        A `tf.data.Dataset` of (inputs, targets), both (B, T) int32; targets are the inputs one character on.

    Raises:
        ValueError: `ids` has fewer than B * (T + 1) characters, B or T is below 1, or the seed is negative.
    """
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed is {seed}; it must be a whole number, at least 0.")
    span = sequence_length + 1
    _check_sizes(ids, sequence_length, batch_size, batch_size * span, f"(sequence_length {sequence_length} + 1)")
    batches = len(ids) // span // batch_size
    starts = np.arange(len(ids) // span) * span
    passes = itertools.count()

    def batched_starts():
        if not shuffle:
            return starts[: batches * batch_size].reshape(batches, batch_size)
        epoch = _Epoch.take(next(passes))
        order = np.random.default_rng((seed, epoch)).permutation(starts)
        return order[: batches * batch_size].reshape(batches, batch_size)

    return _dataset(ids, batched_starts, batches, sequence_length, batch_size)


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
    _check_sizes(ids, sequence_length, batch_size, needed, f"sequence_length {sequence_length}")
    batches = (len(ids) - 1) // (batch_size * sequence_length)
    row_starts = np.arange(batch_size) * batches * sequence_length
    starts = row_starts + np.arange(batches)[:, None] * sequence_length  # (batches, batch)
    return _dataset(ids, lambda: starts, batches, sequence_length, batch_size)


def set_epoch(number):
    """Tell `windows` which epoch its next pass is for, so that a resumed run shuffles as if it had never stopped.

    Without it, or with None, a dataset's first pass is epoch 0, its second epoch 1, and so on.
    """
    _Epoch.number = number


def _dataset(ids, batched_starts, batches, sequence_length, batch_size):
    """Read T+1 characters from each place in `batched_starts()`, (batches, batch), asked anew at every pass."""
    spans = np.lib.stride_tricks.sliding_window_view(np.asarray(ids), sequence_length + 1)  # a view, not a copy

    def one_pass(_):
        starts = tf.numpy_function(lambda: batched_starts().astype(np.int64), [], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(starts, (batches, batch_size)))

    def read(starts):
        return spans[starts].astype(np.int32)

    def load(starts):
        chunk = tf.numpy_function(read, [starts], tf.int32, stateful=False)
        return split_input_target(tf.ensure_shape(chunk, (batch_size, sequence_length + 1)))

    dataset = tf.data.Dataset.range(1).flat_map(one_pass)
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches)).prefetch(tf.data.AUTOTUNE)


def _check_sizes(ids, sequence_length, batch_size, needed, length_text):
    for name, value in (("sequence_length", sequence_length), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    if len(ids) < needed:
        raise ValueError(
            f"{len(ids):,} characters are too few for one batch: batch_size {batch_size} x {length_text} "
            f"needs {needed:,}. Lower one of the two, or use a longer text."
        )
