"""What a sweep varies: settings by their values, or by a range that values are drawn from; and each trial's name.

Trials are numbered from 0: all settings with the first seed, then all of them with the next one.
"""

import itertools
import math
import re
from typing import NamedTuple

MOST_TRIALS = 1000
DRAWN = 10  # settings, where a range varies and no number is given
LINEAR = ("dropout", "weight_dropout", "layers")  # drawn on a linear scale; others on a logarithmic one
# What decides what is predicted: losses of different ones are of different texts.
MEASURED = ("feed", "min_count", "validation")
LONGEST_NAME = 100  # characters of a folder's name


class Choices(NamedTuple):
    """Values to try, each of them."""

    values: tuple

    def middle(self):
        """The value that the other settings are chosen for."""
        return self.values[len(self.values) // 2]

    def __str__(self):
        return ", ".join(map(shown, self.values))


class Range(NamedTuple):
    """Values to draw from, both ends included; whole numbers where the ends are."""

    low: float
    high: float
    log: bool  # whether drawn on a logarithmic scale

    def middle(self):
        """The value that the other settings are chosen for."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return self.rounded(middle)

    def rounded(self, value):
        """Return a drawn value in three digits: one that can be read, and typed."""
        if isinstance(self.low, int):
            return round(value)
        return min(max(float(f"{value:.3g}"), self.low), self.high)

    def __str__(self):
        return f"{shown(self.low)} to {shown(self.high)}{', logarithmic' if self.log else ''}"


class Space(NamedTuple):
    """All that a sweep tries."""

    varied: dict  # name of a setting to `Choices` or `Range`
    seeds: tuple
    draws: int | None = None  # settings that are drawn; None where all varied ones have `Choices`

    @classmethod
    def of(cls, varied, seeds, draws=None):
        """Check what is to vary.

        Args:
            varied: list of pairs, the name of a setting and its `Choices` or `Range`.
            seeds: whole numbers.
            draws: settings to draw, where a `Range` is among them; None for 10.

        Raises:
            ValueError: nothing varies, a setting varies twice or decides what is measured, or there are too many trials.
        """
        names = [name for name, _ in varied]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} varies twice. Give all of its values in one --vary.")
            if name in MEASURED:
                raise ValueError(
                    f"{name} cannot vary: it decides what is predicted, and losses on different texts cannot be compared. "
                    f"Give one value, --{name.replace('_', '-')}, and make another sweep for another."
                )
        if not names and len(seeds) < 2:
            raise ValueError("Nothing varies: give --vary NAME=VALUE,VALUE, or at least --seeds 2.")
        drawn = any(isinstance(values, Range) for _, values in varied)
        if draws and not drawn:
            raise ValueError(f"--trials {draws} is for a range, as learning_rate=0.002..0.02. Of values all are tried.")
        space = cls(dict(varied), tuple(seeds), (draws or DRAWN) if drawn else None)
        if space.total > MOST_TRIALS:
            raise ValueError(
                f"{space.total:,} trials are too many; {MOST_TRIALS:,} are the most. Give fewer values or seeds, or a range."
            )
        return space

    @property
    def different(self):
        """How many settings there are, seeds apart."""
        return self.draws or math.prod(len(choices.values) for choices in self.varied.values())

    @property
    def total(self):
        """How many trials there are."""
        return self.different * len(self.seeds)

    def seed(self, number):
        """The seed of a trial."""
        return self.seeds[number // self.different]

    def listed(self, number):
        """The varied settings of a trial, by name; None where they are drawn."""
        if self.draws:
            return None
        combinations = itertools.product(*(choices.values for choices in self.varied.values()))
        return dict(zip(self.varied, list(combinations)[number % self.different], strict=True))

    def to_json(self):
        """Return what JSON can hold of it."""
        varied = {
            name: list(values.values) if isinstance(values, Choices) else values._asdict()
            for name, values in self.varied.items()
        }
        return {"vary": varied, "seeds": list(self.seeds), "draws": self.draws}

    @classmethod
    def from_json(cls, kept):
        """Make it from what `to_json` returned."""
        varied = {
            name: Choices(tuple(values)) if isinstance(values, list) else Range(**values)
            for name, values in kept["vary"].items()
        }
        return cls(varied, tuple(kept["seeds"]), kept["draws"])

    def __str__(self):
        parts = [f"{name} {values}" for name, values in self.varied.items()]
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        drawn = f"{self.draws} settings drawn" if self.draws else f"{self.different} settings"
        return f"{self.total} trials: {'; '.join([*parts, seeds])} ({drawn})"


def choices(name, values):
    """Make `Choices`.

    Raises:
        ValueError: fewer than two, or one of them twice.
    """
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"{name} has {shown(twice)} twice. Give each value once.")
    if len(values) < 2:
        raise ValueError(f"{name} has one value, {shown(values[0])}: give more, or --{name.replace('_', '-')} for one.")
    return Choices(tuple(values))


def between(name, low, high):
    """Make a `Range`: of shares and layers on a linear scale, of others on a logarithmic one, where it begins above 0.

    Raises:
        ValueError: the lower end is not below the upper one.
    """
    if low >= high:
        raise ValueError(f"{name} from {shown(low)} to {shown(high)} is no range. Give the smaller number first.")
    return Range(low, high, name not in LINEAR and low > 0)


def shown(value):
    """Write a setting's value: a number without needless digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def folder_name(number, settings, seed):
    """Name a trial's folder by its number, settings and seed, as every file system allows it."""
    parts = [f"{name}={shown(value)}" for name, value in settings.items()]
    while len(name := "-".join([f"{number:04d}", *parts, f"seed={seed}"])) > LONGEST_NAME:
        parts.pop()
    return re.sub(r"[^\w.=+-]", "_", name)
