"""The run folder: all that a trained model needs, nothing that runs code, and never a half-written file.

What it holds::

    runs/<name>/run.json                     vocabulary, network, optimizer, corpus, versions
    runs/<name>/checkpoints/, snapshot/      weights: `charlm.support.store`
    runs/<name>/history.csv                  a line for each epoch
    runs/<name>/samples.txt                  what the network wrote after each epoch

`Run` is the folder; `resume` goes on with a run after its last epoch, and `restore` wherever it stopped. TensorFlow
starts only where a network is needed.
"""

import csv
import io
import json
import math
import platform
from pathlib import Path

from charlm.corpora import decode_bytes, encode_bytes, registry
from charlm.support.files import load_weights, make_folder, write_text
from charlm.support.store import Position, Store, Unwritten
from charlm.vocabulary import Vocabulary

REFERENCES = Path(__file__).with_name("pretrained")


class Run:
    """A training run and its folder; make one with `Run.create` or `Run.load`."""

    def __init__(self, path, settings):
        self.path = Path(path)
        self.settings = settings
        self.vocabulary = Vocabulary.from_json(settings["vocabulary"])
        self.store = Store(self.path)
        self.under_way = None  # the number of the epoch that is being trained, from 0

    @classmethod
    def create(cls, path, model, vocabulary, corpus=None, data=None, workers=None):
        """Begin a run: make its folder and write `run.json`.

        Args:
            path: the folder; where it is taken, a number is added, so that no run overwrites another.
            model: from `build_model`, compiled.
            vocabulary: the `Vocabulary` of the text.
            corpus: from `load_corpus`; its name and sha256 are noted.
            data: how the text was split and fed, to be noted: a dictionary of names and numbers, such as
                `{"validation": 0.1, "sequence_length": 64, "batch_size": 32}`.
            workers: from `join_workers`: those that are not the chief make no folder.

        Returns:
            The `Run`; where this process is not the chief, a `Follower`.

        Raises:
            ValueError: model and vocabulary differ in size.
        """
        import keras
        import tensorflow as tf

        from charlm.models import build_arguments, compile_arguments

        arguments = build_arguments(model)
        _check_vocabulary(len(vocabulary), arguments["vocab_size"], path)
        noted = {name: getattr(corpus, name, None) for name in ("name", "sha256", "as_bytes")}
        settings = {
            "vocabulary": vocabulary.to_json(),
            "model": arguments,
            "dtype_policy": model.dtype_policy.name,
            "training": compile_arguments(model),
            "corpus": corpus and noted | {"standin": corpus.is_standin},
            "data": data,
            "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
        }
        if workers and not workers.is_chief:
            return Follower(path, settings)
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

    @property
    def data(self):
        """What was noted of how the run is fed, a dictionary; empty where nothing was."""
        return self.settings["data"] or {}

    @property
    def reads_lines(self):
        """Whether the network reads a list line by line, each from zero state."""
        return self.data.get("feed") == "lines"

    @property
    def reads_bytes(self):
        """Whether the network's characters stand for bytes."""
        corpus = self.settings["corpus"] or {}
        noted = corpus.get("as_bytes"), self.data.get("as_bytes")
        registered = registry().get(corpus.get("name"), {}).get("as_bytes")  # a reference model's text
        return bool(next((answer for answer in (*noted, registered) if answer is not None), False))

    @property
    def is_reference(self):
        """Whether this is one of the reference models that come with charlm."""
        return self.path.parent == REFERENCES

    @property
    def finished(self):
        """How many epochs are finished."""
        return max((checkpoint.epoch for checkpoint in self.checkpoints()), default=0)

    def display(self, text):
        """Turn text of the network into text for a person: where it reads bytes, they become UTF-8."""
        return decode_bytes(text) if self.reads_bytes else text

    def to_network(self, text):
        """Turn a person's text into text for the network: where it reads bytes, those of its UTF-8."""
        return encode_bytes(text) if self.reads_bytes else text

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
        model = self._build({**self.settings["model"], "batch_size": batch_size, "stateful": stateful})
        load_weights(model, self.store.choose(checkpoint).path)
        return model

    def untrained_model(self, decay_steps=None):
        """Build and compile the network as it is trained, with random weights; `decay_steps` as in `resume`."""
        from charlm.models import compile_model

        training = self.settings["training"] | ({} if decay_steps is None else {"decay_steps": decay_steps})
        model = self._build(self.settings["model"])
        return _rebuild(compile_model, {"model": model, **training}, self.path)

    def generator(self, checkpoint="best"):
        """Make a `Generator` from a checkpoint; arguments and errors as for `model`."""
        from charlm.generation import Generator

        return Generator(self.model(checkpoint=checkpoint), self.vocabulary)

    def callbacks(self, prompt=None, verbose=True, **checkpoint):
        """List the callbacks that a run needs: carried state, checkpoints and history, stop on NaN, samples.

        Args:
            prompt: what each epoch's sample continues; None for a line break, or whatever the vocabulary has.
            verbose: whether progress and samples are printed, and `fit` needs no progress bar of its own.
            **checkpoint: begin, seconds and signals of `charlm.training.RunCheckpoint`, for snapshots in mid epoch.

        Raises:
            ValueError: the prompt has characters outside the vocabulary.
        """
        import keras

        from charlm import training

        carried = training.CarriedState(checkpoint.get("begin"))
        saving = training.RunCheckpoint(self, **checkpoint)
        shown = [training.Progress()] if verbose else []
        return [carried, saving, keras.callbacks.TerminateOnNaN(), *shown, training.Samples(self, prompt, verbose)]

    def epoch(self):
        """Return the number of the epoch under way, from 0, or of the next one: what `windows` and `lines` shuffle by."""
        return self.finished if self.under_way is None else self.under_way

    def checkpoints(self):
        """List the checkpoints in the folder, first epoch first: each has a path, an epoch and a val_loss."""
        return self.store.checkpoints()

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

    def record(self, row):
        """Write an epoch's numbers to `history.csv`; later epochs, left by a run that was cut off, go."""
        rows = [earlier for earlier in self.history() if earlier["epoch"] < row["epoch"]] + [row]
        lines = io.StringIO()
        writer = csv.DictWriter(lines, list(row), extrasaction="ignore", restval=math.nan)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "history.csv", lines.getvalue())

    def note(self, **data):
        """Note more in `run.json` of how the run is fed: names and numbers."""
        self.settings["data"] = {**self.data, **data}
        write_text(self.path / "run.json", json.dumps(self.settings, indent=2))

    def add_sample(self, text):
        """Add to `samples.txt`."""
        file = self.path / "samples.txt"
        write_text(file, (file.read_text(encoding="utf-8") if file.exists() else "") + text)

    def __repr__(self):
        kept = ", ".join(f"epoch {c.epoch} ({c.val_loss:.4f} nats)" for c in self.checkpoints()) or "no epoch finished"
        return f"Run({self.path.as_posix()!r}: {kept})"

    def _build(self, arguments):
        """Build the network under the precision it was trained in."""
        import keras

        from charlm.models import build_model

        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.settings.get("dtype_policy", "float32"))
        try:
            return _rebuild(build_model, arguments, self.path)
        finally:
            keras.config.set_dtype_policy(policy)


