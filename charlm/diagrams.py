"""The drawings of notebooks 00 and 07: a network unrolled, kinds of sequences, the inside of a GRU and an LSTM."""

import matplotlib.pyplot as plt
from matplotlib.patches import Circle, FancyBboxPatch

from charlm.plots import SIZE

INPUT, HIDDEN, OUTPUT, GATE, LINE = "#cfe2f3", "#d9ead3", "#fce5cd", "#fff2cc", "#444444"
GREEN, RED = "#b6e3b6", "#f4c2c2"


def draw_unrolled(characters="hell", targets="ello"):
    """Draw a recurrent network, folded and unrolled over the characters that it reads.

    Args:
        characters: what it reads, one a step.
        targets: what it should predict, as many.

    Returns:
        The matplotlib axes.
    """
    axes = _canvas((-2.3, 2 * len(characters) - 0.2), (-0.7, 3.2))
    _column(axes, -1.2, r"$x_t$", r"$y_t$")
    _line(axes, (-0.75, 1.5), (-0.35, 1.5), (-0.35, 0.95), (-2.05, 0.95), (-2.05, 1.5))
    _arrow(axes, (-2.05, 1.5), (-1.65, 1.5))
    axes.text(-2.0, 0.65, r"$W_{hh}$", ha="left", fontsize=8)
    axes.text(0.15, 1.5, "=", fontsize=16, ha="center", va="center")
    for step, (character, target) in enumerate(zip(characters, targets, strict=True)):
        x = 1.2 + 2 * step
        _column(axes, x, repr(character), repr(target), rf"$h_{step + 1}$")
        if step:
            _arrow(axes, (x - 1.55, 1.5), (x - 0.45, 1.5))
            axes.text(x - 1, 1.63, r"$W_{hh}$", ha="center", fontsize=8)
    axes.text(-1.2, -0.5, "folded", ha="center", style="italic")
    axes.text(len(characters) + 0.2, -0.5, "unrolled: the same weights at every step", ha="center", style="italic")
    return axes


def draw_kinds():
    """Draw which steps have an input and an output, from one-to-one to many-to-many.

    Returns:
        The matplotlib axes.
    """
    kinds = {
        "one to one\npicture → class": ([0], [0], 1),
        "one to many\npicture → sentence": ([0], [0, 1, 2], 3),
        "many to one\nreview → verdict": ([0, 1, 2], [2], 3),
        "many to many\ntranslation": ([0, 1, 2], [2, 3, 4], 5),
        "many to many\nnext character": ([0, 1, 2], [0, 1, 2], 3),
    }
    axes = _canvas((-0.7, 19.6), (-1.1, 3.7))
    left = 0
    for title, (inputs, outputs, steps) in kinds.items():
        for step in range(steps):
            _small_column(axes, left + step, step in inputs, step in outputs, first=step == 0)
        axes.text(left + (steps - 1) / 2, -0.75, title, ha="center", va="center", fontsize=7)
        left += steps + 1.2
    return axes


