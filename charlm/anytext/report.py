"""The report on a trained run: its loss beside n-gram baselines, what it copied, samples, and one sentence of advice."""

import json
import math

from charlm.anytext.settings import longest_training
from charlm.anytext.together import COUNTED, count, counted_part, keep
from charlm.evaluation.ladder import ladder
from charlm.evaluation.mixture import Mixture
from charlm.evaluation.novelty import longest_copied, names_novelty
from charlm.generation import Generator, opening
from charlm.metrics import evaluation
from charlm.support.files import write_text
from charlm.support.machine import release_memory

TEMPERATURES = (0.5, 0.8, 1.0)
SHOWN = 300  # characters of a sample
SHOWN_LINES = 10
COPY_SAMPLED, ROWS = 20_000, 8  # characters in which the longest copied run is looked for, and rows that write them
COPIED = 80  # characters in one go, from which on a network has memorised them
NAMES_SAMPLED = 1000
TOGETHER = "both together"
WIDE = 0.25  # nats between training and validation, from which on regularising helps
LITTLE = 300_000  # characters to train on, below which n-grams are hard to beat
REPORT_SECONDS = 16.0, 8e-6  # in any case, and for each character of the text


def report_seconds(characters):
    """Estimate how long a report takes, for a text of so many characters."""
    return REPORT_SECONDS[0] + REPORT_SECONDS[1] * min(characters, COUNTED)


def report(run, parts, settings):
    """Weigh a run's best checkpoint, and write what was found to `report.json` in its folder.

    Args:
        run: a `Run` with a finished epoch.
        parts: from `charlm.anytext.split.encode`.
        settings: the run's `Settings`.

    Returns:
        A dictionary that JSON can hold; `show` writes it for a person.
    """
    release_memory()  # that training leaves
    counted = counted_part(parts.train)  # and searched
    ngrams = count(counted, len(parts.vocabulary))
    mixture = Mixture(run.model(), ngrams, end=parts.end)
    losses, alone = mixture.judge(parts.validation)
    score, together = evaluation(alone[:, 0]), float(losses.mean())
    models = {"this network": score.nats, TOGETHER: together}
    orders = range(1, ngrams.order + 1)
    steps = ladder(counted, parts.validation, len(parts.vocabulary), orders, models, ngrams)
    keep(run, mixture, counted)
    novelty, samples = (_texts if parts.end is None else _lines)(Generator(mixture, run.vocabulary), parts, counted)
    del mixture, ngrams
    found = {
        "nats": score.nats,
        "bpc": score.bpc,
        "standard_error": None if math.isnan(score.standard_error) else score.standard_error,
        "epoch": run.store.choose("best").epoch,
        "ngram": {"name": steps.best_ngram.name, "nats": steps.best_ngram.nats},
        "together": {"nats": together},
        "ladder": str(steps),
        **({"searched": len(counted)} if len(counted) < len(parts.train) else {}),
        **novelty,
        "samples": {str(t): run.display(text) for t, text in zip(TEMPERATURES, samples, strict=True)},
    }
    found["advice"] = advise(run.history(), found, settings, len(parts.train))
    write_text(run.path / "report.json", json.dumps(found, indent=2))
    return found


def advise(history, found, settings, characters):
    """Say in one sentence what would help a run most, from its curve.

    Args:
        history: from `Run.history`; without an epoch, only what was found counts.
        found: "nats", "ngram", "longest_copied" and "held_out_copied", as `report` finds them.
        settings: the run's `Settings`.
        characters: it was trained on.
    """
    behind = found["nats"] - found["ngram"]["nats"]
    short = f"the {found['ngram']['name']} is {behind:.3f} nats better; " if behind > 0 else ""
    dropout = f"dropout (now {settings.dropout:g})"
    if found.get("longest_copied", 0) > max(COPIED, found.get("held_out_copied", 0)):
        return (
            f"it has memorised passages, {found['longest_copied']} characters in one go: use more text, fewer units or "
            f"more {dropout}."
        )
    best = min(history, key=lambda row: row["val_loss"], default=None)
    finished = max((row["epoch"] for row in history), default=0)
    if best and finished - best["epoch"] > 1:
        return (
            f"{short}after epoch {best['epoch']} the network began to overfit, so that epoch is kept; more text would "
            f"help most, then more {dropout}; more time would not."
        )
    gap = best["val_loss"] - best["loss"] if best else 0.0
    if best and finished < max(settings.epochs, longest_training(characters)) and gap < WIDE:
        return (
            f"{short}the network was still learning when its time was over: train longer, with twice the minutes or "
            "epochs."
        )
    if gap >= WIDE:
        return (
            f"{short}the network knows its training text {gap:.2f} nats better than new text: use more {dropout} or "
            "fewer units, or find more text."
        )
    if behind > 0 and characters < LITTLE:
        return f"{short}on so little text n-grams are hard to beat; more text would help most."
    return f"{short}the network has learned what one of its size can learn here: more text, or more units, would help."


