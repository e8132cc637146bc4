"""Networks and n-grams that predict together, character by character: what a mixture's generator and scores run.

Each part gives a distribution. Their logarithms, weighted and added, are the mixture's logits: p is in proportion to
the product of the parts' probabilities, each to the power of its weight. Weights depend on the number of contexts,
from none to the longest, that occur in training.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from charlm.engine import ngrams
from charlm.engine.loop import Loop, NetworkState

LEAST = 1e-30  # probability of which a logarithm is taken


class MixedStep(NamedTuple):
    """A step of a mixture: what `compiled_step` repeats."""

    networks: tuple  # of `NetworkStep`
    orders: tuple  # of the n-gram models
    vocab_size: int
    most_children: tuple  # of a context of each order
    end: int | None = None  # id of the line break, where the text is a list without duplicates

    def recurrents(self, weights, states):
        """Multiply the first hidden states of every network."""
        parts = zip(self.networks, weights["networks"], self._by_network(states), strict=True)
        return tuple(step.recurrents(*part) for step, *part in parts)

    def __call__(self, weights, character, states, recurrents):
        """Read one character a row; returns and arguments as `NetworkStep`'s, with the contexts as the last state."""
        parts = zip(self.networks, weights["networks"], self._by_network(states), recurrents, strict=True)
        read = [step(network, character, *rest) for step, network, *rest in parts]
        contexts = ngrams.advance(weights["trie"], states[-1][0], character, self.vocab_size)
        probabilities, matched = ngrams.distributions(weights["trie"], contexts, *self[1:4])
        known = None if self.end is None else known_ends(weights["lines"], contexts, self.end, self.vocab_size)
        features = features_of([logits for _, _, logits in read], probabilities, known)
        states = (*(layer for layers, _, _ in read for layer in layers), (contexts,))
        return states, tuple(products for _, products, _ in read), mix(features, matched, weights["mix"])

    def _by_network(self, states):
        """Cut the states of all layers into those of each network."""
        ends = np.cumsum([len(step.cells) for step in self.networks])
        return [states[end - len(step.cells) : end] for step, end in zip(self.networks, ends, strict=True)]


def features_of(logits, probabilities, known=None):
    """Return the parts' log probabilities, (rows, parts, V): the networks' logits, a list, then the n-grams'.

    In a list without duplicates what `known_ends` finds is the last part.
    """
    networks = tf.stack([tf.nn.log_softmax(scores) for scores in logits], axis=1)
    features = tf.concat([networks, tf.math.log(tf.maximum(probabilities, LEAST))], axis=1)
    return features if known is None else tf.concat([features, known[:, None]], axis=1)


def known_ends(lines, contexts, end, vocab_size):
    """Mark where a line would be one that is known if it ended: (rows, V), -1 at the line break there, 0 elsewhere.

    Weighted as a part of a mixture, it makes what is known less likely to come again.
    """
    known = tf.reduce_any((contexts >= 0) & tf.gather(lines, tf.maximum(contexts, 0)), axis=1)
    return -tf.cast(known, tf.float32)[:, None] * tf.one_hot(end, vocab_size)


def mix(features, matched, weights):
    """Weigh log probabilities (rows, parts, V) by (contexts, parts) weights, of which `matched` names the row's."""
    return tf.nn.log_softmax(tf.einsum("rpv,rp->rv", features, tf.gather(weights, matched)))


class MixedLoop(Loop):
    """A mixture's weights and counts, with the compiled function that runs them: a `Loop` as any other."""

    def __init__(self, networks, counted, orders, weights, end=None, lines=None):
        """Copy the parts.

        Args:
            networks: models from `build_model`, of one vocabulary.
            counted: a `charlm.engine.ngrams.Trie`.
            orders: of the n-gram models, ascending; the last is that of the trie.
            weights: (orders[-1] + 1, parts): for each number of matched contexts.
            end, lines: of a list without duplicates: id of the line break, and whether a node of the trie is a line
                break and a known line, (nodes,) bool.
        """
        self.loops = [Loop(model) for model in networks]
        self.vocab_size = self.loops[0].vocab_size
        steps, most = tuple(loop.step for loop in self.loops), _most_children(counted, orders[-1])
        self.step = MixedStep(steps, tuple(orders), self.vocab_size, most, end)
        self._counted = {"trie": tf.nest.map_structure(tf.constant, counted), "mix": tf.constant(weights, tf.float32)}
        if end is not None:
            self._counted["lines"] = tf.constant(lines)

    def start(self, rows):
        """Return the state of `rows` rows that have read nothing."""
        layers = [state for loop in self.loops for state in loop.start(rows).states]
        contexts = ngrams.start(rows, self.step.orders[-1]).numpy()
        return NetworkState((*layers, (contexts,)), np.zeros((rows, self.vocab_size), np.float32))

    def weights(self, rows):
        """Return the weights as `MixedStep` takes them."""
        return {"networks": [loop.weights(rows) for loop in self.loops], **self._counted}


def _most_children(counted, order):
    """How many children a node has at most, for the nodes of each length from 0 to order - 1."""
    counts, nodes = np.diff(counted.children), np.arange(1)
    most = []
    for _ in range(order):
        most.append(int(counts[nodes].max()))
        nodes = np.arange(counted.children[nodes[0]], counted.children[nodes[-1] + 1])
    return tuple(most)
