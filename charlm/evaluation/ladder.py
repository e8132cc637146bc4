"""The ladder: n-grams, compressors and models side by side on one validation text."""

import bz2
import html
import lzma
import math
import zlib
from typing import NamedTuple

import numpy as np

from charlm.evaluation.ngrams import KneserNey, checked_ids, checked_orders


class Row(NamedTuple):
    """One rung of a ladder."""

    name: str
    nats: float  # per character
    kind: str  # "n-gram", "compressor" or "model"

    @property
    def bpc(self):
        """Bits per character: nats / ln 2."""
        return self.nats / math.log(2)

    @property
    def perplexity(self):
        """e to the nats: how many equally likely characters the choice is worth."""
        return math.exp(self.nats)


class Ladder(NamedTuple):
    """Baselines and models on one validation text; prints as a table, in a notebook as an HTML table."""

    rows: tuple  # of Row: uniform, unigram, ... best order, compressors, models
    notes: tuple  # of str: what the numbers were measured on
    absent: int  # validation characters that do not occur in training

    @property
    def best_ngram(self):
        """The n-gram row with the fewest nats."""
        return min((row for row in self.rows if row.kind == "n-gram"), key=lambda row: row.nats)

    def __str__(self):
        width = max(len(row.name) for row in self.rows)
        lines = [f"{'':{width}}  {'nats':>7}  {'bpc':>7}  {'perplexity':>10}"]
        for row in self.rows:
            lines.append(f"{row.name:{width}}  {row.nats:7.4f}  {row.bpc:7.4f}  {row.perplexity:10.2f}")
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self):
        head = "<tr><th></th><th>nats</th><th>bpc</th><th>perplexity</th></tr>"
        body = "".join(
            f"<tr><td>{html.escape(row.name)}</td><td>{row.nats:.4f}</td><td>{row.bpc:.4f}</td>"
            f"<td>{row.perplexity:.2f}</td></tr>"
            for row in self.rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{notes}"


def ladder(train, validation, vocab_size, orders=range(1, 10), models=None, counted=None):
    """Line up n-grams, compressors and models on one validation text.

    Args:
        train, validation: (characters,) integers in [0, vocab_size); validation follows train in the text.
        vocab_size: characters in the vocabulary, V.
        orders: Kneser-Ney orders to try, each 1 to 12; shown up to the best one.
        models: {name: nats per character on the same validation text}, shown last.
        counted: the `NgramCounts` of train, where it is counted already.

    Returns:
        `Ladder(rows, notes, absent)` with `best_ngram`; `print` shows the table.

    Raises:
        ValueError: a part is empty or outside the vocabulary; training is shorter than the highest order; an
            order is not 1 to 12; a model's nats are no number of 0 or more.
    """
    train = checked_ids(train, vocab_size, "training text")
    validation = checked_ids(validation, vocab_size, "validation text")
    orders = checked_orders(orders)
    models = [Row(str(name), _checked_nats(name, nats), "model") for name, nats in (models or {}).items()]
    ngrams, worse = _ngram_rows(counted or train, validation, vocab_size, orders)
    compressors = compressor_nats(train, validation, vocab_size).items()
    rows = (
        Row(f"uniform over {vocab_size}", math.log(vocab_size), "n-gram"),
        *ngrams,
        *(Row(f"{name}, given training", nats, "compressor") for name, nats in compressors),
        *models,
    )
    absent = int(np.sum(~np.isin(validation, train)))
    return Ladder(rows, _notes(train, validation, worse, absent), absent)


def compressor_nats(train, validation, vocab_size):
    """Nats per validation character of the standard library's compressors, once they have read training.

    (compressed(train + validation) - compressed(train)) bytes x 8 ln 2 / validation characters, every
    compressor at its best setting. zlib looks back 32 kB only, bz2 codes blocks of 900 kB on their own.

    Returns:
        {"zlib": nats, "bz2": nats, "lzma": nats}.
    """
    width = np.min_scalar_type(vocab_size - 1).newbyteorder("<")  # one byte a character up to 256 characters
    train, validation = (np.asarray(part).astype(width).tobytes() for part in (train, validation))
    characters = len(validation) // width.itemsize
    dictionary = max(len(train) + len(validation), 4096)
    whole_text = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary}]
    compressors = {
        "zlib": lambda data: zlib.compress(data, 9),
        "bz2": lambda data: bz2.compress(data, 9),
        "lzma": lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=whole_text),
    }
    return {
        name: (len(compress(train + validation)) - len(compress(train))) * 8 * math.log(2) / characters
        for name, compress in compressors.items()
    }


def _ngram_rows(train, validation, vocab_size, orders):
    """Rows of the Kneser-Ney orders up to the best, and the higher orders, which score worse."""
    model = KneserNey(orders[-1]).fit(train, vocab_size)
    scores = model.score_orders(validation, orders)
    nats = {order: float(scores[order].mean()) for order in orders}
    best = min(nats, key=nats.get)
    names = {order: f"Kneser-Ney {order}-gram" for order in orders} | {1: "unigram"}
    rows = [Row(names[order], nats[order], "n-gram") for order in orders if order <= best]
    return rows, [order for order in orders if order > best]


def _notes(train, validation, worse, absent):
    notes = [f"{len(validation):,} validation characters after {len(train):,} training characters."]
    if worse:
        notes.append(f"Tried, and worse than the best order shown: Kneser-Ney {', '.join(map(str, worse))}.")
    if absent:
        notes.append(
            f"{absent:,} validation characters do not occur in training: they count in every row, and the "
            "n-grams score them by what the uniform distribution leaves them."
        )
    return tuple(notes)


def _checked_nats(name, nats):
    if not (math.isfinite(nats) and nats >= 0):
        raise ValueError(f"Model {name!r} has {nats} nats per character. Pass a finite number of 0 or more.")
    return float(nats)
