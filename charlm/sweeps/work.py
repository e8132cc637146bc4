"""What a process does in a sweep: one trial after the other, as long as there is time, each an ordinary run."""

import contextlib
import math
import shutil
import signal
import time
from typing import NamedTuple

import keras
import optuna
import tensorflow as tf
from optuna.trial import TrialState

from charlm.anytext.job import begin, go_on
from charlm.anytext.split import Parts
from charlm.corpora import Corpus, Source
from charlm.runs import Run
from charlm.support.files import locked
from charlm.support.machine import release_memory
from charlm.sweeps.space import shown
from charlm.sweeps.study import TENTHS
from charlm.training import Stopped, all_finite, duration

FEWEST_EPOCHS = 3  # after which a trial may be stopped early: the first ones tell little
BETWEEN = 5.0  # seconds that a trial takes beside training: to build its network, and to write


class Text(NamedTuple):
    """The text of a sweep, as this process has read it."""

    source: Source
    corpus: Corpus
    parts: Parts


def work(sweep, text, signals, until=math.inf, show=print, moving=False):
    """Train one trial after the other, until none is left, the time is over, or a signal comes.

    A trial that was begun and is not over is left as it is, with a snapshot: the next process takes it up. So it does
    with one whose run cannot be gone on with now, as when it is in use, or damaged.

    Args:
        sweep: a `Sweep`.
        text: its `Text`.
        signals: `Signals` that may ask to stop.
        until: when to stop, as `time.monotonic` tells it; a trial that would take longer is not begun.
        show: is given a line for each trial.
        moving: whether to show each trial's epochs, too.

    Returns:
        Why it ended: "done", "time" or "signal".
    """
    ask, left_out = Until(signals, until), set()
    while not ask.received:
        if sweep.plan.seconds and time.monotonic() + sweep.plan.seconds + BETWEEN > until:
            return "time"
        with sweep.claim(left_out) as trial:
            if trial is None:
                return "done"
            left_out.add(trial.number)
            try:
                show(f"{_name(sweep, trial)}: {_one(sweep, trial, text, ask, moving)}")
            except Stopped:
                show(f"{_name(sweep, trial)}: stopped, and saved.")
            except ValueError as error:
                show(f"{_name(sweep, trial)}: left as it is. {error}")
        keras.backend.clear_session()
        release_memory()
    return "signal" if signals.received else "time"


class Until:
    """Asks training to stop by a signal, or when the time is over."""

    def __init__(self, signals, until):
        self.signals, self.until = signals, until

    @property
    def received(self):
        """The signal's number; None where there is no reason to stop."""
        return self.signals.received or (signal.SIGTERM if time.monotonic() > self.until else None)


def _one(sweep, trial, text, ask, moving):
    """Train a trial, and tell the study how it ended; returns what to show."""
    path, began = sweep.path(trial.number, trial.user_attrs["settings"]), time.monotonic()
    try:
        state, note = _trained(sweep, trial, path, text, ask, moving)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        state, note = TrialState.FAIL, "there is not enough memory for this network"
    losses = [row["val_loss"] for row in Run.load(path).history()] if path.exists() else []
    if state == TrialState.COMPLETE and not losses:
        state, note = TrialState.FAIL, "no epoch was finished in its time"
    trial.set_user_attr("note", note)
    sweep.study.tell(trial, min(losses) if state == TrialState.COMPLETE else None, state)
    epochs = f"{len(losses)} epoch{'s' * (len(losses) != 1)}"
    parts = [f"{min(losses):.4f} nats after {epochs}, {duration(time.monotonic() - began)}"] if losses else []
    return "; ".join([*parts, *filter(None, [note])])


def _trained(sweep, trial, path, text, ask, moving):
    """Train what is left of a trial; returns how it ended, and a note on it."""
    first = sweep.trials()[trial.number % sweep.plan.space.different]
    is_first = first.number == trial.number
    if first.state == TrialState.PRUNED and not is_first:
        return TrialState.PRUNED, f"stopped early with seed {sweep.plan.space.seed(first.number)}, so not trained"
    with contextlib.ExitStack() as own:
        job = _job(sweep, path, trial, text, own)
        if job.over:
            return TrialState.COMPLETE, ""
        reports = Reports(trial, job, sweep.told(trial.number), is_first)
        try:
            sound = job.fit(ask, progress=moving, callbacks=[reports])
        except optuna.TrialPruned:
            return TrialState.PRUNED, f"stopped early, at {reports.share:.0%}"
    return (TrialState.COMPLETE, "") if sound else (TrialState.FAIL, "the loss is NaN: a lower learning rate may help")


def _name(sweep, trial):
    varied = [f"{name} {shown(value)}" for name, value in trial.user_attrs["settings"].items()]
    return f"trial {trial.number}: {', '.join([*varied, f'seed {sweep.plan.space.seed(trial.number)}'])}"


def _job(sweep, path, trial, text, own):
    """Begin a trial's run, or go on with it where it was interrupted; its folder is this process' own."""
    plan, seed = sweep.plan, sweep.plan.space.seed(trial.number)
    if (path / "run.json").exists():
        own.enter_context(locked(path))
        return go_on(Run.load(path), text.corpus)
    shutil.rmtree(path, ignore_errors=True)  # of a process that was killed before there was a run
    settings = plan.of_trial(trial.user_attrs["settings"])
    given = plan.init_from, text.source, plan.seconds, plan.split_seed
    job = begin(path, text.corpus, settings, text.parts, seed, *given)
    own.enter_context(locked(path))
    return job


class Reports(keras.callbacks.Callback):
    """Tells the study a trial's best validation loss after each tenth of its training, and ends it if others were better.

    Trials with the same minutes have different epochs, and a learning rate that falls with the time: what can be compared
    is their share of the time. An epoch that ends after several tenths stands for all of them. Of each setting the first
    seed alone may be stopped, and the others are spared with it: where it is good enough, all of its seeds are trained
    to the end, and none of them is left out for having been unlucky.
    """

    def __init__(self, trial, job, told=0, stopping=True):
        """Begin with a `Job`, where `told` tenths were reported before it was interrupted."""
        super().__init__()
        self.trial, self.told, self.stopping, self.share = trial, told, stopping, 0.0
        self.epochs, self.spent = job.settings.epochs, job.spent
        self.in_all = (job.seconds or math.inf) + self.spent
        self.best = min((row["val_loss"] for row in job.run.history()), default=math.inf)
        self.began = None

    def on_train_begin(self, logs=None):
        self.began = self.began or time.monotonic() - self.spent

    def on_epoch_end(self, epoch, logs=None):
        if not all_finite(logs):
            return
        self.best = min(self.best, logs["val_loss"])
        self.share = min(1.0, max((epoch + 1) / self.epochs, (time.monotonic() - self.began) / self.in_all))
        reached = min(math.floor(TENTHS * self.share + 1e-9), TENTHS - 1)  # after the last nothing is left to stop
        for tenth in range(self.told + 1, reached + 1):
            self.trial.report(self.best, tenth)
        if reached > self.told:
            self.told = reached
            if self.stopping and epoch + 1 >= FEWEST_EPOCHS and self.trial.should_prune():
                raise optuna.TrialPruned
