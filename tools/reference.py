"""Train a corpus's reference model on the real text, and publish it in `charlm/pretrained/<corpus>`.

    python -m tools.reference train linux        makes runs/reference-linux, or goes on where it was cut off
    python -m tools.reference publish linux      weighs it, and writes the folder that comes with the package
    python -m tools.reference weigh linux        weighs a published one again, and writes its card

A published folder is a run folder, which `charlm.Run.load("linux")` opens, with weights in float16, without the
optimizer, and with a model card, README.md, whose figures are of those weights.
"""

import argparse
import hashlib
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

import charlm
from charlm import cli
from charlm.anytext.split import cut, encode
from charlm.anytext.together import count, counted_part, keep_weights
from charlm.corpora import registry
from charlm.evaluation.adaptive import evaluate_while_learning
from charlm.evaluation.ladder import ladder
from charlm.evaluation.mixture import Mixture
from charlm.evaluation.novelty import longest_copied, names_novelty
from charlm.generation import Generator
from charlm.runs import REFERENCES

SEED = 0
MOST_BYTES = 3_000_000
COPY_SAMPLED = 20_000  # characters in which the longest copied run is looked for
TEMPERATURES = (0.5, 0.8, 1.0)


class Recipe(NamedTuple):
    """How a reference model is trained, and shown."""

    options: str  # of `charlm train`
    prompt: str = ""  # of the samples on the card
    lines: bool = False  # the text is a list
    limit: int | None = None  # characters of the corpus
    machine: str = f"{os.cpu_count()} CPU cores"  # that trained it

    def command(self, name):
        """Return the command that trains it."""
        limit = f" --limit {self.limit}" if self.limit else ""
        return f"charlm train {name}{limit} {self.options}"


GPU = "one H100, which trained seven others at the same time"
TEN_EPOCHS = "--cell lstm --units 512 --dropout 0.1 --weight-dropout 0.1 --epochs 10"

