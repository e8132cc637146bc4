"""A job: training on a text with settings that fit it, which can be stopped at any moment and goes on where it was.

`begin` makes a job for a new run, `go_on` for one that stopped, wherever that was; `Job.fit` trains what is left. Where
several workers train, the chief does so and `announce`s its job, and the others `follow`.
"""

import dataclasses
import math
import time
from typing import NamedTuple

import keras

from charlm.anytext.pace import Clock, Patience
from charlm.anytext.settings import NAMES, Settings, longest_training, measured_speed, resize
from charlm.anytext.split import Parts, batches, cut, encode, read_text
from charlm.anytext.transfer import extend
from charlm.corpora import resolve_source
from charlm.models import build_model, compile_model, remember
from charlm.runs import Follower, Run, restore
from charlm.support.store import Position, Told
from charlm.training import ALONE, Progress, all_finite

SECONDS_BETWEEN_SNAPSHOTS = 60.0
LITTLE_TIME = 1.0  # seconds that a training gets at least, to end as it should
FED = (
    "feed",
    "validation",
    "sequence_length",
    "batch_size",
    "min_count",
    "epochs",
    "learning_rate",
    "patience",
    "minutes",
)


class Notes(NamedTuple):
    """What `run.json` says of a job, beside its settings."""

    source: str  # with pattern, as_bytes and limit: where the text is, as `Source.notes` says it
    seed: int
    init_from: str | None  # the run whose weights it began with
    ended: bool = False  # for good: by its epochs, its patience or its time
    pattern: str | None = None
    as_bytes: bool | None = None
    limit: int | None = None
    patience_from: int = 0  # the epoch after which patience counts
    training_seconds: float | None = None  # for all of training, in all processes; None for no limit
    split_seed: int | None = None  # decides which lines are held out; None for `seed`
    memory: int | None = None  # characters that its units could remember at first; None for Keras' first weights

    @classmethod
    def of(cls, run):
        """Read them from a run.

        Raises:
            ValueError: `begin` was not told where the text is, or did not make the run, as with reference models.
        """
        if "source" not in run.data:
            raise ValueError(f"{run.path} does not say where its text is: go on with it in Python, with charlm.resume.")
        return cls(**{name: run.data[name] for name in cls._fields if name in run.data})


