"""Reading a text and learning from it: each character is scored first, and learned from afterwards.

Three things can learn from what was read. The networks' weights, by steps of gradient descent on the last characters
(dynamic evaluation: Mikolov et al. 2010, Krause et al. 2018); the counts of the n-grams, which grow; and the weights of
the mixture. What is measured so is not the loss of a model that stays as it is: a figure says which of them learned.
"""

import weakref

import numpy as np
import tensorflow as tf

from charlm.engine.mixed import features_of
from charlm.engine.ngrams import Trie
from charlm.evaluation.mixture import derivatives, distributions, log_mix, make_trie
from charlm.evaluation.ngrams import KneserNey, NgramCounts, checked_ids, discounts
from charlm.metrics import evaluation
from charlm.models import reset_states, with_batch_size

BLOCK = 20  # characters that are scored, and then learned from
NETWORK_RATE, CLIP_NORM = 0.2, 1.0  # of the steps of gradient descent
BELIEF = 100.0  # in equal weights, with which the mixture's begin
LEARNERS = ("networks", "counts", "weights")


def evaluate_while_learning(mixture, train, ids, learn=LEARNERS, network_rate=NETWORK_RATE):
    """Measure the loss on a text of a mixture that learns from it, block by block, each scored before it is learned from.

    Args:
        mixture: a `Mixture`, which itself stays as it is.
        train: (characters,) ids that its n-grams were counted in.
        ids: (characters,) ids of the text to read.
        learn: what learns: any of "networks", "counts" and "weights". Weights that learn begin with all parts alike,
            whatever the mixture's are.
        network_rate: of gradient descent on each block of 20 characters.

    Returns:
        An `Evaluation` of all characters but the first.

    Raises:
        ValueError: the mixture of a list, fewer than two characters, ids outside the vocabulary, or something unknown in `learn`.
    """
    unknown = set(learn) - set(LEARNERS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} cannot learn here; choose among {', '.join(LEARNERS)}.")
    if mixture.end is not None:
        raise ValueError("A list has no order in which it could be learned while reading: give a mixture of a text.")
    ids = checked_ids(ids, mixture.vocab_size, "text to read", minimum=2)
    rate = network_rate if "networks" in learn else 0.0
    networks = _readers(mixture, rate)
    counts = GrowingCounts(train, ids, mixture.vocab_size, mixture.orders[-1])
    weights, losses = _Weights(mixture, "weights" in learn), []
    for begin in range(0, len(ids) - 1, BLOCK):
        places = np.arange(begin + 1, min(begin + BLOCK + 1, len(ids)))
        targets = ids[places]
        logits = [network.read(ids[begin : begin + len(places)], targets) for network in networks]
        probabilities, matched = distributions(counts.trie, counts.contexts[places], mixture.orders, mixture.vocab_size)
        features = features_of(logits, probabilities).numpy()
        losses.append(weights.score(features, matched, targets))
        if "counts" in learn:
            counts.add(places)
    return evaluation(np.concatenate(losses))


class _Reader:
    """A network that reads a text with carried state and takes a step of gradient descent after each block."""

    def __init__(self, model):
        self.model = with_batch_size(model, 1, stateful=True)

    def begin(self, weights, rate):
        """Begin a text with these weights."""
        self.model.set_weights(weights)
        reset_states(self.model)
        self.rate = rate

    def read(self, ids, targets):
        """Return the logits for a block, (characters, V), and learn from it."""
        ids, targets = (tf.constant(part[None], tf.int32) for part in (ids, targets))
        return self._learn(ids, targets, tf.constant(self.rate)) if self.rate else self._read(ids)

    @tf.function(reduce_retracing=True)
    def _read(self, ids):
        return self.model(ids)[0]

    @tf.function(reduce_retracing=True)
    def _learn(self, ids, targets, rate):
        with tf.GradientTape() as tape:
            logits = self.model(ids)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
        variables = [variable.value for variable in self.model.trainable_variables]
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), CLIP_NORM)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(rate * gradient)
        return logits[0]


_READERS = weakref.WeakKeyDictionary()  # of mixtures: what is traced for one text serves the next


def _readers(mixture, rate):
    """The `_Reader` of each of a mixture's networks, at the beginning of a text."""
    if mixture not in _READERS:
        _READERS[mixture] = [_Reader(model) for model in mixture.networks]
    for reader, model in zip(_READERS[mixture], mixture.networks, strict=True):
        reader.begin(model.get_weights(), rate)
    return _READERS[mixture]