# 512 units, where the command might take more, keep a folder small.
RECIPES = {
    "shakespeare": Recipe("--minutes 20", prompt="ROMEO:\n"),
    "paul_graham": Recipe("--minutes 10"),
    "wikipedia": Recipe(TEN_EPOCHS, limit=4_154_064, machine=GPU),
    "linux": Recipe(TEN_EPOCHS, prompt="/*\n", machine=GPU),
    "baby_names": Recipe("--minutes 10", lines=True),
    "war_and_peace": Recipe("--cell lstm --units 512 --epochs 13", machine=GPU),
    "algebraic_geometry": Recipe(
        "--cell lstm --units 512 --memory 1000 --epochs 24",
        prompt="\\begin{lemma}\n",
        machine="one H200, which trained nine others at the same time",
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("train", "publish", "weigh"))
    parser.add_argument("corpus", choices=RECIPES)
    arguments = parser.parse_args()
    {"train": train, "publish": publish, "weigh": weigh}[arguments.step](arguments.corpus)


def run_folder(name):
    """Name the folder in which a reference model is trained."""
    return Path("runs") / f"reference-{name}"


def read(name):
    """Load the real text that a recipe reads, cut and encode it: its `Corpus` and `Parts`.

    Raises:
        FileNotFoundError: only the stand-in is to be had.
    """
    recipe = RECIPES[name]
    corpus = charlm.load_corpus(name, limit=recipe.limit)
    if corpus.is_standin:
        raise FileNotFoundError(f"A reference model needs the real {name}: set CHARLM_DATA, or allow a network.")
    return corpus, encode(cut(corpus.text, "lines" if recipe.lines else "streams", seed=SEED))


def train(name):
    """Train a corpus's recipe, as the command does; a run that was cut off goes on."""
    folder = run_folder(name)
    if (folder / "run.json").exists():
        return cli.main(["train", "--resume", str(folder)])
    read(name)  # the real text is there
    return cli.main([*shlex.split(RECIPES[name].command(name))[1:], "--out", str(folder)])


def publish(name):
    """Write a trained run, in float16 and with its card, to the folder of reference models."""
    run, folder = charlm.Run.load(run_folder(name)), REFERENCES / name
    best = run.store.choose("best")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "checkpoints").mkdir(parents=True)
    data = {name: value for name, value in run.data.items() if name != "source"}  # nobody goes on with it
    settings = {**run.settings, "data": data, "training": None}  # there is no optimizer to resume with
    (folder / "run.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    shutil.copy(run.path / "history.csv", folder)
    weights = folder / "checkpoints" / best.path.name
    save_halved(run.model(), weights)
    weights.with_name(weights.name + ".sha256").write_text(hashlib.sha256(weights.read_bytes()).hexdigest())
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size > MOST_BYTES:
        raise ValueError(f"{folder} has {size:,} bytes; {MOST_BYTES:,} are allowed. Use fewer units.")
    weigh(name)


def weigh(name):
    """Fit a published model's mixture, and write its weights and the model card."""
    run = charlm.Run.load(REFERENCES / name)
    (run.path / "README.md").write_text(card(name, run.store.choose("best").epoch), encoding="utf-8")


def save_halved(model, path):
    """Save a model's weights with 16 bits each."""
    whole = path.with_name("whole.weights.h5")
    model.save_weights(whole)
    with h5py.File(whole) as source, h5py.File(path, "w") as target:

        def copy(place, item):
            if isinstance(item, h5py.Dataset):
                target.create_dataset(place, data=item[()].astype(np.float16))
            else:
                target.require_group(place).attrs.update(item.attrs)

        source.visititems(copy)
    whole.unlink()


def card(name, epoch):
    """Write the model card, from measurements of the published weights."""
    recipe, run, entry = RECIPES[name], charlm.Run.load(REFERENCES / name), registry()[name]
    model, (corpus, parts), built = run.model(), read(name), run.settings["model"]
    lines = parts.end is not None
    score = (
        charlm.evaluate_lines(model, parts.validation, parts.end) if lines else charlm.evaluate(model, parts.validation)
    )
    counted = counted_part(parts.train)
    mixture = Mixture(model, count(counted, len(parts.vocabulary)), end=parts.end)
    ngram = ladder(counted, parts.validation, len(parts.vocabulary), counted=mixture.ngrams).best_ngram
    both = mixture.judge(parts.validation)[0].mean()
    keep_weights(run.path, mixture)
    learning = None if lines else evaluate_while_learning(mixture, counted, parts.validation).nats
    seconds = sum(row["seconds"] for row in run.history())
    facts = {
        "corpus": f"{entry['title']}, {len(corpus.text):,} characters, sha256 `{corpus.sha256}`",
        "licence of the corpus": f"{entry['licence']} ({entry['credit']})",
        "split": split_text(parts),
        "network": f"{built['cell'].upper()}-{built['units']}, one layer, embedding {built['embedding_dim']}, "
        f"{model.count_params():,} parameters, float16 on disk",
        "training": f"`{recipe.command(name)}`, epoch {epoch} of {len(run.history())}, "
        f"{max(1, round(seconds / 60))} minutes on {recipe.machine}",
        "validation": f"**{score.nats:.4f} ± {score.standard_error:.4f} nats** per character, {score.bpc:.3f} bpc, "
        + ("each line from zero state" if lines else "in one pass with carried state"),
        f"best n-gram: {ngram.name}": f"{ngram.nats:.4f} nats, the best Kneser-Ney order on the same split",
        "together": f"**{both:.4f} nats**, network and n-grams of orders {', '.join(map(str, mixture.orders))}, weights "
        "for each quarter of the validation part fitted on the other three",
        **(
            {}
            if lines
            else {
                "together, learning while they read": f"**{learning:.4f} nats**, not to be compared with "
                "models that stay as they are"
            }
        ),
        **novelty({"network": run.generator(), "together": Generator(mixture, run.vocabulary)}, parts),
    }
    table = "\n".join(f"| {fact} | {value} |" for fact, value in facts.items())
    return f"# {entry['title']}: reference model\n\n| | |\n|---|---|\n{table}\n\n{samples(run, recipe)}"


def split_text(parts):
    sizes = f"{len(parts.train):,} and {len(parts.validation):,} characters"
    if parts.end is None:
        return f"first 90 % to train on, last 10 % to validate on, contiguous: {sizes}"
    return f"unique lines, shuffled with seed {SEED}; the last tenth to validate on: {sizes}"


def novelty(generators, parts):
    """Measure what each generator copies: passages, or, of a list, whole lines."""
    train_text = parts.vocabulary.decode(parts.train)
    if parts.end is None:
        fact = f"longest run copied in {COPY_SAMPLED:,} characters at temperature 1"
        copied = {
            name: longest_copied(generator.generate(length=COPY_SAMPLED, seed=SEED), train_text).length
            for name, generator in generators.items()
        }
        return {fact: ", ".join(f"{name} {length} characters" for name, length in copied.items())}
    known, found = [part.split("\n") for part in (train_text, parts.vocabulary.decode(parts.validation))], []
    for name, generator in generators.items():
        written = generator.generate([""] * 1000, 40, stop="\n", seed=SEED, include_prompt=False)
        shares = names_novelty([line.strip() for line in written], *known)
        found.append(f"{name} {shares.new:.1%} new, {shares.distinct:.1%} distinct")
    return {"of 1,000 lines at temperature 1": "; ".join(found)}


def samples(run, recipe):
    """Show what the model writes at three temperatures."""
    generator, parts = run.generator(), []
    for temperature in TEMPERATURES:
        if run.reads_lines:
            text = "".join(generator.generate([""] * 15, 40, temperature, stop="\n", seed=1, include_prompt=False))
        else:
            text = generator.generate(recipe.prompt, 400, temperature=temperature, seed=1)
        parts.append(f"Temperature {temperature}:\n\n" + "\n".join("    " + line for line in text.splitlines()))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
