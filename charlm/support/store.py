"""The store of a run's weights: checkpoints after epochs, the best and the last, and a snapshot within an epoch.

checkpoints/<epoch>-<val loss>.weights.h5    weights and optimizer, with a .sha256 beside it
snapshot/<epoch>-<batch>.weights.h5          the same in mid epoch, written last: with it the snapshot is whole
snapshot/<epoch>-<batch>.npz                 what no file of weights holds: carried state, loss and time so far
"""

import contextlib
import os
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charlm.support.files import UNFINISHED, move, remove_weights, save_weights, unfinished

SUFFIX = ".weights.h5"
CHECKPOINT_PATTERN = re.compile(r"(\d+)-(\d+\.\d+)\.weights\.h5")
SNAPSHOT_PATTERN = re.compile(r"(\d+)-(\d+)\.weights\.h5")


class Checkpoint(NamedTuple):
    """The weights after an epoch."""

    path: Path
    epoch: int  # finished epochs
    val_loss: float  # nats, to four decimals


class Position(NamedTuple):
    """Where a training goes on: at its very beginning, after an epoch, or in the middle of one."""

    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the next one
    weights: Path | None = None  # None: the first weights are still to be made

    def arrays(self):
        """Read what a snapshot holds beside the weights: arrays by name.

        Raises:
            ValueError: the file is damaged, or gone.
        """
        file = _beside(self.weights)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{file} is damaged ({error}). Remove the folder {file.parent} to go on after the last epoch."
            ) from error

    @property
    def seconds(self):
        """How long the next epoch's finished batches took."""
        return float(self.arrays().get("seconds", 0.0)) if self.batch else 0.0


class Told(Position):
    """A position that another process told, arrays and all."""

    held = None

    def arrays(self):
        return self.held


class Store:
    """The checkpoints and the snapshot in a run's folder."""

    def __init__(self, folder):
        self.folder, self.path, self.snapshots = folder, folder / "checkpoints", folder / "snapshot"

    def checkpoints(self):
        """List the checkpoints, first epoch first."""
        matches = [(file, CHECKPOINT_PATTERN.fullmatch(file.name)) for file in self.path.glob(f"*{SUFFIX}")]
        found = [Checkpoint(file, int(match[1]), float(match[2])) for file, match in matches if match]
        return sorted(found, key=lambda checkpoint: checkpoint.epoch)

    def choose(self, which):
        """Return the "best" checkpoint by validation loss, or the "last".

        Raises:
            FileNotFoundError: no epoch was finished.
            ValueError: `which` is neither.
        """
        if which not in ("best", "last"):
            raise ValueError(f"checkpoint={which!r}; choose 'best' or 'last'.")
        found = self.checkpoints()
        if not found:
            raise FileNotFoundError(f"{self.path} holds no weights: no epoch was finished. Train first.")
        return found[-1] if which == "last" else min(found, key=lambda checkpoint: checkpoint.val_loss)

    def position(self):
        """Return the latest `Position` that was saved."""
        matches = [(file, SNAPSHOT_PATTERN.fullmatch(file.name)) for file in self.snapshots.glob(f"*{SUFFIX}")]
        found = [Position(int(match[1]), int(match[2]), file) for file, match in matches if match]
        found += [Position(checkpoint.epoch, 0, checkpoint.path) for checkpoint in self.checkpoints()]
        return max(found, key=lambda position: position[:2], default=Position())

    def save_checkpoint(self, model, epoch, val_loss):
        """Write a model's weights and optimizer after an epoch; only the best and the last checkpoint stay."""
        save_weights(model, self.path / f"{epoch:04d}-{val_loss:.4f}{SUFFIX}")
        for checkpoint in set(self.checkpoints()) - {self.choose("best"), self.choose("last")}:
            remove_weights(checkpoint.path)
        self._keep_snapshot(None)

    def save_snapshot(self, model, epoch, batch, arrays):
        """Write training in mid epoch, in place of the snapshot before.

        Args:
            model: the network, with its optimizer.
            epoch: finished epochs.
            batch: finished batches of the next one.
            arrays: what no file of weights holds, by name.
        """
        self.snapshots.mkdir(exist_ok=True)
        weights = self.snapshots / f"{epoch:04d}-{batch:07d}{SUFFIX}"
        partial = unfinished(_beside(weights))
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        move(partial, _beside(weights))
        save_weights(model, weights)
        self._keep_snapshot(weights)

    def clear_unfinished(self):
        """Remove what a crash left half written."""
        for leftover in self.folder.rglob(UNFINISHED + "*"):
            leftover.unlink()

    def _keep_snapshot(self, kept):
        """Remove all snapshots but one."""
        for file in self.snapshots.glob(f"*{SUFFIX}"):
            if file != kept:
                remove_weights(file)
        for file in self.snapshots.glob("*.npz"):
            if kept is None or file != _beside(kept):
                file.unlink()
        with contextlib.suppress(OSError):
            os.rmdir(self.snapshots)  # once it is empty


class Unwritten(Store):
    """The store of a run that another process writes."""

    def save_checkpoint(self, model, epoch, val_loss):
        pass

    def save_snapshot(self, model, epoch, batch, arrays):
        pass

    def clear_unfinished(self):
        pass


def _beside(weights):
    """Name the file of arrays beside a snapshot's weights."""
    return weights.with_name(weights.name.removesuffix(SUFFIX) + ".npz")
