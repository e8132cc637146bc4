"""Curves and bars: a run's history, the ladder of baselines, samples in the course of training."""

import textwrap

import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from charlm.plots.text import ROW, SIZE, glyph


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
        axes.axhline(nats, color=f"C{number + 2}", linestyle=(":", "-.")[number % 2], label=f"{name}: {nats:.3f}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="loss, nats per character")
    axes.legend(fontsize="small")
    return axes


def plot_ladder(ladder):
    """Draw a ladder's rows as bars, in bits per character.

    Args:
        ladder: from `charlm.evaluation.ladder.ladder`.

    Returns:
        The matplotlib axes.
    """
    kinds = ("n-gram", "compressor", "model")
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


def plot_evolution(samples, lines=3, width=76):
    """Draw what a network wrote at several steps of its training, one under the other.

    Args:
        samples: list of `Sample`, from `charlm.lessons.evolution.Evolution`.
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
