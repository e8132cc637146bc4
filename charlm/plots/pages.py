"""Texts coloured by what a network did, as pages of their own: for scrolling through more than a picture holds."""

import html
import itertools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colors
from matplotlib.cm import ScalarMappable

from charlm.plots.neurons import found_colours
from charlm.plots.text import glyph, is_dark

LEVELS = 32  # tones of a colour scale
STYLE = """\
body { font: 14px/1.4 sans-serif; margin: 1em; color: #000; background: #fff }
pre { font: 14px/1.5 monospace; white-space: pre-wrap; overflow-wrap: anywhere }
pre > b { font-weight: normal; display: inline-block; text-align: center; min-width: 1.3ch; vertical-align: top; margin-bottom: 6px }
b > i { font-style: normal; display: block; font-size: 12px; line-height: 1.25 }
.scale span { padding: 2px 4px }"""


class Page(NamedTuple):
    """A page of HTML that needs nothing but itself; a notebook shows it in a frame that scrolls."""

    html: str

    def save(self, path):
        """Write the page to a file, and return its path."""
        Path(path).write_text(self.html, encoding="utf-8")
        return Path(path)

    def _repr_html_(self):
        title = re.search("<title>(.*?)</title>", self.html)[1]  # read aloud to whoever does not see the frame
        frame = '<iframe sandbox title="{}" srcdoc="{}" style="width:100%;height:420px;border:1px solid #ccc"></iframe>'
        return frame.format(title, html.escape(self.html))

    def __repr__(self):
        return f"Page({len(self.html):,} characters of HTML)"


def neuron_page(trace, unit, start=0, length=None, predictions=0, palette="blue-green"):
    """Make a page of a text coloured by one unit; the value shows where the pointer rests.

    Args:
        trace: from `charlm.inspection.trace.trace`, with probabilities where there are predictions.
        unit: as in `charlm.plots.predictions.plot_predictions`.
        start, length: the characters to show; None for all that are left.
        predictions: how many likely next characters to show under each; they make the page some ten times as long.
        palette: as in `charlm.plots.predictions.plot_predictions`.

    Returns:
        A `Page`.

    Raises:
        ValueError: a unit that the trace does not hold, a start outside of its text, or no probabilities.
    """
    if not 0 <= start < len(trace.text):
        raise ValueError(f"start is {start:,}; the traced text has characters 0 to {len(trace.text) - 1:,}.")
    text = trace.text[start : None if length is None else start + length]
    shown, chance_scale = found_colours(trace, unit, palette), ScalarMappable(colors.Normalize(0, 1), "Reds")
    values, scale = trace.values(shown.unit)[start : start + len(text)], shown.scale
    levels = _levels(scale.norm(values))
    if predictions:
        body = _with_predictions(trace, text, start, levels, values, predictions)
    else:
        body = _condensed(text, levels, values)
    title = shown.label
    legend = f"<p class=scale>{title}: {_legend('v', scale)}</p>"
    legend += f"<p class=scale>predictions: {_legend('p', chance_scale)}</p>" if predictions else ""
    style = "\n".join([STYLE, *_rules("v", scale), *(_rules("p", chance_scale) if predictions else [])])
    head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    return Page(f"{head}\n<style>\n{style}\n</style></head>\n<body>{legend}\n<pre>{body}</pre></body></html>\n")


def _condensed(text, levels, values):
    """One span for each run of characters of one tone."""
    borders = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(text)]
    return "".join(
        f'<span class=v{levels[a]} title="{values[a:b].mean():.2f}">{_shown(text[a:b])}</span>'
        for a, b in itertools.pairwise(borders)
    )


def _with_predictions(trace, text, start, levels, values, count):
    """One column for each character, with its predictions below."""
    ids, chances = trace.predictions(start, len(text), count)
    signs = [html.escape(glyph(character)) for character in trace.vocabulary.characters]
    columns = []
    for character, level, value, row, row_chances in zip(text, levels, values, ids, chances, strict=True):
        below = "".join(
            f'<i class=p{tone} title="{chance:.2f}">{signs[predicted]}</i>'
            for predicted, tone, chance in zip(row, _levels(row_chances), row_chances, strict=True)
        )
        columns.append(f'<b><i class=v{level} title="{value:.2f}">{html.escape(glyph(character))}</i>{below}</b>')
        columns.append("\n" if character == "\n" else "")
    return "".join(columns)


def _shown(text):
    """Escape a text; line breaks and tabs stay what they are, what cannot be drawn becomes a sign."""
    kept = "".join(c if c in " \t\n" or c.isprintable() else "□" for c in text)
    return html.escape(kept).replace("\n", "↵\n")


def _levels(shares):
    """Turn shares of a scale, from 0 to 1, into numbers of tones."""
    return np.clip(np.asarray(shares, np.float32) * LEVELS, 0, LEVELS - 1).astype(int)


def _tones(scale):
    return scale.get_cmap()((np.arange(LEVELS) + 0.5) / LEVELS)


def _rules(letter, scale):
    return [
        f".{letter}{level} {{ background: {colors.to_hex(tone)}; color: {'#fff' if is_dark(tone) else '#000'} }}"
        for level, tone in enumerate(_tones(scale))
    ]


def _legend(letter, scale):
    """A strip of tones with the values at which they begin."""
    marks = np.linspace(0, LEVELS - 1, 5).astype(int)
    values = scale.norm.inverse((marks + 0.5) / LEVELS)
    return "".join(f"<span class={letter}{mark}>{value:.2f}</span>" for mark, value in zip(marks, values, strict=True))
