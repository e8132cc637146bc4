"""A sweep: the loss against each setting that varied, and the learning curves."""

import math
from collections import defaultdict

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

PANEL = (3.6, 3.2)  # inches
ACROSS = 3  # panels in a row
MOST_COLOURS = 8


def plot_sweep(rows, settings, timed=True):
    """Draw a sweep: for each setting that varied a panel of the losses, and one of the learning curves.

    The first setting with a list of values gives the trials their colours.

    Args:
        rows: list of dictionaries, one for each trial, from `charlm.sweeps.study.Sweep.rows`.
        settings: a dictionary: the name of each setting that varied, to the list of its values, or to "linear" or "log"
            for the scale of a range.
        timed: whether trials end by their time; their curves are drawn against minutes then, and against epochs else.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: no trial has finished an epoch.
    """
    trained = [row for row in rows if row["history"]]
    if not trained:
        raise ValueError("There is no epoch to draw: no trial has finished one.")
    panels = len(settings) + 1
    across = min(panels, ACROSS)
    down = math.ceil(panels / across)
    size = (PANEL[0] * across, PANEL[1] * down)
    figure, grid = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
    axes, by = [*grid.flat], _colouring(settings)
    colours = [_colour(row, settings, by) for row in trained]
    for place, name in enumerate(settings):
        _draw_losses(axes[place], trained, colours, name, settings[name])
    _draw_curves(axes[panels - 1], trained, colours, timed)
    for empty in axes[panels:]:
        empty.set_axis_off()
    handles = _legend(trained, settings, by)
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize="small", frameon=False)
    return figure


def _draw_losses(axes, rows, colours, name, values):
    """Draw each trial's best loss at its value: full where it was finished, hollow where it was not."""
    listed, means = isinstance(values, list), defaultdict(list)
    for row, colour in zip(rows, colours, strict=True):
        value, finished = row["settings"][name], row["state"] == "finished"
        at = values.index(value) if listed else value
        axes.plot(at, row["loss"], "o", color=colour, markerfacecolor=colour if finished else "none", markersize=5)
        if finished:
            means[at].append(row["loss"])
    if listed:
        axes.plot(sorted(means), [np.mean(means[at]) for at in sorted(means)], color="grey", linewidth=1, zorder=0)
        axes.set_xticks(range(len(values)), [_shown(value) for value in values])
        axes.margins(x=0.15)
    else:
        axes.set_xscale(values)
    axes.set(xlabel=name, ylabel="best validation loss, nats")


def _draw_curves(axes, rows, colours, timed):
    """Draw the validation loss of each trial against its minutes or epochs; dashed where it was not finished."""
    for row, colour in zip(rows, colours, strict=True):
        minutes = np.cumsum([epoch["seconds"] for epoch in row["history"]]) / 60
        trained = minutes if timed else [epoch["epoch"] for epoch in row["history"]]
        losses = [epoch["val_loss"] for epoch in row["history"]]
        style = "-" if row["state"] == "finished" else "--"
        axes.plot(trained, losses, style, marker="." * (len(losses) == 1), color=colour, linewidth=1)
    low = min(row["loss"] for row in rows)
    high = max(row["history"][len(row["history"]) // 4]["val_loss"] for row in rows)
    if high > low:
        axes.set_ylim(low - 0.05 * (high - low), high)  # the first epochs would flatten the rest
    if not timed:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="minutes of training" if timed else "epochs", ylabel="validation loss, nats")


def _colouring(settings):
    """Choose the setting that gives the trials their colours; None where all have too many values."""
    return next((n for n, values in settings.items() if isinstance(values, list) and len(values) <= MOST_COLOURS), None)


def _colour(row, settings, by):
    return f"C{settings[by].index(row['settings'][by]) if by else 0}"


def _legend(rows, settings, by):
    values = settings[by] if by else []
    handles = [
        Line2D([], [], marker="o", color=f"C{place}", label=f"{by} {_shown(v)}") for place, v in enumerate(values)
    ]
    if any(row["state"] != "finished" for row in rows):
        style = {"marker": "o", "color": "grey", "markerfacecolor": "none", "linestyle": "--"}
        handles.append(Line2D([], [], **style, label="not finished"))
    mean = [Line2D([], [], color="grey", linewidth=1, label="mean of finished trials")]
    return handles + mean * any(isinstance(values, list) for values in settings.values())


def _shown(value):
    return f"{value:g}" if isinstance(value, float) else str(value)
