"""From any text to a trained run: what the `charlm` command does, in the order in which it does it.

`read_text` finds a text, `prepare` cuts and encodes it, `begin` makes the run, `train` trains it within its time, and
`continue_run` takes one up again. `charlm.settings` chooses the settings; `charlm.report` weighs the result.
"""

import math
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from charlm import pipelines
from charlm.corpora import load_corpus, load_folder, registry, unique_lines
from charlm.machine import release_memory
from charlm.models import build_model, compile_model
from charlm.pace import Clock, Patience, Timer
from charlm.settings import NAMES, Settings, resize, seconds_per_character
from charlm.snapshots import Snapshots, find_snapshot, fit_on, take_up
from charlm.training import Run
from charlm.transfer import extend, extended_vocabulary
from charlm.vocabulary import Vocabulary

MOST_VALIDATION = 500_000  # characters: more make the loss no surer, and every epoch longer
MOST_READ = 50_000_000  # characters of a text, where no limit is given: more than are trained on in half an hour
WARM, TIMED = 3, 10  # batches that measure the speed


class Parts(NamedTuple):
    """A text, cut before anything was learned from it, and encoded."""

    vocabulary: Vocabulary
    train: np.ndarray  # (characters,) ids
    validation: np.ndarray  # (characters,) ids
    end: int | None  # id of the line break, where lines are read one by one


def origin(source, pattern=None, as_bytes=None, limit=None):
    """What a run notes of where its text came from, so that it is found again from any folder; as for `read_text`."""
    is_path = pattern is not None or not (source in registry() or "://" in source)
    place = Path(source).expanduser().absolute().as_posix() if is_path else source
    return {"source": place, "pattern": pattern, "as_bytes": as_bytes, "limit": limit}


def read_text(source, pattern=None, as_bytes=None, limit=None):
    """Load a text by a corpus's name, a path, a URL, or a folder's path and a pattern of its files.

    Returns and raises: as `load_corpus` and `load_folder`. Without a limit, at most 50 million characters are read.
    """
    if pattern is not None or (source not in registry() and Path(source).expanduser().is_dir()):
        return load_folder(source, pattern or "*.txt", limit or MOST_READ, bool(as_bytes))
    return load_corpus(source, limit or (None if source in registry() else MOST_READ), as_bytes)


def prepare(text, feed="streams", validation=0.1, min_count=1, seed=0, vocabulary=None, known=None):
    """Cut a text into a training and a validation part, choose the vocabulary, and encode both.

    Args:
        text: string.
        feed: "streams": the text's end is held out. "lines": duplicates go, and random lines are held out.
        validation: share held out; of a long text at most 500,000 characters are.
        min_count: as in `Vocabulary.from_text`, counted in the training part.
        seed: decides which lines are held out.
        vocabulary: one to encode with; None makes one.
        known: a `Vocabulary` whose characters the new one is to have, too, as `extended_vocabulary` does.

    Returns:
        `Parts`.

    Raises:
        ValueError: as for `split`, `unique_lines` and `Vocabulary`.
    """
    if feed == "lines":
        items = unique_lines(text)
        np.random.default_rng(seed).shuffle(items)
        parts = ["".join(item + "\n" for item in part) for part in pipelines.split(items, validation)]
    else:
        parts = pipelines.split(text, min(validation, MOST_VALIDATION / max(len(text), 1)))
    if vocabulary is None:
        # An alphabet tells nothing of the order of what is held out; counts would.
        counted = parts[0] if min_count > 1 else "".join(parts) if feed == "lines" else text
        vocabulary = (
            Vocabulary.from_text(counted, min_count)
            if known is None
            else extended_vocabulary(known, counted, min_count)
        )
    if feed == "lines" and "\n" not in vocabulary:
        raise ValueError("Lines end with a line break, which the vocabulary lacks. Lower min_count, or feed streams.")
    end = int(vocabulary.encode("\n")[0]) if feed == "lines" else None
    return Parts(vocabulary, *map(vocabulary.encode, parts), end)


def batches(parts, settings, seed=0):
    """Make the datasets of both parts: `(train, validation)`."""
    if parts.end is not None:
        rows = [min(settings.batch_size, int(np.sum(ids == parts.end))) for ids in (parts.train, parts.validation)]
        held_out = pipelines.lines(parts.validation, parts.end, rows[1], shuffle=False)
        return pipelines.lines(parts.train, parts.end, rows[0], seed=seed), held_out
    sizes = settings.sequence_length, settings.batch_size
    return tuple(pipelines.streams(ids, *sizes) for ids in (parts.train, parts.validation))


def begin(path, corpus, settings, parts, seed=0, init_from=None, text=None):
    """Make the folder of a run, with its network's first weights.

    Args:
        path: as in `Run.create`.
        corpus, settings, parts: from `read_text`, `suggest` and `prepare`.
        seed: of the first weights, and of what is random in training.
        init_from: a run, or a reference model's name, whose weights the network begins with; `parts` are then
            from `prepare(..., known=...)`.
        text: from `origin`: where the text is, so that `continue_run` finds it.

    Returns:
        `(run, model)`.
    """
    names = ("feed", "validation", "sequence_length", "batch_size", "min_count", "epochs", "learning_rate", "patience")
    data = {name: getattr(settings, name) for name in (*names, "minutes")}
    data |= {"seed": seed, **(text or {}), "init_from": init_from and str(init_from), "ended": False}
    model = _first_model(settings, parts, seed, init_from)
    return Run.create(path, model, parts.vocabulary, corpus, data), model


