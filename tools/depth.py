"""Train the networks that notebook 04 compares, and write their record, charlm/lessons/depth.json.

    taskset -c 0 python -m tools.depth                          8 minutes each on one core, in runs/depth-8-min
    python -m tools.depth --minutes 0.25 --record trial.json    seconds, to see that all of it works
    python -m tools.depth --seeds 3                             three trainings of each network

Equal minutes are fair on a machine that does nothing else. On one core each, networks are compared by the work they do;
on several, a wide layer, whose products are shared out, gains on narrow ones.

Both cells, at one, two and three layers of one width, and one wide layer with as many weights as three layers. The
settings are those that charlm chooses for the text, made the same for all of them; the job is the one of
`charlm train`: equal minutes, over which the learning rate falls. What was cut off goes on where it was.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path

import charlm
from charlm.anytext.job import begin, go_on
from charlm.anytext.settings import parameters, suggest
from charlm.anytext.split import cut, encode
from charlm.corpora import resolve_source
from charlm.evaluation.ladder import ladder
from charlm.lessons import compiler
from charlm.lessons.depth import RECORD
from charlm.metrics import BLOCK
from charlm.support.files import write_text
from charlm.training import Signals, Stopped

CORPUS, CHARACTERS = "linux", 1_000_000
UNITS = 128
WITHOUT_END = 1_000  # epochs, and patience, of a training that its time alone ends
ALIKE = {
    "embedding_dim": 128,
    "dropout": 0.2,
    "weight_dropout": 0.0,
    "precision": "float32",
    "epochs": WITHOUT_END,
    "patience": WITHOUT_END,
}
SHOWN = ("embedding_dim", "dropout", "batch_size", "sequence_length", "learning_rate", "weight_decay")
TEMPERATURES, SAMPLED = (0.5, 0.8), 1_500
HEAD = "static int do_open(struct inode * inode, struct file * filp)\n{\n\tint "
FUNCTIONS, LONGEST = 40, 1_500  # begun at the lower temperature, and characters after which one is given up


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8, help="of each training")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each network")
    parser.add_argument("--record", type=Path, default=RECORD, help="file to write")
    options = parser.parse_args()
    source = resolve_source(CORPUS, limit=CHARACTERS)
    corpus = source.load()
    if corpus.is_standin:
        raise FileNotFoundError(f"The record is of the real {CORPUS}: set CHARLM_DATA, or allow a network.")
    split = cut(corpus.text, "streams")
    parts, networks = encode(split), []
    for cell, layers, units in shapes(len(parts.vocabulary)):
        settings = suggest(split, None, cell=cell, layers=layers, units=units, **ALIKE)
        settings = dataclasses.replace(settings, minutes=options.minutes)
        name, runs = f"{cell.upper()} {layers} x {units}", []
        for seed in range(options.seeds):
            print(f"--- {name}, seed {seed}", flush=True)
            folder = Path("runs") / f"depth-{options.minutes:g}-min" / f"{cell}-{layers}-{units}-{seed}"
            job = train(folder, corpus, settings, parts, seed, source)
            runs.append(measure(job, compiler.type_names(split.train)))
        size = {"cell": cell, "layers": layers, "units": units, "parameters": job.model.count_params()}
        networks.append({"name": name, **size, "runs": runs})
    record = {
        "minutes": options.minutes,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "settings": {setting: getattr(settings, setting) for setting in SHOWN},
        "text": {
            "name": CORPUS,
            "characters": len(corpus.text),
            "distinct": len(parts.vocabulary),
            "validation": len(parts.validation),
        },
        "baselines": baselines(parts),
        "networks": networks,
    }
    write_text(options.record, json.dumps(record, indent=1))
    print(f"{options.record}: {options.record.stat().st_size:,} bytes")


def shapes(distinct):
    """List cell, layers and units of the networks, for an alphabet of some size."""
    for cell in ("gru", "lstm"):

        def weights(layers, units, cell=cell):
            return parameters(units, layers, ALIKE["embedding_dim"], distinct, cell)

        heavy = weights(3, UNITS)
        yield from ((cell, layers, UNITS) for layers in (1, 2, 3))
        yield cell, 1, min(range(4, 2_000, 4), key=lambda units: abs(weights(1, units) - heavy))


def train(folder, corpus, settings, parts, seed, source):
    """Train a network, or go on where its training was cut off; returns its job, which is over."""
    if (folder / "run.json").exists():
        job = go_on(charlm.Run.load(folder))
    else:
        job = begin(folder, corpus, settings, parts, seed, source=source, seconds=60 * settings.minutes)
    if not job.over:
        with Signals() as signals:
            try:
                if not job.fit(signals):
                    raise SystemExit(f"{folder}: the loss is NaN.")
            except Stopped:
                raise SystemExit("Stopped, and saved: the same command goes on.") from None
    return job


def measure(job, types):
    """Measure a network after its training, as the record holds it."""
    settings, batches = job.settings, int(job.model.optimizer.iterations)
    rows, characters = job.run.history(), settings.batch_size * settings.sequence_length
    an_epoch = (len(job.parts.train) - 1) // characters
    minutes = [sum(row["seconds"] for row in rows[: number + 1]) / 60 for number in range(len(rows))]
    read = [min((number + 1) * an_epoch, batches) * characters for number in range(len(rows))]
    losses = charlm.evaluate(job.model, job.parts.validation, rows=8).losses
    blocks = losses[: len(losses) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1)
    generator = charlm.Generator(job.model, job.run.vocabulary)
    samples = generator.generate([HEAD] * 2, SAMPLED, temperature=list(TEMPERATURES), seed=1)
    return {
        "nats": round(float(losses.mean()), 5),
        "seconds": round(60 * minutes[-1], 1),
        "characters": read[-1],
        "history": [
            (round(at, 3), count, round(row["loss"], 4), round(row["val_loss"], 4))
            for at, count, row in zip(minutes, read, rows, strict=True)
        ],
        "blocks": [round(float(block), 4) for block in blocks],
        "functions": count_functions(generator, types),
        "samples": {str(temperature): text for temperature, text in zip(TEMPERATURES, samples, strict=True)},
    }


def count_functions(generator, types):
    """Let a network write functions; count those that it ends, and of them those whose grammar a compiler accepts."""
    texts = generator.generate([HEAD] * FUNCTIONS, LONGEST, temperature=TEMPERATURES[0], stop="\n}\n", seed=2)
    ended = [text for text in texts if text.endswith("\n}\n")]
    verdicts = [compiler.judge(text, types) for text in ended]
    if None in verdicts:
        raise FileNotFoundError("No C compiler judged the functions: install gcc.")
    return {"begun": len(texts), "ended": len(ended), "accepted": sum(not verdict.syntax for verdict in verdicts)}


def baselines(parts):
    """Score n-grams and compressors on the same split."""
    rungs = ladder(parts.train, parts.validation, len(parts.vocabulary))
    rows = [rungs.best_ngram, *(row for row in rungs.rows if row.kind == "compressor")]
    return {row.name: round(row.nats, 4) for row in rows}


if __name__ == "__main__":
    main()