@dataclasses.dataclass
class Job:
    """A training, ready to begin or to go on."""

    run: Run
    model: keras.Model
    parts: Parts
    settings: Settings
    seed: int = 0
    position: Position = Position()
    seconds: float | None = None  # left for training; None for no limit
    workers: object = ALONE  # who train it: `charlm.devices.workers.Workers`, where there are several

    @property
    def spent(self):
        """Seconds that training has taken before: finished epochs, and the batches after them that a snapshot has."""
        rows = self.run.history()
        return sum(row["seconds"] for row in rows if row["epoch"] <= self.position.epoch) + self.position.seconds

    @property
    def over(self):
        """Whether nothing is left to train, unless `extend` makes the run longer."""
        ended = self.run.data.get("ended", False) or self.position.epoch >= self.settings.epochs
        return ended or self._patience().is_over()

    def extend(self, epochs=None, minutes=None):
        """Make the run longer than planned, by epochs in all, by minutes, or by both.

        Raises:
            ValueError: `epochs` are finished already.
        """
        finished = self.position.epoch
        if epochs and epochs <= finished:
            raise ValueError(f"{self.run.path} has finished {finished} epochs: give --epochs more than that.")
        epochs = epochs or max(self.settings.epochs, finished + longest_training(len(self.parts.train)))
        minutes = minutes and (self.settings.minutes or 0.0) + minutes
        self.run.note(epochs=epochs, minutes=minutes, patience_from=finished, ended=False)
        self.settings = dataclasses.replace(self.settings, epochs=epochs, minutes=minutes)
        self.seconds = None

    def fit(self, signals=None, progress=True, out=None, moving=True, callbacks=()):
        """Train what is left.

        Training ends after the epochs of the settings; after `patience` of them without a better validation loss; when
        the time is over, in the middle of an epoch, too; where a loss is NaN; or with `Stopped` after a signal.

        Args:
            signals: `Signals` that may ask to stop.
            progress: whether to show it; out, moving: as in `charlm.training.Progress`.
            callbacks: more of them, called when what is over has been saved.

        Returns:
            Whether all losses were numbers.
        """
        spent = self.spent if self.seconds else 0.0
        self.run.note(training_seconds=self.seconds and round(self.seconds + spent, 1), ended=False)
        began = time.monotonic()
        whole = batches(self.parts, self.settings, self.seed, self.run.epoch)
        data, held_out = (self.workers.part(dataset) for dataset in whole)
        self.model = self.workers.divide(self.model)  # which waits for the others
        waited = time.monotonic() - began
        sound = []
        watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: sound.append(all_finite(logs)))
        saving = {"begin": self.position, "seconds": SECONDS_BETWEEN_SNAPSHOTS, "signals": signals}
        every = [*self.run.callbacks(verbose=False, **saving), self._clock(data, held_out, spent, waited)]
        every += [self._patience(), watch, *callbacks]
        if progress:
            every.append(self._progress(len(data), out, moving))
        self._fit_epochs(data, validation_data=held_out, callbacks=every, shuffle=False, verbose=0)
        if all(sound):
            self.run.note(ended=True)
        return all(sound)

    def _fit_epochs(self, data, **arguments):
        """Call `model.fit`, beginning within an epoch where training stopped in one."""
        epoch, batch = self.position[:2]
        if batch:
            self.model.fit(data.skip(batch), initial_epoch=epoch, epochs=epoch + 1, **arguments)
            epoch += 1
        if epoch < self.settings.epochs and not self.model.stop_training:
            self.model.fit(data, initial_epoch=epoch, epochs=self.settings.epochs, **arguments)

    def _clock(self, data, held_out, spent, waited):
        in_all, batches_in_all = (self.seconds or math.inf) + spent, self.settings.epochs * len(data)
        return Clock(self.settings.learning_rate, batches_in_all, in_all, spent + waited, len(held_out))

    def _patience(self):
        return Patience(self.run.history(), self.settings.patience, self.run.data.get("patience_from", 0))

    def _progress(self, batches_an_epoch, out, moving):
        begun = self.position.batch / batches_an_epoch
        seconds = self.seconds or math.inf
        return Progress(self.settings.epochs, len(self.parts.train), seconds, begun, out, moving)


def begin(
    path, corpus, settings, parts, seed=0, init_from=None, source=None, seconds=None, split_seed=None, memory=None
):
    """Make the folder of a run, with its network's first weights.

    Args:
        path: as in `Run.create`.
        corpus, settings, parts: from `read_text`, `suggest` and `encode`.
        seed: of the first weights, and of what is random in training.
        init_from: a run, or a reference model's name, whose weights the network begins with; `parts` are then
            from `encode(..., known=...)`.
        source: from `resolve_source`: where the text is, so that `go_on` finds it.
        seconds: that training may take; None for no limit.
        split_seed: that `cut` was given, where it is not `seed`.
        memory: characters that units of the first weights may remember, as in `remember`; None for Keras' own.

    Returns:
        A `Job`.

    Raises:
        ValueError: both `init_from` and `memory`, or a memory that `remember` refuses.
    """
    data = {name: getattr(settings, name) for name in FED}
    data |= {
        "seed": seed,
        "init_from": init_from and str(init_from),
        "ended": False,
        "split_seed": split_seed,
        "memory": memory,
        **(source.notes() if source else {}),
    }
    model = _first_model(settings, parts, seed, init_from, memory)
    return Job(Run.create(path, model, parts.vocabulary, corpus, data), model, parts, settings, seed, seconds=seconds)


def source_of(run):
    """Say where the text of a run is that `begin` made: a `Source`.

    Raises:
        ValueError: `begin` did not make the run.
    """
    notes = Notes.of(run)
    return resolve_source(notes.source, notes.pattern, notes.as_bytes, notes.limit)


