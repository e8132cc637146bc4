"""Texts coloured by units, one or several, and how saturated a network's gates are."""

from typing import NamedTuple

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
    shown = found_colours(trace, unit, palette)
    values = trace.values(shown.unit)[start : start + len(text)]
    pieces = written_lines(text, width)
    rows = [(text[piece], shown.scale.to_rgba(values[piece])) for piece in pieces]
    axes, bars = text_figure(rows, [f"{start + piece.start:,}" for piece in pieces], width)
    axes.set(ylabel="first character of the row")
    colour_bar(shown, bars[0])
    return axes


def plot_cells(trace, units, start=0, length=144, width=72, palette="blue-green"):
    """Draw several units over one passage: the text, and under it a coloured row for each unit.

    Args:
        trace, start, length, width, palette: as in `plot_predictions`.
        units: list of units, each as in `plot_predictions`, or a dictionary of names to them.

    Returns:
        The matplotlib axes; `axes.images[0]` holds the colours.

    Raises:
        ValueError: no unit, one that the trace does not hold, or a stretch outside of its text.
    """
    if not units:
        raise ValueError("There is no unit to draw; give at least one.")
    text = stretch(trace, start, length)
    shown = [found_colours(trace, unit, palette) for unit in (units.values() if isinstance(units, dict) else units)]
    named = list(units) if isinstance(units, dict) else [unit_name(each.unit) for each in shown]
    colours = [each.scale.to_rgba(trace.values(each.unit)[start : start + len(text)]) for each in shown]
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
    ends = ["off, or small", "on, or large: what each unit follows"]
    bar.ax.set_xticklabels(ends if any(each.turned for each in shown) else ["lowest", "highest value of each unit"])
    bar.ax.get_xticklabels()[0].set_ha("left")
    bar.ax.get_xticklabels()[1].set_ha("right")
    return axes


class Colours(NamedTuple):
    """How to draw one unit."""

    unit: tuple  # layer, signal and number
    scale: ScalarMappable  # from its values to colours
    turned: bool  # whether low values are dark

    @property
    def label(self):
        return unit_name(self.unit) + (", turned over: low is dark" if self.turned else "")


def found_colours(trace, found, palette="blue-green"):
    """Return the `Colours` of a unit; one that was found to be low where its feature holds is turned over.

    Args:
        trace, palette: as in `plot_predictions`.
        found: as `unit` there.

    Raises:
        ValueError: a unit that the trace does not hold, or an unknown palette.
    """
    cell = found.cells[0] if hasattr(found, "cells") else found
    unit, turned = getattr(cell, "unit", cell), getattr(cell, "direction", 1) < 0
    scale = value_scale(trace, unit, palette)
    if turned:
        scale.set_cmap(scale.get_cmap().reversed())
    return Colours(unit, scale, turned)


def colour_bar(colours, axes):
    """Draw the bar of a unit's colours, its dark end at the right."""
    plt.colorbar(colours.scale, axes, orientation="horizontal", ticks=MaxNLocator(5), label=colours.label)
    if colours.turned:
        axes.invert_xaxis()


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
