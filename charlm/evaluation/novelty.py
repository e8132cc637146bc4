"""Novelty: how much of a sample was copied from the training text, and how much repeats the sample itself.

Owns the search for verbatim copies. Substrings are compared by a polynomial rolling hash (Karp and Rabin
1987) in wrapping 64-bit arithmetic, vectorised over all positions; the texts themselves then confirm every
hit, so that a collision of hashes can change no result.
"""

from typing import NamedTuple

import numpy as np

_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2**64
_FILTER_BITS = 22  # a table of 4 MB, mostly empty for samples of up to a million characters
_FIRST_LENGTH = 16  # few windows of this length are shared by chance, so all later steps look at few places


class Copied(NamedTuple):
    """A run of characters that stands in a sample and, verbatim, in a corpus."""

    length: int  # characters
    start: int  # position in the sample
    corpus_start: int  # position in the corpus
    text: str


class NamesNovelty(NamedTuple):
    """Shares of a list of generated names, each in [0, 1]; new + in_train + in_validation = 1."""

    new: float
    in_train: float
    in_validation: float  # in validation and not in train
    distinct: float


def longest_copied(sample, corpus):
    """Find the longest run of characters of `sample` that occurs verbatim in `corpus`.

    If some run of n characters is copied, so is one of n - 1: the length is found by doubling, then halving.

    Args:
        sample, corpus: strings.

    Returns:
        `Copied(length, start, corpus_start, text)`: the first in the sample of those that are equally
        long, and its first place in the corpus. Length 0 where the two share no character.
    """
    hashes = _RollingHash(sample), _RollingHash(corpus)
    best, places = Copied(0, 0, 0, ""), (None, None)
    low, high = 0, min(len(sample), len(corpus)) + 1
    while high - low > 1:  # a run of `low` characters is copied, none of `high` is
        length = min(max(2 * low, _FIRST_LENGTH), (low + high) // 2)
        shared = _shared_windows(*hashes, length, *places)
        hit = _first_copied(sample, corpus, length, shared[0])
        if hit is None:
            high = length
        else:
            low, best, places = length, hit, shared  # a longer run starts where a shorter one does
    return best


def copied_share(sample, corpus, n=20):
    """Share of the sample's n-grams that occur verbatim in the corpus: 1.0 for a copy, near 0 for new text.

    Args:
        sample, corpus: strings of at least `n` characters.
        n: characters per n-gram; 20 are about four English words, rarely shared by chance.

    Returns:
        A float in [0, 1]: copied windows / all len(sample) - n + 1 windows.

    Raises:
        ValueError: `n` is below 1, or a text has fewer than `n` characters.
    """
    _check_length(sample, n, "sample")
    _check_length(corpus, n, "corpus")
    sample_hash, corpus_hash = _RollingHash(sample), _RollingHash(corpus)
    starts, corpus_starts = _shared_windows(sample_hash, corpus_hash, n)
    known, first = np.unique(corpus_hash.windows(n, corpus_starts), return_index=True)
    partners = corpus_starts[first[np.searchsorted(known, sample_hash.windows(n, starts))]]
    copied = 0
    for i, j in zip(starts.tolist(), partners.tolist()):
        gram = sample[i : i + n]
        copied += gram == corpus[j : j + n] or gram in corpus  # the search: after a collision
    return copied / (len(sample) - n + 1)


def repeated_share(sample, n=20):
    """Share of the sample's n-grams that occur earlier in the same sample: near 1 for a low-temperature loop.

    Args:
        sample: string of at least `n` characters.
        n: characters per n-gram.

    Returns:
        A float in [0, 1): repeated windows / all len(sample) - n + 1 windows.

    Raises:
        ValueError: `n` is below 1, or the sample has fewer than `n` characters.
    """
    _check_length(sample, n, "sample")
    hashes = _RollingHash(sample).windows(n)
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    earlier = first[inverse.reshape(-1)]
    repeated = 0
    for i in np.flatnonzero(earlier < np.arange(len(hashes))).tolist():
        gram, j = sample[i : i + n], earlier[i]
        repeated += gram == sample[j : j + n] or sample.find(gram) < i  # the search: after a collision
    return repeated / len(hashes)


def names_novelty(names, train, validation=()):
    """Sort generated names into new, in train and in validation, as makemore does; count the distinct.

    Args:
        names: generated names, a sequence of strings; a name written twice counts twice.
        train, validation: the names the model was trained and validated on.

    Returns:
        `NamesNovelty(new, in_train, in_validation, distinct)`, shares of `names`.

    Raises:
        ValueError: `names` is empty.
        TypeError: one of the three is a text instead of a list.
    """
    for argument in (names, train, validation):
        if isinstance(argument, str):
            raise TypeError(f"A text of {len(argument):,} characters is no list: pass text.splitlines().")
    names, train = list(names), set(train)
    validation = set(validation) - train
    if not names:
        raise ValueError("0 names have no shares. Generate at least one name.")
    in_train = sum(name in train for name in names)
    in_validation = sum(name in validation for name in names)
    new = len(names) - in_train - in_validation
    counts = new, in_train, in_validation, len(set(names))
    return NamesNovelty(*(count / len(names) for count in counts))


class _RollingHash:
    """Hashes of all substrings of a text from two arrays.

    The sum of (code point + 1) x base^i over the positions i of a substring, times base^-first, is the same
    wherever the substring stands, modulo 2**64.
    """

    def __init__(self, text):
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        self.inverse_powers = _powers(pow(_BASE, -1, 2**64), len(codes))
        self.sums = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.cumsum((codes + np.uint64(1)) * _powers(_BASE, len(codes)), out=self.sums[1:])

    def windows(self, length, starts=None):
        """Hashes of the windows of `length` characters at all positions, or at `starts`: (starts,) uint64."""
        if starts is None:
            count = max(len(self.sums) - length, 0)
            return (self.sums[length:] - self.sums[:count]) * self.inverse_powers[:count]
        return (self.sums[starts + length] - self.sums[starts]) * self.inverse_powers[starts]


def _powers(base, count):
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def _shared_windows(sample, corpus, length, sample_starts=None, corpus_starts=None):
    """Positions whose window's hash occurs in the other text, for both texts: two ascending arrays."""
    sample_starts, sample_hashes = _hashed(sample, length, sample_starts)
    corpus_starts, corpus_hashes = _hashed(corpus, length, corpus_starts)
    seen = np.zeros(2**_FILTER_BITS, dtype=bool)
    shift = np.uint64(64 - _FILTER_BITS)  # the high bits depend on every character, the low ones do not
    seen[sample_hashes >> shift] = True
    maybe = seen[corpus_hashes >> shift]
    corpus_starts, corpus_hashes = corpus_starts[maybe], corpus_hashes[maybe]
    return (
        sample_starts[_is_in(sample_hashes, corpus_hashes)],
        corpus_starts[_is_in(corpus_hashes, sample_hashes)],
    )


def _hashed(text, length, starts):
    if starts is None:
        hashes = text.windows(length)
        return np.arange(len(hashes)), hashes
    starts = starts[starts + length < len(text.sums)]
    return starts, text.windows(length, starts)


def _is_in(values, others):
    known = np.unique(others)
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    return known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values


def _first_copied(sample, corpus, length, starts):
    """The first of the candidate windows that the corpus really holds, or None."""
    for start in starts.tolist():
        text = sample[start : start + length]
        corpus_start = corpus.find(text)
        if corpus_start >= 0:
            return Copied(length, start, corpus_start, text)
    return None


def _check_length(text, n, name):
    if n < 1:
        raise ValueError(f"n is {n}, and an n-gram has at least 1 character. Choose n >= 1, such as 20.")
    if len(text) < n:
        raise ValueError(
            f"{len(text):,} characters of {name} hold no {n}-gram. Lower n, or use a {name} of at least {n} characters."
        )
