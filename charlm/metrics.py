"""How good a model is: its loss on a text, read in one pass with carried state."""

import math
from typing import NamedTuple

import numpy as np

from charlm.engine.loop import loop_of

BLOCK = 1000  # losses of neighbouring characters are correlated; means of blocks this long hardly are
LINES_AT_ONCE = 64  # rows of one compiled function
WARMUP = 200  # characters a row reads before it is scored, so that no score begins with a state of zero


class Evaluation(NamedTuple):
    """A model's loss on a text."""

    nats: float  # mean per character
    standard_error: float  # of that mean, in nats, from the means of blocks of 1,000 characters
    losses: np.ndarray  # (scored characters,) nats, each given all before it: `evaluate` scores all but the first

    @property
    def bpc(self):
        """Bits per character."""
        return self.nats / math.log(2)

    @property
    def perplexity(self):
        """The number of equally likely characters that would be as hard to guess."""
        return math.exp(self.nats)

    def __repr__(self):
        return (
            f"{self.nats:.4f} ± {self.standard_error:.4f} nats per character = {self.bpc:.3f} bpc "
            f"(perplexity {self.perplexity:.2f}, {len(self.losses):,} characters)"
        )


def evaluate(model, ids, rows=1):
    """Measure a model's loss on a text in one pass with carried state; the model's own state is not touched.

    Args:
        model: from `build_model`, or a `Run`, of which the best checkpoint is taken.
        ids: (characters,) ids, at least two.
        rows: parts of the text read side by side, for speed. Every part but the first first reads the 200
            characters before it, unscored, so that the loss differs from one pass's by less than its standard error.

    Returns:
        An `Evaluation` of all characters but the first.

    Raises:
        ValueError: fewer than two characters, ids outside the model's vocabulary, or rows below 1.
    """
    model, ids = _checked(model, ids)
    if rows < 1:
        raise ValueError(f"rows is {rows}; it must be at least 1.")
    bounds = np.linspace(0, len(ids), min(rows, len(ids)) + 1).astype(int)
    warm_starts = np.maximum(bounds[:-1] - WARMUP, 0)
    loop = loop_of(model)
    texts = [ids[start:end] for start, end in zip(warm_starts, bounds[1:], strict=True)]
    _, losses = loop.read(loop.start(len(texts)), texts)
    scored = [part[start - warm :] for part, start, warm in zip(losses, bounds[:-1], warm_starts, strict=True)]
    return evaluation(np.concatenate(scored)[1:])


def evaluate_lines(model, ids, end):
    """Measure a model's loss on a list, each line read from zero state, as `lines` feeds it.

    Args:
        model: as for `evaluate`.
        ids: (characters,) ids of a text whose lines end with `end`; empty lines are skipped.
        end: id of the line break.

    Returns:
        An `Evaluation` of every character of every line, its end included, in the list's order.

    Raises:
        ValueError: fewer than two characters, ids outside the model's vocabulary, or no line.
    """
    model, ids = _checked(model, ids)
    texts = [line for line in np.split(ids, np.flatnonzero(ids == end) + 1) if (line != end).any()]
    if not texts:
        raise ValueError(f"{len(ids)} characters hold no line that is not empty; give a list with at least one.")
    loop, losses = loop_of(model), []
    for first in range(0, len(texts), LINES_AT_ONCE):
        # Every line is read after a line break; rows that are left over at the end read nothing more.
        group = [np.append(end, line) for line in texts[first : first + LINES_AT_ONCE]]
        group += [np.array([end])] * (LINES_AT_ONCE - len(group))
        losses += [part[1:] for part in loop.read(loop.start(LINES_AT_ONCE), group)[1]]
    return evaluation(np.concatenate(losses))


def _checked(model, ids):
    model = model if hasattr(model, "output_shape") else model.model()
    ids = np.asarray(ids)
    if len(ids) < 2:
        raise ValueError(f"{len(ids)} characters cannot be evaluated; it takes at least 2, one to predict from.")
    if ids.max() >= model.output_shape[-1]:
        raise ValueError(
            f"The text holds id {ids.max()} and the model knows {model.output_shape[-1]} characters. "
            "Encode the text with the vocabulary of the model's run folder."
        )
    return model, ids


def evaluation(losses):
    """Make an `Evaluation` of (scored characters,) nats."""
    return Evaluation(float(losses.mean(dtype=np.float64)), _standard_error(losses), losses)


def _standard_error(losses):
    """Standard error of the mean from the means of whole blocks; NaN where the text has fewer than two."""
    blocks = len(losses) // BLOCK
    if blocks < 2:
        return math.nan
    means = losses[: blocks * BLOCK].reshape(blocks, BLOCK).mean(axis=1, dtype=np.float64)
    return float(means.std(ddof=1) / math.sqrt(blocks))