def go_on(run, corpus=None):
    """Find all that is needed to go on with a run: at its last checkpoint or snapshot, or at its very beginning.

    Args:
        run: a `Run` that `begin` made.
        corpus: its text, where that has been read already; None reads it.

    Returns:
        A `Job`.

    Raises:
        ValueError: the text is not the one that the run was begun with, or the run was not made by `begin`.
        FileNotFoundError: the text is gone.
    """
    notes, corpus = Notes.of(run), corpus or read_text(source_of(run))
    if corpus.sha256 != run.settings["corpus"]["sha256"]:
        raise ValueError(f"{notes.source} has changed since the run was begun. Begin another run, or bring it back.")
    settings, position = _settings_of(run), run.store.position()
    split_seed = notes.seed if notes.split_seed is None else notes.split_seed
    parts = encode(cut(corpus.text, settings.feed, settings.validation, split_seed), vocabulary=run.vocabulary)
    if position.weights is None:
        model = _first_model(settings, parts, notes.seed, notes.init_from, notes.memory)
    else:
        model = restore(run, position)
    job = Job(run, model, parts, settings, notes.seed, position)
    in_all = run.data.get("training_seconds", settings.minutes and 60 * settings.minutes)
    job.seconds = in_all and max(in_all - job.spent, LITTLE_TIME)
    return job


def announce(job):
    """Tell the other workers of a job, as the chief, what they need to train it, too."""
    run, position = job.run, job.position
    facts = {"path": run.path.as_posix(), "settings": run.settings, "history": run.history()}
    facts |= {"seconds": job.seconds, "epoch": position.epoch, "batch": position.batch}
    job.workers.tell(facts, position.arrays() if position.batch else {})


def follow(workers, corpus):
    """Wait for the job that the chief announces, and make this worker's: same network and settings, the chief's run folder.

    Args:
        workers: the `Workers`, of which this one is not the chief.
        corpus: the text.

    Returns:
        A `Job`, or None where there is nothing left to train.

    Raises:
        ValueError: the chief gave up.
    """
    facts, arrays = workers.hear()
    if "error" in facts:
        raise ValueError(f"the chief gave up: {facts['error']}")
    if not facts:
        return None
    run = Follower(facts["path"], facts["settings"], facts["history"])
    position = Told(facts["epoch"], facts["batch"])
    position.held = arrays
    settings, seed = _settings_of(run), run.data["seed"]
    parts = encode(cut(corpus.text, settings.feed, settings.validation, seed), vocabulary=run.vocabulary)
    return Job(run, run.untrained_model(), parts, settings, seed, position, facts["seconds"], workers)


def fit_width(settings, parts, seconds, speed=None):
    """Choose the network's width anew if it is too slow for its time, by its own speed.

    Args:
        settings, parts: from `suggest` and `encode`.
        seconds: that training may take.
        speed: as in `suggest`; None measures it, if `suggest` did not.

    Returns:
        `Settings`, whose reasons say how many epochs fit: the same ones where the width is right, or was given.
    """
    if speed is None:
        train, _ = batches(parts, settings)
        length = train.element_spec[0].shape[1]
        speed = measured_speed(vars(settings), len(parts.vocabulary), length, len(parts.train) / len(train))
    sizes = len(parts.train), len(parts.vocabulary), seconds, speed
    resized = resize(settings, *sizes)
    if resized.units < settings.units:
        return resized
    kept = resize(dataclasses.replace(settings, given=NAMES), *sizes)
    return dataclasses.replace(settings, reasons=kept.reasons[:1])


def _first_model(settings, parts, seed, init_from, memory):
    """Build and compile a network with its first weights: random ones, or those of another run."""
    if init_from and memory:
        raise ValueError(
            f"{init_from} brings weights that are trained, and memory {memory} makes first ones: leave one out."
        )
    keras.utils.set_random_seed(seed)
    carried = parts.end is None
    rows = {"batch_size": settings.batch_size if carried else None, "stateful": carried}
    if init_from:
        dropped = {"dropout": settings.dropout, "weight_dropout": settings.weight_dropout}
        model = extend(init_from, parts.vocabulary, **dropped, precision=settings.precision, **rows)
    else:
        model = build_model(len(parts.vocabulary), **settings.network(), **rows)
    if memory:
        remember(model, memory, seed)
    return compile_model(model, settings.learning_rate, weight_decay=settings.weight_decay)  # `Clock` lets it fall


def _settings_of(run):
    """Read the settings from a run that `begin` made."""
    model, training = run.settings["model"], run.settings["training"]
    known = {**training, **run.data, **{name: value for name, value in model.items() if name != "batch_size"}}
    known.setdefault("weight_dropout", 0.0)  # of runs that an earlier version began
    return Settings(**{name: known[name] for name in NAMES})
