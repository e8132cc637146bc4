"""Draw the README's picture: a passage coloured by the unit that follows its quotation marks, above the network's guesses.

    python -m tools.picture              writes docs/cells.png

It needs the real text, in CHARLM_DATA or from the network.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np

import charlm
from charlm.inspection import features
from charlm.inspection.search import find_cells
from charlm.inspection.trace import trace
from charlm.plots.predictions import plot_predictions

CORPUS, READ, SHOWN, WIDTH = "war_and_peace", 60_000, 128, 64  # characters


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default="docs/cells.png")
    path = parser.parse_args().path
    corpus, run = charlm.load_corpus(CORPUS), charlm.Run.load(CORPUS)
    if corpus.is_standin:
        raise FileNotFoundError(f"The picture shows the real {CORPUS}: set CHARLM_DATA, or allow a network.")
    text = charlm.split(corpus.text)[1][:READ]  # which the network has not seen
    read = trace(run.model(), run.vocabulary, text)
    quotes = find_cells(read, features.inside_quotes)
    print(quotes)
    plot_predictions(read, quotes, start=_half_inside(features.inside_quotes(text)), length=SHOWN, width=WIDTH)
    plt.savefig(path, dpi=120, bbox_inches="tight")


def _half_inside(holds):
    """The start of the stretch of which a feature holds for half, and neither at its beginning nor at its end."""
    shares = np.convolve(holds, np.ones(SHOWN) / SHOWN, "valid")
    begins_and_ends_without = ~holds[: len(shares)] & ~holds[-len(shares) :]
    return int(np.argmin(np.where(begins_and_ends_without, np.abs(shares - 0.5), 1.0)))


if __name__ == "__main__":
    main()
