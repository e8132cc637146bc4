"""The run folder: all that a trained model needs, nothing that runs code, and never a half-written file.

    runs/<name>/run.json                                 vocabulary, network, optimizer, corpus, versions
    runs/<name>/checkpoints/<epoch>-<val loss>.weights.h5    best and last, each with its optimizer state and a .sha256
    runs/<name>/history.csv                              a line for each epoch
    runs/<name>/samples.txt                              what the network wrote after each epoch

The callbacks here are for `model.fit(train, validation_data=..., callbacks=run.callbacks(), verbose=0)`.
"""

import csv
import io
import json
import math
import platform
import re
import time
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from charlm import pipelines
from charlm.files import UNFINISHED, load_weights, make_folder, remove_weights, save_weights, write_text
from charlm.generation import Generator, opening
from charlm.models import (
    build_arguments,
    build_model,
    compile_arguments,
    compile_model,
    recurrent_layers,
    reset_states,
)
from charlm.vocabulary import Vocabulary

CHECKPOINT = "{epoch:04d}-{val_loss:.4f}.weights.h5"
CHECKPOINT_PATTERN = re.compile(r"(\d+)-(\d+\.\d+)\.weights\.h5")
REFERENCES = Path(__file__).with_name("pretrained")
SAMPLED_CHARACTERS = 300
SAMPLED_LINES = 10
SECONDS_BETWEEN_LINES = 1.0


class Checkpoint(NamedTuple):
    """The weights after an epoch."""

    path: Path
    epoch: int  # finished epochs
    val_loss: float  # nats, to four decimals