def show(found):
    """Write a report for a person."""
    lines = [*_best(found), "Nats per character on the held-out part:", "", found["ladder"], ""]
    part = f" from the last {found['searched']:,} characters it was trained on" if "searched" in found else ""
    if "longest_copied" in found:
        lines.append(
            f"Did it memorise its text? The longest run it copied{part}, in {COPY_SAMPLED:,} characters at temperature 1: "
            f"{found['longest_copied']} characters."
        )
        if found.get("held_out_copied", 0) >= found["longest_copied"]:
            lines.append(
                f"The held-out part, which the network has not seen, shares {found['held_out_copied']} in one go with "
                "the training part: the text repeats itself."
            )
    else:
        lines.append(
            f"Did it memorise its text? Of {NAMES_SAMPLED:,} lines at temperature 1, {found['new']:.1%} are new and "
            f"{found['distinct']:.1%} distinct{', compared with those' + part if part else ''}."
        )
    for temperature, text in found["samples"].items():
        lines += ["", f"--- temperature {temperature} ---", text.strip("\n")]
    return "\n".join([*lines, "", f"Advice: {found['advice'][0].upper()}{found['advice'][1:]}"])


def _best(found):
    """Say which is best: the network, n-grams, or both together."""
    if "together" not in found:  # a report of an earlier version
        return
    ngram, both = found["ngram"], found["together"]["nats"]
    yield (
        f"The network has {found['nats']:.4f} nats per character, the {ngram['name']} {ngram['nats']:.4f}, "
        f"{TOGETHER} {both:.4f}."
    )


def _texts(generator, parts, train):
    """Write texts: what is copied in many characters, and a sample for each temperature.

    All are written in as many rows, for which the generator's loop is compiled once.
    """
    known = parts.vocabulary.decode(train)
    texts = _write(generator, [1.0] * ROWS, COPY_SAMPLED // ROWS, seed=0)
    copied = longest_copied("".join(texts), known)
    facts = {"longest_copied": copied.length, "copied": copied.text}
    if copied.length > COPIED:  # has the network memorised it, or does the text repeat itself?
        held_out = parts.vocabulary.decode(parts.validation[:COPY_SAMPLED])
        facts["held_out_copied"] = longest_copied(held_out, known).length
    temperatures = [*TEMPERATURES, *[1.0] * (ROWS - len(TEMPERATURES))]
    return facts, _write(generator, temperatures, SHOWN, seed=[0] * ROWS)[: len(TEMPERATURES)]


def _write(generator, temperatures, length, seed):
    prompts = [opening(generator.vocabulary)] * len(temperatures)
    return generator.generate(prompts, length, temperatures, seed=seed, include_prompt=False)


def _lines(generator, parts, train):
    """Write lines: which are new, of many, and some for each temperature. They are written side by side, for the same reason."""
    *cooler, warmest = TEMPERATURES
    temperatures = [*[warmest] * NAMES_SAMPLED, *(t for t in cooler for _ in range(SHOWN_LINES))]
    seeds = [(0, row) for row in [*range(NAMES_SAMPLED), *[*range(SHOWN_LINES)] * len(cooler)]]
    lines = generator.generate([""] * len(seeds), 100, temperatures, stop="\n", seed=seeds, include_prompt=False)
    items, shown = [line.strip("\n") for line in lines[:NAMES_SAMPLED]], lines[NAMES_SAMPLED:]
    known, held_out = (parts.vocabulary.decode(part).split("\n") for part in (train, parts.validation))
    shares = names_novelty(items, known, held_out)
    samples = [shown[i : i + SHOWN_LINES] for i in range(0, len(shown), SHOWN_LINES)] + [lines[:SHOWN_LINES]]
    return {"new": shares.new, "distinct": shares.distinct}, ["".join(sample) for sample in samples]
