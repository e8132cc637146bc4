"""Run every benchmark, print the tables, and write them to benchmarks/results.md with the hardware."""

import importlib
import importlib.util
import pathlib

from benchmarks.timing import describe

RESULTS = pathlib.Path(__file__).with_name("results.md")
PARTS = {
    "Training step": "training_step",
    "Pipelines and encoding": "pipelines",
    "Generation": "generation",
    "Time to quality": "time_to_quality",
}
INTRODUCTION = """\
Medians of runs in which the competitors took turns; ratios are medians of the ratios within a turn. Times
move from machine to machine and with what else it is doing, ratios much less."""


def main():
    """Measure part by part; each module's `measure()` returns Markdown."""
    pieces = ["# Results", describe().replace("\n", "  \n"), INTRODUCTION]
    print(*pieces, sep="\n\n")
    for title, name in PARTS.items():
        if importlib.util.find_spec(f"benchmarks.{name}"):
            pieces.append(f"## {title}\n\n{importlib.import_module(f'benchmarks.{name}').measure()}")
            print(f"\n{pieces[-1]}", flush=True)
    RESULTS.write_text("\n\n".join(pieces) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
