"""Texts coloured by units, one or several, and how saturated a network's gates are."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.ticker import MaxNLocator

from charlm.plots.text import SIZE, palette_named, stretch, text_figure, unit_name, value_scale, written_lines


def plot_neuron(trace, unit, start=0, length=600, width=80, palette="blue-green"):
    """Draw a text coloured by one unit, line by line as it is written.

    Args:
        trace, unit, start, length, palette: as in `plot_predictions`.
        width: characters after which a longer line is broken.

    Returns:
        The matplotlib axes; `axes.texts` are the characters that are drawn.

    Raises:
        ValueError: a unit that the trace does not hold, or a stretch outside of its text.
    """
    text = stretch(trace, start, length)
    scale = value_scale(trace, unit, palette)
    values = trace.values(unit)[start : start + len(text)]
    pieces = written_lines(text, width)
    rows = [(text[piece], scale.to_rgba(values[piece])) for piece in pieces]
    axes, bars = text_figure(rows, [f"{start + piece.start:,}" for piece in pieces], width)
    axes.set(ylabel="first character of the row")
    plt.colorbar(scale, bars[0], orientation="horizontal", ticks=MaxNLocator(5), label=unit_name(unit))
    return axes


def plot_cells(trace, units, start=0, length=144, width=72, palette="blue-green"):
    """Draw several units over one passage: the text, and under it a coloured row for each unit.

    Args:
        trace, start, length, width, palette: as in `plot_predictions`.
        units: list of `Unit`, or a dictionary of names to them.

    Returns:
        The matplotlib axes; `axes.images[0]` holds the colours.

    Raises:
        ValueError: no unit, one that the trace does not hold, or a stretch outside of its text.
    """
    named = units if isinstance(units, dict) else {unit_name(unit): unit for unit in units}
    if not named:
        raise ValueError("There is no unit to draw; give at least one.")
    text = stretch(trace, start, length)
    colours = [
        value_scale(trace, u, palette).to_rgba(trace.values(u)[start : start + len(text)]) for u in named.values()
    ]
    rows, labels = [], []
    for place in range(0, len(text), width):
        piece = slice(place, place + width)
        written = text[piece]
        rows += [(written, np.ones((len(written), 4))), *((" " * len(written), c[piece]) for c in colours)]
        rows.append(("", np.zeros((0, 4))))
        labels += [f"{start + place:,}", *named, ""]
    axes, bars = text_figure(rows[:-1], labels, width)
    axes.set(ylabel="unit")
    bar = plt.colorbar(ScalarMappable(cmap=palette_named(palette)), bars[0], orientation="horizontal", ticks=[0, 1])
    bar.ax.set_xticklabels(["lowest", "highest value of each unit"])
    return axes


def plot_gates(statistics):
    """Draw how much of the time each unit's gates are shut and open, a panel for each gate.

    The picture of Karpathy, Johnson and Fei-Fei 2015, figure 3.

    Args:
        statistics: from `charlm.inspection.search.gate_statistics`.

    Returns:
        The array of matplotlib axes, one for each gate.
    """
    gates = list(dict.fromkeys(gate for _, gate in statistics))
    size = (SIZE[0], 0.5 + SIZE[0] / max(3, len(gates)))
    figure, grid = plt.subplots(
        1, len(gates), figsize=size, sharex=True, sharey=True, layout="constrained", squeeze=False
    )
    for axes, gate in zip(grid[0], gates, strict=True):
        for layer in (layer for layer, name in statistics if name == gate):
            shares = statistics[layer, gate]
            style = {"marker": "osD^"[(layer - 1) % 4], "color": f"C{layer - 1}", "alpha": 0.5}
            axes.scatter(shares.left, shares.right, s=12, label=f"layer {layer}", **style)
        axes.plot([0, 1], [1, 0], ":", color="grey", linewidth=1)
        axes.set(title=f"{gate} gate", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    grid[0, 0].set(ylabel="share of time open (> 0.9)")
    figure.supxlabel("share of time shut (< 0.1)", fontsize="medium")
    if len({layer for layer, _ in statistics}) > 1:
        grid[0, -1].legend(fontsize="small")
    return grid[0]
