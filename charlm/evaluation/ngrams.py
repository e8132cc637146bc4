"""Character n-grams, the baseline for every network.

Owns smoothed n-gram models (interpolated modified Kneser-Ney, Witten-Bell) and Goldberg's unsmoothed generator.

An n-gram of order n is a character and the n - 1 characters before it, its context. The n-grams of all
orders live in sorted integer tables (`NgramCounts`): the id of an n-gram is its rank among those of its
order, the pair (id of the context, character) names the next longer one, and one binary search finds it.

Held-out text is scored in one pass. Contexts reach back into the held-out text only: its first characters are
predicted from the shorter contexts that there are, as by a network that starts from zero state.
"""

import numpy as np

MAX_ORDER = 12
_FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # KenLM's, where an order has too few n-grams to estimate them


class NgramCounts:
    """All n-grams of a text, orders 1 to `order`, in sorted tables that the models of all orders share.

    Level k has one entry per distinct k-gram, its position being the k-gram's id; level 0 is the empty one:
        keys[k]: id of the context at level k - 1, times vocab_size, plus the character; ascending.
        counts[k]: how often the k-gram occurs.
        suffixes[k]: the id at level k - 1 of its last k - 1 characters.
        openings[k]: the id of the k-gram that the text begins with (a number).

    Args:
        ids: (characters,) integers in [0, vocab_size).
        vocab_size: characters in the vocabulary, V; default the largest id + 1.
        order: the longest n-grams to count, 1 to 12.

    Raises:
        ValueError: `ids` is empty, shorter than `order` or outside the vocabulary; `order` is not 1 to 12.
    """

    def __init__(self, ids, vocab_size=None, order=MAX_ORDER):
        self.order = _checked_order(order)
        ids = checked_ids(ids, vocab_size, "training text")
        _check_holds(ids, self.order, "training text")
        self.vocab_size = int(ids.max()) + 1 if vocab_size is None else vocab_size
        self.keys, self.counts = [np.zeros(1, np.int64)], [np.array([len(ids)])]
        self.suffixes, self.openings = [np.zeros(1, np.int32)], [0]
        grams = np.zeros(len(ids) + 1, dtype=np.int32)  # (starts,) the id of the k-gram at every start
        for k in range(1, self.order + 1):
            grams = self._count(k, grams, ids)

    def _count(self, k, contexts, ids):
        """Add level k; returns its ids at every start of the text, (characters - k + 1,)."""
        keys = contexts[:-1].astype(np.int64) * self.vocab_size + ids[k - 1 :]
        keys, first, grams, counts = np.unique(keys, True, True, True)  # index, inverse, counts
        grams = grams.reshape(-1).astype(np.int32)
        self.keys.append(keys)
        self.counts.append(counts.astype(np.int32))
        self.suffixes.append(contexts[1:][first])
        self.openings.append(int(grams[0]))
        return grams

    def find(self, k, contexts, characters):
        """Ids at level k of `characters` after `contexts`, int64 ids at level k - 1; -1 if not counted."""
        keys = contexts * self.vocab_size + characters
        places = np.minimum(np.searchsorted(self.keys[k], keys), len(self.keys[k]) - 1)
        return np.where(self.keys[k][places] == keys, places, -1)

    def levels(self, ids, order):
        """Look up a text: yields k, ids of its characters' contexts, ids of its k-grams, for all orders.

        Both are (characters,), with -1 for what was not counted and for contexts cut off by the start.
        """
        contexts = np.zeros(len(ids), dtype=np.int64)
        for k in range(1, order + 1):
            grams = self.find(k, contexts, ids)
            yield k, contexts, grams
            contexts = np.concatenate(([-1], grams[:-1]))


