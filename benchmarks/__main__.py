"""Run the benchmarks, print their tables, and write them to benchmarks/results.md with what they were measured on.

python -m benchmarks                        all parts
python -m benchmarks pipelines generation   these parts
"""

import argparse
import importlib
import pathlib

from benchmarks.timing import describe

RESULTS = pathlib.Path(__file__).with_name("results.md")
PARTS = {
    "pipelines": "Pipelines and encoding",
    "products": "The product of a step, form by form",
    "generation": "Generation",
    "training_step": "Training step",
    "moves": "Why cuDNN is fast, move by move",
    "time_to_quality": "Time to quality",
    "any_text": "Any text, in three minutes",
    "transfer": "Going on from a trained network",
    "play": "Pages in Chromium",
    "gpu": "On a GPU",
    "devices": "Several devices",
}
INTRODUCTION = """\
Medians of runs in which the competitors took turns; ratios are medians of the ratios within a turn. Times move
from machine to machine and with what else it is doing, ratios much less."""


def main():
    """Measure part by part; each module's `measure()` returns Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="parts to run; all of them if none is named")
    parts = parser.parse_args().parts or list(PARTS)
    pieces = ["# Results", describe().replace("\n", "  \n"), INTRODUCTION]
    print(*pieces, sep="\n\n")
    for part in parts:
        pieces.append(f"## {PARTS[part]}\n\n{importlib.import_module(f'benchmarks.{part}').measure()}")
        print(f"\n{pieces[-1]}", flush=True)
    RESULTS.write_text("\n\n".join(pieces) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