def draw_gru():
    """Draw the inside of a GRU: what the hidden state passes through in one step.

    Returns:
        The matplotlib axes.
    """
    axes = _canvas((0, 10), (0, 5))
    _arrow(axes, (0.2, 4.3), (5.94, 4.3))
    _arrow(axes, (6.46, 4.3), (7.54, 4.3))
    _arrow(axes, (8.06, 4.3), (9.8, 4.3))
    axes.text(0.2, 4.5, r"$h_{t-1}$")
    axes.text(9.8, 4.5, r"$h_t$", ha="right")
    _node(axes, 6.2, 4.3, "×")
    _node(axes, 7.8, 4.3, "+")
    _block(axes, 2.6, 1.9, "r", "σ", GATE)
    _block(axes, 4.6, 1.9, "z", "σ", GATE)
    _block(axes, 6.6, 1.9, r"$\tilde{h}$", "tanh", HIDDEN)
    _node(axes, 3.6, 3.1, "×")
    _arrow(axes, (3.6, 4.3), (3.6, 3.36))
    _line(axes, (2.6, 2.3), (2.6, 3.1))
    _arrow(axes, (2.6, 3.1), (3.34, 3.1))
    _line(axes, (3.6, 2.84), (3.6, 1.05), (6.9, 1.05))
    _arrow(axes, (6.9, 1.05), (6.9, 1.5))
    _line(axes, (4.6, 2.3), (4.6, 3.3), (6.2, 3.3))
    _arrow(axes, (6.2, 3.3), (6.2, 4.04))
    axes.text(5.35, 3.42, "z: keep", fontsize=8, ha="center")
    _node(axes, 7.8, 3.1, "×")
    _line(axes, (6.6, 2.3), (6.6, 3.1))
    _arrow(axes, (6.6, 3.1), (7.54, 3.1))
    _arrow(axes, (7.8, 3.36), (7.8, 4.04))
    _arrow(axes, (8.5, 3.1), (8.06, 3.1))
    axes.text(8.55, 3.1, "1 − z: renew", fontsize=8, va="center")
    axes.text(7.0, 0.98, r"$r \odot h_{t-1}$", fontsize=8, va="center")
    _feed(axes, (2.6, 4.6, 6.3), 0.3, r"$x_t$")
    axes.text(0.2, 2.6, "r and z see\n$h_{t-1}$ too", fontsize=8, va="center")
    return axes


def draw_lstm():
    """Draw the inside of an LSTM: the cell state runs along the top, past three gates.

    Returns:
        The matplotlib axes.
    """
    axes = _canvas((0, 10), (0, 5))
    axes.text(0.2, 4.5, r"$c_{t-1}$")
    axes.text(9.8, 4.5, r"$c_t$", ha="right")
    _arrow(axes, (0.2, 4.3), (1.74, 4.3))
    _arrow(axes, (2.26, 4.3), (4.64, 4.3))
    _arrow(axes, (5.16, 4.3), (9.8, 4.3))
    for x, name, kind, color in ((2.0, "f", "σ", GATE), (3.7, "i", "σ", GATE), (4.9, "g", "tanh", HIDDEN)):
        _block(axes, x, 1.9, name, kind, color)
    _block(axes, 6.4, 1.9, "o", "σ", GATE)
    _node(axes, 2.0, 4.3, "×")
    _node(axes, 4.9, 4.3, "+")
    _node(axes, 4.9, 3.2, "×")
    _arrow(axes, (2.0, 2.3), (2.0, 4.04))
    axes.text(2.1, 3.3, "forget", fontsize=8)
    _line(axes, (3.7, 2.3), (3.7, 3.2))
    _arrow(axes, (3.7, 3.2), (4.64, 3.2))
    axes.text(3.6, 3.3, "write", fontsize=8, ha="right")
    _arrow(axes, (4.9, 2.3), (4.9, 2.94))
    _arrow(axes, (4.9, 3.46), (4.9, 4.04))
    _arrow(axes, (7.8, 4.3), (7.8, 3.85))
    _block(axes, 7.8, 3.5, "tanh", "", "white", height=0.6)
    _node(axes, 7.8, 2.5, "×")
    _arrow(axes, (7.8, 3.2), (7.8, 2.76))
    _line(axes, (6.4, 2.3), (6.4, 2.5))
    _arrow(axes, (6.4, 2.5), (7.54, 2.5))
    axes.text(6.95, 2.6, "show", fontsize=8, ha="center")
    _arrow(axes, (8.06, 2.5), (9.8, 2.5))
    axes.text(9.8, 2.7, r"$h_t$", ha="right")
    _feed(axes, (2.0, 3.7, 4.9, 6.4), 0.5, r"$x_t$ and $h_{t-1}$")
    return axes