class _InterpolatedNgram:
    """An n-gram model that adds to each order's own estimate a share of the next lower order's.

    p(character | context) = own(context + character) + rest(context) x p(character | context less one), down
    to the uniform distribution. A context not seen in training has own = 0 and rest = 1.
    """

    def __init__(self, order):
        self.order = _checked_order(order)

    def fit(self, ids, vocab_size=None):
        """Count a training text.

        Args:
            ids: (characters,) integers, or an `NgramCounts` of at least this order, to share it among models.
            vocab_size: characters in the vocabulary, V; default the largest id + 1.

        Returns:
            The model itself.

        Raises:
            ValueError: as `NgramCounts`.
        """
        self.ngrams, self._kept = _shared_ngrams(ids, vocab_size, self.order), {}
        return self

    def score(self, ids):
        """Negative log probability of every character of a held-out text, in one pass.

        Args:
            ids: (characters,) integers in [0, vocab_size). A character absent from training is scored by
                what the uniform distribution at the bottom leaves it, never by 0.

        Returns:
            (characters,) float64, nats; the mean is the text's nats per character.

        Raises:
            ValueError: `ids` is empty or outside the vocabulary.
        """
        return self.score_orders(ids, [self.order])[self.order]

    def score_orders(self, ids, orders=None):
        """Score a held-out text under the models of several orders, in the one pass that the highest takes.

        Args:
            ids: as for `score`.
            orders: orders up to the model's; default all of them.

        Returns:
            {order: (characters,) float64 nats}, what models of these orders would score.

        Raises:
            ValueError: as `score`, or an order is not 1 to the model's.
        """
        orders = checked_orders(range(1, self.order + 1) if orders is None else orders, self.order)
        ids = checked_ids(ids, self.ngrams.vocab_size, "held-out text")
        probability = np.full(len(ids), 1 / self.ngrams.vocab_size)
        scores = {}
        for k, contexts, grams in self.ngrams.levels(ids, orders[-1]):
            if k in orders:
                own, rest = self._weights(k, highest=True)
                scores[k] = -np.log(own[grams] + rest[contexts] * probability)
            if k < orders[-1]:
                own, rest = self._weights(k, highest=False)
                probability = own[grams] + rest[contexts] * probability
        return scores

    def probabilities(self, context=()):
        """The distribution of the next character.

        Args:
            context: (characters,) integers, any number; the last order - 1 count.

        Returns:
            (V,) float64 that sums to 1.
        """
        characters = np.arange(self.ngrams.vocab_size)
        probability = np.full(len(characters), 1 / len(characters))
        text = np.append(checked_ids(context, self.ngrams.vocab_size, "context", minimum=0), 0)
        text = text[-self.order :]  # the character to predict stands last
        for k, contexts, _ in self.ngrams.levels(text, self.order):
            own, rest = self._kept.get(k) or self._kept.setdefault(k, self._weights(k, highest=k == self.order))
            grams = self.ngrams.find(k, contexts[-1], characters)
            probability = own[grams] + rest[contexts[-1]] * probability
        return probability

    def absent(self, ids):
        """Which characters of a text do not occur in training: (characters,) bool."""
        ids = checked_ids(ids, self.ngrams.vocab_size, "held-out text")
        return ~np.isin(ids, self.ngrams.keys[1])

    def _weights(self, k, highest):
        """`own` of every k-gram and `rest` of every context; at -1, the values for what was not seen.

        Those of all orders together take more memory than the counts: a whole text is scored order by order.
        """
        contexts = self.ngrams.keys[k] // self.ngrams.vocab_size
        own, rest = self._estimate(k, highest, contexts, len(self.ngrams.keys[k - 1]))
        return np.append(own, 0.0), np.append(rest, 1.0)


class KneserNey(_InterpolatedNgram):
    """Interpolated modified Kneser-Ney (Chen and Goodman 1999), order 1 to 12.

    Every count is lowered by a discount, D1, D2 or D3+ for a count of 1, 2 or more, and what that frees goes
    to the next lower order. Below the highest order, the count of an n-gram is the number of different
    characters it follows; the start of the text is one of them.

    >>> model = KneserNey(5).fit(train_ids, vocab_size)
    >>> model.score(validation_ids).mean()
    """

    def _estimate(self, k, highest, contexts, context_count):
        counts = self.ngrams.counts[k] if highest else self._left_neighbours(k)
        lowered = np.array((0.0, *discounts(counts)))[np.minimum(counts, 3)]
        totals = np.bincount(contexts, counts, context_count)
        freed = np.bincount(contexts, lowered, context_count)
        seen = totals > 0
        rest = np.divide(freed, totals, np.ones(context_count), where=seen)
        return (counts - lowered) / totals[contexts], rest

    def _left_neighbours(self, k):
        counts = np.bincount(self.ngrams.suffixes[k + 1], minlength=len(self.ngrams.keys[k]))
        counts[self.ngrams.openings[k]] += 1
        return counts


class WittenBell(_InterpolatedNgram):
    """Interpolated Witten-Bell (Chen and Goodman 1999), order 1 to 12.

    A context that occurs c times, followed by T different characters, gives T / (c + T) to the lower order.
    """

    def _estimate(self, k, highest, contexts, context_count):
        totals = np.bincount(contexts, self.ngrams.counts[k], context_count)
        kinds = np.bincount(contexts, minlength=context_count)
        seen = kinds > 0
        rest = np.divide(kinds, totals + kinds, np.ones(context_count), where=seen)
        return self.ngrams.counts[k] / (totals + kinds)[contexts], rest


