"""N-grams as a trie of flat arrays: the distributions of several orders at once, on plain tensors.

A node is an n-gram, the root the empty one; a node's children, its n-grams with one more character, stand side by side
in the order of their characters. These functions run inside the compiled loop; `charlm.evaluation.mixture` has one for a
text whose contexts are all known.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Trie(NamedTuple):
    """N-grams of orders 1 to K, node by node; a context that was not counted is -1.

    Of two estimates of each order the first takes part in longer ones, the second stands at the top of its own.
    """

    children: tf.Tensor  # (nodes + 1,) int32: where the children of a node begin, and those of the node before end
    characters: tf.Tensor  # (nodes,) uint8 or int32: the character that a node adds to its parent
    own: tf.Tensor  # (nodes, 2) float32: what its parent's count gives to this character
    rest: tf.Tensor  # (nodes, 2) float32: what it leaves, as a context, to the next shorter one


def start(rows, order):
    """Return the contexts of rows that have read nothing: (rows, order) nodes, of 0 to order - 1 characters, -1 for none."""
    return tf.concat([tf.zeros((rows, 1), tf.int32), tf.fill((rows, order - 1), -1)], axis=1)


def advance(trie, contexts, characters, vocab_size):
    """Read one of (rows,) characters a row: (rows, order) contexts become those after it."""
    begin, end = _children(trie, contexts[:, :-1])
    places, found = _search(trie, begin, end, characters[:, None], vocab_size)
    return tf.concat([contexts[:, :1], tf.where(found, places, -1)], axis=1)


def distributions(trie, contexts, orders, vocab_size, most_children):
    """Predict the next character, with a model of each order asked.

    A model's estimate is a sum over orders: what each order's count gives to a character, times what all longer ones
    leave. One product with a matrix of ones and zeros brings the children of all contexts to their characters' places.

    Args:
        contexts: (rows, order) nodes, from `start` and `advance`.
        orders: ascending, up to the contexts'.
        vocab_size: characters in the vocabulary, V.
        most_children: for each order, how many children a node of its contexts has at most.

    Returns:
        `(probabilities, matched)`: (rows, models, V), and how many contexts occur in training, (rows,) int32.
    """
    contexts = contexts[:, : orders[-1]]
    begin, end = _children(trie, contexts)
    rest = tf.where((end > begin)[..., None], tf.gather(trie.rest, tf.maximum(contexts, 0)), 1.0)  # (rows, order, 2)
    levels = np.repeat(np.arange(orders[-1]), most_children[: orders[-1]])  # of the children of all contexts, (width,)
    characters, own = _windows(trie, begin, end, most_children[: orders[-1]])
    highest = np.array(orders) - 1  # the level at the top of each model
    on_top = levels == highest[:, None]
    left = _left(rest, highest)  # (rows, models, levels + 1)
    given = tf.where(on_top, own[:, None, :, 1], own[:, None, :, 0]) * tf.gather(left, levels + 1, axis=2)
    values = tf.where(levels <= highest[:, None], given, 0.0)  # (rows, models, width)
    places = tf.cast(characters[..., None] == tf.range(vocab_size), tf.float32)  # (rows, width, V)
    return tf.matmul(values, places) + left[..., :1] / vocab_size, tf.reduce_sum(tf.cast(end > begin, tf.int32), axis=1)


def _left(rest, highest):
    """What the longer orders of each model leave to each shorter one: (rows, models, levels + 1).

    The first place is what they leave to the uniform distribution. It is the product of `rest` over the longer orders, of
    which a model's highest has its second estimate.
    """
    levels, above = np.arange(rest.shape[1]), np.arange(rest.shape[1] + 1)[:, None] - 1
    between = (levels > above) & (levels < highest[:, None, None])  # (models, levels + 1, levels)
    top = (levels > above) & (levels == highest[:, None, None])
    within, on_top = (rest[:, None, None, :, i] for i in (0, 1))
    return tf.reduce_prod(tf.where(between, within, tf.where(top, on_top, 1.0)), axis=3)


def _windows(trie, begin, end, sizes):
    """The children of a row's contexts, side by side, `sizes[k]` places for those of context k.

    Returns:
        Their characters (rows, width), -1 where a place is empty, and `own` (rows, width, 2).
    """
    order = np.repeat(np.arange(len(sizes)), sizes)
    within = np.concatenate([np.arange(size) for size in sizes])
    places = tf.gather(begin, order, axis=1) + within.astype(np.int32)
    there, places = places < tf.gather(end, order, axis=1), tf.minimum(places, tf.shape(trie.characters)[0] - 1)
    characters = tf.where(there, tf.cast(tf.gather(trie.characters, places), tf.int32), -1)
    return characters, tf.where(there[..., None], tf.gather(trie.own, places), 0.0)


def _children(trie, contexts):
    """Where the children of nodes begin and end; those of -1 are none."""
    begin = tf.gather(trie.children, tf.maximum(contexts, 0))
    return begin, tf.where(contexts < 0, begin, tf.gather(trie.children, tf.maximum(contexts, 0) + 1))


def _search(trie, begin, end, characters, vocab_size):
    """Find characters between `begin` and `end`, by halves: their places, and whether they are there."""
    last = tf.shape(trie.characters)[0] - 1

    def halve(step, low, high):
        middle = (low + high) // 2
        smaller = (low < high) & (tf.cast(tf.gather(trie.characters, tf.minimum(middle, last)), tf.int32) < characters)
        return step + 1, tf.where(smaller, middle + 1, low), tf.where(smaller, high, middle)

    # As a loop: unrolled, it would take XLA a second to compile.
    steps = vocab_size.bit_length()
    _, low, _ = tf.while_loop(lambda step, *_: step < steps, halve, (0, begin, end), maximum_iterations=steps)
    place = tf.minimum(low, last)
    return place, (low < end) & (tf.cast(tf.gather(trie.characters, place), tf.int32) == characters)
