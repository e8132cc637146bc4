"""What the pages of the reference models show, and the pages themselves.

    python -m tools.player notes [NAME ...]     look for cells on the real texts; writes charlm/pretrained/NAME/player.json
    python -m tools.player gallery [FOLDER]     a page for each reference model, and an index, in build/play

The cells are looked for once, here, since who opens a page has no corpus at hand; how the weights are rounded is
measured once, here, since it takes longer than all the rest of a page. Publishing a reference model anew
(`tools.reference`) removes its notes: look again.
"""

import argparse
import html
import json
import math
import re
from pathlib import Path

import numpy as np

import charlm
from charlm.corpora import registry
from charlm.inspection import features
from charlm.inspection.search import find_cells
from charlm.inspection.trace import trace
from charlm.player.page import NOTES, measure_rounding
from charlm.runs import REFERENCES, reference_models

CLEAR = {"AUC": 0.85, "correlation": 0.7}  # of a cell that is worth a visitor's look
TRACED = 100_000  # characters of held-out text in which cells are looked for
FOLDER = Path("build") / "play"
# What is looked for in which text, and what to begin with.
COMMON = {
    "place in the line": features.position_in_line,
    "word start": features.word_start,
    "a capital letter": lambda text: np.array([c.isupper() for c in text]),
}
SOUGHT = {
    "shakespeare": {"speaker's name": lambda text: _matching(text, r"(?<=\n\n)[A-Z][A-Za-z ]+(?=:\n)"), **COMMON},
    "paul_graham": {"inside ( )": features.inside_brackets, **COMMON},
    "wikipedia": {
        "inside [[ ]]": features.inside_link,
        "inside a URL": features.inside_url,
        "inside ( )": features.inside_brackets,
        "inside { }": lambda text: features.inside_brackets(text, "{}"),
        "inside a tag": lambda text: features.inside_brackets(text, "<>"),
        **COMMON,
    },
    "linux": {
        "inside a comment": features.inside_comment,
        "inside quotes": features.inside_quotes,
        "inside ( )": features.inside_brackets,
        "inside if ( )": features.inside_if,
        "indentation": features.indentation,
        **COMMON,
    },
    "baby_names": {
        "place in the name": features.position_in_line,
        "a vowel": lambda text: _matching(text, "[AEIOUaeiou]"),
    },
    "war_and_peace": {"inside quotes": features.inside_quotes, "inside ( )": features.inside_brackets, **COMMON},
    "algebraic_geometry": {
        "inside $ $": lambda text: features.inside_quotes(text.replace("$$", "  "), "$"),
        "inside ( )": features.inside_brackets,
        "inside { }": lambda text: features.inside_brackets(text, "{}"),
        "a command": lambda text: _matching(text, r"\\[A-Za-z]+"),
        **COMMON,
    },
}
PROMPTS = {
    "shakespeare": ["ROMEO:\n", "To be, or not to be", "KING RICHARD III:\nMy horse", ""],
    "paul_graham": ["the best startups ", "if you want to ", "what i learned from "],
    "wikipedia": ["[[", "==See also==\n*", "'''Anarchism''' is ", "http://www."],
    "linux": ["/*\n", "static int ", "#include <linux/", "\tif ("],
    "baby_names": ["", "Mar", "Z", "Jo-"],
    "war_and_peace": ['"Well, Prince', "Natasha ", "CHAPTER I\n", "The battle of "],
    "algebraic_geometry": ["\\begin{lemma}\n", "\\begin{proof}\n", "Let $R$ be a ", "\\begin{definition}\n"],
}
TRY = {
    "shakespeare": "Move the temperature from 0.3 to 1.5 while it writes, and see where words break before lines do.",
    "paul_graham": "Measure a paragraph of your own: 80,000 characters of essays teach very little, and the bits say so.",
    "wikipedia": "Begin with “[[” and colour by the unit for links: it stays lit until the brackets close.",
    "linux": "Begin with “/*” and colour by the unit for comments; then ask what the closing “*/” hangs on.",
    "baby_names": "Begin with “Mar”: twenty names at a time, few of which anybody bears.",
    "algebraic_geometry": "Colour by the unit for $ $: it lights up in formulas; then ask what the closing $ hangs on.",
    "war_and_peace": "Begin with a quotation mark and watch the unit for quotes; write together, word by word.",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("notes", "gallery"))
    parser.add_argument("rest", nargs="*")
    options = parser.parse_args()
    if options.step == "notes":
        for name in options.rest or reference_models():
            notes(name)
    else:
        gallery(Path(*options.rest[:1] or [FOLDER]))