class Follower(Run):
    """A run as workers see it that are not the chief: they train it with the others, and write nothing to its folder."""

    def __init__(self, path, settings, history=None):
        """Follow a run.

        Args:
            path, settings: of the chief's `Run`.
            history: its `history`, as the chief told it; None for what the folder has, where this machine has it.
        """
        super().__init__(path, settings)
        self.store, self._told = Unwritten(self.path), history

    def history(self):
        return super().history() if self._told is None else self._told

    def callbacks(self, *arguments, **options):
        """List those of `Run.callbacks` but for the one that writes samples."""
        from charlm.training import Samples

        return [each for each in super().callbacks(*arguments, **options) if not isinstance(each, Samples)]

    def record(self, row):
        pass

    def note(self, **data):
        self.settings["data"] = {**self.data, **data}


def checkpoints(run):
    """Return the `ModelCheckpoint` of a run: weights and optimizer state after each epoch, best and last kept.

    The file's name holds the epoch and the validation loss. Each epoch's line goes into `history.csv` with it.
    """
    from charlm.training import RunCheckpoint

    return RunCheckpoint(run)


def reference_models():
    """List the corpora whose trained models come with charlm: `Run.load(name)` opens one, its README.md tells of it."""
    return sorted(file.parent.name for file in REFERENCES.glob("*/run.json"))


def resume(run, decay_steps=None):
    """Go on with a run after its last finished epoch, as if it had never stopped.

    Weights, optimizer, learning rate schedule and dropout go on where they were, and so does the order of `windows`
    and `lines` that were given `epoch=run.epoch`. Build the same datasets and call
    `model.fit(..., initial_epoch=epoch, callbacks=run.callbacks())`.

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
    last = run.store.choose("last")
    return restore(run, Position(last.epoch, 0, last.path), decay_steps), last.epoch


def restore(run, position, decay_steps=None):
    """Build and compile a run's network as it was at a `Position` that was saved; clear what a crash left.

    Raises:
        ValueError: as for `resume`.
    """
    if run.settings["training"] is None:
        raise ValueError(f"{run.path} does not know its optimizer. Use compile_model for runs that are to be resumed.")
    run.history()  # a damaged one should be known now, not after an epoch
    if position.batch:
        position.arrays()  # likewise
    run.store.clear_unfinished()
    model = run.untrained_model(decay_steps)
    load_weights(model, position.weights)
    return model


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