def fit_width(settings, parts, seconds, speed=None):
    """Choose the network's width anew if it is too slow for its time, by its own speed rather than an estimate.

    Args:
        settings, parts: from `suggest` and `prepare`.
        seconds: that training may take.
        speed: characters per second in training; None measures it.

    Returns:
        `Settings`: the same ones where the width is right, or was given.
    """
    shape = settings.units, settings.layers, len(parts.vocabulary)
    needed = seconds_per_character(*shape, 1, settings.cell)  # products
    products = (speed or measure_speed(settings, parts)) * needed  # per second, as this network does them
    resized = resize(settings, len(parts.train), len(parts.vocabulary), seconds, products)
    return resized if resized.units < settings.units else settings


def measure_speed(settings, parts):
    """Measure how many characters a second a network trains on, with a few batches that teach nothing that is kept."""
    release_memory()  # that reading the text leaves
    train, _ = batches(parts, settings)
    model = _first_model(settings, parts, 0, None)
    timer = Timer(WARM)
    model.fit(train.repeat().take(WARM + TIMED), shuffle=False, verbose=0, callbacks=[timer])
    del model
    release_memory()  # before the network that is kept is built
    return len(parts.train) / len(train) * TIMED / timer.seconds


def train(run, model, parts, settings, seconds=None, spent=0.0, epoch=0, snapshot=None, signals=None, meter=None):
    """Train a run, in its time if it has one.

    It ends after its epochs; after `patience` of them without a better validation loss; when the time is over, in the
    middle of an epoch, too; where a loss is no number; or with `Stopped` after a signal.

    Args:
        run, model, parts, settings: from `begin`, `prepare` and `suggest`; or from `continue_run`.
        seconds: that it may take; None for no limit.
        spent: seconds that it has taken before, in earlier processes.
        epoch, snapshot: where to go on, from `continue_run`.
        signals: `Signals` that may ask to stop.
        meter: `Meter`, a callback that shows progress, or None.

    Returns:
        Whether all losses were numbers.
    """
    run.note(training_seconds=seconds and round(seconds + spent, 1), ended=False)
    data, held_out = batches(parts, settings, run.settings["data"]["seed"])
    in_all = (seconds or math.inf) + spent
    clock = Clock(settings.learning_rate, settings.epochs * len(data), in_all, spent, len(held_out))
    callbacks = [*run.callbacks(verbose=False), clock, Snapshots(run, signals, snapshot)]
    sound = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: sound.append(np.isfinite(list(logs.values()))))
    callbacks += [Patience(run, settings.patience), watch]
    if meter:
        meter.plan(seconds, snapshot.batch / len(data) if snapshot else 0.0)
        callbacks.append(meter)
    arguments = {"validation_data": held_out, "callbacks": callbacks, "shuffle": False, "verbose": 0}
    fit_on(model, data, snapshot, settings.epochs, epoch, **arguments)
    if np.all(sound):
        run.note(ended=True)
    return bool(np.all(sound))


def seconds_spent(run, snapshot=None):
    """How many seconds a run's finished epochs took, and the batches after them that a `Snapshot` has."""
    finished = max((checkpoint.epoch for checkpoint in run.checkpoints()), default=0)
    in_epochs = sum(row["seconds"] for row in run.history() if row["epoch"] <= finished)
    return in_epochs + (snapshot.seconds if snapshot else 0.0)


def source_of(run):
    """Return what a run notes of its text, to go on with it.

    Raises:
        ValueError: `begin` was not told where the text is, as in reference models.
    """
    data = run.settings["data"] or {}
    if "source" not in data:
        raise ValueError(f"{run.path} does not say where its text is: go on with it in Python, with charlm.resume.")
    return data


def continue_run(run):
    """Find all that is needed to go on with a run, at its last checkpoint or snapshot, or at its very beginning.

    Returns:
        `(model, parts, settings, epoch, snapshot)`, for `train`.

    Raises:
        ValueError: the text is not the one that the run was begun with, or the run was not made by `begin`.
        FileNotFoundError: the text is gone.
    """
    data = source_of(run)
    corpus = read_text(data["source"], data["pattern"], data["as_bytes"], data["limit"])
    if corpus.sha256 != run.settings["corpus"]["sha256"]:
        raise ValueError(f"{data['source']} has changed since the run was begun. Begin another run, or bring it back.")
    settings = _settings_of(run)
    parts = prepare(corpus.text, data["feed"], data["validation"], data["min_count"], data["seed"], run.vocabulary)
    if find_snapshot(run) or run.checkpoints():
        model, epoch, snapshot = take_up(run)
        return model, parts, settings, epoch, snapshot
    return _first_model(settings, parts, data["seed"], data["init_from"]), parts, settings, 0, None


def _first_model(settings, parts, seed, init_from):
    """Build and compile a network with its first weights: random ones, or those of another run."""
    keras.utils.set_random_seed(seed)
    carried = parts.end is None
    rows = {"batch_size": settings.batch_size if carried else None, "stateful": carried}
    if init_from:
        model = extend(init_from, parts.vocabulary, dropout=settings.dropout, precision=settings.precision, **rows)
    else:
        model = build_model(len(parts.vocabulary), **settings.network(), **rows)
    return compile_model(model, settings.learning_rate, weight_decay=settings.weight_decay)  # `Clock` lets it fall


def _settings_of(run):
    """Read the settings from a run that `begin` made."""
    model, training, data = run.settings["model"], run.settings["training"], run.settings["data"]
    known = {**training, **data, **{name: value for name, value in model.items() if name != "batch_size"}}
    return Settings(**{name: known[name] for name in NAMES})