class Run:
    """A training run and its folder; make one with `Run.create` or `Run.load`."""

    def __init__(self, path, settings):
        self.path = Path(path)
        self.settings = settings
        self.vocabulary = Vocabulary.from_json(settings["vocabulary"])

    @classmethod
    def create(cls, path, model, vocabulary, corpus=None, data=None):
        """Begin a run: make its folder and write `run.json`.

        Args:
            path: the folder; where it is taken, a number is added, so that no run overwrites another.
            model: from `build_model`, compiled.
            vocabulary: the `Vocabulary` of the text.
            corpus: from `load_corpus`; its name and sha256 are noted.
            data: how the text was split and fed, to be noted: a dictionary of names and numbers, such as
                `{"validation": 0.1, "sequence_length": 64, "batch_size": 32}`.

        Returns:
            The `Run`.

        Raises:
            ValueError: model and vocabulary differ in size.
        """
        arguments = build_arguments(model)
        _check_vocabulary(len(vocabulary), arguments["vocab_size"], path)
        settings = {
            "vocabulary": vocabulary.to_json(),
            "model": arguments,
            "dtype_policy": model.dtype_policy.name,
            "training": compile_arguments(model),
            "corpus": corpus and _noted(corpus),
            "data": data,
            "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
        }
        path = make_folder(Path(path))
        (path / "checkpoints").mkdir()
        write_text(path / "run.json", json.dumps(settings, indent=2))
        return cls(path, settings)

    @classmethod
    def load(cls, path):
        """Open the folder of a run, or a reference model that comes with charlm.

        Args:
            path: the folder; or, where there is none of that name, the corpus of a reference model, such as "linux".

        Raises:
            FileNotFoundError: no such folder, or no `run.json` in it.
            ValueError: `run.json` is damaged, or its vocabulary is not its network's.
        """
        if str(path) in reference_models() and not (Path(path) / "run.json").exists():
            path = REFERENCES / path
        file = Path(path) / "run.json"
        if not file.is_file():
            raise FileNotFoundError(
                f"{file.absolute()} is missing. Give the folder of a run, as Run.create made it, or the name of a "
                f"reference model: {', '.join(reference_models())}."
            )
        try:
            settings = json.loads(file.read_text(encoding="utf-8"))
            run = cls(path, settings)
            vocab_size = settings["model"]["vocab_size"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is damaged ({error!r}). Take it from a copy, or train again.") from error
        _check_vocabulary(len(run.vocabulary), vocab_size, path)
        return run

    def model(self, batch_size=1, stateful=False, checkpoint="best"):
        """Build the network with the weights of a checkpoint.

        Args:
            batch_size: rows of every batch, None for any; independent of the one in training.
            stateful: whether state carries over from batch to batch.
            checkpoint: "best" by validation loss, or "last".

        Returns:
            A model, not compiled.

        Raises:
            FileNotFoundError: no epoch was finished.
            ValueError: the checkpoint is damaged or of another network, or `checkpoint` is neither.
        """
        arguments = {**self.settings["model"], "batch_size": batch_size, "stateful": stateful}
        model = self._build(arguments)
        load_weights(model, self._choose(checkpoint).path)
        return model

    def generator(self, checkpoint="best"):
        """Make a `Generator` from a checkpoint; arguments and errors as for `model`."""
        return Generator(self.model(checkpoint=checkpoint), self.vocabulary)

    def checkpoints(self):
        """List the checkpoints in the folder, first epoch first."""
        matches = [(p, CHECKPOINT_PATTERN.fullmatch(p.name)) for p in (self.path / "checkpoints").glob("*.weights.h5")]
        found = [Checkpoint(path, int(match[1]), float(match[2])) for path, match in matches if match]
        return sorted(found, key=lambda checkpoint: checkpoint.epoch)

    def history(self):
        """Read `history.csv`: a list with a dictionary of numbers for each epoch.

        Raises:
            ValueError: the file is damaged.
        """
        file = self.path / "history.csv"
        if not file.exists():
            return []
        with file.open(newline="", encoding="utf-8") as lines:
            rows = csv.DictReader(lines)
            try:
                return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in rows]
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{file} is damaged ({error}). Mend it, or remove it: only the curve is lost."
                ) from error

    def callbacks(self, prompt=None, verbose=True):
        """List the callbacks that a run needs: carried state, checkpoints and history, stop on NaN, samples.

        Args:
            prompt: what each epoch's sample goes on from; None for a line break, or whatever the vocabulary has.
            verbose: whether progress and samples are printed, and `fit` needs no progress bar of its own.

        Raises:
            ValueError: the prompt has characters outside the vocabulary.
        """
        shown = [Progress()] if verbose else []
        samples = Samples(self, prompt, verbose)
        return [CarriedState(), checkpoints(self), keras.callbacks.TerminateOnNaN(), *shown, samples]

    def note(self, **data):
        """Note more in `run.json` of how the run is fed: names and numbers."""
        self.settings["data"] = {**(self.settings["data"] or {}), **data}
        write_text(self.path / "run.json", json.dumps(self.settings, indent=2))

    def record(self, row):
        """Write an epoch's numbers to `history.csv`; later epochs, left by a run that was cut off, go."""
        rows = [earlier for earlier in self.history() if earlier["epoch"] < row["epoch"]] + [row]
        lines = io.StringIO()
        writer = csv.DictWriter(lines, list(row), extrasaction="ignore", restval=math.nan)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "history.csv", lines.getvalue())

    def __repr__(self):
        kept = ", ".join(f"epoch {c.epoch} ({c.val_loss:.4f} nats)" for c in self.checkpoints()) or "no epoch finished"
        return f"Run({self.path.as_posix()!r}: {kept})"

    def _build(self, arguments):
        """Build the network under the precision it was trained in."""
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.settings.get("dtype_policy", "float32"))
        try:
            return _rebuild(build_model, arguments, self.path)
        finally:
            keras.config.set_dtype_policy(policy)

    def _choose(self, checkpoint):
        if checkpoint not in ("best", "last"):
            raise ValueError(f"checkpoint={checkpoint!r}; choose 'best' or 'last'.")
        found = self.checkpoints()
        if not found:
            raise FileNotFoundError(
                f"{self.path / 'checkpoints'} holds no weights: no epoch was finished. Train first."
            )
        return found[-1] if checkpoint == "last" else min(found, key=lambda c: c.val_loss)


def checkpoints(run):
    """Return the `ModelCheckpoint` of a run: weights and optimizer state after each epoch, best and last kept.

    The file's name holds the epoch and the validation loss. Each epoch's line goes into `history.csv` with it.
    """
    return RunCheckpoint(run)


def reference_models():
    """List the corpora whose trained models come with charlm: `Run.load(name)` opens one, its README.md tells of it."""
    return sorted(file.parent.name for file in REFERENCES.glob("*/run.json"))


