"""The drawings of notebooks 00 and 07: a network unrolled, kinds of sequences, a GRU, an LSTM, and scores that move."""

from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt

DRAWINGS = Path(__file__).with_name("drawings")
WANTED, UNWANTED = "#b6e3b6", "#f4c2c2"


class Drawing(NamedTuple):
    """A picture that a notebook shows, as SVG."""

    svg: str

    def _repr_svg_(self):
        return self.svg

    def __repr__(self):
        return f"Drawing({len(self.svg):,} characters of SVG)"


def drawing(name):
    """Show one of the drawings that come with charlm.

    Args:
        name: "unrolled", a recurrent network, folded and unrolled over the characters that it reads; "kinds", which steps
            have an input and an output; "gru" and "lstm", the inside of a cell.

    Returns:
        A `Drawing`.

    Raises:
        ValueError: there is no such drawing.
    """
    known = sorted(file.stem for file in DRAWINGS.glob("*.svg"))
    if name not in known:
        raise ValueError(f"There is no drawing {name!r}; choose one of {', '.join(known)}.")
    return Drawing((DRAWINGS / f"{name}.svg").read_text(encoding="utf-8"))


def draw_scores(scores_before, scores_after, inputs, targets, alphabet):
    """Draw what training did to the score of each character: wanted ones green and bold, all others red.

    Args:
        scores_before: (T, V) logits before training.
        scores_after: (T, V) logits after it.
        inputs: T characters read.
        targets: T characters wanted.
        alphabet: V characters, in the order of the scores.

    Returns:
        The matplotlib axes.
    """
    _, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    axes.set(xlim=(0, len(inputs) + 0.6), ylim=(-len(alphabet) - 0.2, 1.1))
    axes.axis("off")
    for step, target in enumerate(targets):
        axes.text(step + 1.1, 0.45, f"after {inputs[: step + 1]!r}\nwanted {target!r}", ha="center", va="center")
        for row, letter in enumerate(alphabet):
            colour, y = WANTED if letter == target else UNWANTED, -row - 0.5
            axes.add_patch(plt.Rectangle((step + 0.62, y - 0.45), 0.96, 0.9, color=colour))
            before, after = (round(scores[step, row], 1) + 0.0 for scores in (scores_before, scores_after))  # no -0.0
            arrow = "↑" if after > before else "↓"
            weight = "bold" if letter == target else "normal"  # in grey, the two colours look alike
            axes.text(step + 1.1, y, f"{before:+.1f} {arrow} {after:+.1f}", ha="center", va="center", weight=weight)
    for row, letter in enumerate(alphabet):
        axes.text(0.5, -row - 0.5, repr(letter), ha="right", va="center", family="monospace")
    return axes
