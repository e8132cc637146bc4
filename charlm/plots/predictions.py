"""The picture of Karpathy's blog post: a text coloured by one unit, with the network's predictions below."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colors
from matplotlib.cm import ScalarMappable
from matplotlib.ticker import MaxNLocator

from charlm.plots.neurons import colour_bar, found_colours
from charlm.plots.text import glyph, stretch, text_figure


def plot_predictions(trace, unit, start=0, length=192, width=64, count=5, palette="blue-green"):
    """Draw a text coloured by one unit, and under each character the network's predictions of the next one.

    The picture of Karpathy's "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015): blue is quiet, green
    is excited, and the redder a prediction, the likelier. In either palette a darker or lighter tone says the same as the hue.

    Args:
        trace: from `charlm.inspection.trace.trace`, with probabilities.
        unit: a `Unit` of the trace, a tuple of layer, signal and number, or what `find_cells` found, a `Search` or a
            `Cell`: one that is low where its feature holds is turned over, so that dark says that the feature is on.
        start, length: the characters to draw.
        width: characters in a row of the picture.
        count: predictions under each character.
        palette: "blue-green", or the name of one of matplotlib's colour maps, such as "cividis", which is made for
            colour-blind readers.

    Returns:
        The matplotlib axes; `axes.texts` are the characters and predictions that are drawn.

    Raises:
        ValueError: a unit that the trace does not hold, a stretch outside of its text, or no probabilities.
    """
    text = stretch(trace, start, length)
    shown, chance_scale = found_colours(trace, unit, palette), ScalarMappable(colors.Normalize(0, 1), "Reds")
    values = trace.values(shown.unit)[start : start + len(text)]
    ids, chances = trace.predictions(start, len(text), count)
    pieces = [slice(place, place + width) for place in range(0, len(text), width)]
    rows, labels = [], []
    for piece in pieces:
        predicted = zip(ids[piece].T, chances[piece].T, strict=True)
        below = [
            ([glyph(trace.vocabulary.characters[i]) for i in row], chance_scale.to_rgba(p)) for row, p in predicted
        ]
        rows += [(text[piece], shown.scale.to_rgba(values[piece])), *below, ("", np.zeros((0, 4)))]
        labels += [f"{start + piece.start:,}", *[""] * (count + 1)]
    axes, bars = text_figure(rows[:-1], labels, width, bars=2)
    axes.set(ylabel="first character of the row")
    colour_bar(shown, bars[0])
    plt.colorbar(
        chance_scale, bars[1], orientation="horizontal", ticks=MaxNLocator(5), label="probability of a prediction"
    )
    return axes
