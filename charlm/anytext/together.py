"""What a run keeps of its mixture, network and n-grams together: the text that was counted, and the weights."""

import zipfile

import numpy as np

from charlm.evaluation.mixture import ORDERS, Mixture
from charlm.evaluation.ngrams import NgramCounts
from charlm.support.files import move, unfinished

FILE = "mixture.npz"


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


def together(run):
    """Put a run's network and its n-grams together.

    Returns:
        A `Mixture`, or None where the run keeps none.

    Raises:
        FileNotFoundError: no epoch was finished.
        ValueError: what it keeps is damaged, or not of its network.
    """
    file = run.path / FILE
    if not file.exists():
        return None
    model = run.model()
    try:
        with np.load(file, allow_pickle=False) as kept:
            counted, orders, weights = (kept[name] for name in ("counted", "orders", "weights"))
        ngrams = NgramCounts(counted, len(run.vocabulary), int(max(orders)))
        return Mixture(model, ngrams, orders.tolist(), weights)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{file} is damaged or of another run ({error}). Remove it, and the network is taken alone (--network)."
        ) from error
