"""What a run keeps of its mixture, network and n-grams together: the text that was counted, and the weights.

A run of the `charlm` command keeps both in its folder. A reference model comes with the weights alone; its text is looked
for on this machine.
"""

import json
import zipfile

import numpy as np

from charlm.anytext.split import cut, encode
from charlm.corpora import load_corpus, registry
from charlm.evaluation.mixture import ORDERS, Mixture
from charlm.evaluation.ngrams import NgramCounts
from charlm.runs import Run
from charlm.support.files import move, unfinished, write_text
from charlm.support.lookup import find_local

FILE, WEIGHTS = "mixture.npz", "mixture.json"
COUNTED = 5_000_000  # training characters, above which only the last `COUNTED_OF_LONG` are counted
COUNTED_OF_LONG = 1_500_000
SEED = 0  # that reference models' lists were cut with


def counted_part(train):
    """Return what of a training text is counted: all of it, or the end of a long one."""
    return train if len(train) <= COUNTED else train[-COUNTED_OF_LONG:]


def count(ids, vocab_size):
    """Count the n-grams of a mixture; of a text shorter than the longest of them, those that there are."""
    return NgramCounts(ids, vocab_size, min(ORDERS[-1], len(ids)))


def keep(run, mixture, counted):
    """Write a run's mixture into its folder.

    Args:
        run: a `Run`.
        mixture: a `Mixture` of its network and the n-grams of `counted`.
        counted: (characters,) ids.
    """
    partial = unfinished(run.path / FILE)
    with partial.open("wb") as file:
        np.savez_compressed(file, counted=counted, orders=mixture.orders, weights=mixture.weights)
    move(partial, run.path / FILE)


def keep_weights(folder, mixture):
    """Write a mixture's weights beside a reference model."""
    kept = {"orders": mixture.orders, "weights": mixture.weights.round(4).tolist()}
    write_text(folder / WEIGHTS, json.dumps(kept))


def together(run):
    """Put a run's network and its n-grams together.

    Args:
        run: a `Run`, or what `Run.load` takes, such as "shakespeare".

    Returns:
        A `Mixture`; or None where the run keeps none, or is a reference model whose text is not on this machine.

    Raises:
        FileNotFoundError: no such run, or no epoch was finished.
        ValueError: what it keeps is damaged, or not of its network.
    """
    run = run if isinstance(run, Run) else Run.load(run)
    file = run.path / (WEIGHTS if run.is_reference else FILE)
    if not file.exists():
        return None
    model = run.model()
    try:
        counted, orders, weights = (_of_reference if run.is_reference else _of_run)(run, file)
        if counted is None:
            return None
        ngrams = NgramCounts(counted, len(run.vocabulary), int(max(orders)))
        end = int(run.vocabulary.encode("\n")[0]) if run.reads_lines else None
        return Mixture(model, ngrams, orders, weights, end)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{file} is damaged or of another run ({error}). Remove it, and the network is taken alone (--network)."
        ) from error


def _of_run(run, file):
    with np.load(file, allow_pickle=False) as kept:
        return kept["counted"], kept["orders"].tolist(), kept["weights"]


def _of_reference(run, file):
    """Find a reference model's text where it is without a download; None where it is not."""
    kept, noted = json.loads(file.read_text(encoding="utf-8")), run.settings["corpus"]
    limit, counted = run.data.get("limit"), None
    if find_local(registry()[noted["name"]], limit, run.reads_bytes):
        corpus = load_corpus(noted["name"], limit)
        if corpus.sha256 == noted["sha256"]:
            split = cut(corpus.text, "lines" if run.reads_lines else "streams", seed=SEED)
            counted = counted_part(encode(split, vocabulary=run.vocabulary).train)
    return counted, kept["orders"], kept["weights"]
