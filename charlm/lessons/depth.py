"""The record of the networks that notebook 04 compares: `tools/depth.py` trains them and writes it, `load` reads it.

Each cell has one, two and three layers of one width, and one wide layer with about as many weights as the three
have. All of them read the same text, with the same settings, for the same time.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

RECORD = Path(__file__).with_suffix(".json")


class Epoch(NamedTuple):
    """Where a training stood after an epoch, or when its time was over."""

    minutes: float  # of training, validation included
    characters: int  # read, all epochs together
    loss: float  # nats, the mean over the epoch
    val_loss: float  # nats


class Network(NamedTuple):
    """One of the networks; with several seeds, what is not a list of one each is their mean."""

    name: str  # such as "GRU 3 x 128"
    cell: str
    layers: int
    units: int  # of each layer
    parameters: int
    nats: tuple  # per held-out character after training, for each seed
    blocks: np.ndarray  # (blocks,) mean nats of each stretch of 1,000 held-out characters
    characters: int  # read in training
    speed: float  # characters a second
    history: tuple  # of `Epoch`, of the first seed
    samples: dict  # temperature to text, of the first seed
    functions: dict  # of how many it began: how many ended, how many a compiler accepted; None for those not counted

    @property
    def loss(self):
        """Nats per held-out character."""
        return sum(self.nats) / len(self.nats)


class Record(NamedTuple):
    """What was measured."""

    minutes: float  # that each training took
    cores: int  # of the machine's CPU
    settings: dict  # that all of them have in common
    text: dict  # name, characters, of which training and validation
    baselines: dict  # name to nats per character of what is no network, on the same characters
    networks: tuple  # of `Network`

    def named(self, name):
        """Return the `Network` of a name."""
        return next(network for network in self.networks if network.name == name)


def load(path=RECORD):
    """Read a record.

    Returns:
        A `Record`.
    """
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    networks = tuple(_network(entry) for entry in found["networks"])
    return Record(**{**found, "networks": networks})


def gain(one, other):
    """Tell how much better one network predicts the held-out text than another.

    Both scored the same characters, so their losses are compared stretch by stretch.

    Args:
        one, other: `Network`.

    Returns:
        Nats per character, positive where `one` is better, and the standard error that the choice of the text
        leaves. How much another seed would change is not in it.
    """
    gains = other.blocks - one.blocks
    return float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))


def _network(entry):
    runs = entry.pop("runs")
    characters = sum(run["characters"] for run in runs) / len(runs)
    return Network(
        **entry,
        nats=tuple(run["nats"] for run in runs),
        blocks=np.mean([run["blocks"] for run in runs], axis=0),
        characters=round(characters),
        speed=characters / (sum(run["seconds"] for run in runs) / len(runs)),
        history=tuple(Epoch(*row) for row in runs[0]["history"]),
        samples={float(temperature): text for temperature, text in runs[0]["samples"].items()},
        functions={kind: sum(run["functions"][kind] for run in runs) for kind in runs[0]["functions"]},
    )
