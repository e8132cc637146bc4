"""The pictures of the notebooks, drawn with matplotlib."""

import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

SIZE = (7, 3.5)  # inches: readable in a saved notebook, and small in bytes


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