def resume(run, decay_steps=None):
    """Take up a run after its last finished epoch, as if it had never stopped.

    Weights, optimizer, learning rate schedule, dropout and the order of `windows` go on where they were. Build the
    same datasets and call `model.fit(..., initial_epoch=epoch, callbacks=run.callbacks())`.

    Args:
        run: a `Run`, or the path of its folder.
        decay_steps: batches, from the very beginning, over which the learning rate falls, where the run is to become
            longer than planned; None keeps the plan, after whose end the rate stays at its lowest.

    Returns:
        `(model, epoch)`: the compiled model, and how many epochs are finished.

    Raises:
        FileNotFoundError: no epoch was finished.
        ValueError: a damaged folder, or a run that was not compiled by `compile_model`.
    """
    run = run if isinstance(run, Run) else Run.load(run)
    last = run._choose("last")
    return trained_model(run, last.path, decay_steps), last.epoch


def trained_model(run, weights, decay_steps=None):
    """Build and compile a run's network with weights and optimizer state from a file; clear what a crash left.

    Raises:
        ValueError: as for `resume`.
    """
    if run.settings["training"] is None:
        raise ValueError(f"{run.path} does not know its optimizer. Use compile_model for runs that are to be resumed.")
    run.history()  # a damaged one should be known now, not after an epoch
    for leftover in run.path.rglob(UNFINISHED + "*"):
        leftover.unlink()
    model = run._build(run.settings["model"])
    training = (
        run.settings["training"] if decay_steps is None else {**run.settings["training"], "decay_steps": decay_steps}
    )
    _rebuild(compile_model, {"model": model, **training}, run.path)
    model.optimizer.build(model.trainable_variables)
    load_weights(model, weights)
    return model


class CarriedState(keras.callbacks.Callback):
    """Sets carried state to zero at each epoch's start, and keeps validation from touching it.

    It also ties what is random in an epoch, dropout and the order of `windows`, to the epoch's number.
    """

    def on_epoch_begin(self, epoch, logs=None):
        reset_states(self.model)
        pipelines.set_epoch(epoch)
        seeds = random_seeds(self.model)
        for number, seed in enumerate(seeds):
            seed.assign([epoch * len(seeds) + number, 0])

    def on_train_end(self, logs=None):
        pipelines.set_epoch(None)

    def on_test_begin(self, logs=None):
        self._kept = [state.numpy() for state in carried_states(self.model)]
        reset_states(self.model)

    def on_test_end(self, logs=None):
        for state, value in zip(carried_states(self.model), self._kept, strict=True):
            state.assign(value)


class RunCheckpoint(keras.callbacks.ModelCheckpoint):
    """Writes each epoch to the run folder; the weights last, so that their file says the epoch is complete."""

    def __init__(self, run):
        super().__init__(str(run.path / "checkpoints" / CHECKPOINT), monitor="val_loss", save_weights_only=True)
        self.run = run

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()
        finished = max((checkpoint.epoch for checkpoint in self.run.checkpoints()), default=0)
        if epoch < finished:
            raise ValueError(
                f"{self.run.path} has finished {finished} epochs, and fit begins at {epoch}. Pass initial_epoch={finished} "
                "with the model from resume, or begin another run with Run.create."
            )

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" not in (logs or {}):
            raise ValueError(
                "A checkpoint's name holds val_loss, which fit did not give: pass it validation_data, with "
                "validation_freq=1."
            )
        if not (math.isfinite(logs["loss"]) and math.isfinite(logs["val_loss"])):
            return  # a network that is lost is no checkpoint
        finished = epoch + 1
        row = {"epoch": finished, **logs, "seconds": round(time.perf_counter() - self._began, 1)}
        self.run.record(row)
        path = self.run.path / "checkpoints" / CHECKPOINT.format(epoch=finished, val_loss=logs["val_loss"])
        save_weights(self.model, path)
        self._keep_best_and_last()

    def _keep_best_and_last(self):
        kept = {self.run._choose("best"), self.run._choose("last")}
        for checkpoint in self.run.checkpoints():
            if checkpoint not in kept:
                remove_weights(checkpoint.path)