def discounts(counts):
    """D1, D2 and D3+ from the numbers of n-grams with count 1 to 4 (Chen and Goodman 1999)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if min(n1, n2, n3, n4) == 0:
        return _FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    usable = all(0 < discount <= count for count, discount in enumerate(found, start=1))
    return found if usable else _FALLBACK_DISCOUNTS


class UnsmoothedNgram:
    """Goldberg's unsmoothed n-gram generator, from his reply to Karpathy's blog post (2015), order 1 to 12.

    It writes characters with the frequencies they have in training after the last order - 1 characters (he
    counts only these, so his order 6 is order 7 here). Its text looks right, for it is stitched together from
    the training text, and it gives probability 0 to whatever it has not seen.
    """

    def __init__(self, order):
        self.order = _checked_order(order)

    def fit(self, ids, vocab_size=None):
        """Count a training text; arguments, errors and the model returned as for `KneserNey.fit`."""
        self.ngrams = _shared_ngrams(ids, vocab_size, self.order)
        return self

    def sample(self, length, temperature=1.0, seed=0):
        """Write text that carries on from the characters which the training text begins with.

        Args:
            length: characters to write.
            temperature: 1 samples by the counts, less prefers the frequent, 0 takes the most frequent.
            seed: same seed, same text.

        Returns:
            (length,) int64 ids, for `Vocabulary.decode`.

        Raises:
            ValueError: `temperature` is negative.
        """
        if temperature < 0:
            raise ValueError(f"temperature is {temperature}. Choose 0 (most frequent character) or more.")
        opening = self.ngrams.openings[self.order - 1]
        written, context = np.zeros(length, dtype=np.int64), opening
        for i, chance in enumerate(np.random.default_rng(seed).random(length)):
            grams = self._followers(context)
            if not len(grams):  # a context that stands only at the end of the training text
                grams = self._followers(opening)
            gram = grams[_draw(self.ngrams.counts[self.order][grams], temperature, chance)]
            written[i] = self.ngrams.keys[self.order][gram] % self.ngrams.vocab_size
            context = self.ngrams.suffixes[self.order][gram]
        return written

    def _followers(self, context):
        bounds = np.array([context, context + 1], dtype=np.int64) * self.ngrams.vocab_size
        return np.arange(*np.searchsorted(self.ngrams.keys[self.order], bounds))


def _draw(counts, temperature, chance):
    """Position of the character drawn by a uniform `chance` in [0, 1) from counts ** (1 / temperature)."""
    if temperature == 0:
        return int(np.argmax(counts))
    sums = np.cumsum(np.exp(np.log(counts / counts.max()) / temperature))
    return int(np.searchsorted(sums, chance * sums[-1], side="right"))


def _shared_ngrams(ids, vocab_size, order):
    """The n-grams of `ids`, or `ids` itself where it is an `NgramCounts` of at least this order."""
    if not isinstance(ids, NgramCounts):
        return NgramCounts(ids, vocab_size, order)
    if vocab_size not in (None, ids.vocab_size):
        raise ValueError(
            f"The n-grams are counted over {ids.vocab_size} characters, and vocab_size is {vocab_size}. "
            "Leave vocab_size out, or count again."
        )
    if ids.order < order:
        raise ValueError(
            f"The n-grams are counted up to order {ids.order}, and the model has order {order}. "
            f"Count them with order={order}, or lower the model's order."
        )
    return ids


def _checked_order(order):
    if order != int(order) or not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order is {order}. Choose a whole number from 1 (no context) to {MAX_ORDER}.")
    return int(order)


def checked_orders(orders, limit=MAX_ORDER):
    """The orders as a sorted list without repeats, or an error."""
    orders = sorted({_checked_order(order) for order in orders})
    if not orders:
        raise ValueError("0 orders to score. Pass at least one, such as range(1, 10).")
    if orders[-1] > limit:
        raise ValueError(f"Order {orders[-1]} is above the model's order {limit}. Fit a model of that order.")
    return orders


def checked_ids(ids, vocab_size, name, minimum=1):
    """The ids as (characters,) int64, or an error that says what is wrong with them."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or (len(ids) and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"The {name} has shape {ids.shape} and type {ids.dtype}, not (characters,) and integer. "
            "Encode a text with Vocabulary.encode."
        )
    _check_holds(ids, minimum, name)
    if len(ids) and (ids.min() < 0 or (vocab_size is not None and ids.max() >= vocab_size)):
        raise ValueError(
            f"The {name} has ids from {ids.min()} to {ids.max()}, outside a vocabulary of {vocab_size} "
            "characters. Encode all parts of a text with one vocabulary, and pass its size."
        )
    return ids.astype(np.int64)


def _check_holds(ids, order, name):
    if len(ids) < order:
        way_out = f"Lower the order, or use at least {order}." if order > 1 else "Use at least 1."
        raise ValueError(f"{len(ids):,} characters of {name} hold no n-gram of order {order}. {way_out}")
