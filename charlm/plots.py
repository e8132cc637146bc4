"""The pictures of the notebooks, drawn with matplotlib."""

import functools
import re
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colors, font_manager
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

SIZE = (7, 3.5)  # inches: readable in a saved notebook, and small in bytes
ROW = 0.17  # inches a line of text is high
GLYPHS = {"\n": "↵", "\t": "⇥", " ": "␣"}  # what cannot be seen
BLUE_GREEN = colors.LinearSegmentedColormap.from_list("blue-green", ["#d3e0ff", "#7cc4c4", "#0a6b2d"])
OUTLIERS = 1  # percent of a unit's values at either end that lie beyond the colours


def plot_history(history, lines=None):
    """Draw a run's training and validation loss against its epochs.

    Args:
        history: list of dictionaries with epoch, loss and val_loss in nats per character, from `Run.history`.
        lines: name to nats per character of what the network is to be compared with, drawn as level lines.

    Returns:
        The matplotlib axes.

    Raises:
        ValueError: no epoch was finished.
    """
    if not history:
        raise ValueError("There is no epoch to draw: train first.")
    _, axes = plt.subplots(figsize=SIZE, layout="constrained")
    epochs = [row["epoch"] for row in history]
    axes.plot(epochs, [row["loss"] for row in history], "o--", label="training (mean over the epoch)")
    axes.plot(epochs, [row["val_loss"] for row in history], "s-", label="validation (after the epoch)")
    for number, (name, nats) in enumerate((lines or {}).items()):
        axes.axhline(nats, color=f"C{number + 2}", linestyle=":", label=f"{name}: {nats:.3f}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="loss, nats per character")
    axes.legend(fontsize="small")
    return axes


def plot_ladder(ladder):
    """Draw a ladder's rows as bars, in bits per character.

    Args:
        ladder: from `charlm.baselines.ladder`.

    Returns:
        The matplotlib axes.
    """
    kinds = ("counting", "compressor", "model")
    _, axes = plt.subplots(figsize=(SIZE[0], 0.6 + 0.28 * len(ladder.rows)), layout="constrained")
    bars = axes.barh(
        [row.name for row in ladder.rows],
        [row.bpc for row in ladder.rows],
        color=[f"C{kinds.index(row.kind)}" for row in ladder.rows],
    )
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize="small")
    present = {row.kind for row in ladder.rows}
    handles = [Patch(color=f"C{place}", label=kind) for place, kind in enumerate(kinds) if kind in present]
    axes.legend(handles=handles, fontsize="small", loc="lower right")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel="bits per character: less is better")
    return axes


def plot_predictions(trace, unit, start=0, length=192, width=64, count=5, palette="blue-green"):
    """Draw a text coloured by one unit, and under each character the network's guesses at the next one.

    The picture of Karpathy's "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015): blue is quiet, green
    is excited, and the redder a guess, the likelier. In either palette a darker or lighter tone says the same as the hue.

    Args:
        trace: from `charlm.neurons.trace`, with probabilities.
        unit: a `Unit` of the trace, or a tuple of layer, signal and number.
        start, length: the characters to draw.
        width: characters in a row of the picture.
        count: guesses under each character.
        palette: "blue-green", or the name of one of matplotlib's colour maps, such as "cividis", which is made for
            colour-blind readers.

    Returns:
        The matplotlib axes; `axes.texts` are the characters and guesses that are drawn.

    Raises:
        ValueError: a unit that the trace does not hold, a stretch outside of its text, or no probabilities.
    """
    text = _stretch(trace, start, length)
    scale, chance_scale = value_scale(trace, unit, palette), ScalarMappable(colors.Normalize(0, 1), "Reds")
    values = trace.values(unit)[start : start + len(text)]
    ids, chances = trace.guesses(start, len(text), count)
    pieces = [slice(place, place + width) for place in range(0, len(text), width)]
    rows, labels = [], []
    for piece in pieces:
        guesses = zip(ids[piece].T, chances[piece].T, strict=True)
        guessed = [
            ([glyph(trace.vocabulary.characters[i]) for i in row], chance_scale.to_rgba(p)) for row, p in guesses
        ]
        rows += [(text[piece], scale.to_rgba(values[piece])), *guessed, ("", np.zeros((0, 4)))]
        labels += [f"{start + piece.start:,}", *[""] * (count + 1)]
    axes, bars = _text_figure(rows[:-1], labels, width, bars=2)
    axes.set(ylabel="first character of the row")
    plt.colorbar(scale, bars[0], orientation="horizontal", ticks=MaxNLocator(5), label=_name(unit))
    plt.colorbar(chance_scale, bars[1], orientation="horizontal", ticks=MaxNLocator(5), label="probability of a guess")
    return axes


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
    text = _stretch(trace, start, length)
    scale = value_scale(trace, unit, palette)
    values = trace.values(unit)[start : start + len(text)]
    pieces = _written_lines(text, width)
    rows = [(text[piece], scale.to_rgba(values[piece])) for piece in pieces]
    axes, bars = _text_figure(rows, [f"{start + piece.start:,}" for piece in pieces], width)
    axes.set(ylabel="first character of the row")
    plt.colorbar(scale, bars[0], orientation="horizontal", ticks=MaxNLocator(5), label=_name(unit))
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
    named = units if isinstance(units, dict) else {_name(unit): unit for unit in units}
    if not named:
        raise ValueError("There is no unit to draw; give at least one.")
    text = _stretch(trace, start, length)
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
    axes, bars = _text_figure(rows[:-1], labels, width)
    axes.set(ylabel="unit")
    bar = plt.colorbar(ScalarMappable(cmap=_palette(palette)), bars[0], orientation="horizontal", ticks=[0, 1])
    bar.ax.set_xticklabels(["lowest", "highest value of each unit"])
    return axes


