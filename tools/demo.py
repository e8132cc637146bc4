"""What `make demo` runs: the first notebook, headless, and then its model, from the run folder alone."""

import os
import sys
import time
from pathlib import Path

import nbformat

from tools.execute import ROOT, execute

NOTEBOOK = ROOT / "notebooks" / "01_shakespeare.ipynb"
TEMPERATURES = (0.2, 0.5, 1.0)


def main():
    os.chdir(ROOT)
    began = time.time()
    executed = Path("executed") / NOTEBOOK.name
    executed.parent.mkdir(exist_ok=True)
    nbformat.write(execute(NOTEBOOK, ROOT), executed)
    report(newest_run(began), executed)


def newest_run(since):
    """Find the run folder that was made after a moment in time.

    Raises:
        FileNotFoundError: there is none.
    """
    made = [file for file in Path("runs").glob("*/run.json") if file.stat().st_mtime >= since]
    if not made:
        raise FileNotFoundError(f"{Path('runs').absolute()} holds no new run: the notebook did not train one.")
    return max(made, key=lambda file: file.stat().st_mtime).parent


def report(folder, executed):
    """Load a run from its folder, and print how good it is and what it writes."""
    import charlm

    run = charlm.Run.load(folder)
    corpus = charlm.load_corpus(run.settings["corpus"]["name"])
    _, validation = charlm.split(run.vocabulary.encode(corpus.text), run.data["validation"])
    kind = "the stand-in, so these are not the real text's numbers" if corpus.is_standin else "the real text"
    print(f"\n{'=' * 80}\nCorpus       {corpus.name}: {kind}")
    print(f"Validation   {charlm.evaluate(run, validation)}")
    generator = run.generator()
    for temperature in TEMPERATURES:
        print(f"\n--- temperature {temperature} ---")
        print(generator.generate("ROMEO:\n", 300, temperature=temperature, seed=1))
    print(f"\nNotebook     {executed}, as it ran\nRun folder   {folder}: charlm.Run.load({folder.as_posix()!r})")


if __name__ == "__main__":
    sys.exit(main())
