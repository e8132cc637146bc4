"""Minutes from the start of a process to a validation loss on tinyshakespeare: charlm against a small transformer.

The transformer follows nanoGPT's recipe for a CPU (4 layers, 128 wide, context 64, batch 12, 2,000 steps) and is
written here in PyTorch. It is scored over contexts of 64 characters, as it was trained; the recurrent networks in one
pass with carried state. All see the first 90 % of the text, and are scored on the last 10 %.
"""

import argparse
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

from benchmarks.timing import number, table

SCORED_ROWS = 64  # parts of the validation text read side by side
SEQUENCE_LENGTH, BATCH_SIZE = 64, 32
TRANSFORMER = {"layers": 4, "heads": 4, "width": 128, "context": 64}
STEPS, BATCH, RATE, FINAL_RATE, WARMUP = 2000, 12, 1e-3, 1e-4, 100


class Recipe(NamedTuple):
    """How a GRU is trained, and the loss that it is to reach."""

    target: float  # nats
    units: int
    embedding_dim: int
    epochs: int
    learning_rate: float
    dropout: float = 0.0
    weight_decay: float = 0.0
    warmup_steps: int = 100


RECIPES = {
    # What nanoGPT's recipe for a CPU reaches.
    "charlm, GRU-96, 1 epoch": Recipe(1.886, 96, 64, 1, 1e-2, warmup_steps=40),
    "charlm, GRU-512, 3 epochs": Recipe(1.5165, 512, 128, 3, 4e-3, 0.2, 0.05),  # notebook 01's; a Kneser-Ney 7-gram's
    "charlm, GRU-512, 6 epochs": Recipe(1.4697, 512, 128, 6, 4e-3, 0.3, 0.05),  # nanoGPT's figure of a GPU
}
PEER = "transformer"


def measure(names=(PEER, *RECIPES)):
    """Run each competitor in a process of its own, in turn; return a Markdown table of minutes and nats."""
    rows, peer = [], None
    for name in names:
        began = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.time_to_quality", name]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if done.returncode:
            rows.append([name, f"– not run: {done.stderr.strip().splitlines()[-1]}", "–", "–", "–"])
            continue
        peer = seconds if name == PEER else peer
        nats = float(done.stdout.split()[-1])
        target = RECIPES[name].target if name in RECIPES else nats
        reached = f"{target:.4f}{'' if nats <= target else ' (missed)'}"
        rows.append([name, number(seconds / 60), f"{nats:.4f}", reached, number(peer and peer / seconds)])
    head = [
        "network",
        "minutes from the start of the process",
        "validation nats",
        "to reach",
        "transformer's time / its",
    ]
    return table(head, rows) + "\n\nThe recurrent networks are scored with carried state."


def shakespeare():
    """Return the training and validation ids of the real text.

    Raises:
        FileNotFoundError: only the stand-in is to be had.
    """
    import charlm

    corpus = charlm.load_corpus("shakespeare")
    if corpus.is_standin:
        raise FileNotFoundError("The figures are of the real text: set CHARLM_DATA, or allow a network.")
    return charlm.split(charlm.Vocabulary.from_text(corpus.text).encode(corpus.text))


def train_charlm(recipe):
    """Train a GRU with carried state, and print its validation loss."""
    import keras

    import charlm

    keras.utils.set_random_seed(0)
    train, validation = shakespeare()
    network = {"units": recipe.units, "embedding_dim": recipe.embedding_dim, "dropout": recipe.dropout}
    model = charlm.build_model(65, **network, batch_size=BATCH_SIZE, stateful=True)
    batches = charlm.streams(train, SEQUENCE_LENGTH, BATCH_SIZE)
    rate = {"decay_steps": recipe.epochs * len(batches), "warmup_steps": recipe.warmup_steps}
    charlm.compile_model(model, recipe.learning_rate, weight_decay=recipe.weight_decay, **rate)
    callbacks = [charlm.training.CarriedState()]
    model.fit(batches, epochs=recipe.epochs, callbacks=callbacks, shuffle=False, verbose=0)
    print(charlm.evaluate(model, validation, SCORED_ROWS).nats)


def train_transformer():
    """Train the transformer, and print its validation loss."""
    import torch

    train, validation = (torch.from_numpy(part.astype(np.int64)) for part in shakespeare())
    torch.manual_seed(0)
    model = transformer(torch)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.99), weight_decay=0.1)
    context = TRANSFORMER["context"]
    for step in range(STEPS):
        starts = torch.randint(len(train) - context - 1, (BATCH, 1))
        chunk = train[starts + torch.arange(context + 1)]
        optimizer.param_groups[0]["lr"] = scheduled_rate(step)
        optimizer.zero_grad()
        loss_of(torch, model, chunk).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    windows = validation[: len(validation) // (context + 1) * (context + 1)].reshape(-1, context + 1)
    with torch.no_grad():
        print(torch.stack([loss_of(torch, model, part) for part in windows.split(64)]).mean().item())


def scheduled_rate(step):
    """Rise to the rate over the warm-up, then fall along a cosine to the final one."""
    if step < WARMUP:
        return RATE * (step + 1) / WARMUP
    share = (step - WARMUP) / (STEPS - WARMUP)
    return FINAL_RATE + 0.5 * (1 + np.cos(np.pi * share)) * (RATE - FINAL_RATE)


def transformer(torch):
    """Build the transformer: token and position embeddings, pre-norm blocks, tied output weights."""
    width, context = TRANSFORMER["width"], TRANSFORMER["context"]

    class CharTransformer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = torch.nn.Embedding(65, width)
            self.places = torch.nn.Embedding(context, width)
            block = torch.nn.TransformerEncoderLayer(
                width, TRANSFORMER["heads"], 4 * width, dropout=0.0, activation="gelu", batch_first=True,
                norm_first=True, bias=False,
            )  # fmt: skip
            self.blocks = torch.nn.TransformerEncoder(
                block, TRANSFORMER["layers"], torch.nn.LayerNorm(width), enable_nested_tensor=False
            )
            self.logits = torch.nn.Linear(width, 65, bias=False)
            for weight in (self.tokens.weight, self.places.weight):
                torch.nn.init.normal_(weight, std=0.02)
            self.logits.weight = self.tokens.weight

        def forward(self, ids):
            time = ids.shape[1]
            mask = torch.nn.Transformer.generate_square_subsequent_mask(time)
            hidden = self.tokens(ids) + self.places(torch.arange(time))
            return self.logits(self.blocks(hidden, mask, is_causal=True))

    return CharTransformer()


def loss_of(torch, model, chunk):
    """Mean cross-entropy in nats of every character but the first of each row."""
    logits = model(chunk[:, :-1])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), chunk[:, 1:].flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("competitor", nargs="?", choices=(PEER, *RECIPES), help="run one alone")
    competitor = parser.parse_args().competitor
    if competitor is None:
        print(measure())
    elif competitor == PEER:
        train_transformer()
    else:
        train_charlm(RECIPES[competitor])


if __name__ == "__main__":
    main()