class _Weights:
    """A mixture's weights, which may learn: a step of Newton's method for each block, on all blocks so far."""

    def __init__(self, mixture, learn):
        self.learn, self.weights = learn, mixture.weights.copy()
        if learn:
            numbers, parts = self.weights.shape
            self.weights[:] = 1 / parts
            self._curvature = np.tile(BELIEF * np.eye(parts), (numbers, 1, 1))

    def score(self, features, matched, targets):
        """Return the losses of a block, and learn from it."""
        log_p = log_mix(features, matched, self.weights)
        for number in np.unique(matched) if self.learn else []:
            at = matched == number
            gradient, curvature = derivatives(features[at], targets[at], self.weights[number])
            self._curvature[number] += curvature
            self.weights[number] -= np.linalg.solve(self._curvature[number], gradient)
        return -log_p[np.arange(len(targets)), targets]


class GrowingCounts:
    """The n-grams of a training text, to which those of a text that goes on from it are added as it is read.

    The nodes of both texts' n-grams are laid out at once; those that only the second has begin with a count of zero.
    """

    def __init__(self, train, ids, vocab_size, order):
        train, ids = (checked_ids(part, vocab_size, "text") for part in (train, ids))
        both = NgramCounts(np.concatenate([train, ids]), vocab_size, order)
        self.vocab_size, self.order = vocab_size, order
        self._firsts = np.cumsum([0, *map(len, both.keys)])
        before = min(len(train), order)
        self.contexts, self._grams = (
            nodes[before:] for nodes in self._nodes(both, np.concatenate([train[-before:], ids]))
        )
        self.counts = self._counts_of_train(both)  # (nodes, 2): as part of longer n-grams' estimates, and on top
        self._discounts = self._estimate_discounts()  # (levels, 2, 4)
        empty = make_trie(KneserNey(order).fit(both))
        self.trie = Trie(*empty[:2], np.zeros_like(empty.own), np.ones_like(empty.rest))
        self._renew(np.arange(self._firsts[order]))

    def add(self, places):
        """Count the characters at these places of the text, which follow each other."""
        for place in places:
            nodes = self._grams[place]
            new = self.counts[nodes, 1] == 0
            self.counts[nodes, 1] += 1
            self.counts[nodes[:-1][new[1:]], 0] += 1  # a shorter n-gram follows one more character than before
        self._renew(np.unique(self.contexts[places]))

    def _nodes(self, both, ids):
        """Nodes of the contexts of all characters, and of their n-grams: (characters, order) each, -1 for none."""
        levels = list(both.levels(ids, self.order))
        contexts = [np.where(c < 0, -1, self._firsts[k - 1] + c) for k, c, _ in levels]
        grams = [np.where(g < 0, -1, self._firsts[k] + g) for k, _, g in levels]
        return np.stack(contexts, axis=1), np.stack(grams, axis=1)

    def _counts_of_train(self, both):
        counts = np.zeros((self._firsts[-1], 2), np.int32)
        counts[:, 1] = np.concatenate(both.counts)
        np.subtract.at(counts[:, 1], self._grams[self._grams >= 0], 1)
        for k in range(1, self.order):
            known = counts[self._firsts[k + 1] : self._firsts[k + 2], 1] > 0
            level = counts[self._firsts[k] : self._firsts[k + 1], 0]
            level += np.bincount(both.suffixes[k + 1][known], minlength=len(level)).astype(np.int32)
            level[both.openings[k]] += 1
        return counts

    def _estimate_discounts(self):
        levels = [self.counts[a:b] for a, b in zip(self._firsts[1:-1], self._firsts[2:], strict=True)]
        found = [[(0.0, *discounts(level[:, kind][level[:, kind] > 0])) for kind in (0, 1)] for level in levels]
        return np.array(found)

    def _renew(self, contexts):
        """Compute anew what the counts of these contexts give to their children and to the next shorter context."""
        contexts = contexts[(contexts >= 0) & (contexts < self._firsts[self.order])]
        begin, count = self.trie.children[contexts], self.trie.children[contexts + 1] - self.trie.children[contexts]
        contexts, begin, count = contexts[count > 0], begin[count > 0], count[count > 0]
        starts = np.cumsum(count) - count
        nodes = np.arange(count.sum()) + np.repeat(begin - starts, count)
        level = np.searchsorted(self._firsts, nodes, side="right") - 2
        for kind in (0, 1):
            counts = self.counts[nodes, kind]
            freed = self._discounts[level, kind, np.minimum(counts, 3)]
            total, rest = np.add.reduceat(counts, starts), np.add.reduceat(freed, starts)
            seen = np.maximum(total, 1)
            self.trie.own[nodes, kind] = (counts - freed) / np.repeat(seen, count)
            self.trie.rest[contexts, kind] = np.where(total > 0, rest / seen, 1.0)
