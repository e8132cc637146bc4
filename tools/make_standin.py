"""Write a corpus's stand-in: a surrogate text, sampled from charlm's own model of the real one.

    python -m tools.make_standin shakespeare

The stand-in takes the place of the corpus where there is no network. It has the same alphabet and the same look, and
copies no passage: the tool checks that before it writes `charlm/standins/<corpus>.txt.xz`.
"""

import argparse
import itertools
import lzma
import re

import charlm
from charlm.corpora import STANDINS
from charlm.evaluation.novelty import longest_copied
from charlm.runs import REFERENCES

CHARACTERS = 300_000  # or the original's, where that has fewer
ROWS = 20  # samples side by side, joined at line breaks
LONGEST_COPY = 60  # a run of this many characters copied from the original is too long
MOST_NATS = {"shakespeare": 1.49}  # validation loss of a model that is good enough to speak for its corpus
LONGEST_LINE = 40  # characters of a list's line


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="name of a registered corpus")
    parser.add_argument("run", nargs="?", help="folder of a run trained on it (default: its reference model)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first sample (default 0)")
    arguments = parser.parse_args()
    run = charlm.Run.load(arguments.run or REFERENCES / arguments.corpus)
    original = charlm.load_corpus(arguments.corpus, limit=run.data.get("limit"))
    check_run(run, original)
    text = without_copies(sample(run, original, arguments.seed), original.text)
    text = with_whole_alphabet(text, original.text)
    check_text(text, original.text)
    path = STANDINS / f"{original.name}.txt.xz"
    path.parent.mkdir(exist_ok=True)
    data = text.encode("latin-1" if original.as_bytes else "utf-8")
    path.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    print(f"{path.relative_to(STANDINS.parent)}: {len(text):,} characters in {path.stat().st_size:,} bytes")


def check_run(run, original):
    """Refuse a run that was not trained on the real text, or not well enough.

    Raises:
        ValueError: another text, a stand-in, or a validation loss above the limit.
    """
    if original.is_standin or run.settings["corpus"]["sha256"] != original.sha256:
        raise ValueError(f"{run} was not trained on the real {original.name}; a stand-in is made from one that was.")
    loss = min(checkpoint.val_loss for checkpoint in run.checkpoints())
    limit = MOST_NATS.get(original.name, float("inf"))
    if loss >= limit:
        raise ValueError(f"{run} reached {loss:.4f} validation nats; a stand-in needs less than {limit}. Train longer.")


def sample(run, original, seed):
    """Sample at temperature 1 until there are `CHARACTERS`, or as many as the original has."""
    length = min(CHARACTERS, len(original.text))
    if run.reads_lines:
        return sample_lines(run.generator(), original.text, length, seed)
    rows = run.generator().generate(["\n"] * ROWS, length // ROWS + 200, seed=seed, include_prompt=False)
    text = "".join(row[: row.rindex("\n") + 1] for row in rows)
    if original.as_bytes:  # no half characters, which would make the text unreadable as UTF-8
        text = text.encode("latin-1").decode("utf-8", "ignore").encode("utf-8").decode("latin-1")
    return text


def sample_lines(generator, original, length, seed):
    """Sample whole lines that the original does not have."""
    known, lines, rows = {*charlm.unique_lines(original), ""}, [], 500
    for number in itertools.count(seed):  # no two seeds share a row
        written = generator.generate([""] * rows, LONGEST_LINE, stop="\n", seed=number, include_prompt=False)
        lines += [line.strip() for line in written if line.endswith("\n") and line.strip() not in known]
        if sum(map(len, lines)) + len(lines) >= length:
            return "".join(line + "\n" for line in lines)


def without_copies(text, original):
    """Take out the lines of each passage that the original has too, such as a licence that heads many files."""
    while (copied := longest_copied(text, original)).length >= LONGEST_COPY:
        first = text.rfind("\n", 0, copied.start) + 1
        after = text.find("\n", copied.start + copied.length - 1) + 1
        text = text[:first] + text[after or len(text) :]
    return text


def with_whole_alphabet(text, original):
    """End the text with lines that hold the characters it lacks, each in a word of the original that has it."""
    missing = sorted(set(original) - set(text))
    words = sorted(set(re.split("[ \t\n]+", original)), key=len)  # str.split would part bytes that look like blanks
    return text + "".join(f"{next((word for word in words if c in word), c)}\n" for c in missing)


def check_text(text, original):
    """Make sure the stand-in has the original's alphabet and copies no passage of it.

    Raises:
        ValueError: another alphabet, or a copied run of `LONGEST_COPY` characters or more.
    """
    if set(text) != set(original):
        raise ValueError(f"The alphabets differ in {sorted(set(text) ^ set(original))}; sample more characters.")
    copied = longest_copied(text, original)
    print(f"longest run copied from the original: {copied.length} characters: {copied.text!r}")
    if copied.length >= LONGEST_COPY:
        raise ValueError(
            f"{copied.length} copied characters; less than {LONGEST_COPY} are allowed. Use another --seed."
        )


if __name__ == "__main__":
    main()
