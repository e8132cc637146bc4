"""What to say of a trained run: its loss beside counting, what it copied, what it writes, and one sentence of advice."""

import json
import math


from charlm.baselines import ladder
from charlm.files import write_text
from charlm.generation import Generator, opening
from charlm.machine import release_memory
from charlm.metrics import evaluate, evaluate_lines
from charlm.novelty import longest_copied, names_novelty
from charlm.settings import longest_training
from charlm.terminal import reader

TEMPERATURES = (0.5, 0.8, 1.0)
SHOWN = 300  # characters of a sample
SHOWN_LINES = 10
COPY_SAMPLED = 20_000  # characters in which the longest copied run is looked for
COPIED = 80  # characters in one go, from which on a network recites
NAMES_SAMPLED = 1000
COUNTED = 5_000_000  # training characters, above which only the last `COUNTED_OF_LONG` are counted and searched
COUNTED_OF_LONG = 1_500_000
ROWS = 64  # of the validation text, read side by side
WIDE = 0.25  # nats between training and validation, from which on regularising helps
LITTLE = 300_000  # characters to train on, below which counting is hard to beat
SECONDS = 12.0, 6e-6  # that a report takes: in any case, and for each character of the text


def report_seconds(characters):
    """Estimate how long a report takes, for a text of so many characters."""
    return SECONDS[0] + SECONDS[1] * min(characters, COUNTED)


def report(run, parts, settings):
    """Weigh a run's best checkpoint, and write what was found to `report.json` in its folder.

    Args:
        run: a `Run` with a finished epoch.
        parts: from `charlm.anytext.prepare`.
        settings: the run's `Settings`.

    Returns:
        A dictionary that JSON can hold; `show` writes it for a person.
    """
    release_memory()  # that training leaves
    model = run.model()
    generator = Generator(model, run.vocabulary)
    read = reader(run)
    score = (
        evaluate(model, parts.validation, ROWS)
        if parts.end is None
        else evaluate_lines(model, parts.validation, parts.end)
    )
    counted = parts.train if len(parts.train) <= COUNTED else parts.train[-COUNTED_OF_LONG:]
    steps = ladder(counted, parts.validation, len(parts.vocabulary), models={"this network": score.nats})
    found = {
        "nats": score.nats,
        "bpc": score.bpc,
        "standard_error": None if math.isnan(score.standard_error) else score.standard_error,
        "epoch": min(run.checkpoints(), key=lambda checkpoint: checkpoint.val_loss).epoch,
        "counting": {"name": steps.best_counting.name, "nats": steps.best_counting.nats},
        "ladder": str(steps),
        **({"searched": len(counted)} if len(counted) < len(parts.train) else {}),
        **_novelty(generator, parts, counted),
        "samples": {str(t): read(_sample(generator, parts, t), True) for t in TEMPERATURES},
    }
    found["advice"] = advise(run.history(), found, settings, len(parts.train))
    write_text(run.path / "report.json", json.dumps(found, indent=2))
    return found


def read_report(run):
    """Read a run's `report.json`; None where there is none, or it is damaged."""
    file = run.path / "report.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def advise(history, found, settings, characters):
    """Say in one sentence what would help a run most, from its curve.

    Args:
        history: from `Run.history`, at least one epoch.
        found: "nats", "counting", "longest_copied" and "held_out_copied", as `report` finds them.
        settings: the run's `Settings`.
        characters: it was trained on.
    """
    losses = [row["val_loss"] for row in history]
    best, finished = losses.index(min(losses)), len(losses)
    behind = found["nats"] - found["counting"]["nats"]
    short = f"{found['counting']['name']} counting is {behind:.3f} nats better: " if behind > 0 else ""
    if found.get("longest_copied", 0) > max(COPIED, found.get("held_out_copied", 0)):
        return f"It recites, {found['longest_copied']} characters in one go: more text, fewer units or more dropout (now {settings.dropout:g})."
    if finished - best > 1:
        return (
            f"{short}after epoch {best + 1} it began to learn by heart, so that epoch is kept; more text would help "
            f"most, then more dropout (now {settings.dropout:g}); more time would not."
        )
    gap = losses[best] - history[best]["loss"]
    if finished < max(settings.epochs, longest_training(characters)) and gap < WIDE:
        return f"{short}it was still learning when its time was over: train longer, with twice the minutes or epochs."
    if gap >= WIDE:
        return (
            f"{short}it knows its training text {gap:.2f} nats better than new text: regularise (dropout above "
            f"{settings.dropout:g}, fewer units), or find more text."
        )
    if behind > 0 and characters < LITTLE:
        return f"{short}so little text is counting's home; more text would help most."
    return f"{short}it has learned what a network of this size can learn here: more text, or more units, would help."


def show(found):
    """Write a report for a person."""
    lines = ["Is it better than counting? Nats per character on the held-out part:", "", found["ladder"], ""]
    part = f" from the last {found['searched']:,} characters it was trained on" if "searched" in found else ""
    if "longest_copied" in found:
        lines.append(
            f"Does it recite? The longest run it copied{part}, in {COPY_SAMPLED:,} characters at temperature 1: "
            f"{found['longest_copied']} characters."
        )
        if found.get("held_out_copied", 0) >= found["longest_copied"]:
            lines.append(
                f"The held-out part, which nobody copied, shares {found['held_out_copied']} in one go with the training "
                "part: such phrases are this text's own."
            )
    else:
        lines.append(
            f"Does it recite? Of {NAMES_SAMPLED:,} lines at temperature 1, {found['new']:.1%} are new and "
            f"{found['distinct']:.1%} distinct{', compared with those' + part if part else ''}."
        )
    for temperature, text in found["samples"].items():
        lines += ["", f"--- temperature {temperature} ---", text.strip("\n")]
    return "\n".join([*lines, "", f"Advice: {found['advice'][0].upper()}{found['advice'][1:]}"])


def _novelty(generator, parts, train):
    known = parts.vocabulary.decode(train)
    if parts.end is None:
        copied = longest_copied(_write(generator, COPY_SAMPLED, 1.0, rows=8), known)
        facts = {"longest_copied": copied.length, "copied": copied.text}
        if copied.length > COPIED:  # is it the network's doing, or are formulas the manner of this text?
            held_out = parts.vocabulary.decode(parts.validation[:COPY_SAMPLED])
            facts["held_out_copied"] = longest_copied(held_out, known).length
        return facts
    items = [line.strip("\n") for line in _lines(generator, NAMES_SAMPLED, 1.0)]
    shares = names_novelty(items, known.split("\n"), parts.vocabulary.decode(parts.validation).split("\n"))
    return {"new": shares.new, "distinct": shares.distinct}


def _sample(generator, parts, temperature):
    if parts.end is not None:
        return "".join(_lines(generator, SHOWN_LINES, temperature))
    return _write(generator, SHOWN, temperature)


def _write(generator, length, temperature, rows=1):
    prompts = [opening(generator.vocabulary)] * rows
    texts = generator.generate(prompts, length // rows, temperature, seed=0, include_prompt=False)
    return "".join(texts)


def _lines(generator, count, temperature):
    return generator.generate([""] * count, 100, temperature, stop="\n", seed=0, include_prompt=False)