def notes(name):
    """Look for cells in a reference model, on held-out text, and write them beside it with prompts to try."""
    from tools.reference import read

    run, (_, parts) = charlm.Run.load(name), read(name)
    text = parts.vocabulary.decode(parts.validation)[:TRACED]
    reading, found = trace(run.model(), run.vocabulary, text, probabilities=False), []
    for feature, function in SOUGHT[name].items():
        try:
            search = find_cells(reading, function)
        except ValueError as error:
            print(f"{name}: {feature}: {error}")
            continue
        best = search.cells[0]
        print(f"{name}: {feature}: {search.measure} {best.score:.3f}, chance {search.chance:.3f}: {search.found}")
        if search.found and best.score >= CLEAR[search.measure]:
            where = {"layer": best.unit.layer, "signal": best.unit.signal, "unit": best.unit.number}
            score = {"direction": best.direction, "score": round(best.score, 3), "measure": search.measure}
            found.append({"name": feature, **where, **score})
    found.sort(key=lambda cell: -cell["score"])
    kept = {"prompts": PROMPTS[name], "cells": found, "rounding": rounding(run, PROMPTS[name][0])}
    (REFERENCES / name / NOTES).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def rounding(run, prompt):
    """Choose how to round a reference model's weights; a page measures it with its first prompt."""
    weights, cost = measure_rounding(run.generator(), run.to_network(prompt), run.reads_lines)
    return [weights, round(cost, 5)]


def gallery(folder):
    """Write a page for every reference model, and an index of them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in reference_models():
        file = charlm.play(name).save(folder / f"{name}.html", force=True)
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB")
        rows.append(_row(name, file))
    page = INDEX.format(rows="\n".join(rows))
    (folder / "index.html").write_text(page, encoding="utf-8")
    print(f"{folder / 'index.html'}: open it in a browser")


def describe(name):
    """Say in sentences what a reference model's page shows, and what to try on it first."""
    entry, run = registry()[name], charlm.Run.load(name)
    settings, nats = run.settings["model"], run.store.choose("best").val_loss
    network = f"{settings['cell'].upper()}-{settings['units']}"
    return [
        f"Trained on {entry['title']} ({entry['credit']}); licence of the text: {entry['licence']}.",
        f"{network}; {nats / math.log(2):.2f} bits a character on held-out text ({nats:.3f} nats).",
        TRY[name],
    ]


def _row(name, file):
    inside = "".join(f"<p>{html.escape(fact)}</p>" for fact in describe(name))
    title, size = html.escape(registry()[name]["title"]), file.stat().st_size / 1e6
    return f'<li><h2><a href="{file.name}">{title}</a> <small>{size:.1f} MB</small></h2>{inside}</li>'


INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Networks that write</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
:root {{ --paper: #f5f1ea; --card: #fffdf9; --ink: #23201c; --faint: #6b655c; --line: #e2dacd; --accent: #a63f10 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #151311; --card: #1e1b18; --ink: #ede7dd; --faint: #a39b8f; --line: #38322b; --accent: #ff9d66 }}
}}
body {{ margin: 0 auto; max-width: 1240px; padding: 28px 20px; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }}
h1, h2 {{ font-family: "Iowan Old Style", Palatino, P052, Georgia, serif; line-height: 1.2; margin: 0 0 8px }}
h1 {{ font-size: 40px }} h2 {{ font-size: 24px }}
ul {{ list-style: none; padding: 0; display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)) }}
li {{ background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 18px }}
p {{ margin: 6px 0 }} li p:last-child {{ color: var(--accent) }}
a {{ color: inherit; text-decoration-color: var(--accent) }} small {{ color: var(--faint); font: 13px system-ui }}
</style></head><body>
<h1>Networks that write</h1>
<p>Each page holds one recurrent network, which writes character by character in your browser. Nothing is fetched, nothing is sent.</p>
<ul>
{rows}
</ul></body></html>
"""


def _matching(text, pattern):
    """Whether each character is within a match of a pattern: (characters,) booleans."""
    found = np.zeros(len(text), bool)
    for match in re.finditer(pattern, text):
        found[match.start() : match.end()] = True
    return found


if __name__ == "__main__":
    main()
