"""`charlm train TEXT --minutes N` and nothing else: the loss it reaches, alone and together with n-grams, and its time.

python -m benchmarks.any_text --minutes 20 a.txt b.txt
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from benchmarks.timing import number, table

CORPORA = ("shakespeare", "war_and_peace", "linux", "wikipedia")
MINUTES = 3.0


def measure(texts=CORPORA, minutes=MINUTES):
    """Train on each text in a process of its own; return a Markdown table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(text, minutes, folder) for text in texts]
    heads = [
        "text",
        "`--minutes`",
        "took, minutes",
        "epochs promised",
        "epochs that fit",
        "network",
        "nats",
        "best Kneser-Ney",
        "Witten-Bell 4-gram",
        "together",
        "learning while they read",
    ]
    return table(heads, rows)


def row(text, minutes, folder):
    """Train on one text, and weigh the result."""
    import charlm
    from charlm.anytext.split import cut, encode, read_text
    from charlm.corpora import resolve_source
    from charlm.evaluation.ngrams import WittenBell

    out = pathlib.Path(folder) / pathlib.Path(text).stem
    command = [sys.executable, "-m", "charlm", "train", text, "--minutes", str(minutes), "--out", str(out), "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    took = (time.perf_counter() - began) / 60
    if done.returncode:
        return [text, minutes, f"{took:.1f}", "–", "–", f"failed: {done.returncode}", *"–––––"]
    found = json.loads(done.stdout)
    run = charlm.Run.load(out)
    parts = encode(cut(read_text(resolve_source(text)).text, "streams"), vocabulary=run.vocabulary)
    witten_bell = WittenBell(4).fit(parts.train, len(parts.vocabulary)).score(parts.validation).mean()
    ngram = f"{found['ngram']['nats']:.4f}"
    chosen = found["settings"]
    network = f"{chosen['cell'].upper()}-{chosen['units']}, dropout {chosen['dropout']}, {chosen['weight_dropout']}"
    return [
        pathlib.Path(text).stem,
        minutes,
        f"{took:.1f}",
        *epochs_promised_and_fitting(found, run),
        network,
        f"{found['nats']:.4f}",
        ngram,
        f"{witten_bell:.4f}",
        f"{found['together']['nats']:.4f}",
        learning(run, parts),
    ]


def learning(run, parts):
    """The loss of a run's network and n-grams that learn from the held-out part while they read it."""
    import charlm

    if parts.end is not None:
        return "–"  # a list has no order to learn along
    mixture = charlm.together(run)
    return f"{charlm.evaluate_while_learning(mixture, parts.train, parts.validation).nats:.4f}"


def epochs_promised_and_fitting(found, run):
    """How many epochs the settings said would fit into the time, and how many do at the speed of whole epochs."""
    promised = re.search(r"About ([\d,.]+) epochs", " ".join(found["settings"]["reasons"]))[1]
    seconds = [row["seconds"] for row in run.history()]
    whole = seconds[:-1] or seconds  # the last one may have been cut short
    return promised, number(run.data["training_seconds"] * len(whole) / sum(whole))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="+", help="files, or corpora's names")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"that each may take ({MINUTES})")
    arguments = parser.parse_args()
    print(measure(arguments.texts, arguments.minutes))