class Progress(keras.callbacks.Callback):
    """Prints a line that moves while an epoch is trained and stays when it is done; made for terminal and notebook."""

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = f"epoch {epoch + 1:{len(str(self.params['epochs']))}}/{self.params['epochs']}"
        self._began = self._shown = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now, done = time.perf_counter(), batch + 1
        if now - self._shown >= SECONDS_BETWEEN_LINES and done < (self.params["steps"] or 0):
            left = (now - self._began) * (self.params["steps"] - done) / done
            self._shown = now
            print(
                f"\r{self._epoch}: batch {done}/{self.params['steps']}, {_loss(logs, 'loss')}, {left:.0f} s left ",
                end="",
            )

    def on_epoch_end(self, epoch, logs=None):
        losses = ", ".join(_loss(logs, name) for name in ("loss", "val_loss") if name in logs)
        bpc = f" ({logs['val_loss'] / math.log(2):.3f} bpc)" if "val_loss" in logs else ""
        print(f"\r{self._epoch}: {losses}{bpc}, {time.perf_counter() - self._began:.0f} s{' ' * 20}")


class Samples(keras.callbacks.Callback):
    """Writes a sample after each epoch to `samples.txt`, always from the same random numbers."""

    def __init__(self, run, prompt=None, verbose=True):
        super().__init__()
        self.prompt = opening(run.vocabulary) if prompt is None else prompt
        run.vocabulary.encode(self.prompt)  # an unknown character should be known now, not after an epoch
        self.run, self.verbose = run, verbose

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            return  # a network that is lost has nothing to say
        text = self._write(Generator(self.model, self.run.vocabulary))
        file = self.run.path / "samples.txt"
        earlier = file.read_text(encoding="utf-8") if file.exists() else ""
        write_text(file, f"{earlier}--- after epoch {epoch + 1} ---\n{text}\n\n")
        if self.verbose:
            print(f"\n{text.strip()}\n", flush=True)

    def _write(self, generator):
        if (self.run.settings["data"] or {}).get("feed") != "lines":
            return generator.generate(self.prompt, SAMPLED_CHARACTERS, seed=0)
        # A network that reads lines one by one has never seen what follows a line's end.
        prompts = [self.prompt.lstrip("\n")] * SAMPLED_LINES
        return "".join(line.rstrip("\n") + "\n" for line in generator.generate(prompts, stop="\n", seed=0))


class Sample(NamedTuple):
    """What a network wrote in the middle of its training."""

    step: int  # batches trained on
    loss: float  # nats, the mean over the batches since the sample before
    text: str


class Evolution(keras.callbacks.Callback):
    """Writes a sample after chosen batches, always from the same random numbers; `samples` lists them."""

    def __init__(self, vocabulary, steps=(100, 300, 500, 700, 1200, 2000), prompt="\n", length=300, temperature=1.0):
        super().__init__()
        vocabulary.encode(prompt)  # an unknown character should be known now, not after a hundred batches
        self.vocabulary, self.steps, self.settings = vocabulary, frozenset(steps), (prompt, length, temperature)
        self.samples, self._step, self._losses, self._total = [], 0, [], 0.0

    def on_train_batch_end(self, batch, logs=None):
        total = float(logs["loss"]) * (batch + 1)  # Keras gives the mean over the epoch so far
        self._losses.append(total - (self._total if batch else 0.0))
        self._total, self._step = total, self._step + 1
        if self._step in self.steps:
            generator = Generator(self.model, self.vocabulary)
            text = generator.generate(*self.settings, seed=0, include_prompt=False)
            self.samples.append(Sample(self._step, sum(self._losses) / len(self._losses), text))
            self._losses = []


def _loss(logs, name):
    return f"{name} {float(logs[name]):.4f}"


def random_seeds(model):
    """List the states of a model's dropout, as variables."""
    return [variable for variable in model.non_trainable_variables if "seed_generator" in variable.path]


def carried_states(model):
    """List the states that a model carries from batch to batch, as variables."""
    return [state for layer in recurrent_layers(model) if layer.stateful for state in tf.nest.flatten(layer.states)]


def _noted(corpus):
    facts = {"name": corpus.name, "sha256": corpus.sha256}
    return {**facts, "standin": corpus.is_standin, "as_bytes": corpus.as_bytes}


def _check_vocabulary(characters, vocab_size, path):
    if characters != vocab_size:
        raise ValueError(
            f"{path}: the vocabulary has {characters} characters and the network {vocab_size}: they do not belong "
            "together. A run keeps its vocabulary in run.json; use that one."
        )


def _rebuild(function, arguments, path):
    try:
        return function(**arguments)
    except TypeError as error:
        raise ValueError(f"{path}/run.json does not fit this version of charlm: {error}.") from error
