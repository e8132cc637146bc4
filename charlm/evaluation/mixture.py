"""Networks and n-grams together: one model, better than each of its parts.

A network errs in other places than a table of counts (Mikolov et al. 2011, Chelba et al. 2013). A `Mixture` multiplies
the probabilities of its parts, each to the power of a weight, as PAQ does with bits (Mahoney 2005), with weights for
each number of contexts that the n-grams have seen. Few as they are, a few thousand characters fit them; their loss is
convex, so Newton's method finds its minimum.

`evaluate`, `Generator` and all that takes a network take a mixture.
"""

import functools
from typing import NamedTuple

import keras
import numpy as np

from charlm.engine.mixed import MixedLoop, features_of, known_ends
from charlm.engine.ngrams import Trie
from charlm.evaluation.ngrams import KneserNey, checked_ids, checked_orders
from charlm.models import reset_states, with_batch_size

ORDERS = (2, 4, 6, 9)  # of the n-gram models; docs/what_earns_its_minutes.md has others that were tried
ROWS = 32  # read side by side
CHUNK = 128  # characters of each row at a time
WARMUP = 200  # characters that a row reads before it counts
AT_ONCE = 300_000  # probabilities of one model that are computed together
FITTED = 40_000, 4_000_000  # characters, and probabilities of one model, that the weights are fitted on at most
PRIOR = 50.0  # characters' worth of belief in the weights of all contexts together, for those of each number of them
STEPS, CLOSE = 20, 1e-3  # of Newton's method
FOLDS = 4  # of cross-validation


