"""What pictures of text share: characters in rows on coloured ground, and the colours of a unit's values."""

import functools
import re

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colors, font_manager
from matplotlib.cm import ScalarMappable

SIZE = (7, 3.5)  # inches: readable in a saved notebook, and small in bytes
ROW = 0.17  # inches a line of text is high
GLYPHS = {"\n": "↵", "\t": "⇥", " ": "␣"}  # what cannot be seen
BLUE_GREEN = colors.LinearSegmentedColormap.from_list("blue-green", ["#d3e0ff", "#7cc4c4", "#0a6b2d"])
OUTLIERS = 1  # percent of a unit's values at either end that lie beyond the colours


def glyph(character):
    """Return what stands for a character in a picture: itself, or a sign for what cannot be seen or drawn."""
    if character in GLYPHS:
        return GLYPHS[character]
    return character if character.isprintable() and ord(character) in _drawable() else "□"


@functools.cache
def _drawable():
    return frozenset(font_manager.get_font(font_manager.findfont("monospace")).get_charmap())


def value_scale(trace, unit, palette="blue-green"):
    """Make the colours of a unit: they span its values over the whole trace, but for the last percent at either end.

    Raises:
        ValueError: a unit that the trace does not hold, or an unknown palette.
    """
    low, high = np.percentile(trace.values(unit), [OUTLIERS, 100 - OUTLIERS])
    return ScalarMappable(colors.Normalize(low, high if high > low else low + 1), palette_named(palette))


def is_dark(colour):
    """Whether white is easier to read on a colour, (..., 4) from 0 to 1, than black: by luma, as in Rec. 601."""
    return np.asarray(colour)[..., :3] @ [0.299, 0.587, 0.114] < 0.5


def palette_named(name):
    if name != "blue-green" and name not in plt.colormaps:
        raise ValueError(f"palette={name!r} is not known; choose 'blue-green', or one of matplotlib's, as 'cividis'.")
    return BLUE_GREEN if name == "blue-green" else plt.colormaps[name]


def unit_name(unit):
    layer, signal, number = unit
    return f"layer {layer} {signal} {number}" + (", tanh" if signal == "cell" else "")


def stretch(trace, start, length):
    text = trace.text[max(start, 0) : start + length]
    if start < 0 or not text:
        raise ValueError(
            f"Characters {start:,} to {start + length:,} are not in the traced text, which has {len(trace.text):,}."
        )
    return text


def written_lines(text, width):
    """Cut a text at its line breaks, and where a line is longer than `width`: a list of slices."""
    lines = [match.span() for match in re.finditer(r"[^\n]*\n|[^\n]+", text)]
    return [slice(at, min(at + width, end)) for start, end in lines for at in range(start, end, width)]


def text_figure(rows, labels, width, bars=1):
    """Draw rows of characters on colours, with room for colour bars below.

    Args:
        rows: list of (characters, (characters, 4) colours).
        labels: what stands at the left of each row.
        width: characters a row has room for.
        bars: colour bars.

    Returns:
        The axes of the text, and the list of those for the bars.
    """
    heights = [ROW * len(rows), 0.12]
    size = (SIZE[0] + 1, sum(heights) + 0.75)
    names = [f"bar {number}" for number in range(bars)]
    _, axes = plt.subplot_mosaic([["text"] * bars, names], figsize=size, height_ratios=heights, layout="constrained")
    colours = np.ones((len(rows), width, 4))
    for place, (characters, row) in enumerate(rows):
        colours[place, : len(row)] = row
        for column, character in enumerate(characters):
            if character != " ":
                style = {"color": "white" if is_dark(row[column]) else "black", "family": "monospace", "fontsize": 9}
                where = {"ha": "center", "va": "center_baseline", "parse_math": False}
                drawn = axes["text"].text(column, place, glyph(character), **style, **where)
                drawn.set_in_layout(False)  # hundreds of them would be measured one by one
    axes["text"].imshow(colours, aspect="auto", interpolation="nearest")
    axes["text"].set_yticks(range(len(labels))[: len(rows)], labels[: len(rows)], fontsize=8)
    axes["text"].set_xticks([])
    axes["text"].tick_params(left=False)
    for spine in axes["text"].spines.values():
        spine.set_visible(False)
    return axes["text"], [axes[name] for name in names]
