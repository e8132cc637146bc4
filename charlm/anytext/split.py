"""A text, cut once before anything is learned from it, and then encoded: what to train on and what is held out."""

from typing import NamedTuple

import numpy as np

from charlm import pipelines
from charlm.anytext.transfer import extended_vocabulary
from charlm.corpora import unique_lines
from charlm.vocabulary import Vocabulary

VALIDATION = 0.1  # share of a text that is held out
MOST_VALIDATION = 500_000  # characters: more barely reduce the loss's standard error, and make every epoch longer
MOST_READ = 50_000_000  # characters of a text, where no limit is given: more than are trained on in half an hour
LOOKED_AT = 1_000_000  # characters in which a list is recognised
LIST = {"lines": 50, "longest": 60, "mean": 25, "unlike": 0.05, "distinct": 0.3}  # limits of what is taken for a list


class Split(NamedTuple):
    """A text in two parts."""

    feed: str  # "streams", or "lines" for a list
    validation: float  # share that is held out, as `charlm.split` takes it
    train: str
    held_out: str


class Parts(NamedTuple):
    """A `Split`, encoded."""

    vocabulary: Vocabulary
    train: np.ndarray  # (characters,) ids
    validation: np.ndarray  # (characters,) ids
    end: int | None  # id of the line break, where lines are read one by one


def read_text(source):
    """Load the text of a `Source`; without a limit, at most 50 million characters of one that is not registered."""
    if source.limit is None and source.kind != "registered":
        source = source._replace(limit=MOST_READ)
    return source.load()


def cut(text, feed=None, validation=VALIDATION, seed=0):
    """Cut a text into a training and a validation part.

    Args:
        text: string.
        feed: "streams": the text's end is held out. "lines": duplicates go, and random lines are held out. None
            takes what the text looks like.
        validation: share held out; of a long text at most 500,000 characters are.
        seed: decides which lines are held out.

    Returns:
        A `Split`.

    Raises:
        ValueError: an unknown feed, a share that is not above 0 and below 1, or as for `split` and `unique_lines`.
    """
    if feed not in (None, "lines", "streams"):
        raise ValueError(f"feed={feed!r} is not known; choose streams (a text) or lines (a list).")
    if not 0 < validation < 1:
        raise ValueError(f"validation is {validation}; a share of the text, above 0 and below 1, is held out.")
    if (feed or ("lines" if looks_like_list(text) else "streams")) == "lines":
        items = unique_lines(text)
        np.random.default_rng(seed).shuffle(items)
        parts = ["".join(item + "\n" for item in part) for part in pipelines.split(items, validation)]
        return Split("lines", validation, *parts)
    validation = min(validation, MOST_VALIDATION / max(len(text), 1))
    return Split("streams", validation, *pipelines.split(text, validation))


def encode(split, min_count=1, vocabulary=None, known=None):
    """Choose the vocabulary of a text that is cut, and encode both of its parts.

    Args:
        split: from `cut`.
        min_count: as in `Vocabulary.from_text`, counted in the training part.
        vocabulary: one to encode with; None makes one.
        known: a `Vocabulary` whose characters the new one is to have, too, as `extended_vocabulary` does.

    Returns:
        `Parts`.

    Raises:
        ValueError: as for `Vocabulary`.
    """
    if vocabulary is None:
        # An alphabet tells nothing of the order of what is held out; counts would.
        counted = split.train if min_count > 1 else split.train + split.held_out
        vocabulary = (
            Vocabulary.from_text(counted, min_count)
            if known is None
            else extended_vocabulary(known, counted, min_count)
        )
    lines = split.feed == "lines"
    if lines and "\n" not in vocabulary:
        raise ValueError("Lines end with a line break, which the vocabulary lacks. Lower min_count, or feed streams.")
    end = int(vocabulary.encode("\n")[0]) if lines else None
    return Parts(vocabulary, vocabulary.encode(split.train), vocabulary.encode(split.held_out), end)


def batches(parts, settings, seed=0, epoch=None):
    """Make the datasets of both parts, `(train, validation)`; `epoch` as in `charlm.windows`."""
    if parts.end is not None:
        rows = min(settings.batch_size, int(np.sum(parts.train == parts.end)))
        train = pipelines.lines(parts.train, parts.end, rows, seed=seed, epoch=epoch)
        return train, pipelines.lines(parts.validation, parts.end, rows, shuffle=False, drop_remainder=False)
    sizes = settings.sequence_length, settings.batch_size
    return tuple(pipelines.streams(ids, *sizes) for ids in (parts.train, parts.validation))


def looks_like_list(text):
    """Whether a text is a list of short items, one a line, rather than something to read from beginning to end."""
    lines = text[:LOOKED_AT].split("\n")
    items = [line for line in lines if line.strip()]
    if len(items) < LIST["lines"] or max(map(len, items)) > LIST["longest"]:
        return False
    if len(set(items)) < LIST["distinct"] * len(items):
        return False
    unlike = sum(line[0].isspace() or line.rstrip()[-1] in ",;:.?!{}()\"'”»…-" for line in items)
    blank = len(lines) - len(items) - (not lines[-1])  # what follows the last line break is no line
    mean = sum(map(len, items)) / len(items)
    return mean <= LIST["mean"] and unlike + blank <= LIST["unlike"] * len(lines)