class Mixture:
    """Networks and Kneser-Ney models of several orders, with weights."""

    def __init__(self, networks, ngrams, orders=ORDERS, weights=None, end=None):
        """Put the parts together.

        Args:
            networks: a model from `build_model`, or a list of them.
            ngrams: the `NgramCounts` of the networks' training text, with their vocabulary.
            orders: of the n-gram models that take part.
            weights: (contexts + 1, parts), from another mixture's `weights`; None: all parts alike, until `fit`.
            end: id of the line break, where the text is a list without duplicates, whose lines are read one by one. As
                a line that is known will not come again, one more part holds where a line is known.

        Raises:
            ValueError: parts with different vocabularies, orders above the counted one, or weights that are not as
                many numbers.
        """
        self.networks = [networks] if isinstance(networks, keras.Model) else list(networks)
        self.orders, self.vocab_size = tuple(checked_orders(orders, ngrams.order)), ngrams.vocab_size
        _check_vocabularies(self.networks, self.vocab_size)
        self.end = end
        shape = self.orders[-1] + 1, len(self.networks) + len(self.orders) + (end is not None)
        self.weights = np.full(shape, 1 / shape[1]) if weights is None else _checked_weights(weights, shape)
        self.ngrams, self.trie = ngrams, make_trie(KneserNey(self.orders[-1]).fit(ngrams))
        self.lines = None if end is None else known_lines(ngrams, self.orders[-1], end)

    @property
    def output_shape(self):
        """As a network's: the last number is the vocabulary's size."""
        return (None, None, self.vocab_size)

    def loop(self):
        """Return what reads and writes with it, as `Loop` does with a network."""
        return MixedLoop(self.networks, self.trie, self.orders, self.weights, self.end, self.lines)

    def fit(self, ids):
        """Choose the weights under which a text is likeliest.

        Args:
            ids: (characters,) ids that no part was trained on; the first 40,000 of them count, fewer where the
                vocabulary is large.

        Returns:
            The mixture itself.

        Raises:
            ValueError: too few characters, or ids outside the vocabulary.
        """
        ids = checked_ids(ids, self.vocab_size, "text to fit on", minimum=2)
        self.weights = fit_weights(*self._sample(ids), contexts=self.orders[-1])
        return self

    def judge(self, ids):
        """Measure the loss on a text that no part was trained on, with weights that the judged text had no say in.

        By cross-validation: the text is cut into four stretches, and the weights for each are fitted on the others; in
        the end `weights` are those fitted on all of them.

        Args:
            ids: as for `fit`.

        Returns:
            `(losses, parts)`: (scored characters,) nats in the order of the text, and those of each network and n-gram
            model alone, (scored characters, models).

        Raises:
            ValueError: as for `fit`.
        """
        firsts, models = _stretches(ids, self.end), len(self.networks) + len(self.orders)
        samples = [self._sample(ids[a:b], FOLDS) for a, b in zip(firsts, [*firsts[1:], len(ids)], strict=True)]
        weights = self._cross_fit(samples)
        losses = np.full((len(ids), 1 + models), np.nan)
        for places, features, matched, targets in self.read(ids):
            fold = np.searchsorted(firsts, places, side="right") - 1
            log_p = log_mix(features, matched + fold * len(self.weights), weights)
            at = np.arange(len(targets))
            losses[places] = -np.concatenate([log_p[at, targets, None], features[at, :models, targets]], axis=1)
        losses = losses[~np.isnan(losses[:, 0])]
        return losses[:, 0], losses[:, 1:]

    def _cross_fit(self, samples):
        """Fit the weights on all samples; returns those without each of them, one below the other."""

        def fit(chosen, begin=None):
            return fit_weights(*map(np.concatenate, zip(*chosen, strict=True)), self.orders[-1], begin)

        self.weights = fit(samples)
        others = [samples[:i] + samples[i + 1 :] for i in range(len(samples))]
        return np.concatenate([fit(chosen, self.weights) for chosen in others])

    def _sample(self, ids, share=1):
        """Read what weights are fitted on, or the `share`th part of it: features, matched, targets."""
        most = min(FITTED[0], FITTED[1] // self.vocab_size) // share
        nothing = np.zeros((0, self.weights.shape[1], self.vocab_size), np.float32), *np.zeros((2, 0), np.int64)
        pieces = [piece[1:] for piece in self.read(ids[:most])] if len(ids) > 1 else []
        return [np.concatenate(part) for part in zip(nothing, *pieces, strict=True)]

    def read(self, ids):
        """Let the parts read a text.

        Args:
            ids: as for `fit`.

        Yields:
            `(places, features, matched, targets)` of some of its characters: their places in the text, the log
            probabilities (characters, parts, V) before them, the numbers of matched contexts and the characters. All
            have their turn but the first one of a text.
        """
        ids = checked_ids(ids, self.vocab_size, "text to read", minimum=2)
        rows = _rows(ids) if self.end is None else _lines(ids, self.end)
        for first in range(0, len(rows), ROWS):
            yield from self._read_rows(rows[first : first + ROWS])

    def _read_rows(self, rows):
        """Read some `_Row`s side by side, chunk by chunk."""
        ids, places, contexts = self._lay_out(rows)
        for model in self._readers:
            reset_states(model)
        for begin in range(0, ids.shape[1] - 1, CHUNK):
            now, after = np.s_[:, begin : begin + CHUNK], np.s_[:, begin + 1 : begin + CHUNK + 1]
            logits = [model(ids[now]).numpy().reshape(-1, self.vocab_size) for model in self._readers]
            contexts_after = contexts[after].reshape(-1, self.orders[-1])
            yield from self._observe(places[after].ravel(), contexts_after, logits, ids[after].ravel())

    def _lay_out(self, rows):
        """Return ids, places in the text (-1 for what does not count) and contexts, `ROWS` each, filled up to chunks."""
        longest = max(len(row.ids) for row in rows)
        steps = CHUNK * -(-(longest - 1) // CHUNK) + 1
        ids, places = np.zeros((ROWS, steps), np.int32), np.full((ROWS, steps), -1)
        contexts = np.full((ROWS, steps, self.orders[-1]), -1, np.int32)
        for i, row in enumerate(rows):
            length = len(row.ids)
            ids[i, :length], contexts[i, :length] = row.ids, self._contexts(row.ids)
            places[i, row.read : length] = row.place + np.arange(row.read, length)
        return ids, places, contexts

    @functools.cached_property
    def _readers(self):
        return [with_batch_size(model, ROWS, stateful=True) for model in self.networks]

    def _observe(self, places, contexts, logits, targets):
        """Yield what `read` does, of characters with a place."""
        kept = np.flatnonzero(places >= 0)
        for some in np.array_split(kept, max(1, len(kept) * self.vocab_size // AT_ONCE)):
            if len(some):
                probabilities, matched = distributions(self.trie, contexts[some], self.orders, self.vocab_size)
                known = None
                if self.end is not None:
                    known = known_ends(self.lines, contexts[some], self.end, self.vocab_size)
                features = features_of([scores[some] for scores in logits], probabilities, known).numpy()
                yield places[some], features, matched, targets[some]

    def _contexts(self, ids):
        """Nodes of the contexts of each character: (characters, order), -1 for those that were not counted."""
        firsts = np.cumsum([0, *map(len, self.ngrams.keys)])
        levels = self.ngrams.levels(ids, self.orders[-1])
        return np.stack([np.where(c < 0, -1, firsts[k - 1] + c) for k, c, _ in levels], axis=1)


def _stretches(ids, end):
    """Return where each fold begins; in a list, after a line break."""
    firsts = np.linspace(0, len(ids), FOLDS, endpoint=False).astype(int)
    if end is not None:
        lines = np.append(0, np.flatnonzero(np.asarray(ids) == end) + 1)
        firsts = lines[np.searchsorted(lines, firsts, side="right") - 1]
    return firsts


def fit_weights(features, matched, targets, contexts, begin=None):
    """Fit log-linear weights by Newton's method: for all texts together, then for each number of matched contexts.

    Args:
        features: (characters, parts, V) log probabilities.
        matched: (characters,) the number of matched contexts, 0 to `contexts`.
        targets: (characters,) ids.
        begin: weights that are near, from which fewer steps lead to the same ones.

    Returns:
        (contexts + 1, parts) weights; where a number of contexts hardly occurs, those of all together.
    """
    parts = features.shape[1]
    shared = _newton(features, targets, np.full(parts, 1 / parts), belief=1.0)
    weights = np.tile(shared, (contexts + 1, 1))
    for number in np.unique(matched):
        at = matched == number
        nearby = shared if begin is None else begin[number]
        weights[number] = _newton(features[at], targets[at], shared, PRIOR, nearby)
    return weights


def _newton(features, targets, prior, belief, begin=None):
    """Minimise the loss plus `belief` / 2 times the squared distance from `prior`: both are convex."""
    weights = prior if begin is None else begin
    for _ in range(STEPS):
        gradient, curvature = derivatives(features, targets, weights)
        step = np.linalg.solve(curvature + belief * np.eye(len(prior)), gradient + belief * (weights - prior))
        weights = weights - step
        if np.abs(step).max() < CLOSE:
            break
    return weights


def derivatives(features, targets, weights, some=4096):
    """Gradient and curvature of the summed loss in the weights: means and covariances of the features."""
    gradient, curvature = np.zeros(len(weights)), np.zeros((len(weights), len(weights)))
    for i in range(0, len(targets), some):
        f, ids = features[i : i + some], targets[i : i + some]
        scores = np.einsum("npv,p->nv", f, weights.astype(np.float32))
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        mean = np.einsum("npv,nv->np", f, p)
        gradient += (mean - f[np.arange(len(ids)), :, ids]).sum(0)
        curvature += np.einsum("npv,nqv,nv->pq", f, f, p, optimize=True) - mean.T @ mean
    return gradient, curvature


class _Row(NamedTuple):
    """A stretch of a text that is read in a row."""

    ids: np.ndarray
    read: int  # characters at its beginning that do not count
    place: int  # of the first in the text


def _rows(ids):
    bounds = np.linspace(0, len(ids), min(ROWS, max(1, len(ids) // WARMUP)) + 1).astype(int).tolist()
    warm = [min(start, WARMUP) for start in bounds[:-1]]
    return [_Row(ids[a - w : b], max(w, 1), a - w) for a, b, w in zip(bounds[:-1], bounds[1:], warm, strict=True)]


def _lines(ids, end):
    """Each line that is not empty, after a line break."""
    ends = np.flatnonzero(ids == end) + 1
    bounds = zip([0, *ends.tolist()], [*ends.tolist(), len(ids)], strict=True)
    return [_Row(np.append(end, ids[a:b]), 1, a - 1) for a, b in bounds if b > a + (ids[b - 1] == end)]


def log_mix(features, matched, weights):
    """What `charlm.engine.mixed.mix` does, with NumPy."""
    scores = np.einsum("npv,np->nv", features, weights[matched].astype(np.float32))
    scores -= scores.max(1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def make_trie(model):
    """Lay out the n-grams of a fitted `KneserNey` as a `charlm.engine.ngrams.Trie`."""
    ngrams, size = model.ngrams, model.ngrams.vocab_size
    firsts = np.cumsum([0, *(len(keys) for keys in ngrams.keys[: model.order + 1])])
    children, own, rest = [], np.zeros((firsts[-1], 2), np.float32), np.zeros((firsts[-1], 2), np.float32)
    for k in range(1, model.order + 1):
        contexts = np.arange(len(ngrams.keys[k - 1]), dtype=np.int64)
        children.append(firsts[k] + np.searchsorted(ngrams.keys[k], contexts * size))
        for i, highest in enumerate((False, True)):
            if highest or k < model.order:
                kept, left = model._weights(k, highest)
                own[firsts[k] : firsts[k + 1], i] = kept[:-1]
                rest[firsts[k - 1] : firsts[k], i] = left[:-1]
    leaves = np.full(len(ngrams.keys[model.order]) + 1, firsts[-1])
    children = np.concatenate([*children, leaves]).astype(np.int32)
    kind = np.uint8 if size <= 256 else np.int32
    characters = np.concatenate([keys % size for keys in ngrams.keys[: model.order + 1]]).astype(kind)
    return Trie(children, characters, own, rest)


def known_lines(ngrams, order, end):
    """Mark which nodes of `make_trie` are a line break and a line that ends there in training: (nodes,) bool."""
    size, begins, found = ngrams.vocab_size, np.zeros(1, bool), [np.zeros(1, bool)]
    for k in range(1, order + 1):
        keys = ngrams.keys[k]
        begins = keys == end if k == 1 else begins[keys // size] & (keys % size != end)
        goes_on = ngrams.keys[k + 1] if 1 < k < order else ()  # a line has characters, and there are no longer nodes
        found.append(begins & np.isin(np.arange(len(keys)) * size + end, goes_on))
    return np.concatenate(found)


def distributions(trie, contexts, orders, vocab_size):
    """What `charlm.engine.ngrams.distributions` does, for contexts that are all known: children alone are visited."""
    known, rows = contexts >= 0, np.arange(len(contexts))
    begin, end = (np.where(known, trie.children[contexts + step], 0) for step in (0, 1))
    shorter, asked = np.full((len(contexts), vocab_size), 1 / vocab_size, np.float32), []
    for k in range(orders[-1]):
        count = end[:, k] - begin[:, k]
        at = np.repeat(rows, count)
        nodes = np.arange(len(at)) + np.repeat(begin[:, k] - np.cumsum(count) + count, count)
        rest = np.where(count[:, None] > 0, trie.rest[contexts[:, k]], 1.0)
        for i in [1, 0] if k + 1 in orders else [0]:
            estimate = shorter * rest[:, i, None]
            estimate[at, trie.characters[nodes]] += trie.own[nodes, i]
            if i:
                asked.append(estimate)
        shorter = estimate
    # A context that is laid out but not counted yet leaves everything to the next shorter one.
    seen = (end > begin) & (trie.rest[np.maximum(contexts, 0), 1] < 1)
    return np.stack(asked, axis=1), np.sum(seen[:, : orders[-1]], axis=1)


def _check_vocabularies(networks, vocab_size):
    sizes = [model.output_shape[-1] for model in networks]
    if not sizes or set(sizes) != {vocab_size}:
        raise ValueError(
            f"The networks know {', '.join(map(str, sizes)) or 'no'} characters and the n-grams {vocab_size}: parts of "
            "a mixture share one vocabulary. Encode the text with the network's."
        )


def _checked_weights(weights, shape):
    weights = np.asarray(weights, np.float64)
    if weights.shape != shape or not np.isfinite(weights).all():
        raise ValueError(
            f"The mixture's weights have shape {weights.shape} and should be {shape[0]} x {shape[1]} finite numbers: "
            "one for each number of matched contexts and each part. Fit them again."
        )
    return weights
