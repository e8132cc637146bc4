"""A passage of text, each character on a ground that tells a number of it, or its kind."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colors
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from charlm.plots.text import text_figure, written_lines

KINDS = ("#b3d4f0", "#f0a830", "#8b1a1a", "#5f5f5f")  # light to dark, so that they differ in grey, too


def plot_passage(text, values, label, low=None, high=None, palette="PuOr", width=64):
    """Draw a text, line by line, with each character on the colour of its number.

    Args:
        text: string.
        values: a number for each of its characters.
        label: what the numbers are, with their unit.
        low, high: the ends of the colours; by default the largest number on either side of 0, so that 0 is white.
        palette: the name of one of matplotlib's colour maps.
        width: characters in a row of the picture; longer lines are broken.

    Returns:
        The matplotlib axes.

    Raises:
        ValueError: not as many numbers as characters, or none.
    """
    values = np.asarray(values, float)
    if not len(text) or values.shape != (len(text),):
        raise ValueError(f"{len(text)} characters and numbers of shape {values.shape}: give one for each character.")
    most = np.abs(values).max() or 1.0
    scale = ScalarMappable(colors.Normalize(-most if low is None else low, most if high is None else high), palette)
    rows = [(text[piece], scale.to_rgba(values[piece])) for piece in written_lines(text, width)]
    axes, (bar,) = text_figure(rows, [], width)
    axes.set_yticks([])
    plt.colorbar(scale, bar, orientation="horizontal", ticks=MaxNLocator(5), label=label)
    return axes


def plot_kinds(text, kinds, width=72):
    """Draw a text, line by line, with characters of up to four kinds on colours of their own.

    Args:
        text: string, with tabs or without.
        kinds: name to the places of its characters, as numbers; where one is of two kinds, the later counts.
        width: characters in a row of the picture; longer lines are broken.

    Returns:
        The matplotlib axes.

    Raises:
        ValueError: an empty text, more than four kinds, or a place outside the text.
    """
    if not text or len(kinds) > len(KINDS):
        raise ValueError(f"{len(text)} characters of {len(kinds)} kinds: give at least 1, of at most {len(KINDS)}.")
    colours = np.ones((len(text), 4))
    for colour, places in zip(KINDS, kinds.values(), strict=False):
        places = np.asarray(list(places), int)
        if places.size and not 0 <= places.min() <= places.max() < len(text):
            raise ValueError(f"Places {places.min()} to {places.max()} of a text of {len(text)}: begin at 0.")
        colours[places] = colors.to_rgba(colour)
    axes, (legend,) = text_figure([(text[piece], colours[piece]) for piece in written_lines(text, width)], [], width)
    axes.set_yticks([])
    legend.axis("off")
    named = [Patch(color=colour, label=name) for colour, name in zip(KINDS, kinds)]
    legend.legend(handles=named, loc="center", ncols=len(named), fontsize="small", frameon=False)
    return axes
