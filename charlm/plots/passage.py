"""A passage of text, each character on a ground that tells a number of it."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colors
from matplotlib.cm import ScalarMappable
from matplotlib.ticker import MaxNLocator

from charlm.plots.text import text_figure, written_lines


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