def plot_gates(statistics):
    """Draw how much of the time each unit's gates are shut and open, a panel for each gate.

    The picture of Karpathy, Johnson and Fei-Fei 2015, figure 3.

    Args:
        statistics: from `charlm.neurons.gate_statistics`.

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


def plot_evolution(samples, lines=3, width=76):
    """Draw what a network wrote at several steps of its training, one under the other.

    Args:
        samples: list of `Sample`, from `charlm.training.Evolution`.
        lines: rows of text for each.
        width: characters in a row.

    Returns:
        The matplotlib axes; `axes.texts` are the samples.

    Raises:
        ValueError: no sample was written.
    """
    if not samples:
        raise ValueError("There is no sample to draw: train for as many steps as the first one is to be written after.")
    height = 0.5 + ROW * (lines + 1) * len(samples)
    _, axes = plt.subplots(figsize=(SIZE[0] + 1, height), layout="constrained")
    for place, sample in enumerate(samples):
        written = textwrap.wrap(" ".join(sample.text.split()), width)[:lines]
        shown = "\n".join("".join(map(glyph, line)).replace("␣", " ") for line in written)
        axes.text(0.01, place, shown, family="monospace", fontsize=8.5, va="center", parse_math=False)
    axes.set(xlim=(0, 1), ylim=(len(samples) - 0.5, -0.5), xticks=[], ylabel="batches of training")
    axes.set_yticks(range(len(samples)), [f"{sample.step:,}\n{sample.loss:.2f} nats" for sample in samples])
    for border in range(1, len(samples)):
        axes.axhline(border - 0.5, color="lightgrey", linewidth=1)
    return axes


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
    return ScalarMappable(colors.Normalize(low, high if high > low else low + 1), _palette(palette))


def is_dark(colour):
    """Whether white is easier to read on a colour, (..., 4) from 0 to 1, than black: by luma, as in Rec. 601."""
    return np.asarray(colour)[..., :3] @ [0.299, 0.587, 0.114] < 0.5


def _palette(name):
    if name != "blue-green" and name not in plt.colormaps:
        raise ValueError(f"palette={name!r} is not known; choose 'blue-green', or one of matplotlib's, as 'cividis'.")
    return BLUE_GREEN if name == "blue-green" else plt.colormaps[name]


def _name(unit):
    layer, signal, number = unit
    return f"layer {layer} {signal} {number}" + (", tanh" if signal == "cell" else "")


def _stretch(trace, start, length):
    text = trace.text[max(start, 0) : start + length]
    if start < 0 or not text:
        raise ValueError(
            f"Characters {start:,} to {start + length:,} are not in the traced text, which has {len(trace.text):,}."
        )
    return text


def _written_lines(text, width):
    """Cut a text at its line breaks, and where a line is longer than `width`: a list of slices."""
    lines = [match.span() for match in re.finditer(r"[^\n]*\n|[^\n]+", text)]
    return [slice(at, min(at + width, end)) for start, end in lines for at in range(start, end, width)]


def _text_figure(rows, labels, width, bars=1):
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
