"""Write a corpus's stand-in: text sampled from charlm's own model of the real text.

    python -m tools.make_standin shakespeare runs/shakespeare

The stand-in takes the place of the corpus where there is no network. It has the same alphabet and the same look, and
copies no passage: the tool checks that before it writes `charlm/standins/<corpus>.txt.xz`.
"""

import argparse
import lzma

import charlm
from charlm.corpora import STANDINS
from charlm.novelty import longest_copied

CHARACTERS = 300_000
ROWS = 20  # samples side by side, joined at line breaks
LONGEST_COPY = 60  # a run of this many characters copied from the original is too long
MOST_NATS = {"shakespeare": 1.55}  # validation loss of a model that is good enough to speak for its corpus


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="name of a registered corpus")
    parser.add_argument("run", help="folder of a run trained on it")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first sample (default 0)")
    arguments = parser.parse_args()
    original, run = charlm.load_corpus(arguments.corpus), charlm.Run.load(arguments.run)
    check_run(run, original)
    text = with_whole_alphabet(sample(run.generator(), arguments.seed), run.vocabulary, original.text)
    check_text(text, original.text)
    path = STANDINS / f"{original.name}.txt.xz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(lzma.compress(text.encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))
    print(f"{path}: {len(text):,} characters in {path.stat().st_size:,} bytes")


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


def sample(generator, seed):
    """Sample at temperature 1 until there are `CHARACTERS`, each row cut at its last line break."""
    rows = generator.generate(["\n"] * ROWS, CHARACTERS // ROWS + 200, seed=seed, include_prompt=False)
    return "".join(row[: row.rindex("\n") + 1] for row in rows)


def with_whole_alphabet(text, vocabulary, original):
    """End the text with lines that hold the characters it lacks, each in a word of the original that has it."""
    missing = [character for character in vocabulary.characters if character not in text]
    words = sorted(set(original.split()), key=len)
    return text + "".join(f"{next(word for word in words if character in word)}\n" for character in missing)


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
