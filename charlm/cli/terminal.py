"""What the `charlm` command writes to a terminal: runs, samples side by side, and nothing that moves the cursor."""

import codecs
import itertools
import json
import math
import shlex
import shutil
import sys
import textwrap

CURVE = "▁▂▃▄▅▆▇█"
NARROW = 30  # columns of a terminal that a sample needs beside another


def description(run, history):
    """Say what a run folder holds."""
    model, corpus = run.settings["model"], run.settings["corpus"]
    yield f"{run.path.as_posix()}: {model['cell'].upper()}-{model['units']}, {model['layers']} layer(s), dropout {model['dropout']:g}"
    token = f", unknown token {run.vocabulary.mark}" if run.vocabulary.mark else ""
    yield f"vocabulary  {len(run.vocabulary)} characters{token}"
    if corpus:
        yield f"text        {corpus['name']}{' (stand-in)' if corpus['standin'] else ''}, sha256 {corpus['sha256'][:8]}"
    if run.data:
        yield "fed         " + ", ".join(f"{name} {value}" for name, value in run.data.items() if value is not None)
    for checkpoint in run.checkpoints():
        yield f"checkpoint  epoch {checkpoint.epoch}, {checkpoint.val_loss:.4f} nats: {checkpoint.path.name}"
    if history:
        yield from _curve(history)


def _curve(history):
    """Draw the validation loss in a line, and list the epochs."""
    losses = [row["val_loss"] for row in history]
    low, high = min(losses), max(losses)
    heights = [round((loss - low) / ((high - low) or 1) * (len(CURVE) - 1)) for loss in losses]
    best = f"validation {losses[0]:.4f} to {low:.4f} nats, best in epoch {losses.index(low) + 1}"
    yield f"curve       {''.join(CURVE[height] for height in heights)}  {best}"
    yield "epoch    loss  validation     bpc  seconds"
    for row in history:
        bpc = row["val_loss"] / math.log(2)
        yield f"{row['epoch']:5} {row['loss']:7.4f} {row['val_loss']:11.4f} {bpc:7.3f} {row['seconds']:8.0f}"


def ways_on(run):
    """List the commands that go on with a run."""
    path = run.path.name if run.is_reference else quote(run.path)
    ways = [f"charlm sample {path}", f"charlm compare {path}", f"charlm train other.txt --init-from {path}"]
    if "source" in run.data:
        minutes = run.data["minutes"]
        longer = f" --minutes {minutes:g}" if minutes else f" --epochs {2 * run.finished}"
        ways.insert(0, f"charlm train --resume {path}{longer if run.data.get('ended') else ''}")
    return "\n".join(f"    {way}" for way in ways)


def quote(path):
    """A path as it stands in a command."""
    return shlex.quote(path.as_posix())


def read_report(run):
    """Read a run's `report.json`; None where there is none, or it is damaged."""
    file = run.path / "report.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def reader(run):
    """Return what turns a run's pieces of text, and whether one is the last, into text for a person as they come."""
    if not run.reads_bytes:
        return lambda text, final: text
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return lambda text, final: decoder.decode(text.encode("latin-1", "replace"), final)


def plain(text):
    """On a terminal, write control characters as pictures: a network may write what would move the cursor."""
    if not sys.stdout.isatty():
        return text
    pictures = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
    return text.translate({**pictures, 127: 0x2421, **dict.fromkeys(range(128, 160), 0xFFFD)})


def side_by_side(heads, texts):
    """Lay texts out in columns as wide as the terminal allows; one below the other where it is too narrow."""
    width = shutil.get_terminal_size((100, 24)).columns // len(texts) - 3
    if width < NARROW - 3:
        return "\n\n".join(f"--- {head} ---\n{text}" for head, text in zip(heads, texts, strict=True))
    wrapped = [
        [piece for line in text.expandtabs(4).split("\n") for piece in textwrap.wrap(line, width) or [""]]
        for text in texts
    ]
    rows = itertools.zip_longest(*wrapped, fillvalue="")
    lines = ["   ".join(f"{head:{width}}" for head in heads), "   ".join("-" * width for _ in heads)]
    return "\n".join([*lines, *("   ".join(f"{piece:{width}}" for piece in row) for row in rows)])
