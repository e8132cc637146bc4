"""N-grams as a trie of flat arrays: the distributions of several orders at once, on plain tensors.

A node is an n-gram, the root the empty one; a node's children, its n-grams with one more character, stand side by side
in the order of their characters. These functions run inside the compiled loop; `charlm.evaluation.mixture` has one for a
text whose contexts are all known.
"""

from typing import NamedTuple

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
    characters, own = zip(*(_window(trie, begin[:, k], end[:, k], size) for k, size in enumerate(most_children)))
    left, asked = tf.ones_like(rest[:, :1, 0]) / vocab_size, []
    given = tf.zeros((tf.shape(contexts)[0], 0))  # what the orders so far give to the children of their contexts
    for k in range(orders[-1]):
        within, on_top = (
            (tf.concat([given * rest[:, k, i, None], own[k][..., i]], axis=1), left * rest[:, k, i, None])
            for i in (0, 1)
        )
        if k + 1 in orders:
            asked.append(on_top)
        given, left = within
    width = sum(most_children[: orders[-1]])
    values = tf.stack([tf.pad(given, [[0, 0], [0, width - given.shape[1]]]) for given, _ in asked], axis=1)
    places = tf.cast(tf.concat(characters, axis=1)[..., None] == tf.range(vocab_size), tf.float32)  # (rows, width, V)
    everywhere = tf.stack([left for _, left in asked], axis=1)  # (rows, models, 1)
    return tf.matmul(values, places) + everywhere, tf.reduce_sum(tf.cast(end > begin, tf.int32), axis=1)


def _window(trie, begin, end, size):
    """The children from `begin` to `end`, `size` of them: characters (rows, size), -1 beyond, and `own` (rows, size, 2)."""
    places = begin[:, None] + tf.range(size)
    there, places = places < end[:, None], tf.minimum(places, tf.shape(trie.characters)[0] - 1)
    characters = tf.where(there, tf.cast(tf.gather(trie.characters, places), tf.int32), -1)
    return characters, tf.where(there[..., None], tf.gather(trie.own, places), 0.0)


def _children(trie, contexts):
    """Where the children of nodes begin and end; those of -1 are none."""
    begin = tf.gather(trie.children, tf.maximum(contexts, 0))
    return begin, tf.where(contexts < 0, begin, tf.gather(trie.children, tf.maximum(contexts, 0) + 1))


def _search(trie, begin, end, characters, vocab_size):
    """Find characters between `begin` and `end`, by halves: their places, and whether they are there."""
    last, low, high = tf.shape(trie.characters)[0] - 1, begin, end
    for _ in range(vocab_size.bit_length()):
        middle = (low + high) // 2
        smaller = (low < high) & (tf.cast(tf.gather(trie.characters, tf.minimum(middle, last)), tf.int32) < characters)
        low, high = tf.where(smaller, middle + 1, low), tf.where(smaller, high, middle)
    place = tf.minimum(low, last)
    return place, (low < end) & (tf.cast(tf.gather(trie.characters, place), tf.int32) == characters)