def draw_scores(scores_before, scores_after, inputs, targets, alphabet):
    """Draw what training did to the score of each character: wanted ones green, all others red.

    Args:
        scores_before: (T, V) logits before training.
        scores_after: (T, V) logits after it.
        inputs: T characters read.
        targets: T characters wanted.
        alphabet: V characters, in the order of the scores.

    Returns:
        The matplotlib axes.
    """
    axes = _canvas((0, len(inputs) + 0.6), (-len(alphabet) - 0.2, 1.1), size=(7, 2.8))
    for step, (character, target) in enumerate(zip(inputs, targets, strict=True)):
        axes.text(step + 1.1, 0.45, f"after {inputs[: step + 1]!r}\nwanted {target!r}", ha="center", va="center")
        for row, letter in enumerate(alphabet):
            colour, y = GREEN if letter == target else RED, -row - 0.5
            axes.add_patch(plt.Rectangle((step + 0.62, y - 0.45), 0.96, 0.9, color=colour))
            before, after = (round(scores[step, row], 1) + 0.0 for scores in (scores_before, scores_after))  # no -0.0
            arrow = "↑" if after > before else "↓"
            axes.text(step + 1.1, y, f"{before:+.1f} {arrow} {after:+.1f}", ha="center", va="center")
    for row, letter in enumerate(alphabet):
        axes.text(0.5, -row - 0.5, repr(letter), ha="right", va="center", family="monospace")
    return axes


def _canvas(x_limits, y_limits, size=SIZE):
    _, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set(xlim=x_limits, ylim=y_limits)
    axes.axis("off")
    return axes


def _block(axes, x, y, name, kind, colour, width=0.9, height=0.8):
    corner = (x - width / 2, y - height / 2)
    box = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.1", fc=colour, ec=LINE, zorder=2)
    axes.add_patch(box)
    axes.text(x, y, f"{name}\n{kind}" if kind else name, ha="center", va="center", fontsize=9, zorder=3)


def _node(axes, x, y, sign):
    axes.add_patch(Circle((x, y), 0.26, fc="white", ec=LINE, zorder=2))
    axes.text(x, y, sign, ha="center", va="center_baseline", fontsize=11, zorder=3)


def _arrow(axes, start, end):
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": LINE, "shrinkA": 0, "shrinkB": 0})


def _line(axes, *points):
    axes.plot(*zip(*points), color=LINE, linewidth=1, zorder=1)


def _feed(axes, xs, y, name):
    """Lead one input along the bottom to blocks at `xs`."""
    axes.text(0.2, y, name, va="center")
    _line(axes, (0.6 if len(name) < 8 else 1.6, y), (xs[-1], y))
    for x in xs:
        _arrow(axes, (x, y), (x, 1.5))


def _column(axes, x, below, above, state=r"$h_t$"):
    for y, name, colour in ((0.2, below, INPUT), (1.5, state, HIDDEN), (2.8, above, OUTPUT)):
        _block(axes, x, y, name, "", colour, height=0.55)
    _arrow(axes, (x, 0.48), (x, 1.21))
    _arrow(axes, (x, 1.78), (x, 2.51))
    axes.text(x + 0.08, 0.75, r"$W_{xh}$", fontsize=8)
    axes.text(x + 0.08, 2.05, r"$W_{hy}$", fontsize=8)


def _small_column(axes, x, has_input, has_output, first):
    rows = ((0.2, has_input, INPUT), (1.5, True, HIDDEN), (2.8, has_output, OUTPUT))
    for y, _, colour in (row for row in rows if row[1]):
        _block(axes, x, y, "", "", colour, width=0.6, height=0.7)
    if has_input:
        _arrow(axes, (x, 0.55), (x, 1.15))
    if has_output:
        _arrow(axes, (x, 1.85), (x, 2.45))
    if not first:
        _arrow(axes, (x - 0.7, 1.5), (x - 0.3, 1.5))
