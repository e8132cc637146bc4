"""The folder of a sweep, and who trains what: Optuna's study in a journal, and a lock for each trial that is being trained.

    sweeps/<name>/sweep.json           what is tried, on which text, with which settings besides
    sweeps/<name>/journal.log          the study: each change a line, appended
    sweeps/<name>/locks/<number>       held by the process that trains a trial, as long as it lives
    sweeps/<name>/<number>-<settings>  the trial's run folder

All processes are equal, on one machine or on several with the same folder. Optuna finds trials whose process is gone by
heartbeats, which it keeps in SQL databases alone, and after a time of grace. Here the system itself tells at once: it lets
go of a dead process' locks. SQLite, besides, is not for folders on a network.
"""

import contextlib
import dataclasses
import json
import math
import os
import socket
import warnings
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from charlm.anytext.settings import NAMES, Settings, suited_rate
from charlm.anytext.split import cut, encode
from charlm.pipelines import check_sizes
from charlm.runs import Run
from charlm.support.files import UNFINISHED, check_folder, held, write_text
from charlm.sweeps.space import Choices, Range, Space, folder_name
from charlm.training import duration

FILE, JOURNAL, LOCKS, LOCK = "sweep.json", "journal.log", "locks", "lock"
TENTHS = 10  # of a training, after each of which its loss is compared
COMPARED_FROM = 4  # the first of them after which a trial may be stopped
COMPARED_WITH = 4  # finished trials that there have to be
RANDOM = 6  # settings drawn at random, before the better ones guide the draw


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a sweep is: written once, and the same for all of its processes."""

    asked: dict  # options of the command that began it, by name: who joins has to give the same
    space: Space
    settings: Settings  # of every trial, but for what varies
    text: str  # its name
    sha256: str  # of the text
    init_from: str | None  # the run whose weights every trial begins with
    split_seed: int
    seconds: float | None  # of training for each trial; None for no limit
    stopping: bool  # whether trials may be stopped early

    def of_trial(self, varied):
        """Return the `Settings` of a trial: a learning rate that nobody gave follows the network, as in any run."""
        settings = dataclasses.replace(self.settings, **varied)
        if "learning_rate" in {*self.settings.given, *varied}:
            return settings
        rate = suited_rate(settings.cell, settings.units, settings.feed == "lines")
        return dataclasses.replace(settings, learning_rate=rate)

    def encoded(self, text):
        """Cut the text, and encode it: the same `Parts` for all trials."""
        split = cut(text, self.settings.feed, self.settings.validation, self.split_seed)
        known = Run.load(self.init_from).vocabulary if self.init_from else None
        return encode(split, self.settings.min_count, known=known)

    def check(self, characters):
        """Make sure that the largest batches of any trial find enough characters to train on."""
        if self.settings.feed == "streams":
            length, rows = (max(self._all(name)) for name in ("sequence_length", "batch_size"))
            check_sizes(characters, length, rows, rows * length + 1, f"sequence_length {length}")

    def _all(self, name):
        values = self.space.varied.get(name)
        if values is None:
            return [getattr(self.settings, name)]
        return values.values if isinstance(values, Choices) else [values.low, values.high]

    def length(self):
        """Say how long a trial is trained."""
        if self.seconds is None:
            return f"{max(self._all('epochs'))} epochs"
        return f"{duration(self.seconds)} of training"

    def to_json(self):
        """Return what JSON can hold of it."""
        settings = {name: getattr(self.settings, name) for name in (*NAMES, "given", "reasons")}
        return {**vars(self), "space": self.space.to_json(), "settings": settings}

    @classmethod
    def from_json(cls, kept):
        """Make it from what `to_json` returned."""
        settings = {**kept["settings"], **{name: tuple(kept["settings"][name]) for name in ("given", "reasons")}}
        return cls(**{**kept, "space": Space.from_json(kept["space"]), "settings": Settings(**settings)})


def is_sweep(folder):
    """Whether a folder is a sweep's; False where one can be begun there.

    Raises:
        ValueError: it holds something else.
        OSError: it cannot be made.
    """
    if not folder.exists():
        check_folder(folder)
        return False
    if (folder / FILE).exists():
        return True
    if {path.name for path in folder.iterdir()} - {LOCK, UNFINISHED + FILE}:  # which a killed process may have left
        raise ValueError(f"{folder} holds something else than a sweep. Give another --out.")
    return False


class Sweep:
    """A sweep's folder, opened; make one with `Sweep.begin`, join or look at one with `Sweep.load`."""

    def __init__(self, folder, plan):
        self.folder, self.plan = folder, plan
        try:
            self.study = _open_study(folder / JOURNAL, plan.stopping)
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise ValueError(f"{folder / JOURNAL} is damaged ({error!r}). Take the folder from a copy.") from error

    @classmethod
    def begin(cls, folder, plan):
        """Make the folder; where another process has made it just now, its plan holds."""
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / LOCK, wait=True):
            if not (folder / FILE).exists():
                write_text(folder / FILE, json.dumps(plan.to_json(), indent=2))
        return cls.load(folder)

    @classmethod
    def load(cls, folder):
        """Open a sweep's folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged.
            OSError: the file system has no locks.
        """
        folder = Path(folder)
        file = folder / FILE
        if not file.is_file():
            raise FileNotFoundError(
                f"{file.absolute()} is missing. Give the folder of a sweep, as charlm sweep made it."
            )
        try:
            plan = Plan.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is damaged ({error!r}). Take it from a copy, or begin another sweep.") from error
        (folder / LOCKS).mkdir(exist_ok=True)
        sweep = cls(folder, plan)
        with held(folder / LOCK, wait=True):
            for number in range(len(sweep.trials()), plan.space.total):  # a process may have been killed among them
                sweep.study.enqueue_trial(plan.space.listed(number) or {})
        return sweep

    def trials(self):
        """List Optuna's trials, the first one first."""
        return self.study.get_trials(deepcopy=False)

    def told(self, number):
        """How many tenths of its training a trial has reported."""
        return max(self.trials()[number].intermediate_values, default=0)

    @contextlib.contextmanager
    def claim(self, left_out=()):
        """Take the next trial, which is this process' own while the block runs: an interrupted one, or one that waits.

        Args:
            left_out: numbers of trials not to take.

        Yields:
            Optuna's trial, with its `settings` among its user attributes; None where none is left.
        """
        with contextlib.ExitStack() as own:
            with held(self.folder / LOCK, wait=True):  # one process after the other, also if this one dies here
                trial = self._take(own, left_out)
            yield trial

    def _take(self, own, left_out):
        trials = self.trials()
        for begun in trials:
            if begun.state == TrialState.RUNNING and begun.number not in left_out and self._lock(own, begun.number):
                return self._described(optuna.Trial(self.study, begun._trial_id))
        if not any(trial.state == TrialState.WAITING for trial in trials):
            return None
        trial = self.study.ask()
        self._lock(own, trial.number)
        return self._described(trial)

    def _lock(self, own, number):
        return own.enter_context(held(self.folder / LOCKS / f"{number:04d}"))

    def _described(self, trial):
        """Write into a trial what it is to train with, if that is not decided yet, and who trains it."""
        if "settings" not in trial.user_attrs:
            first = trial.number % self.plan.space.different
            drawn = self.trials()[first].user_attrs.get("settings") if first < trial.number else None
            trial.set_user_attr("settings", drawn or self._suggested(trial))
        trial.set_user_attr(
            "processes", [*trial.user_attrs.get("processes", []), f"{socket.gethostname()}:{os.getpid()}"]
        )
        return trial

    def _suggested(self, trial):
        """Let Optuna choose a trial's settings: those of the list, or drawn ones, the same in whichever process."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            seed = 1000 * self.plan.space.seeds[0] + trial.number
            self.study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM, constant_liar=True, seed=seed)
        return {name: _suggest(trial, name, values) for name, values in self.plan.space.varied.items()}

    def path(self, number, settings):
        """Name the run folder of a trial."""
        return self.folder / folder_name(number, settings, self.plan.space.seed(number))

    def rows(self):
        """List what is known of every trial: dictionaries with trial, settings, seed, state, epochs, minutes, loss, and more."""
        with held(self.folder / LOCK, wait=True):
            trials = self.trials()
            gone = {
                trial.number for trial in trials if trial.state == TrialState.RUNNING and self._is_free(trial.number)
            }
        return [self._row(trial, trial.number in gone) for trial in trials]

    def _is_free(self, number):
        with held(self.folder / LOCKS / f"{number:04d}") as free:
            return free

    def _row(self, trial, is_gone):
        settings = trial.user_attrs.get("settings") or self.plan.space.listed(trial.number) or {}
        path = self.path(trial.number, settings)
        begun = trial.state != TrialState.WAITING and (path / "run.json").exists()
        history = Run.load(path).history() if begun else []
        return {
            "trial": trial.number,
            "settings": settings,
            "seed": self.plan.space.seed(trial.number),
            "state": "interrupted" if is_gone else STATES[trial.state],
            "epochs": len(history),
            "minutes": sum(row["seconds"] for row in history) / 60,
            "loss": min((row["val_loss"] for row in history), default=math.nan),
            "note": trial.user_attrs.get("note", ""),
            "processes": trial.user_attrs.get("processes", []),
            "folder": path.name if begun else "",
            "history": history,
        }


STATES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
}


class JournalLock:
    """Lets one process after the other append to a journal, and takes out a line that a killed process left unfinished.

    Optuna's own locks are files, which outlive a killed process: half a minute, and then whoever waits removes them. And
    what is appended to an unfinished line nobody could read.
    """

    def __init__(self, path):
        self.path = path

    def acquire(self):
        """Wait for the lock."""
        self._own = contextlib.ExitStack()
        self._own.enter_context(held(self.path, wait=True))
        mend(self.path)
        return True

    def release(self):
        """Let the next process have it."""
        self._own.close()


def mend(path):
    """Cut a file of lines off after its last whole line."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if size and file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def _open_study(journal, stopping):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=JournalLock(journal)))
    compared = optuna.pruners.MedianPruner(n_startup_trials=COMPARED_WITH, n_warmup_steps=COMPARED_FROM)
    pruner = compared if stopping else optuna.pruners.NopPruner()
    return optuna.create_study(storage=storage, study_name="sweep", pruner=pruner, load_if_exists=True)


def _suggest(trial, name, values):
    if isinstance(values, Choices):
        return trial.suggest_categorical(name, values.values)
    whole = isinstance(values.low, int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return Range.rounded(values, suggest(name, values.low, values.high, log=values.log))
